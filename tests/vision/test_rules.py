"""What rules count and find of objects whose ways are known. Pure."""

from __future__ import annotations

import doctest
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import vision.rules.base
from ioc.camera_rules import RULE_KINDS, CameraRule
from ioc.catalog import KINDS, MEASURES
from ioc.db.camera_flow import figures_of_minute
from tests.vision.film import ASPECT, START, Actor, Way, counted, every, said, scene, show, straight, watch_by
from vision.findings import merged
from vision.rules import watching
from vision.rules.base import depth
from vision.rules.camera import FINDINGS
from vision.rules.ground import Ground
from vision.rules.stopped import HIDDEN_S

#: Across the picture from left to right, at half its height: forward is down.
ACROSS = ((0.0, 0.5), (1.0, 0.5))
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
MIDDLE = ((0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7))


def make(
    kind: str, number: int = 1, *, points: Any = None, classes: tuple[str, ...] = (), **settings: float
) -> CameraRule:
    shape = {"line": ACROSS, "zone": MIDDLE, "quad": MIDDLE}[RULE_KINDS[kind].shape]
    rule = CameraRule(number, "cam-1", kind, kind, points or shape, classes, settings, 1)
    rule.check()
    return rule


def test_examples() -> None:
    """What the docstrings show."""
    assert doctest.testmod(vision.rules.base).failed == 0


@pytest.mark.parametrize("kind", RULE_KINDS)
def test_every_kind_can_be_followed(kind: str) -> None:
    """Also through frames without anything."""
    watch = watch_by(make(kind))
    assert len(show(watch, [], every(0.1, 2.0))) == 20
    assert watching(make(kind), None).rule.kind == kind


@given(
    points=st.lists(st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)), min_size=1, max_size=20),
    corners=st.integers(3, 9),
)
def test_depth_of_a_regular_polygon(points: list[tuple[float, float]], corners: int) -> None:
    """Positive inside, negative outside, its size the way to the nearest side."""
    turns = np.linspace(0, 2 * math.pi, corners, endpoint=False)
    polygon = np.stack([0.5 + 0.4 * np.cos(turns), 0.5 + 0.4 * np.sin(turns)], axis=1)
    middle = (polygon + np.roll(polygon, -1, axis=0)) / 2 - 0.5
    apothem = np.hypot(*middle[0])
    to_sides = apothem - (np.array(points) - 0.5) @ (middle / apothem).T
    found = depth(np.array(points), polygon)
    inside = to_sides.min(axis=1)
    assert (np.sign(found) == np.sign(inside))[np.abs(inside) > 1e-9].all()
    assert found[inside > 0] == pytest.approx(inside[inside > 0], abs=1e-9)


# --- lines ---


@given(
    rate=st.tuples(st.just("bus"), st.floats(0.03, 0.19)) | st.tuples(st.just("person"), st.floats(0.03, 0.45)),
    phase=st.floats(0, 0.4),
    jitter=st.integers(0, 2**32 - 1),
    down=st.booleans(),
)
def test_line_counts_each_crossing_once(rate: tuple[str, float], phase: float, jitter: int, down: bool) -> None:
    """One way past a trembling box, whatever the rate above that which its class needs: one count, in its direction and class."""
    label, seconds = rate
    dice = np.random.default_rng(jitter)

    def tremble(time: float) -> tuple[float, float]:
        y = 0.2 + 0.06 * time
        x, dy = 0.5 + dice.normal(0, 0.001), dice.normal(0, 0.002)
        return (x, y + dy) if down else (x, 1 - y + dy)

    outcomes = show(
        watch_by(make("line", classes=(label,))),
        [Actor(tremble, label)],
        [phase + time for time in every(seconds, 10)] + [11.0, 12.5],
    )
    flows = counted(outcomes, 1)
    assert {label: (flow.forward, flow.back) for label, flow in flows.items() if label} == {
        label: (1, 0) if down else (0, 1)
    }
    assert {kind: flow.forward for kind, flow in counted(outcomes, 0).items()} == ({"bus": 1} if label == "bus" else {})


