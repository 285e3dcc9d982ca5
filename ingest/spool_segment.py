"""A segment of the spool: one file, written by one process, made durable before anything in it is acknowledged.

Its name says its number (the order), its random id and its kind: `raw` was never decoded; `held` repeats messages that were in
hand when the database went away, and may have been committed under their own delivery.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple, cast
from urllib.parse import unquote
from zlib import crc32

from ingest.message import OVERHEAD, Block, Raw
from ingest.spool_record import Record, pack, scan

#: Messages of a segment that go on together.
_MOST_MESSAGES: Final = 1000

Kind = Literal["raw", "held"]


class Segment(NamedTuple):
    """A segment that is complete."""

    path: Path
    number: int
    id: str
    kind: Kind
    size: int

    @classmethod
    def named(cls, folder: Path, number: int, name: str, kind: Kind) -> Segment:
        """A segment that is not written yet."""
        return cls(folder / f"{number:010d}-{name}.{kind}", number, name, kind, 0)

    @property
    def client(self) -> str:
        """The client id whose spool it is of."""
        return unquote(self.path.parent.name)

    @property
    def mark(self) -> str:
        """What its messages are known by where it is noted what was committed."""
        return marked(self.client) + self.id

    @property
    def seed(self) -> int:
        """What its checksums begin with."""
        return crc32(self.id.encode())


class Content(NamedTuple):
    """What a segment held.

    Attributes:
        blocks: its messages, as they came.
        damaged: bytes that were no whole records; they are kept in a file beside the segment.
        torn: bytes of a last record that was not written to its end, and so never acknowledged.
    """

    blocks: list[Block]
    damaged: int
    torn: int


class Tail:
    """A segment that is being written.

    Attributes:
        size: bytes that are durable.
    """

    def __init__(self, segment: Segment) -> None:
        self._segment = segment
        self._file = segment.path.open("xb", buffering=0)
        self._client = segment.client
        self._messages = 0
        self.size = 0

    def write(self, blocks: Sequence[Block]) -> int:
        """Append messages and wait for the disk; returns how many bytes.

        Raises:
            OSError: the segment is as it was before, as far as the disk lets us.
        """
        parts = []
        messages = self._messages
        for block in blocks:
            source = "" if block.source == self._client else block.source
            parts.append(pack(self._segment.seed, messages, block.received, block.messages, source, block.begins))
            messages += len(block.messages)
        data = b"".join(parts)
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
            os.fdatasync(self._file.fileno())
        except OSError:
            with suppress(OSError):  # what stays behind are messages that will come again from the broker
                os.ftruncate(self._file.fileno(), self.size)
            raise
        self._messages = messages
        self.size += len(data)
        return len(data)

    def close(self) -> Segment:
        """It is complete."""
        self._file.close()
        return self._segment._replace(size=self.size)


def marked(client: str) -> str:
    """What the marks of all segments of a client begin with."""
    return f"{client} spool "


def segments(folder: Path) -> Iterator[Segment]:
    """The segments of a folder, oldest first."""
    for path in sorted(folder.glob("*-*.*")):
        if path.suffix in (".raw", ".held"):
            number, _, name = path.stem.partition("-")
            with suppress(FileNotFoundError):  # its process has just removed it
                yield Segment(path, int(number), name, cast("Kind", path.suffix[1:]), path.stat().st_size)


def read(segment: Segment, *, may_be_torn: bool) -> Content:
    """Read a segment; what is damaged is moved aside first.

    Args:
        segment: complete.
        may_be_torn: its writer may have been killed over it, so that what is no record at its end was never acknowledged.

    Raises:
        OSError: it cannot be read, or what is damaged cannot be kept.
    """
    data = segment.path.read_bytes()
    found = scan(data, segment.seed)
    spans = list(found.damaged)
    rest = len(data) - found.end
    if rest and not may_be_torn:
        spans.append((found.end, len(data)))
    if spans:
        aside = segment.path.with_suffix(".damaged")
        aside.write_bytes(b"".join(data[start:end] for start, end in spans))
        sync(aside)
        sync(aside.parent)
    damaged = sum(end - start for start, end in spans)
    return Content(list(_blocks(segment, found.records)), damaged, rest if may_be_torn else 0)


def sync(path: Path) -> None:
    """Wait until the disk has a file, or a folder's names.

    Raises:
        OSError: it may not have it.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _blocks(segment: Segment, records: Sequence[Record]) -> Iterator[Block]:
    """Records that came together and lie together, as blocks."""
    again, client, mark = segment.kind == "held", segment.client, segment.mark
    at = 0
    while at < len(records):
        first = records[at]
        messages: list[Raw] = []
        size = 0
        while at < len(records) and len(messages) < _MOST_MESSAGES:
            place, received, source, message, begins = records[at]
            if place != first.place + len(messages) or received != first.received or source != first.source:
                break
            if begins and messages:  # a session begins with a block
                break
            topic, payload, mid, repeated = message
            messages.append((topic, payload, mid, repeated or again))
            size += len(topic) + len(payload) + OVERHEAD
            at += 1
        yield Block(0, first.received, messages, size, first.source or client, mark, first.place, first.begins)
