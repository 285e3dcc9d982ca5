"""Counting against the truth: real footage through the shipped detector, the tracker and a line, beside what was counted by eye.

`vtest.avi` (OpenCV's sample: people on a forecourt, 768 x 576, 10 frames a second, 79 s): twenty of its frames were in the
training of the shipped weights with a teacher's labels, so this says less of the detector than of tracker and line.
`car-detection.mp4` (Intel's sample: cars from right above, 768 x 432, 12.5 frames a second, 30 s): a view that the weights were
not made for. They see the four cars and name none of them a car, so vehicles are counted here, not classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from ioc.camera_rules import VEHICLES, CameraRule
from tests.material import need
from tests.vision.film import START, Actor, counted, every, said, scene, straight, watch_by
from tests.vision.footage import Film, look
from vision.engine.detector import Detector
from vision.rules.base import LABELS, Look
from vision.rules.camera import Outcome
from vision.rules.zone import Zone
from vision.scene import Scene
from vision.track import Tracker

#: By eye, on contact sheets of every eighth frame with the line drawn in: the frame at which each person's feet go over the line
#: from (0.45, 0.25) to (0.45, 1.0), right = towards the right of the picture.
PEOPLE_RIGHT = (14, 98, 306, 325, 339, 342, 455, 588, 606, 671, 692, 737, 776, 782)
PEOPLE_LEFT = (64, 163, 184, 225, 261, 284, 297, 369, 495, 532, 535, 572, 647, 657, 693, 713, 756, 777)
#: The same of the lower ends of cars and the line across the middle, on every fifth frame.
CARS_UP = (88, 220)
CARS_DOWN = (197, 326)

#: People by eye, with their feet below a quarter of the picture, by frame.
PEOPLE_INSIDE = {50: 6, 150: 7, 250: 7, 350: 6, 450: 3, 550: 6, 650: 6, 750: 7}

#: Forward is from left to right as one goes along it: here towards the left of the picture.
PEOPLE_LINE = CameraRule(1, "vtest.avi", "line", "người", ((0.45, 0.25), (0.45, 1.0)), ("person",), {}, 1)
CAR_LINE = CameraRule(1, "car-detection.mp4", "line", "xe", ((0.0, 0.5), (1.0, 0.5)), VEHICLES, {}, 1)


@pytest.fixture(scope="module")
def people(detector: Detector) -> Film:
    return look(detector, need("vtest.avi"))


@pytest.fixture(scope="module")
def cars(detector: Detector) -> Film:
    return look(detector, need("car-detection.mp4"), every=2)


def count(film: Film, rule: CameraRule, step: int = 1) -> tuple[list[Outcome], list[float], list[float]]:
    """Put each `step`th frame to a rule; returns the outcomes and when something went forward and back, in seconds.

    What is counted is handed on within a second, so that is how exact the times are.
    """
    watch = watch_by(rule, camera=film.scenes[0].camera)
    shown = film.scenes[::step]
    # A last, empty frame, much later, has everything handed on.
    shown = [*shown, scene((shown[-1].time - START).total_seconds() + 60, [], film.scenes[0].camera)]
    outcomes = [outcome for one in shown if (outcome := watch.look(one, film.aspect)) is not None]
    forward: list[float] = []
    back: list[float] = []
    for outcome in outcomes:
        for flow in outcome.flows:
            if flow.rule == rule.id:
                forward += [(outcome.time - START).total_seconds()] * flow.forward
                back += [(outcome.time - START).total_seconds()] * flow.back
    return outcomes, forward, back


def per_segment(times: Sequence[float], length: float, segments: int = 4) -> list[int]:
    """How many fall into each of equal parts of the film."""
    found = Counter(min(segments - 1, int(time / length * segments)) for time in times)
    return [found[number] for number in range(segments)]


def missed(times: Sequence[float], truth: Sequence[float], within_s: float) -> int:
    """How many of the true times have no counted one of their own close by."""
    left = sorted(times)
    lost = 0
    for true in sorted(truth):
        near = next((time for time in left if abs(time - true) <= within_s), None)
        if near is None:
            lost += 1
        else:
            left.remove(near)
    return lost


def test_people_over_a_line_as_counted_by_eye(people: Film) -> None:
    """32 crossings at ten frames a second: all of them, in their direction, in every quarter.

    Measured: 14 of 14 to the right, 18 of 18 to the left, none too many. Two of 32 are allowed: the INT8 network rounds otherwise
    on other processors, and of two people who pass each other one may then be lost for a moment.
    """
    _, left, right = count(people, PEOPLE_LINE)
    length = len(people.scenes) / people.fps
    for found, truth in ((right, PEOPLE_RIGHT), (left, PEOPLE_LEFT)):
        true = [frame / 10 for frame in truth]
        assert abs(len(found) - len(truth)) <= 2
        assert missed(found, true, 1.5) <= 2
        off = np.subtract(per_segment(found, length), per_segment(true, length))
        assert np.abs(off).max() <= 1, f"quarters: {per_segment(found, length)}, by eye {per_segment(true, length)}"


@pytest.mark.parametrize("step", [2, 5])
def test_people_at_five_and_two_frames_a_second(people: Film, step: int) -> None:
    """Fewer frames, more mistakes; three in each direction are allowed.

    Measured, of 14 to the right and 18 to the left: 14 and 17 at five frames a second and at two.
    """
    _, to_left, to_right = count(people, PEOPLE_LINE, step)
    assert abs(len(to_right) - len(PEOPLE_RIGHT)) <= 3
    assert abs(len(to_left) - len(PEOPLE_LEFT)) <= 3


def test_people_at_one_frame_a_second_are_not_counted(people: Film) -> None:
    """Tracks break there (a third of the crossings would be missed): the line rests, says so, and counts nothing."""
    outcomes, left, right = count(people, PEOPLE_LINE, 10)
    assert left == right == []
    assert outcomes[-2].watched.resting == (1,)
    assert outcomes[-2].watched.fps == pytest.approx(1.0)


def test_cars_from_above_as_counted_by_eye(cars: Film) -> None:
    """Four cars at six frames a second: two up, two down, each in its part of the film; one may be lost to another rounding.

    Measured: 2 of 2 and 2 of 2. What they are called is wrong (bus, truck), so no class is asserted.
    """
    outcomes, down, up = count(cars, CAR_LINE)
    length = len(cars.scenes) / cars.fps
    assert abs(len(up) - len(CARS_UP)) + abs(len(down) - len(CARS_DOWN)) <= 1
    for found, truth in ((up, CARS_UP), (down, CARS_DOWN)):
        true = [frame / 12.5 for frame in truth]
        off = np.subtract(per_segment(found, length), per_segment(true, length))
        assert np.abs(off).max() <= 1
    whole = counted(outcomes, 0)
    assert abs(sum(flow.forward for flow in whole.values()) - 4) <= 1


def test_people_in_a_zone_as_counted_by_eye(people: Film) -> None:
    """At eight moments, 48 in all.

    Measured, with the weights of the second training: 52, at most two wrong at a moment: now and then one person has two boxes.

    Two at a moment and a seventh in all are allowed to be wrong.
    """
    corners = ((0.0, 0.25), (1.0, 0.25), (1.0, 1.0), (0.0, 1.0))
    zone = Zone(CameraRule(1, "vtest.avi", "zone", "sân", corners, ("person",), {}, 1))
    tracker = Tracker(classes=len(LABELS), person=LABELS.index("person"))
    found = {}
    for number, one in enumerate(people.scenes):
        tracks = tracker.step(one.time.timestamp(), rows(one), people.aspect)
        assert tracks is not None
        zone.look(Look(one.time.timestamp(), 0.1, True, people.aspect, tracks, {}))
        if number in PEOPLE_INSIDE:
            found[number] = len(zone.inside)
    assert all(abs(found[number] - true) <= 2 for number, true in PEOPLE_INSIDE.items()), found
    assert sum(found.values()) == pytest.approx(sum(PEOPLE_INSIDE.values()), rel=0.15)


@pytest.mark.parametrize("step", [1, 5, 10])
def test_parked_vehicles_are_found_at_any_rate(people: Film, step: int) -> None:
    """A van and a car stand at the upper right: said after 20 s, and never once taken back, at 10, 2 and 1 a second."""
    corners = ((0.8, 0.05), (1.0, 0.05), (1.0, 0.3), (0.8, 0.3))
    rule = CameraRule(1, "vtest.avi", "stopped", "cổng", corners, (), {"seconds": 20}, 1)
    outcomes, _, _ = count(people, rule, step)
    ((time, number),) = said(outcomes, "stoppedVehicles")
    assert number == 2
    assert time == pytest.approx(20, abs=2)


def as_motorbikes(film: Film) -> Film:
    """The people of a film under the name of vehicles, and its vehicles under none: their ways are real."""

    def renamed(one: Scene) -> Scene:
        people = [msgspec.structs.replace(d, label="motorbike") for d in one.detections if d.label == "person"]
        return msgspec.structs.replace(one, detections=tuple(people))

    return film._replace(scenes=[renamed(one) for one in film.scenes])


@pytest.mark.parametrize("step", [1, 2])
@pytest.mark.parametrize(("wrong", "truth"), [("right", PEOPLE_RIGHT), ("left", PEOPLE_LEFT)])
def test_who_goes_the_wrong_way_as_seen_by_eye(people: Film, wrong: str, truth: tuple[int, ...], step: int) -> None:
    """No vehicle goes the wrong way in this film, so its people stand in for them: who crosses to one side is wrong.

    Whoever goes wrong is told of within 2.5 s, when they are half their height beyond the line, and for 10 s; while by eye
    nobody has for longer, nobody is. Measured, at ten and at five frames a second: 13 and 13 of 14 to the right, 15 and 16 of 18
    to the left, none too many. Of two who walk side by side one may be hidden on the line: three may be missed, or four.
    """
    points = PEOPLE_LINE.points if wrong == "right" else PEOPLE_LINE.points[::-1]
    rule = CameraRule(1, "vtest.avi", "wrong_way", "ngược", points, (), {"seconds": 10}, 1)
    outcomes, _, back = count(as_motorbikes(people), rule, step)
    true = [frame / 10 for frame in truth]
    assert len(back) <= len(true)
    assert missed(back, true, 2.5) <= (3 if step == 1 else 4)
    values = {(outcome.time - START).total_seconds(): outcome.watched.values.get(1) for outcome in outcomes[:-1]}
    for time, value in values.items():
        if not any(time - 12.5 <= one <= time for one in true):
            assert not value, time
    # By eye three or four of them within ten seconds, twice in each direction.
    assert max(value or 0 for value in values.values()) == pytest.approx(4, abs=1)


#: By eye, on every fourth or tenth frame: whose feet are in the upper part of the drive, from which frame to which. A man and a
#: woman come to a stand there; the others pass, and a girl is still on her way at the end.
DRIVE = ((0.75, 0.2), (0.97, 0.2), (0.97, 0.42), (0.75, 0.42))
COUPLE = ((122, 311), (117, 311))
PASSING = ((92, 186), (395, 418), (716, 795))


@pytest.mark.parametrize("step", [1, 2, 5])
def test_who_loiters_as_seen_by_eye(people: Film, step: int) -> None:
    """Two people stay for 19 s and nobody else for longer than 9.5: with 12 s these two are told of, then, and nobody else ever.

    Measured, at ten, five and two frames a second: both, 0.3 s early at most, both gone at 31.0 to 31.5 s (by eye 31.1).
    """
    assert max(end - begin for begin, end in PASSING) < 120 < min(end - begin for begin, end in COUPLE)
    rule = CameraRule(1, "vtest.avi", "loitering", "nán lại", DRIVE, (), {"seconds": 12}, 1)
    outcomes, _, _ = count(people, rule, step)
    found = said(outcomes[:-1], "loiteringPeople")
    assert found[0] == (pytest.approx(14, abs=1), 0.0)
    both = next(time for time, value in found if value == 2)
    assert both == pytest.approx(max(begin for begin, _ in COUPLE) / 10 + 12, abs=1)
    first = next(time for time, value in found if value)
    assert first == pytest.approx(min(begin for begin, _ in COUPLE) / 10 + 12, abs=1)
    assert found[-1] == (pytest.approx(31.1, abs=1), 0.0)
    assert max(value for _, value in found) == 2


# --- who is who at lower rates ---


def rows(one: Scene) -> NDArray[np.float64]:
    """Its detections as the tracker takes them."""
    found = [(d.x1, d.y1, d.x2, d.y2, d.confidence, LABELS.index(d.label)) for d in one.detections]
    return np.array(found).reshape(-1, 6)


def follow(scenes: Sequence[Scene], aspect: float) -> dict[object, dict[int, tuple[float, ...]]]:
    """Boxes by number of track, frame by frame."""
    tracker = Tracker(classes=len(LABELS), person=LABELS.index("person"))
    found: dict[object, dict[int, tuple[float, ...]]] = {}
    for one in scenes:
        tracks = tracker.step(one.time.timestamp(), rows(one), aspect)
        assert tracks is not None
        found[one.time] = {
            int(number): tuple(box)
            for number, box, sure in zip(tracks.ids, tracks.boxes.tolist(), tracks.sure, strict=True)
            if sure
        }
    return found


def identity_f1(
    found: dict[object, dict[int, tuple[float, ...]]], truth: dict[object, dict[int, tuple[float, ...]]]
) -> float:
    """IDF1 (Ristani et al. 2016) of tracks, on the frames of `found`; boxes are the same object from an overlap of half on."""
    together: Counter[tuple[int, int]] = Counter()
    for time, boxes in found.items():
        for one, box in boxes.items():
            for other, true in truth[time].items():
                together[one, other] += overlap(box, true) >= 0.5
    both = 0
    used: tuple[set[int], set[int]] = (set(), set())
    for (one, other), frames in together.most_common():
        if one not in used[0] and other not in used[1]:
            used[0].add(one)
            used[1].add(other)
            both += frames
    return 2 * both / (sum(map(len, found.values())) + sum(len(truth[time]) for time in found))


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, width) * max(0.0, height)
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (area - shared)


@pytest.mark.parametrize(("step", "least"), [(2, 0.78), (5, 0.68), (10, 0.6)])
def test_numbers_at_lower_rates_are_those_of_the_full_rate(people: Film, step: int, least: float) -> None:
    """IDF1 of tracks at 5, 2 and 1 frames a second against those at 10.

    Measured: 0.88, 0.84, 0.72.
    """
    full = follow(people.scenes, people.aspect)
    f1 = identity_f1(follow(people.scenes[::step], people.aspect), full)
    assert f1 >= least


@pytest.mark.parametrize(("step", "least"), [(1, 0.98), (2, 0.98), (5, 0.94), (10, 0.85)])
def test_numbers_of_made_up_traffic_are_right(step: int, least: float) -> None:
    """Where the truth is known: twelve vehicles and people on their ways, at 10, 5, 2 and 1 frames a second.

    Measured: 0.997, 0.995, 0.965, 0.921; the first look at each object is not its own yet.
    """
    actors = [
        *(Actor(straight(0.0, 0.2 + 0.1 * lane, 0.05 + 0.01 * lane, begin=3 * lane), "car", 0.08) for lane in range(6)),
        *(Actor(straight(0.9, 0.25 + 0.1 * lane, -0.02, 0.002, begin=2 * lane), "person", 0.06) for lane in range(6)),
    ]
    times = every(0.1, 30)[::step]
    truth = {
        scene(time, []).time: {
            number: box for number, actor in enumerate(actors) if (box := actor.at(time)) is not None
        }
        for time in times
    }
    f1 = identity_f1(follow([scene(time, actors) for time in times], 16 / 9), truth)
    assert f1 >= least
