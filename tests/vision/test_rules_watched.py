"""A camera being watched: what rests when frames are few, what is handed on for which minute, what is said when. Pure."""

from __future__ import annotations

from collections import deque
from datetime import timedelta
from itertools import pairwise
from typing import cast

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.camera_rules import PEOPLE_FPS, RULE_KINDS, VEHICLES_FPS, CameraRule
from ioc.live import RULES_TTL_S
from ioc.settings import LEAST_FPS
from tests.vision.film import ASPECT, START, Actor, counted, every, said, scene, show, straight, watch_by
from tests.vision.test_rules import make, people
from vision.rulebook import Rulebook
from vision.rules.camera import HAND_ON_S, SAY_AGAIN_S, TRY_AGAIN_S
from vision.rules.cameras import Watchers
from vision.rules.congestion import Congestion
from vision.rules.line import Line
from vision.track import LONGEST_GAP_S

ALL = [make(kind, number) for number, kind in enumerate(RULE_KINDS, 1)]
EVERY = {rule.id for rule in ALL}
FOLLOWING = {rule.id for rule in ALL if RULE_KINDS[rule.kind].follows}


@pytest.mark.parametrize(
    ("fps", "rests"),
    [
        (10.0, set()),
        (5.0, set()),
        (4.0, {"line", "wrong_way", "ground"}),
        (2.0, {"line", "wrong_way", "ground"}),
        (1.5, {"line", "wrong_way", "ground", "loitering", "people"}),
        (0.2, {"line", "wrong_way", "ground", "loitering", "people"}),
    ],
)
def test_what_must_be_followed_rests_when_frames_are_few(fps: float, rests: set[str]) -> None:
    """By the rate that is measured, vehicles sooner than people, and what rests is named; never occupancy or what stands."""
    line = msgspec.structs.replace(make("line", 99, classes=("person",)), name="people")
    (*_, last) = show(watch_by(*ALL, line), [Actor(straight(0.5, 0.5))], every(1 / fps, 40))
    assert last.watched.fps == pytest.approx(fps, rel=0.05)
    assert {rule.name for rule in (*ALL, line) if rule.id in last.watched.resting} == rests
    assert set(last.watched.watching) == {*EVERY, line.id} - set(last.watched.resting)
    assert (PEOPLE_FPS, VEHICLES_FPS) == (2, 5)


@pytest.mark.parametrize(("gap", "rests"), [(5.0, FOLLOWING), (6.0, FOLLOWING), (9.0, FOLLOWING), (15.0, EVERY)])
def test_nothing_is_followed_over_gaps_of_seconds(gap: float, rests: set[int]) -> None:
    """Each frame shows another car, by turns before the line and behind it: nobody crossed it, and the list says what rests."""
    cars = [
        Actor(straight(0.5, 0.4 if number % 2 else 0.6, begin=number * gap, end=(number + 0.5) * gap))
        for number in range(20)
    ]
    outcomes = show(watch_by(*ALL), cars, every(gap, 20 * gap))
    assert {value for _, value in said(outcomes, "wrongWayVehicles")} <= {0.0}
    for kind in ("line", "wrong_way"):
        (rule,) = (rule.id for rule in ALL if rule.kind == kind)
        assert not [label for label in counted(outcomes, rule) if label]
    assert len(outcomes) == 20
    for outcome in outcomes[3:]:
        assert set(outcome.watched.resting) == rests
        assert outcome.watched.fps == pytest.approx(1 / gap, abs=0.01)


@pytest.mark.parametrize(
    ("fps", "classes", "most"),
    [
        *((fps, ("person",), most) for fps, most in ((1.6, 1), (1.8, 1), (1.9, 1), (2.0, 0), (2.1, 0))),
        *((fps, (), most) for fps, most in ((4.0, 1), (4.5, 1), (4.8, 1), (5.0, 0), (5.2, 0))),
    ],
)
def test_rules_do_not_come_and_go_with_a_rate_that_wavers(fps: float, classes: tuple[str, ...], most: int) -> None:
    """Ten minutes, each gap off by 15 % at most: they rest or wake once; at the rate that they need they never rest."""
    dice = np.random.default_rng(11)
    times = np.cumsum(dice.uniform(0.85, 1.15, round(600 * fps)) / fps)
    states = [bool(outcome.watched.resting) for outcome in show(watch_by(make("line", classes=classes)), [], times)]
    assert sum(one != next_one for one, next_one in pairwise(states)) <= most


