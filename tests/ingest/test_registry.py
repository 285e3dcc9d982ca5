"""When sightings are written: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ingest.batch import Sighting
from ingest.registry import SIGHT_EVERY_S, Sights

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def make_sighting(at_s: float, ahead_s: float | None = None) -> Sighting:
    received = NOON + timedelta(seconds=at_s)
    sighting = Sighting(received, received)
    if ahead_s is not None:
        sighting.ahead_ms = ahead_s * 1000
    return sighting


def test_sights_first_at_once_then_seldom_the_last_always() -> None:
    """A device is written when first seen, then at most every ten seconds, and its last sighting is never lost."""
    now = 1000.0
    sights, written = Sights(lambda: now), []
    for second in range(35):  # heard of every second, then silent
        now = 1000.0 + second
        if second < 25:
            sights.note({"d": make_sighting(second)})
        due = sights.due()
        sights.done(due)
        written += [round((sight.seen - NOON).total_seconds()) for sight in due]
    assert written == [0, 10, 20, 24]
    assert SIGHT_EVERY_S == 10


def test_sights_kept_until_committed() -> None:
    """A sighting whose commit failed is due again; everything is due at the end."""
    now = 1000.0
    sights = Sights(lambda: now)
    sights.note({"d": make_sighting(0)})
    assert len(sights.due()) == 1
    now += 2
    assert len(sights.due()) == 1
    sights.note({"e": make_sighting(1)})
    assert len(sights.due()) == 0
    assert len(sights.due(everything=True)) == 2


def test_sights_of_many_devices_are_spread() -> None:
    """No commit writes a thousand devices at once, unless there is nothing else to write; within a second all are written."""
    now = 1000.0
    sights = Sights(lambda: now)
    sights.note({f"d{number}": make_sighting(0) for number in range(1000)})
    written: list[str] = []
    for _ in range(20):
        some = sights.due()
        assert len(some) == 50
        sights.done(some)
        written += [sight.device for sight in some]
    assert len(set(written)) == 1000
    now += SIGHT_EVERY_S
    sights.note({f"d{number}": make_sighting(9) for number in range(1000)})
    assert len(sights.due(at_once=True)) == 1000


def test_sights_clock_of_the_least_delayed() -> None:
    """Between two writes the message that was least delayed tells the device's clock."""
    sights = Sights()
    for at_s, ahead_s in ((0, -30.0), (1, -0.5), (2, -7.0), (3, None)):
        sights.note({"d": make_sighting(at_s, ahead_s)})
    (sight,) = sights.due()
    assert sight.ahead_s == pytest.approx(-0.5)
    assert sight.seen == NOON + timedelta(seconds=3)
