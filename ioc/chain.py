"""What makes a log tamper-evident: each entry's hash covers its content and the hash of the entry before it.

Whoever changes, removes or inserts an entry later breaks the chain from there on. Cutting entries off the end leaves a valid
shorter chain; comparing the last hash with one kept elsewhere (a printed report) shows that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

#: What the first entry's `previous` is.
GENESIS: Final = bytes(32)

_EXACT: Final = 2**53


class Fault(msgspec.Struct, frozen=True):
    """Where a chain breaks first."""

    seq: int
    why: str


def chained(content: Mapping[str, Any], previous: bytes) -> bytes:
    """SHA-256 over the canonical JSON of an entry's content and the hash before it; times as `instant` spells them.

    Raises:
        ValueError: NaN and the infinities have no JSON.
    """
    return hashlib.sha256(canonical({**content, "previous": previous.hex()}).encode()).digest()


def instant(time: datetime) -> str:
    """A time in UTC with microseconds, as TimescaleDB keeps it."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def canonical(value: Any) -> str:
    """JSON with one spelling for each value, whatever a detour through `jsonb` made of it (1.0 and 1 are one number).

    Raises:
        ValueError: NaN and the infinities have no JSON.
    """
    return json.dumps(_plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    # Beyond 2**53 a float and the integer it prints as part ways.
    if abs(value) > _EXACT:
        return float(value)
    return int(value) if float(value).is_integer() else value
