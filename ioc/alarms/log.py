"""The incident log: entries that are only ever added, each carrying the hash of the one before.

Whoever changes, removes or inserts an entry later breaks the chain from there on, and `verify` says where. Cutting entries
off the end leaves a valid shorter chain; comparing the last hash with one kept elsewhere (a printed report) shows that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from ioc.catalog import Label

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
#: What the first entry's `previous` is.
GENESIS: Final = bytes(32)

_EXACT: Final = 2**53

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


class Fault(msgspec.Struct, frozen=True):
    """Where a chain breaks first."""

    seq: int
    why: str


def canonical(value: Any) -> str:
    """JSON with one spelling for each value, whatever a detour through `jsonb` made of it (1.0 and 1 are one number).

    Raises:
        ValueError: NaN and the infinities have no JSON.
    """
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(
    incident: int, seq: int, time: datetime, kind: str, who: str, text: str, details: Details, previous: bytes
) -> bytes:
    """SHA-256 over the canonical JSON of an entry; the time in UTC with microseconds, as TimescaleDB keeps it."""
    content = {
        "incident": incident,
        "seq": seq,
        "time": time.astimezone(UTC).isoformat(timespec="microseconds"),
        "kind": kind,
        "who": who,
        "text": text,
        "details": dict(details),
        "previous": previous.hex(),
    }
    return hashlib.sha256(canonical(content).encode()).digest()


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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    # Beyond 2**53 a float and the integer it prints as part ways.
    if abs(value) > _EXACT:
        return float(value)
    return int(value) if float(value).is_integer() else value
