"""Device time: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clock import LANES, Clocks, PictureClocks, device_time
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


def show(clocks: PictureClocks, own_s: float, received_s: float) -> float:
    """When a picture was taken, in seconds after noon."""
    own, received = NOON + timedelta(seconds=own_s), NOON + timedelta(seconds=received_s)
    return (clocks.taken("cam", own, received, received - timedelta(days=30)) - NOON).total_seconds()


def test_picture_of_a_right_clock_has_its_own_time_however_late() -> None:
    """Half a minute behind, its pictures say so; one that comes late is not shown as new, nor is the next one held back."""
    clocks = PictureClocks()
    assert [show(clocks, second - 30, second) for second in range(10)] == [second - 30 for second in range(10)]
    assert show(clocks, -25, 10) == -25
    assert show(clocks, -20, 10.5) == -20
    assert [show(clocks, -26, 20), show(clocks, -9.5, 20.5)] == [-26, -9.5]


def test_picture_of_a_clock_ahead_is_of_now_and_right_at_once_when_that_is_set() -> None:
    """299 s ahead: its pictures come one after the other, as far apart as they were taken."""
    clocks = PictureClocks()
    late = [0.0, 0.3, 0.1, 0.0, 0.2]
    assert [show(clocks, second + 299, second + late[second]) for second in range(5)] == [0, 1, 2, 3, 4]
    assert [show(clocks, second, second) for second in range(5, 9)] == [5, 6, 7, 8]


def test_picture_of_a_clock_set_back_is_of_now_within_seconds() -> None:
    """Three hours back: until it is sure nothing is shown; a single one that comes late is not; then the clock is set right."""
    clocks = PictureClocks()
    back = -3 * 3600
    assert show(clocks, 0, 0) == 0
    times = [show(clocks, second + back, second) for second in range(1, 10)]
    assert [time > 0 for time in times] == [False] * 3 + [True] * 6
    assert times[3:] == [4, 5, 6, 7, 8, 9]
    assert show(clocks, 8.5 + back, 9.5) == 8.5
    assert [show(clocks, second + back, second) for second in (10, 11)] == [10, 11]
    assert [show(clocks, second, second) for second in (12, 13)] == [12, 13]


def test_picture_after_a_restart_of_ours() -> None:
    """The camera's clock is behind what was stored before: it is seen again as soon."""
    clocks = PictureClocks()
    clocks.seen({"cam": NOON})
    assert [show(clocks, second - 7200, second) > 0 for second in range(1, 7)] == [False] * 3 + [True] * 3


def test_picture_of_a_clock_that_was_never_set() -> None:
    """1970: stamped with our clock."""
    clocks = PictureClocks()
    assert [show(clocks, second - 1.7e9, second) for second in (1, 2, 3)] == [1, 2, 3]


@given(st.lists(st.tuples(st.floats(-1e5, 1e5), st.floats(0, 10)), max_size=60))
def test_picture_times_are_not_of_the_future(steps: list[tuple[float, float]]) -> None:
    """Whatever a clock does, no picture is said to be newer than our clock allows, or than one was before."""
    clocks, now, newest = PictureClocks(), 0.0, -1e9
    for off, passed in steps:
        now += passed
        time = show(clocks, now + off, now)
        assert time <= max(now + 5, newest) + 2e-6  # times are whole microseconds
        newest = max(newest, time)