def test_line_who_hovers_on_it_is_counted_once() -> None:
    """Stops on the line for a minute, its box trembling over it, and goes on; one who turns back is counted both ways."""
    dice = np.random.default_rng(3)

    def hover(time: float) -> tuple[float, float]:
        y = min(0.2 + 0.05 * time, 0.45) if time < 65 else 0.45 + 0.05 * (time - 65)
        return 0.3, y + dice.normal(0, 0.003)

    def turn(time: float) -> tuple[float, float]:
        return 0.7, 0.2 + 0.05 * min(time, 20 - time) if time < 20 else 0.2

    flows = counted(show(watch_by(make("line")), [Actor(hover)], every(0.1, 75)), 1)
    assert (flows["car"].forward, flows["car"].back) == (1, 0)
    flows = counted(show(watch_by(make("line")), [Actor(turn)], every(0.1, 22)), 1)
    assert (flows["car"].forward, flows["car"].back) == (1, 1)


def test_line_ends_where_it_ends() -> None:
    """Who walks past its end has not crossed it, and is counted when crossing back over it."""
    short = make("line", points=((0.0, 0.5), (0.5, 0.5)))

    def round_the_end(time: float) -> tuple[float, float]:
        if time < 5:
            return 0.7, 0.2 + 0.1 * time
        return (0.7 - 0.1 * (time - 5), 0.7) if time < 9 else (0.3, 0.7 - 0.1 * (time - 9))

    flows = counted(show(watch_by(short), [Actor(round_the_end, "person")], every(0.1, 14)), 1)
    assert (flows["person"].forward, flows["person"].back) == (0, 1)


def test_line_hidden_while_crossing() -> None:
    """Behind a lamp post for a second, on the line: still one crossing."""
    walk = straight(0.5, 0.35, 0, 0.05)
    hidden = Actor(lambda time: None if 2.2 <= time < 3.2 else walk(time), "person")
    assert counted(show(watch_by(make("line")), [hidden], every(0.1, 8)), 1)["person"].forward == 1


def test_line_looks_at_its_classes_and_a_vehicle_counts_once_for_the_camera() -> None:
    """Two lines across one road: each counts its own, the camera's flow holds each vehicle once and no person."""
    lines = [make("line"), make("line", 2, points=((0.0, 0.7), (1.0, 0.7)), classes=("truck", "person"))]
    actors = [
        Actor(straight(0.2, 0.2, 0, 0.08), "truck"),
        Actor(straight(0.5, 0.2, 0, 0.08), "car"),
        Actor(straight(0.8, 0.2, 0, 0.08), "person"),
    ]
    outcomes = show(watch_by(*lines), actors, every(0.1, 12))
    assert {label for label in counted(outcomes, 1) if label} == {"truck", "car", "person"}
    assert {label for label in counted(outcomes, 2) if label} == {"truck", "person"}
    assert {label: flow.forward for label, flow in counted(outcomes, 0).items()} == {"truck": 1, "car": 1}


def stream(kmh: float, metres: float, *, missed: float = 0.0) -> list[Actor]:
    """A minute of motorbikes (1.8 m) that go to the right at half the height of a picture of 25 m, one behind the other."""
    dice = np.random.default_rng(4)
    pace = kmh / 3.6 / 25

    def seen(way: Way) -> Way:
        return lambda time: way(time) if dice.random() >= missed else None

    begins = np.arange(0, 60, metres / (kmh / 3.6)) + dice.uniform(-0.2, 0.2) * metres / (kmh / 3.6)
    return [Actor(seen(straight(0.0, 0.5, pace, begin=float(one))), "motorbike", 1.8 / 25 * ASPECT) for one in begins]


#: Up the middle of the picture: forward is to the right.
UP = ((0.5, 1.0), (0.5, 0.0))


