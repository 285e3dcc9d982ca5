"""A camera being watched: what rests when frames are few, what is handed on for which minute, what is said when. Pure."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from itertools import pairwise

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.camera_rules import FOLLOWED_FPS, RULE_KINDS
from tests.vision.film import ASPECT, START, Actor, counted, every, said, scene, show, straight, watch_by
from tests.vision.test_rules import make, people
from vision.rules.camera import HAND_ON_S, SAY_AGAIN_S
from vision.track import LONGEST_GAP_S

ALL = [make(kind, number) for number, kind in enumerate(RULE_KINDS, 1)]
FOLLOWING = {rule.id for rule in ALL if RULE_KINDS[rule.kind].least_fps}


@pytest.mark.parametrize(("fps", "rests"), [(10.0, False), (2.0, False), (1.5, True), (0.2, True)])
def test_what_must_be_followed_rests_when_frames_are_few(fps: float, rests: bool) -> None:
    """By the rate that is measured, and those that rest are named; lines, ways and loitering, never occupancy or what stands."""
    (*_, last) = show(watch_by(*ALL), [Actor(straight(0.5, 0.5))], every(1 / fps, 40))
    assert last.watched.fps == pytest.approx(fps, rel=0.05)
    assert set(last.watched.resting) == (FOLLOWING if rests else set())
    assert set(last.watched.watching) == {rule.id for rule in ALL} - set(last.watched.resting)
    assert {RULE_KINDS[rule.kind].key for rule in ALL if rule.id in FOLLOWING} == {
        "line",
        "wrong_way",
        "loitering",
        "ground",
    }
    assert FOLLOWED_FPS == 2


def test_rules_rest_and_wake_as_the_rate_changes() -> None:
    """Ten a second, then one a second, then ten again; a line that rests has watched nothing."""
    watch = watch_by(make("line"))
    times = [*every(0.1, 10), *every(1.0, 40, 10.0), *every(0.1, 60, 40.0)]
    outcomes = show(watch, [], times)
    states = [(outcome.time - START, bool(outcome.watched.resting)) for outcome in outcomes]
    assert not any(rests for time, rests in states if time < timedelta(seconds=12))
    assert all(rests for time, rests in states if timedelta(seconds=21) < time < timedelta(seconds=40))
    assert not any(rests for time, rests in states if time > timedelta(seconds=45))
    assert 26 <= counted(outcomes, 1)[""].watched_s <= 42


@given(gaps=st.lists(st.floats(0.05, 0.6) | st.floats(2, 30), min_size=20, max_size=120))
def test_seconds_watched_are_those_between_close_frames(gaps: list[float]) -> None:
    """Whatever the frames: what is handed on is no more than the time there was, in no minute more than a minute."""
    times = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    outcomes = show(watch_by(make("line"), make("zone", 2)), people(3), [*times, times[-1] + 61])
    flows = [flow for outcome in outcomes for flow in outcome.flows]
    for rule, longest in ((1, 1.0), (2, LONGEST_GAP_S)):
        kept = sum(flow.watched_s for flow in flows if flow.rule == rule and not flow.label)
        assert kept <= sum(gap for gap in gaps if gap <= longest) + 1e-3
        for minute in {flow.time for flow in flows}:
            assert sum(f.watched_s for f in flows if f.time == minute and f.rule == rule and not f.label) <= 60 + 1e-6
    assert all(flow.time.second == flow.time.microsecond == 0 for flow in flows)


@pytest.mark.parametrize("seconds", [0.1, 0.7, 7.0])
def test_a_minute_holds_what_was_counted_in_it(seconds: float) -> None:
    """A person stands in a zone for five minutes: of each whole minute 60 s are watched, and 60 s spent, at any rate."""
    outcomes = show(watch_by(make("zone")), people(1), every(seconds, 300))
    flows = [flow for outcome in outcomes for flow in outcome.flows]
    for minute in range(1, 4):
        own = [flow for flow in flows if flow.time == START + timedelta(minutes=minute)]
        assert sum(flow.watched_s for flow in own if flow.label == "" and flow.rule == 1) == pytest.approx(60, abs=1e-6)
        assert sum(flow.seconds for flow in own if flow.label == "person" and flow.rule == 1) == pytest.approx(
            60, abs=1e-6
        )
        assert sum(flow.seconds for flow in own if flow.label == "person" and flow.rule == 0) == pytest.approx(
            60, abs=1e-6
        )


def test_counts_are_handed_on_soon() -> None:
    """A worker that is killed takes at most a second's counting with it."""
    outcomes = show(watch_by(make("zone")), people(1), every(0.1, 30))
    handed = [outcome.time for outcome in outcomes if outcome.flows]
    assert max(later - time for time, later in pairwise(handed)) <= timedelta(seconds=HAND_ON_S + 0.2)


