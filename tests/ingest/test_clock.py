"""Device time: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clock import LANES, Clocks, device_time
from ioc.errors import RejectedError

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


@given(st.integers(0, 253_402_300_799_999))
def test_device_time_milliseconds_round_trip(stamp: int) -> None:
    """Epoch milliseconds come back to the millisecond."""
    time = device_time(stamp)
    assert round((time - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1)) == stamp


@pytest.mark.parametrize(
    "raw", ["2026-07-01T19:00:00+07:00", "2026-07-01T12:00:00Z", "20260701T120000Z", 1782907200000, 1782907200000.0]
)
def test_device_time_good(raw: Any) -> None:
    """Epoch milliseconds and ISO-8601 with a zone name the same moment."""
    assert device_time(raw) == NOON


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "",
        "noon",
        "2026-07-01T12:00:00",
        "2026-07-01",
        "0001-01-01T00:00:00+14:00",
        True,
        -1,
        10**18,
        10**400,
        float("nan"),
        float("inf"),
        [],
        {},
    ],
)
def test_device_time_bad(raw: Any) -> None:
    """What is no time is rejected as such."""
    with pytest.raises(RejectedError) as caught:
        device_time(raw)
    assert caught.value.reason == "time"


def test_believed_spans_the_settings() -> None:
    """The span that is believed reaches as far as the settings say, both ways."""
    assert Clocks(ahead_s=300, behind_s=3600).believed(10_000_000.0) == (6_400_000.0, 10_300_000.0)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=50))
def test_free_time_never_meets(steps: list[int]) -> None:
    """Receive times given out are all different, also when our clock steps back."""
    clocks, received, given_out = Clocks(ahead_s=1, behind_s=1), NOON, []
    for step in steps:
        received += timedelta(microseconds=step)
        given_out.append(clocks.free_time(received))
    assert len(set(given_out)) == len(given_out)


def test_keep_free_leaves_room_and_comes_back() -> None:
    """Room is left behind a time; a flood that asks for much of it does not carry the times away from the clock."""
    clocks = Clocks(ahead_s=1, behind_s=1)
    first = clocks.free_time(NOON)
    clocks.keep_free(NOON, 40)
    assert clocks.free_time(NOON) == first + timedelta(microseconds=41 * LANES)
    for _ in range(5000):
        clocks.free_time(NOON)
        clocks.keep_free(NOON, 1000)
    assert clocks.free_time(NOON) < NOON + timedelta(seconds=1.3)
    assert clocks.free_time(NOON + timedelta(seconds=2)) == NOON + timedelta(seconds=2)


def test_free_times_of_two_processes_never_meet() -> None:
    """Each process gives out microseconds of its own lane."""
    one, other = Clocks(ahead_s=1, behind_s=1, lane=1), Clocks(ahead_s=1, behind_s=1, lane=2)
    moments = [NOON + timedelta(microseconds=step) for step in range(100)]
    assert not {one.free_time(moment) for moment in moments} & {other.free_time(moment) for moment in moments}