@pytest.mark.parametrize(
    ("kmh", "metres", "fps", "missed"),
    [
        (30, 5, 5.0, 0.0),
        (40, 7, 5.0, 0.0),
        (40, 7, 5.0, 0.1),
        (60, 8, 5.0, 0.0),
        (50, 100, 5.0, 0.0),
        (40, 7, 10.0, 0.1),
    ],
)
def test_vehicles_one_behind_the_other_are_counted(kmh: float, metres: float, fps: float, missed: float) -> None:
    """None is taken for the next behind it, and none goes the wrong way; of a hundred, two may be lost where looks are missed."""
    rules = [make("line", points=UP), make("wrong_way", 2, points=UP)]
    outcomes = show(watch_by(*rules), stream(kmh, metres, missed=missed), every(1 / fps, 70))
    flow = counted(outcomes, 1)["motorbike"]
    assert flow.back == 0
    assert len(stream(kmh, metres)) * (0.98 if missed else 1) <= flow.forward <= len(stream(kmh, metres))
    assert {value for _, value in said(outcomes, "wrongWayVehicles")} <= {0.0}


@pytest.mark.parametrize("fps", [2.0, 3.0])
@pytest.mark.parametrize("metres", [5.0, 100.0])
def test_vehicles_are_not_counted_where_one_is_taken_for_the_next(fps: float, metres: float) -> None:
    """At 30 km/h: nothing is counted, nothing goes the wrong way, nothing is slow, and it is not said that there was none."""
    rules = [make("line", points=UP), make("wrong_way", 2, points=UP), make("ground", 3, points=WHOLE)]
    outcomes = show(watch_by(*rules), stream(30, metres), every(1 / fps, 61))
    assert said(outcomes, "wrongWayVehicles") == []
    for flow in (flow for outcome in outcomes for flow in outcome.flows):
        assert (flow.forward, flow.back, flow.metres) == (0, 0, 0)
    minute = [flow for outcome in outcomes for flow in outcome.flows if flow.time == START]
    assert figures_of_minute(START, "cam-1", rules, merged(minute), START) == []


@pytest.mark.parametrize("begin", [20.0, 58.0])
def test_minute_is_left_out_where_a_vehicle_may_have_crossed_unseen(begin: float) -> None:
    """Two stand on both sides of where one was: which of them it is cannot be told, and so not whether it crossed."""
    one = Actor(straight(0.5, 0.5, begin=begin, end=begin + 0.1), "car", 0.05)
    two = [Actor(straight(x, 0.5, begin=begin + 0.2, end=begin + 0.3), "car", 0.05) for x in (0.46, 0.54)]
    for x, whole in ((0.52, False), (0.7, True)):
        rule = make("line", points=((x, 1.0), (x, 0.0)))
        outcomes = show(watch_by(rule), [one, *two], every(0.2, 70))
        minute = merged([flow for outcome in outcomes for flow in outcome.flows if flow.time == START])
        assert [reading.value for reading in figures_of_minute(START, "cam-1", [rule], minute, START)] == [0] * whole
        people = make("line", points=rule.points, classes=("person",))
        shown = show(watch_by(people), [one, *two], every(0.2, 70))
        assert sum(
            flow.watched_s for outcome in shown for flow in outcome.flows if flow.time == START
        ) == pytest.approx(60)


@pytest.mark.parametrize(("share", "most"), [(0.05, 0), (0.07, 0), (0.1, 2)])
def test_line_who_stands_on_it_is_not_counted_over_and_over(share: float, most: int) -> None:
    """Five minutes at five frames a second; every edge of the box trembles by that share of its height.

    By a tenth its track breaks now and then, and who is first seen on the line comes from one side or the other.
    """
    dice = np.random.default_rng(6)

    class Trembling(Actor):
        def at(self, time: float) -> tuple[float, float, float, float] | None:
            x1, y1, x2, y2 = np.array(super().at(time)) + dice.normal(0, share * self.size, 4) / (ASPECT, 1, ASPECT, 1)
            return x1, y1, x2, y2

    flows = counted(show(watch_by(make("line")), [Trembling(straight(0.5, 0.45))], every(0.2, 300)), 1)
    assert sum(flow.forward + flow.back for label, flow in flows.items() if label) <= most


# --- zones ---