def test_people_in_overlapping_zones_count_once_for_the_camera() -> None:
    """Two zones over the same place, and a crowd zone: three people are three."""
    outcomes = show(watch_by(make("zone"), make("zone", 2), make("crowd", 3)), people(3), every(0.2, 30))
    whole = counted(outcomes, 0)["person"]
    assert whole.most == 3
    assert whole.seconds == pytest.approx(counted(outcomes, 1)["person"].seconds, rel=0.01)


def test_findings_are_said_when_they_change_and_again_before_they_grow_old() -> None:
    """A reading at the moment of finding; while nothing changes one every half minute."""
    rule = make("crowd", people=3, seconds=5)
    outcomes = show(watch_by(rule), people(4), every(0.2, 120))
    times = [reading.time - START for outcome in outcomes for reading in outcome.readings]
    assert len(times) == 1 + int((120 - times[0].total_seconds()) / SAY_AGAIN_S)
    assert [one.rule for outcome in outcomes for one in outcome.opened] == [rule]


def test_a_finding_comes_with_its_reading() -> None:
    """The second of two zones finds something too: the value is the same, and what proves it needs a reading of its time."""
    left = make("crowd", 1, people=2, seconds=5, points=((0.0, 0.0), (0.45, 0.0), (0.45, 1.0), (0.0, 1.0)))
    right = make("crowd", 2, people=2, seconds=5, points=((0.5, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 1.0)))
    actors = [
        *(Actor(straight(x, 0.5), "person") for x in (0.1, 0.3)),
        *(Actor(straight(x, 0.5, begin=15), "person") for x in (0.6, 0.8)),
    ]
    outcomes = show(watch_by(left, right), actors, every(0.2, 40))
    for outcome in outcomes:
        for one in outcome.opened:
            assert [reading.measure for reading in outcome.readings] == [one.measure]
    assert [one.rule.id for outcome in outcomes for one in outcome.opened] == [1, 2]


def test_nothing_is_said_that_is_not_known() -> None:
    """Who has just begun does not say that no vehicle stands; one rule that knows nothing yet keeps the others from it."""
    quick, slow = make("stopped", 1, seconds=10), make("stopped", 2, seconds=30)
    assert said(show(watch_by(quick, slow), [], every(0.2, 40)), "stoppedVehicles") == [(32.0, 0.0)]
    assert said(show(watch_by(quick, slow), [Actor(straight(0.5, 0.5))], every(0.2, 25)), "stoppedVehicles") == [
        (10.0, 1.0)
    ]


def test_what_was_not_stored_is_said_again() -> None:
    """TimescaleDB was away when it was found: the next frame finds it again, with its picture."""
    watch = watch_by(make("crowd", people=3, seconds=5))
    actors = people(4)
    first = show(watch, actors, every(0.2, 10))
    assert sum(len(outcome.opened) for outcome in first) == 1
    watch.lost()
    (again,) = show(watch, actors, [10.0])
    assert [reading.value for reading in again.readings] == [1]
    assert len(again.opened) == 1


