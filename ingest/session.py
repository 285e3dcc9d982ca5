"""What is known of the broker's session of a client id and must outlive the process: on the disk, in the home.

When the broker has begun it anew: it numbers deliveries from 1 again, and what was noted of the ones before is void. The broker
tells it once, to who connects. So the session's name, which is ours, lies on the disk until the database has it: a process that
comes after hears that there is a session, and not since when. One on another machine, which takes over before the first commit
of a session, cannot know.

Which topic filters it may hold: a broker cannot be asked, and a filter of another time, or under another share, would bring its
messages twice.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from ingest.message import NAME_BYTES
from ingest.spool_segment import sync


class Beginning:
    """The last session of a client id whose beginning the database may not know of."""

    def __init__(self, home: Path, client: str) -> None:
        self._path = home / f"session-{quote(client, safe='')}"
        self._name = self._untold = b""
        self._lock = threading.Lock()

    def recall(self) -> None:
        """Take up what the process before has left; called once nobody else works under the client id.

        Raises:
            OSError: it cannot be read.
        """
        if self._path.exists():
            self._name = self._untold = self._path.read_bytes()

    def begin(self) -> None:
        """The broker has begun a session; to be called before anything can come over it.

        Raises:
            OSError: it is not on the disk; it is told all the same.
        """
        with self._lock:
            self._name = self._untold = secrets.token_bytes(NAME_BYTES)
            _write(self._path, self._name)

    def tell(self) -> bytes:
        """Its name, for the first block of its messages; b"" = that was told."""
        untold, self._untold = self._untold, b""
        return untold

    def noted(self, name: bytes) -> None:
        """The database has it.

        Raises:
            OSError: it is still on the disk, where it does no harm.
        """
        with self._lock:
            if name == self._name:
                self._path.unlink(missing_ok=True)


class Held:
    """The topic filters that a session may hold: noted before the broker is told of one, and until it says that it is gone.

    Attributes:
        names: as last noted.
    """

    def __init__(self, home: Path, client: str) -> None:
        self._path = home / f"filters-{quote(client, safe='')}"
        self.names: frozenset[str] = frozenset()
        self._on_disk = self.names

    def recall(self) -> frozenset[str]:
        """Take up what was noted last, by whatever process.

        Raises:
            OSError: it cannot be read.
        """
        with suppress(FileNotFoundError):
            self.names = frozenset(filter(None, self._path.read_text("utf-8").split("\0")))
            self._on_disk = self.names
        return self.names

    def note(self, names: Iterable[str]) -> None:
        """It may hold these, and no others.

        Raises:
            OSError: it is not on the disk.
        """
        self.names = frozenset(names)
        if self.names != self._on_disk:
            _write(self._path, "\0".join(sorted(self.names)).encode())
            self._on_disk = self.names

    def forget(self) -> None:
        """The session is no more."""
        self._path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f"{path.name}.new")
    made.write_bytes(content)
    sync(made)
    made.replace(path)
    sync(path.parent)