def test_zone_counts_who_comes_stays_and_goes() -> None:
    """Entries, exits and the stay of one who passes; object-seconds of one who stands; nothing of one outside."""
    actors = [
        Actor(straight(0.1, 0.5, 0.1), "car"),  # feet inside from x 0.3 to 0.7: 4 s
        Actor(straight(0.5, 0.4), "person"),
        Actor(straight(0.9, 0.1), "bus"),
    ]
    flows = counted(show(watch_by(make("zone")), actors, every(0.1, 20.1)), 1)
    assert "bus" not in flows
    car, person = flows["car"], flows["person"]
    assert (car.forward, car.back, car.stays, car.most) == (1, 1, 1, 1)
    assert car.stayed_s == pytest.approx(4, abs=0.4)
    assert car.seconds == pytest.approx(4, abs=0.4)
    assert (person.forward, person.back, person.stays) == (0, 0, 0)
    assert person.seconds == pytest.approx(20, abs=1.1)
    assert flows[""].watched_s == pytest.approx(20, abs=1.1)


def test_zone_trembling_on_its_border_comes_once() -> None:
    """A box that trembles by a tenth of its height."""
    dice = np.random.default_rng(5)

    def walk(time: float) -> tuple[float, float]:
        return min(0.1 + 0.05 * time, 0.301) + dice.normal(0, 0.002), 0.5

    flows = counted(show(watch_by(make("zone")), [Actor(walk)], every(0.1, 60)), 1)
    assert (flows["car"].forward, flows["car"].back) == (1, 0)


def test_zone_at_a_low_rate_counts_and_says_nothing_of_stays() -> None:
    """A picture every three seconds."""
    actors = [Actor(straight(0.1, 0.5, 0.02), "car"), Actor(straight(0.5, 0.5), "person")]
    flows = counted(show(watch_by(make("zone")), actors, every(3.0, 60)), 1)
    assert (flows["car"].forward, flows["car"].back, flows["car"].stays) == (0, 0, 0)
    assert flows["car"].seconds == pytest.approx(20, abs=4)
    assert flows["person"].seconds == pytest.approx(57, abs=4)


# --- stopped ---


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1.0, 4.0])
def test_stopped_vehicle_is_found_at_any_rate(seconds: float) -> None:
    """It drives in, stands for a minute, drives on; found after its 20 s and gone when it goes."""

    def drive(time: float) -> tuple[float, float]:
        return (0.3 + 0.05 * min(time, 4) if time < 64 else 0.5 + 0.05 * (time - 64)), 0.5

    outcomes = show(watch_by(make("stopped", seconds=20)), [Actor(drive)], every(seconds, 140))
    found = said(outcomes, "stoppedVehicles")
    # While nobody could know yet nothing is said.
    rise = next(time for time, value in found if value == 1)
    assert 24 - seconds <= rise <= 27 + 2 * seconds
    assert found[-1][1] == 0
    # A picture every four seconds shows it gone, and not that it drove: it may be hidden, and is waited for.
    assert 64 <= found[-1][0] <= 64 + (HIDDEN_S if seconds > 2 else 3) + 2 * seconds


def test_stopped_is_not_who_crawls_waits_shorter_is_a_person_or_stands_beside() -> None:
    """None of these stands on the road for 20 s."""
    actors = [
        Actor(straight(0.32, 0.40, 0.004), "car"),
        Actor(straight(0.4, 0.6, begin=0, end=18), "car"),
        Actor(straight(0.6, 0.45), "person"),
        Actor(straight(0.9, 0.5), "car"),
    ]
    assert said(show(watch_by(make("stopped", seconds=20)), actors, every(0.2, 60)), "stoppedVehicles") == [(22.0, 0.0)]


def test_stopped_vehicle_hidden_by_a_bus() -> None:
    """Others pass in front for five seconds: it stands on, under the same number, and is told of once."""
    hidden = Actor(lambda time: None if 30 <= time < 35 else (0.5, 0.5))
    outcomes = show(watch_by(make("stopped", seconds=20)), [hidden], every(0.2, 60))
    assert said(outcomes, "stoppedVehicles") == [(20.0, 1.0)]
    assert [one.rule.kind for outcome in outcomes for one in outcome.opened] == ["stopped"]