def test_rules_that_change_begin_anew_and_the_others_go_on() -> None:
    """A zone is redrawn while a vehicle stands in another: that one is not forgotten, the new one starts."""
    stays, drawn = make("stopped", 1, seconds=10), make("crowd", 2, people=1, seconds=10)
    watch = watch_by(stays, drawn)
    actors = [Actor(straight(0.5, 0.5)), *people(1)]
    show(watch, actors, every(0.2, 9))
    watch.follow([stays, msgspec.structs.replace(drawn, version=2)])
    later = show(watch, actors, every(0.2, 25, 9.0))
    assert [time for time, _ in said(later, "stoppedVehicles")] == [pytest.approx(10, abs=0.5)]
    assert [time for time, _ in said(later, "crowded")] == [pytest.approx(19, abs=1)]
    watch.follow([])
    (last,) = show(watch, actors, [25.2])
    assert (last.rules, last.readings) == ((), ())


def test_after_a_hole_everything_begins_anew() -> None:
    """Nobody knows whether the vehicle stood there all the time."""
    rule = make("stopped", seconds=10)
    outcomes = show(watch_by(rule), [Actor(straight(0.5, 0.5))], [*every(0.2, 8), *every(0.2, 60, 40.0)])
    assert said(outcomes, "stoppedVehicles") == [(pytest.approx(50, abs=0.5), 1.0)]


def test_a_frame_that_is_not_newer_follows_nothing() -> None:
    """Handed in twice, or late."""
    watch = watch_by(make("line"))
    assert watch.look(scene(1.0, []), ASPECT) is not None
    assert watch.look(scene(1.0, []), ASPECT) is None
    assert watch.look(scene(0.5, []), ASPECT) is None


def test_who_went_is_forgotten() -> None:
    """Thousands of flickers and passers-by leave nothing behind: what is remembered is of those who are there."""
    dice = np.random.default_rng(2)
    watch = watch_by(*ALL)
    for tick in range(3000):
        labels = [label for label in ("car", "person", "motorbike") if dice.random() > 0.4]
        flickers = [Actor(straight(*dice.uniform(0.1, 0.9, 2)), label, 0.08) for label in labels]
        watch.look(scene(tick / 10, flickers), ASPECT)
    watch.look(scene(305.0, []), ASPECT)
    watch.look(scene(314.0, []), ASPECT)
    watch.look(scene(323.0, []), ASPECT)
    assert max(remembered(watch).values()) <= len(ALL)


def test_who_went_while_rules_rest_is_forgotten() -> None:
    """Forty come and stay at ten frames a second; they go when there is one a second: what rests forgets them, without a hole."""
    watch = watch_by(*ALL)
    cars = [Actor(straight(0.05 + 0.045 * number, 0.4), "car", 0.04) for number in range(20)]
    walkers = [Actor(straight(0.05 + 0.045 * number, 0.6), "person", 0.04) for number in range(20)]
    show(watch, [*cars, *walkers], every(0.1, 15))
    assert max(remembered(watch).values()) >= 20
    (*_, last) = show(watch, [*cars, *walkers], every(1.0, 40, 15.0))
    assert set(last.watched.resting) == FOLLOWING
    assert max(remembered(watch).values()) >= 20
    show(watch, [], every(1.0, 70, 40.0))
    assert max(remembered(watch).values()) < 20


def remembered(of: object, name: str = "", seen: set[int] | None = None) -> dict[str, int]:
    """Sizes of the containers of an object and of the objects in it, by path."""
    seen = set() if seen is None else seen
    if id(of) in seen:
        return {}
    seen.add(id(of))
    found: dict[str, int] = {}
    if isinstance(of, dict | set | deque | list):
        found[name] = len(of)
    inner = of.values() if isinstance(of, dict) else vars(of).values() if hasattr(of, "__dict__") else ()
    for number, one in enumerate(inner):
        found |= remembered(one, f"{name}.{type(one).__name__}{number}", seen)
    return found
