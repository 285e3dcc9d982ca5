"""How a message lies in a spool segment; pure.

    magic (4) · length of the body (4) · CRC-32 (4) · body: place (4), received (8, µs since 1970), packet id (2), flags (1),
    length of the source (2), length of the topic (2), [name of a session (8)], source, topic, payload

Numbers are little-endian. The checksum begins with the segment's own random id, so that no payload can pass for a record.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple
from zlib import crc32

from ingest.message import NAME_BYTES, Raw

_MAGIC: Final = b"\xc1SP1"
_FRAME: Final = struct.Struct("<4sII")
_BODY: Final = struct.Struct("<IqHBHH")
_AGAIN: Final = 1
#: A session begins with the message, and its name is there.
_BEGINS: Final = 2
#: What a record takes beside topic and payload.
FRAME_BYTES: Final = _FRAME.size + _BODY.size
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Record(NamedTuple):
    """One spooled message.

    Attributes:
        place: its number in the segment; damaged records leave gaps.
        received: when it came from the broker.
        source: over whose session; "" = that of the spool's own client.
        begins: the name of the session that begins with it; b"" = none does.
        message: as it came.
    """

    place: int
    received: datetime
    source: str
    message: Raw
    begins: bytes = b""


class Scan(NamedTuple):
    """What is in the bytes of a segment.

    Attributes:
        records: those that are whole, in order.
        damaged: spans of bytes (from, to) between or before whole records.
        end: where the last whole record ends; what follows was not written to its end, or is damaged.
    """

    records: list[Record]
    damaged: list[tuple[int, int]]
    end: int


def pack(
    seed: int, first: int, received: datetime, messages: Iterable[Raw], source: str = "", begins: bytes = b""
) -> bytes:
    """Messages that came together, as records; `first` is the place of the first one, with which a session may begin."""
    at, name = (received - _EPOCH) // _MICROSECOND, source.encode()
    parts: list[bytes] = []
    for place, (topic, payload, mid, again) in enumerate(messages, first):
        flags = (_AGAIN if again else 0) | (_BEGINS if begins else 0)
        body = _BODY.pack(place, at, mid, flags, len(name), len(topic)) + begins + name + topic + payload
        begins = b""
        parts += (_FRAME.pack(_MAGIC, len(body), _checksum(seed, body)), body)
    return b"".join(parts)


def scan(data: bytes, seed: int) -> Scan:
    """Find the whole records, whatever lies between them."""
    records: list[Record] = []
    damaged: list[tuple[int, int]] = []
    at = end = 0
    while (found := data.find(_MAGIC, at)) >= 0:
        record, after = _record(data, found, seed)
        if record is None:
            at = found + 1
            continue
        if found > end:
            damaged.append((end, found))
        records.append(record)
        at = end = after
    return Scan(records, damaged, end)


def _record(data: bytes, at: int, seed: int) -> tuple[Record | None, int]:
    """The record that begins there and where it ends; None when it is not whole."""
    begin = at + _FRAME.size
    if begin > len(data):
        return None, at
    _, length, checksum = _FRAME.unpack_from(data, at)
    after = begin + length
    if length < _BODY.size or after > len(data):
        return None, at
    body = data[begin:after]
    if _checksum(seed, body) != checksum:
        return None, at
    place, received, mid, flags, name_size, topic_size = _BODY.unpack_from(body)
    at_source = _BODY.size + (NAME_BYTES if flags & _BEGINS else 0)
    at_topic = at_source + name_size
    at_payload = at_topic + topic_size
    source = body[at_source:at_topic].decode()
    message = (body[at_topic:at_payload], body[at_payload:], mid, bool(flags & _AGAIN))
    return Record(place, _EPOCH + received * _MICROSECOND, source, message, body[_BODY.size : at_source]), after


def _checksum(seed: int, body: bytes) -> int:
    return crc32(body, crc32(len(body).to_bytes(4, "little"), seed))
