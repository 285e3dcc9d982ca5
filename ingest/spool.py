"""The spool: messages on disk that could not be committed yet, in segment files of one folder for each client id."""

from __future__ import annotations

import fcntl
import secrets
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote, unquote

from ingest.message import Block
from ingest.spool_record import FRAME_BYTES
from ingest.spool_segment import Content, Kind, Segment, Tail, marked, read, segments, sync
from ioc.errors import SpoolError
from ioc.settings import Settings

#: A segment is closed when it has grown to this size.
SEGMENT_BYTES: Final = 8 * 1024 * 1024
_LOCK: Final = "lock"
#: Another process may hold it for a moment, to see whether somebody else does.
_LOCK_S: Final = 2.0


class HeldError(SpoolError):
    """Another process holds the spool."""


class Spool:
    """The segments of one folder, oldest first; used by one thread at a time, made by `hold_spool`.

    Args:
        folder: belongs to this process alone.
        most_bytes: its bound; 0 = only what was left here is given back.

    Attributes:
        bytes: what it takes on disk.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._client = unquote(folder.name)
        self.most_bytes = most_bytes
        self._unread = deque(segments(folder))
        self._last_of_before = self._unread[-1] if self._unread else None
        self._number = self._unread[-1].number if self._unread else 0
        self._tail: Tail | None = None
        self.bytes = sum(segment.size for segment in self._unread)

    @property
    def marked(self) -> str:
        """What the marks of its segments begin with."""
        return marked(self._client)

    @property
    def has_unread(self) -> bool:
        """Whether something waits here to be given back."""
        return bool(self._unread) or self._tail is not None

    def fits(self, blocks: Sequence[Block]) -> bool:
        """Whether these may be written too."""
        return self.bytes + sum(map(self._size, blocks)) <= self.most_bytes

    def append(self, blocks: Sequence[Block]) -> None:
        """Write messages behind all others; they are durable when this returns.

        Raises:
            OSError: none of them is here.
        """
        if self._tail is None:
            self._tail = self._create("raw")
        tail = self._tail
        try:
            self.bytes += tail.write(blocks)
        except OSError:
            self.seal()
            raise
        if tail.size >= SEGMENT_BYTES:
            self.seal()

    def repeat(self, blocks: Sequence[Block]) -> Segment:
        """Write messages that are in hand into a segment of their own, which is not given back by `take`.

        Raises:
            OSError: none of them is here.
        """
        self.seal()
        tail = self._create("held")
        try:
            self.bytes += tail.write(blocks)
        except OSError:
            tail.close().path.unlink(missing_ok=True)
            raise
        return tail.close()

    def seal(self) -> None:
        """Close the segment that is being written."""
        if self._tail is not None:
            segment, self._tail = self._tail.close(), None
            if segment.size:
                self._unread.append(segment)
            else:
                segment.path.unlink(missing_ok=True)

    def take(self) -> Segment | None:
        """The oldest segment that was not given back yet."""
        if not self._unread:
            self.seal()
        return self._unread.popleft() if self._unread else None

    def read(self, segment: Segment) -> Content:
        """Read a segment.

        Raises:
            OSError: it cannot be read, or what is damaged in it cannot be kept.
        """
        return read(segment, may_be_torn=segment == self._last_of_before)

    def remove(self, segment: Segment) -> None:
        """All of a segment is committed: remove it, for good.

        Raises:
            OSError: it may still be there.
        """
        segment.path.unlink(missing_ok=True)
        sync(self._folder)
        self.bytes -= segment.size

    def _size(self, block: Block) -> int:
        source = 0 if block.source == self._client else len(block.source.encode())
        texts = sum(len(topic) + len(payload) for topic, payload, _, _ in block.messages)
        return texts + (FRAME_BYTES + source) * len(block.messages) + len(block.begins)

    def _create(self, kind: Kind) -> Tail:
        self._number += 1
        tail = Tail(Segment.named(self._folder, self._number, secrets.token_hex(8), kind))
        sync(self._folder)
        return tail


@contextmanager
def hold_spool(root: Path, client: str, most_bytes: int) -> Iterator[Spool]:
    """The spool of a client id, which no other process may use meanwhile.

    Raises:
        HeldError: another process holds it.
        SpoolError: its folder cannot be used.
    """
    folder = root / quote(client, safe="")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / _LOCK).open("w")
    except OSError as error:
        raise SpoolError(f"spool {folder}: {error}") from error
    with lock:
        until = time.monotonic() + _LOCK_S
        while not _is_locked(lock):
            if time.monotonic() > until:
                raise HeldError(f"another ingest runs as {client}, and has its spool {folder}; this one stands by")
            time.sleep(0.05)
        spool = Spool(folder, most_bytes)
        try:
            yield spool
        finally:
            spool.seal()


def spool_root(settings: Settings) -> Path:
    """The folder of all spools of this home."""
    return settings.home / "spool"


@contextmanager
def spool_of(settings: Settings, client: str) -> Iterator[Spool | None]:
    """The spool that the settings want; where one was left that they do not want any more, it is emptied all the same.

    Raises:
        HeldError: another process holds it.
        SpoolError: it cannot be used.
    """
    root = spool_root(settings)
    left = root.is_dir() and any(any(segments(folder)) for folder in root.iterdir())
    if not settings.ingest_spool_mb and not left:
        yield None
        return
    with hold_spool(root, client, settings.ingest_spool_mb * 1_000_000) as spool:
        yield spool


def abandoned(root: Path) -> list[str]:
    """Client ids whose spool holds messages although no process of theirs runs.

    Raises:
        OSError: a spool cannot be read.
    """
    left = []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if any(segments(folder)):
            with (folder / _LOCK).open("w") as lock:
                if _is_locked(lock):
                    left.append(unquote(folder.name))
    return left


def _is_locked(lock: IO[str]) -> bool:
    """Whether the lock is ours now."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