@pytest.mark.parametrize(("seen_s", "hidden_s", "rise"), [(60, 12, 120), (200, 30, 120), (20, 50, 120)])
def test_stopped_vehicle_hidden_behind_every_queue(seen_s: float, hidden_s: float, rise: float) -> None:
    """At the kerb, hidden for longer than its track lives, again and again: it stands all the time, and is told of once."""
    hidden = Actor(lambda time: (0.5, 0.5) if time % (seen_s + hidden_s) < seen_s else None)
    outcomes = show(watch_by(make("stopped", seconds=120)), [hidden], every(0.5, 480))
    found = [one for one in said(outcomes, "stoppedVehicles") if one[1]]
    assert len(found) == 1
    assert rise <= found[0][0] <= rise + hidden_s + 2
    assert [one.rule.kind for outcome in outcomes for one in outcome.opened] == ["stopped"]


def test_stopped_vehicle_seen_in_part_is_the_same() -> None:
    """A queue comes before it from the left and leaves again: the box of what is seen of it shrinks, is gone, and grows."""

    class Covered(Actor):
        def at(self, time: float) -> tuple[float, float, float, float] | None:
            x1, y1, x2, y2 = super().at(time) or (0.0, 0.0, 0.0, 0.0)
            cover = min(max(min(time - 60, 110 - time) / 10, 0.0), 1.0)
            return None if cover > 0.8 else (x1 + cover * (x2 - x1), y1, x2, y2)

    outcomes = show(watch_by(make("stopped", seconds=120)), [Covered(straight(0.5, 0.5), size=0.2)], every(0.5, 200))
    found = [one for one in said(outcomes, "stoppedVehicles") if one[1]]
    assert len(found) == 1
    assert 120 <= found[0][0] <= 122


def test_stopped_is_not_one_after_the_other_at_a_stop_line() -> None:
    """Each drives up, waits for 30 s in the same place, and drives on, some of them behind others: none for 60 s."""

    def wait_at(begin: float, gone: bool) -> Actor:
        def way(time: float) -> tuple[float, float] | None:
            after = time - begin
            if not 0 <= after < 50 or (gone and after >= 36):
                return None
            return 0.35 + 0.03 * min(after, 5) + (0.03 * (after - 36) if after > 36 else 0.0), 0.5

        return Actor(way)

    actors = [wait_at(50.0 * number, number % 2 == 0) for number in range(6)]
    outcomes = show(watch_by(make("stopped", seconds=60)), actors, every(0.5, 300))
    assert {value for _, value in said(outcomes, "stoppedVehicles")} == {0.0}


@pytest.mark.parametrize("off", [-0.003, 0.0, 0.003])
@pytest.mark.parametrize("seconds", [30, 120])
def test_stopped_vehicle_on_the_border_is_told_of_once(off: float, seconds: int) -> None:
    """Its box trembles by 3 % of its height over the border of the zone."""
    dice = np.random.default_rng(4)
    actor = Actor(lambda _: (0.5, 0.65 + off + dice.normal(0, 0.003)))
    outcomes = show(watch_by(make("stopped", seconds=seconds)), [actor], every(0.5, 300))
    found = said(outcomes, "stoppedVehicles")
    assert [value for _, value in found if value] == [1]
    assert seconds <= next(time for time, value in found if value) <= seconds + 60
    assert len([one for outcome in outcomes for one in outcome.opened]) == 1


def test_stopped_is_not_who_stands_beside_and_trembles() -> None:
    """Half its height beyond the border."""
    dice = np.random.default_rng(4)
    actor = Actor(lambda _: (0.5, 0.70 + dice.normal(0, 0.003)))
    outcomes = show(watch_by(make("stopped", seconds=30)), [actor], every(0.5, 300))
    assert {value for _, value in said(outcomes, "stoppedVehicles")} == {0.0}


# --- wrong way ---


def test_wrong_way_is_found_and_forgotten() -> None:
    """Up the picture is wrong here; it is said at the crossing, for 15 s, and the next one once more."""
    actors = [
        Actor(straight(0.3, 0.1, 0, 0.08)),
        Actor(straight(0.6, 0.9, 0, -0.08, begin=5)),
    ]
    outcomes = show(watch_by(make("wrong_way", seconds=15)), actors, every(0.1, 40))
    found = said(outcomes, "wrongWayVehicles")
    assert [value for _, value in found] == [1, 0]
    assert 9.5 <= found[0][0] <= 12
    assert found[1][0] - found[0][0] == pytest.approx(15, abs=0.3)
    assert len([one for outcome in outcomes for one in outcome.opened]) == 1


