"""Two real ways to let a database run out of space: a small file system, and a limit on the size of the server's files."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from ioc.errors import StackError
from ioc.stack.accounts import own_folder, run_as
from tests.faults.database import DatabaseServer
from tests.fix_stack import Database

_numbers: Final = itertools.count(1)
#: The server writes its log in files of 4 MiB; a smaller limit would stop the log, not the tables.
_LIMIT: Final = 20 * 1024 * 1024


class SmallDisk(Protocol):
    """A database that can be given no more space.

    Attributes:
        error: what the server says then.
    """

    error: str
    db: Database

    def full(self) -> AbstractContextManager[None]:
        """While inside, there is no space left."""
        ...

    def remove(self) -> None:
        """Drop the database."""
        ...


def can_mount() -> bool:
    """Whether we may mount a file system: as root, where no container forbids it."""
    attempt = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return os.geteuid() == 0 and subprocess.run(attempt, check=False, capture_output=True).returncode == 0


class SmallFileSystem:
    """A database on a tablespace of 64 MB."""

    error = "No space left on device"

    def __init__(self, server: DatabaseServer, folder: Path) -> None:
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], check=True)
        self._folder = folder
        self._server = server
        own_folder(folder / "space", server.user)
        self._name = f"small_{next(_numbers)}"
        server.admin(f"CREATE TABLESPACE {self._name} LOCATION '{folder / 'space'}'")
        self.db = server.make_database(self._name, options=f"TABLESPACE {self._name}")

    @contextmanager
    def full(self) -> Iterator[None]:
        """While inside, no byte is left."""
        ballast = self._folder / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        yield
        ballast.unlink()

    def remove(self) -> None:
        """Drop the database, and unmount."""
        self._server.drop_database(self.db)
        self._server.admin(f"DROP TABLESPACE {self._name}")
        subprocess.run(["umount", self._folder], check=True)
        self._folder.rmdir()


class FileSizeLimit:
    """A table of more than 20 MiB on a server whose files may then not grow past that: like a quota, and without root."""

    error = "File too large"

    def __init__(self, server: DatabaseServer, folder: Path) -> None:
        self._server = server
        self._log = folder.with_suffix(".log")
        self.db = server.make_database(f"limited_{next(_numbers)}")
        with self.db.connect() as connection:
            connection.execute(_BALLAST)

    @contextmanager
    def full(self) -> Iterator[None]:
        """While inside, the table cannot grow."""
        self._limit(_LIMIT)
        yield
        self._limit(None)

    def remove(self) -> None:
        """Drop the database."""
        self._server.drop_database(self.db)

    def _limit(self, most: int | None) -> None:
        backends = self._server.admin("SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'ioc-ingest%'")
        for pid in (self._server.child.pid, *(pid for (pid,) in backends)):
            limit = "unlimited" if most is None else most
            try:
                run_as(self._server.user, ["prlimit", f"--pid={pid}", f"--fsize={limit}:"], self._log)
            except StackError:
                if Path(f"/proc/{pid}").exists():
                    raise


#: 23 MB for the day that is now, and for the one that may begin while the test runs.
_BALLAST: Final = """
INSERT INTO reading SELECT day + n * INTERVAL '1 us', 'ballast', 'powerConsumption', n, 0, now()
FROM generate_series(1, 250000) AS n,
     (SELECT DISTINCT ON (date_trunc('day', t)) t AS day FROM (VALUES (now()), (now() + INTERVAL '3 min')) AS v (t)) AS days
"""
