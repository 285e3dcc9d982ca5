"""The incident log: entries that are only ever added, each carrying the hash of the one before (`ioc.chain`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from ioc.catalog import Label
from ioc.chain import GENESIS, Fault, chained, instant

Kind = Literal[
    "detected",
    "raised",
    "returned",
    "suppressed",
    "released",
    "removed",
    "restored",
    "shelved",
    "unshelved",
    "acknowledged",
    "assigned",
    "dispatched",
    "note",
    "cleared",
    "closed",
    "reopened",
]

KIND_LABELS: Final[dict[Kind, Label]] = {
    "detected": Label("Phát hiện", "Detected"),
    "raised": Label("Tái diễn", "Raised again"),
    "returned": Label("Trở lại bình thường", "Returned to normal"),
    "suppressed": Label("Ẩn theo thiết kế", "Suppressed by design"),
    "released": Label("Hết ẩn", "No longer suppressed"),
    "removed": Label("Thiết bị ngừng phục vụ", "Device out of service"),
    "restored": Label("Thiết bị phục vụ lại", "Device back in service"),
    "shelved": Label("Tạm gác", "Shelved"),
    "unshelved": Label("Hết tạm gác", "Back from the shelf"),
    "acknowledged": Label("Tiếp nhận", "Acknowledged"),
    "assigned": Label("Giao việc", "Assigned"),
    "dispatched": Label("Cử lực lượng", "Dispatched"),
    "note": Label("Ghi chú", "Note"),
    "cleared": Label("Hết sự cố", "Cleared"),
    "closed": Label("Đóng", "Closed"),
    "reopened": Label("Mở lại", "Reopened"),
}

#: Who wrote an entry that no person wrote.
SYSTEM: Final = "system"

Details = Mapping[str, str | int | float | bool | list[int] | None]


class Entry(msgspec.Struct, frozen=True):
    """One entry; `hash` covers everything else, the incident and `previous` included."""

    incident: int
    seq: int
    time: datetime
    kind: Kind
    who: str
    text: str
    details: dict[str, Any]
    previous: bytes
    hash: bytes


def digest(
    incident: int, seq: int, time: datetime, kind: str, who: str, text: str, details: Details, previous: bytes
) -> bytes:
    """The hash of an entry."""
    content = {
        "incident": incident,
        "seq": seq,
        "time": instant(time),
        "kind": kind,
        "who": who,
        "text": text,
        "details": dict(details),
    }
    return chained(content, previous)


def follow(
    last: Entry | None,
    incident: int,
    time: datetime,
    kind: Kind,
    who: str,
    text: str = "",
    details: Details | None = None,
) -> Entry:
    """The entry that comes after `last` (None = the incident's first)."""
    seq, previous = (1, GENESIS) if last is None else (last.seq + 1, last.hash)
    kept = dict(details or {})
    return Entry(
        incident,
        seq,
        time,
        kind,
        who,
        text,
        kept,
        previous,
        digest(incident, seq, time, kind, who, text, kept, previous),
    )


def verify(entries: Sequence[Entry]) -> Fault | None:
    """Check an incident's whole log, in order; None when it is as it was written."""
    previous, incident = GENESIS, entries[0].incident if entries else 0
    for number, entry in enumerate(entries, 1):
        if entry.incident != incident:
            return Fault(number, f"belongs to incident {entry.incident}, not {incident}")
        if entry.seq != number:
            return Fault(number, f"has number {entry.seq}, expected {number}: an entry is missing or was added")
        if entry.previous != previous:
            return Fault(number, "does not follow the entry before it")
        if entry.hash != digest(
            entry.incident, entry.seq, entry.time, entry.kind, entry.who, entry.text, entry.details, entry.previous
        ):
            return Fault(number, "was changed after it was written")
        previous = entry.hash
    return None