def test_wrong_way_is_not_who_rolls_back_a_little() -> None:
    """Stops just over the line and rolls back by a fifth of its length."""

    def roll(time: float) -> tuple[float, float]:
        return 0.5, min(0.2 + 0.08 * time, 0.46) - (0.02 if time > 10 else 0)

    assert said(show(watch_by(make("wrong_way", seconds=10)), [Actor(roll)], every(0.1, 30)), "wrongWayVehicles") == [
        (10.0, 0.0)
    ]


# --- congestion ---


def queue(speed: float) -> list[Actor]:
    """Vehicles that fill the middle, all moving at the same speed (fractions of the picture a second)."""
    return [
        Actor(lambda time, x=x, y=y: (0.3 + (x + speed * time) % 0.4, y), size=0.12)  # type: ignore[misc]
        for x in np.arange(0, 0.4, 0.08)
        for y in np.arange(0.36, 0.7, 0.13)
    ]


def test_congestion_is_standing_traffic_that_fills_the_road() -> None:
    """It stands for long enough: yes. It flows, however full: no. It is nearly empty: no."""
    rule = make("congestion", occupancy=0.5, seconds=20)
    full = said(show(watch_by(rule), queue(0.0), every(0.2, 60)), "congested")
    assert [value for _, value in full] == [1]
    assert 20 <= full[0][0] <= 32
    assert said(show(watch_by(rule), queue(0.1), every(0.1, 60)), "congested") == [(20.0, 0.0)]
    assert said(show(watch_by(rule), queue(0.0)[:2], every(0.2, 60)), "congested") == [(20.0, 0.0)]


def test_congestion_at_a_low_rate_is_judged_by_occupancy_alone() -> None:
    """A picture every two seconds; how fast anything goes cannot be told."""
    rule = make("congestion", occupancy=0.5, seconds=20)
    outcomes = show(watch_by(rule), queue(0.0), every(2.0, 60))
    assert [value for _, value in said(outcomes, "congested")] == [1]
    flow = counted(outcomes, 1)[""]
    assert 0.5 < flow.seconds / flow.watched_s <= 1


@pytest.mark.parametrize("aspect", [400.0, 0.01])
def test_congestion_on_a_strip_of_a_picture(aspect: float) -> None:
    """A camera may send any shape; whoever looks at the others must not end for it."""
    watch = watch_by(make("congestion", occupancy=0.5, seconds=20))
    assert watch.look(scene(0.0, queue(0.0)), aspect) is not None
    assert watch.look(scene(1.0, queue(0.0)), aspect) is not None


# --- people ---


