"""From what was sent and what is stored to figures; pure, so that tests can hold it to account."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from tests.bench.messages import Key


class Losses(NamedTuple):
    """Acknowledged messages that are not stored, and rows that are there once more than they should be."""

    lost: int
    doubled: int


def compare(acknowledged: Iterable[Key], stored: Mapping[Key, int], *, rows: int = 1) -> Losses:
    """Hold the publisher's ledger against the rows.

    Args:
        acknowledged: keys of the messages the broker took.
        stored: how many rows each key has.
        rows: how many it should have.

    A message with some of its rows counts as lost; rows of keys that are not in the ledger count for nothing.
    """
    lost = doubled = 0
    for key in acknowledged:
        found = stored.get(key, 0)
        lost += found < rows
        doubled += max(0, found - rows)
    return Losses(lost, doubled)


def percentile(values: Collection[float], share: float) -> float:
    """The least of the values that is at or above `share` of them (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no values, so no percentile")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def delays_ms(sent: Mapping[Key, float], committed: Mapping[Key, float]) -> list[float]:
    """Milliseconds from publish to commit of every message sent.

    One that was never stored has waited for ever, so that losing the slow ones makes no percentile better.
    """
    return [1000 * (committed[key] - at) if key in committed else math.inf for key, at in sent.items()]


def tally(rows: Iterable[Sequence[object]]) -> Counter[Key]:
    """Rows (device, epoch ms) by their key."""
    return Counter((str(device), int(str(ms))) for device, ms in rows)