@given(seed=st.integers(0, 2**32 - 1))
def test_what_stands_is_found_at_a_picture_every_ten_seconds(seed: int) -> None:
    """Each gap off by 3 %, as clocks and networks are."""
    times = np.cumsum(np.random.default_rng(seed).uniform(9.7, 10.3, 40))
    rules = [make("stopped", 1, seconds=60), make("congestion", 2, seconds=60)]
    outcomes = show(watch_by(*rules), [Actor(straight(0.5, 0.5))], times)
    for outcome in outcomes[10:]:
        assert outcome.watched.watching == (1, 2)
        assert outcome.watched.values == {1: 1.0, 2: 0.0}


def test_no_budget_keeps_a_rule_from_its_work() -> None:
    """A frame that misses its turn waits for the next."""
    assert 2 / LEAST_FPS <= LONGEST_GAP_S < RULES_TTL_S


def test_rules_rest_and_wake_as_the_rate_changes() -> None:
    """Ten a second, then one a second, then ten again; a line that rests has watched nothing."""
    watch = watch_by(make("line"))
    times = [*every(0.1, 10), *every(1.0, 40, 10.0), *every(0.1, 60, 40.0)]
    outcomes = show(watch, [], times)
    states = [(outcome.time - START, bool(outcome.watched.resting)) for outcome in outcomes]
    assert not any(rests for time, rests in states if time < timedelta(seconds=12))
    assert all(rests for time, rests in states if timedelta(seconds=21) < time < timedelta(seconds=40))
    assert not any(rests for time, rests in states if time > timedelta(seconds=45))
    assert 24 <= counted(outcomes, 1)[""].watched_s <= 42


@given(gaps=st.lists(st.floats(0.05, 0.6) | st.floats(2, 30), min_size=20, max_size=120))
def test_seconds_watched_are_those_between_close_frames(gaps: list[float]) -> None:
    """Whatever the frames: what is handed on is no more than the time there was, in no minute more than a minute."""
    times = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    outcomes = show(watch_by(make("line"), make("zone", 2)), people(3), [*times, times[-1] + 61])
    flows = [flow for outcome in outcomes for flow in outcome.flows]
    for rule, longest in ((1, 0.5), (2, LONGEST_GAP_S)):
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


def test_what_was_found_ends_when_nobody_looks_for_it() -> None:
    """The rule is gone, by whatever worker it was found: it is said once that nothing is found, and of nothing else."""
    watch = watch_by(make("zone"))
    watch.follow([make("zone")], {"stoppedVehicles"})
    outcomes = show(watch, [], every(0.2, 10))
    assert [(one.measure, one.value) for outcome in outcomes for one in outcome.readings] == [("stoppedVehicles", 0.0)]
    watch.follow([], {"stoppedVehicles"})
    watch.lost()
    (again,) = show(watch, [], [10.0])
    assert [one.value for one in again.readings] == [0.0]
    watch.follow([])
    watch.lost()
    (last,) = show(watch, [], [10.2])
    assert last.readings == ()


def test_what_was_found_ends_when_its_rule_rests_and_stands_until_it_knows_better() -> None:
    """Somebody goes the wrong way, then frames are few; a worker that only begins ends nothing."""
    watch = watch_by(rule := make("wrong_way", seconds=60))
    wrong = [Actor(straight(0.5, 0.9, 0, -0.08))]
    assert said(show(watch, wrong, every(0.1, 12)), "wrongWayVehicles")[-1][1] == 1
    watch.follow([rule], {"wrongWayVehicles"})
    outcomes = show(watch, [], every(1.0, 40, 12.0))
    assert [value for _, value in said(outcomes, "wrongWayVehicles")] == [0]
    assert next(outcome.watched.resting for outcome in outcomes if outcome.readings) == (rule.id,)
    fresh = watch_by(rule)
    fresh.follow([rule], {"wrongWayVehicles"})
    assert said(show(fresh, [], every(0.1, 59)), "wrongWayVehicles") == []