def people(number: int, end: float = 1e9) -> list[Actor]:
    return [
        Actor(straight(0.32 + 0.05 * (one % 8), 0.35 + 0.06 * (one // 8), end=end), "person", 0.05)
        for one in range(number)
    ]


@pytest.mark.parametrize("seconds", [0.2, 2.0])
def test_crowd_is_more_people_than_allowed_for_a_while(seconds: float) -> None:
    """Ten of them make one where eight are too many; nine tenths of the limit do not."""
    rule = make("crowd", people=10, seconds=10)
    outcomes = show(watch_by(rule), people(12, end=60), every(seconds, 100))
    found = said(outcomes, "crowded")
    assert [value for _, value in found] == [1, 0]
    assert 10 <= found[0][0] <= 18
    assert 70 <= found[1][0] <= 80
    assert said(show(watch_by(rule), people(9), every(seconds, 60)), "crowded") == [(10.0, 0.0)]


def test_crowd_by_density_where_the_ground_is_known() -> None:
    """Six people on 2 m by 2 m are 1.5 on each square metre, however few they are."""
    rules = [make("crowd", people=100, density=1.2, seconds=10), make("ground", 2, width=2.0, length=2.0)]
    assert [value for _, value in said(show(watch_by(*rules), people(6), every(0.2, 40)), "crowded")] == [1]
    wide = [rules[0], make("ground", 2, width=20.0, length=20.0)]
    assert [value for _, value in said(show(watch_by(*wide), people(6), every(0.2, 40)), "crowded")] == [0]


def test_loitering_is_who_stays_not_who_passes() -> None:
    """One walks about inside for a minute, one passes; a detector that loses the first for two seconds changes nothing."""

    def stroll(time: float) -> tuple[float, float] | None:
        return None if 12 <= time < 14 else (0.5 + 0.1 * math.sin(time / 5), 0.5)

    actors = [Actor(stroll, "person", 0.15), Actor(straight(0.1, 0.6, 0.05), "person", 0.15)]
    outcomes = show(watch_by(make("loitering", seconds=30)), actors, every(0.2, 60))
    found = said(outcomes, "loiteringPeople")
    assert [value for _, value in found] == [1]
    assert 30 <= found[0][0] <= 31
    alone = said(show(watch_by(make("loitering", seconds=30)), actors[1:], every(0.2, 60)), "loiteringPeople")
    assert alone == [(32.0, 0.0)]


def test_loitering_is_not_one_after_the_other_from_door_to_door() -> None:
    """Each walks for eight seconds from the door where the last one went out; nobody stays, but for one in the end."""

    def walk(number: int) -> Actor:
        begin = number * 10.0
        start, way = (0.4, 0.025) if number % 2 else (0.6, -0.025)
        return Actor(straight(start, 0.5, way, begin=begin, end=begin + 8), "person", 0.2)

    walkers = [walk(number) for number in range(18)]
    stays = Actor(lambda time: None if time < 180 or 215 <= time < 217 else (0.5 + time % 2 / 20, 0.5), "person", 0.2)
    found = said(show(watch_by(make("loitering", seconds=60)), [*walkers, stays], every(0.25, 260)), "loiteringPeople")
    assert [value for _, value in found] == [0, 1]
    assert 240 <= found[-1][0] <= 243


# --- ground ---

#: A road that narrows with distance: 7 m wide, 40 m long.
ROAD = ((0.4, 0.3), (0.6, 0.3), (0.95, 0.9), (0.05, 0.9))


def on_the_road(across: float, along: float) -> tuple[float, float]:
    """Where a point of the road (metres from its far left corner) is in the picture."""
    ground = Ground(make("ground", points=ROAD, width=7.0, length=40.0))
    inverse = np.linalg.inv(ground._plane)
    x, y, w = inverse @ (across, along, 1.0)
    return float(x / w), float(y / w)


@pytest.mark.parametrize("kmh", [0.0, 8.0, 36.0, 72.0])
def test_speed_over_the_ground(kmh: float) -> None:
    """A vehicle's feet move over the road; its speed is that of the road, near and far, and so is the congestion's."""

    def drive(time: float) -> tuple[float, float] | None:
        along = 2 + kmh / 3.6 * time if kmh else 20.0
        if along > 38:
            return None
        x, y = on_the_road(3.5, along)
        return x, y - 0.02

    rules = [make("ground", points=ROAD, width=7.0, length=40.0), make("congestion", 2, points=ROAD, speed=10.0)]
    flow = counted(show(watch_by(*rules), [Actor(drive, size=0.04)], every(0.1, 15)), 1)["car"]
    assert flow.metres / flow.seconds * 3.6 == pytest.approx(kmh, abs=1.5)


def test_ground_measures_what_lies_on_it_and_nothing_beyond_the_horizon() -> None:
    """Corners are where they were said to be; a zone that reaches into the sky has no area."""
    ground = Ground(make("ground", points=ROAD, width=7.0, length=40.0))
    assert ground.metres(np.array(ROAD)) == pytest.approx(np.array([(0, 0), (7, 0), (7, 40), (0, 40)]), abs=1e-3)
    assert ground.square_metres(ROAD) == pytest.approx(280, rel=1e-3)
    assert ground.square_metres(((0.1, 0.0), (0.9, 0.0), (0.9, 0.9))) is None
    assert np.isnan(ground.metres(np.array([(0.5, 0.0)]))).all()


def test_every_finding_has_its_rule() -> None:
    """What can be found is a measure of cameras with an alarm on it."""
    assert set(FINDINGS) <= set(RULE_KINDS)
    assert set(FINDINGS.values()) <= set(KINDS["camera"].measures)
    assert all(MEASURES[measure].rules for measure in FINDINGS.values())