def test_a_rule_that_fails_is_left_out_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in one: the others find and count on, it is named, its finding ends, and it works again when the fault is gone."""
    stopped, faulty = make("stopped", 1, seconds=10), make("congestion", 2, seconds=5)
    watch = watch_by(stopped, faulty)
    cars = [Actor(straight(0.5, 0.5))]
    first = show(watch, cars, every(0.2, 8))
    assert first[-1].watched.watching == (1, 2)
    assert watch.faults == {}
    tried = []

    def fail(_rule: Congestion, _look: object) -> None:
        tried.append(1)
        raise ZeroDivisionError("a fault")

    watch.follow([stopped, faulty], {"congested"})
    with monkeypatch.context() as patch:
        patch.setattr(Congestion, "look", fail)
        outcomes = show(watch, cars, every(0.2, 8 + 1.5 * TRY_AGAIN_S, 8.0))
    assert len(tried) == 2
    assert {(one.watched.watching, one.watched.resting, one.watched.failing) for one in outcomes} == {((1,), (), (2,))}
    assert [type(error) for error in watch.faults.values()] == [ZeroDivisionError]
    assert [time for time, _ in said(outcomes, "stoppedVehicles")] == [pytest.approx(10, abs=0.5)]
    assert [value for _, value in said(outcomes, "congested")] == [0]
    later = show(watch, cars, every(0.2, 8 + 2.5 * TRY_AGAIN_S, 8 + 1.5 * TRY_AGAIN_S))
    assert later[-1].watched.watching == (1, 2)
    assert watch.faults == {}


def test_a_rule_that_failed_and_rests_has_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again at a rate at which it rests: nothing keeps it from being followed but the frames."""
    line = make("line", 1)
    watch = watch_by(line)

    def fail(_rule: Line, _look: object) -> None:
        raise ZeroDivisionError("a fault")

    with monkeypatch.context() as patch:
        patch.setattr(Line, "look", fail)
        show(watch, [Actor(straight(0.5, 0.5))], every(0.2, 4))
    assert watch.faults
    rare = show(watch, [Actor(straight(0.5, 0.5))], every(1.0, 2.5 * TRY_AGAIN_S, 5.0))
    assert (rare[-1].watched.resting, rare[-1].watched.failing, watch.faults) == ((1,), (), {})


def test_a_rule_that_cannot_even_begin_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails at its drawing keeps no other from being followed."""

    def fail(_rule: Congestion, _drawn: object) -> None:
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(Congestion, "__init__", fail)
    (*_, last) = show(watch_by(make("congestion"), make("zone", 2)), [], every(0.2, 2))
    assert (last.watched.watching, last.watched.failing) == ((2,), (1,))


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


def test_camera_that_comes_back_from_another_worker_begins_anew() -> None:
    """It goes over the line while we look and after, and the other worker has it from 7 to 13.5 s: not counted by us again."""
    rule = make("line", classes=("person",))

    class Book:
        def rules(self, _camera: str) -> tuple[CameraRule, ...]:
            return (rule,)

        def standing(self, _camera: str) -> frozenset[str]:
            return frozenset()

    ours, theirs = Watchers(cast("Rulebook", Book())), Watchers(cast("Rulebook", Book()))
    walk = [Actor(straight(0.5, 0.35, 0, 0.01), "person")]
    outcomes = []
    for time in every(0.2, 30):
        away = 7 <= time < 13.5
        ours.keep(() if away else ("cam-1",))
        outcomes.append((theirs if away else ours).look(scene(time, walk), ASPECT))
    assert counted([one for one in outcomes if one is not None], 1)["person"].forward == 1


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
