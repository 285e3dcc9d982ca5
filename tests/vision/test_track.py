"""Tracks: an object keeps its number, whatever the times between frames; no input breaks the tracker. Pure."""

from __future__ import annotations

import doctest
import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import vision.track
from ioc.catalog import VISION_CLASSES
from vision.track import LONGEST_GAP_S, LOOKS, PATIENCE_S, STILL_PATIENCE_S, Tracker, Tracks

CLASSES = tuple(VISION_CLASSES)
PERSON, CAR, BUS = CLASSES.index("person"), CLASSES.index("car"), CLASSES.index("bus")
WIDE = 16 / 9

Rows = NDArray[np.float64]


def make_tracker() -> Tracker:
    return Tracker(classes=len(CLASSES), person=PERSON)


def box(x: float, y: float, *, size: float = 0.1, confidence: float = 0.9, kind: int = CAR) -> list[float]:
    """A square box (on the screen) around a point, as a row."""
    return [x - size / 2 / WIDE, y - size / 2, x + size / 2 / WIDE, y + size / 2, confidence, kind]


def run(tracker: Tracker, frames: Iterable[tuple[float, list[list[float]]]]) -> list[Tracks]:
    """Frames that are each newer than the last."""
    looks = [tracker.step(time, np.array(rows).reshape(-1, 6), WIDE) for time, rows in frames]
    return [look for look in looks if look is not None]


def numbers(looks: Iterable[Tracks]) -> list[list[int]]:
    return [look.ids.tolist() for look in looks]


def test_examples() -> None:
    """What the docstring shows."""
    assert doctest.testmod(vision.track).failed == 0


@given(steps=st.lists(st.floats(0.02, 0.5), min_size=5, max_size=60), angle=st.floats(0, 2 * math.pi))
def test_one_object_keeps_its_number_through_irregular_frames(steps: list[float], angle: float) -> None:
    """It moves half its height a second; frames come as they come, between fifty and two a second."""
    times = [0.0, *itertools.accumulate(steps)]
    middle = times[-1] / 2
    way = [
        (time, (time - middle) * 0.05 * math.cos(angle) / WIDE, (time - middle) * 0.05 * math.sin(angle))
        for time in times
    ]
    looks = run(make_tracker(), [(time, [box(0.5 + x / 2, 0.5 + y / 2)]) for time, x, y in way])
    assert numbers(looks) == [[1]] * len(times)
    assert [bool(look.sure[0]) for look in looks[:3]] == [False, True, True]


@given(rate=st.floats(2.5, 30), phase=st.integers(0, 5))
def test_a_vehicle_that_outruns_its_box_is_followed(rate: float, phase: int) -> None:
    """A length a second: at three frames a second its boxes hardly overlap, at its first two looks nobody knows where it goes."""
    times = [(phase + number) / rate for number in range(int(4 * rate))]
    looks = run(make_tracker(), [(time, [box(0.1 + time * 0.12 / WIDE, 0.5, size=0.12)]) for time in times])
    assert {number for look in numbers(looks) for number in look} == {1}


@pytest.mark.parametrize("sizes", [6.0, 9.0, 15.0])
def test_a_vehicle_far_from_its_last_box_is_followed(sizes: float) -> None:
    """So many of its sizes a second at five frames a second: its third look says that it is one. A person is never so fast."""
    frames = [(tick / 5, 0.1 + tick / 5 * sizes * 0.03 / WIDE) for tick in range(6)]
    looks = run(make_tracker(), [(time, [box(x, 0.5, size=0.03)]) for time, x in frames])
    assert numbers(looks) == [[1]] * 6
    assert [bool(look.sure[0]) for look in looks] == [False, False, True, True, True, True]
    assert not any(len(look.doubts) for look in looks)
    looks = run(make_tracker(), [(time, [box(x, 0.5, size=0.03, kind=PERSON)]) for time, x in frames])
    assert len({number for look in numbers(looks) for number in look}) == 6


def test_what_may_be_either_is_in_doubt() -> None:
    """One vehicle was there, two stand as far from it on both sides: it is neither, and it is said between where and where."""
    looks = run(
        make_tracker(),
        [(0.0, [box(0.5, 0.5, size=0.05)]), (0.2, [box(0.46, 0.5, size=0.05), box(0.54, 0.5, size=0.05)])],
    )
    assert numbers(looks) == [[1], [2, 3]]
    ways = [[(round(x, 3), round(y, 3)) for x, y in way] for way in looks[1].doubts.tolist()]
    assert ways == [[(0.5, 0.525), (0.46, 0.525)], [(0.5, 0.525), (0.54, 0.525)]]


def test_two_that_pass_each_other_keep_their_numbers() -> None:
    """At ten frames a second, one lane apart."""
    frames = [(tick / 10, [box(0.2 + tick * 0.01, 0.50), box(0.8 - tick * 0.01, 0.58)]) for tick in range(60)]
    looks = run(make_tracker(), frames)
    for (_, rows), look in zip(frames, looks, strict=True):
        centre = dict(zip(look.ids.tolist(), (look.boxes[:, 0] + look.boxes[:, 2]) / 2, strict=True))
        assert centre[1] == pytest.approx((rows[0][0] + rows[0][2]) / 2, abs=0.02)
        assert centre[2] == pytest.approx((rows[1][0] + rows[1][2]) / 2, abs=0.02)


def test_velocity_is_that_of_the_object_at_any_rate() -> None:
    """Heights of the picture a second, from frames at irregular times."""
    dice = np.random.default_rng(1)
    times = np.cumsum(dice.uniform(0.05, 0.4, 40))
    (*_, last) = run(make_tracker(), [(time, [box(0.1 + time * 0.05 / WIDE, 0.8 - time * 0.03)]) for time in times])
    assert last.velocity[0] == pytest.approx([0.05, -0.03], abs=0.005)


def test_the_class_is_that_of_most_looks() -> None:
    """A car that is taken for a bus now and then, and for both at once, is one car."""
    kinds = [[BUS], [CAR], [CAR, BUS], [CAR], [BUS], [CAR], [CAR]]
    frames = [(tick / 10, [box(0.5, 0.5, kind=kind) for kind in seen]) for tick, seen in enumerate(kinds)]
    looks = run(make_tracker(), frames)
    assert numbers(looks) == [[1]] * len(kinds)
    assert [int(look.labels[0]) for look in looks[2:]] == [CAR] * 5


def test_a_person_does_not_become_the_car_beside() -> None:
    """Where the car was a person now stands: another object."""
    tracker = make_tracker()
    run(tracker, [(tick / 10, [box(0.5, 0.5)]) for tick in range(5)])
    (look,) = run(tracker, [(0.5, [box(0.53, 0.53, kind=PERSON)])])
    assert look.ids.tolist() == [2]


def test_what_is_unsure_carries_on_and_never_begins() -> None:
    """A shadow at 0.3 is nothing; a car that is half hidden stays itself."""
    assert numbers(run(make_tracker(), [(tick / 10, [box(0.5, 0.5, confidence=0.3)]) for tick in range(9)])) == [[]] * 9
    frames = [(tick / 10, [box(0.5, 0.5, confidence=0.9 if tick < 3 else 0.3)]) for tick in range(9)]
    assert numbers(run(make_tracker(), frames)) == [[1]] * 9


def test_a_flicker_is_no_object() -> None:
    """Seen once, it has a number, is not sure, and ends at once."""
    looks = run(make_tracker(), [(0.0, [box(0.5, 0.5)]), (0.1, []), (0.2, []), (9.0, [])])
    assert [look.sure.tolist() for look in looks] == [[False], [], [], []]
    assert [look.ended for look in looks] == [(), (1,), (), ()]


def moving(tick: int) -> list[float]:
    return box(0.2 + tick * 0.01, 0.5)


def still(tick: int) -> list[float]:
    return box(0.5, 0.5)


@pytest.mark.parametrize(
    ("way", "hidden", "number"),
    [
        (moving, PATIENCE_S * 0.6, 1),
        (moving, PATIENCE_S * 2, 2),
        (still, STILL_PATIENCE_S * 0.8, 1),
        (still, STILL_PATIENCE_S * 1.2, 2),
    ],
)
def test_hidden_for_a_while(way: Callable[[int], list[float]], hidden: float, number: int) -> None:
    """What moves is waited for a short time, what stands still longer; what ended is told once."""
    gone = range(20, 20 + round(hidden * 10))
    ticks = range(gone.stop + 5)
    looks = run(make_tracker(), [(tick / 10, [] if tick in gone else [way(tick)]) for tick in ticks])
    assert looks[-1].ids.tolist() == [number]
    assert [one for look in looks for one in look.ended] == ([1] if number == 2 else [])


def test_a_frame_that_is_not_newer_changes_nothing() -> None:
    """The same frame again, an older one, one without a time."""
    tracker = make_tracker()
    run(tracker, [(10.0, [box(0.5, 0.5)]), (10.1, [box(0.5, 0.5)])])
    for time in (10.1, 10.0, -5.0, math.nan):
        assert tracker.step(time, np.array([box(0.9, 0.9)]), WIDE) is None
    (look,) = run(tracker, [(10.2, [box(0.5, 0.5)])])
    assert look.ids.tolist() == [1]


def test_after_a_long_gap_everything_is_new() -> None:
    """Nobody knows what happened meanwhile."""
    tracker = make_tracker()
    run(tracker, [(tick / 10, [box(0.5, 0.5)]) for tick in range(5)])
    (look,) = run(tracker, [(0.5 + LONGEST_GAP_S, [box(0.5, 0.5)])])
    assert (look.ids.tolist(), look.ended) == ([2], (1,))


def test_three_hundred_in_a_frame_keep_their_numbers() -> None:
    """A swarm at a junction, a tenth of the boxes missing each time, in any order: no number is ever another's."""
    dice = np.random.default_rng(7)
    rows, columns = np.divmod(np.arange(300), 25)
    start = np.stack([(columns + 0.5) / 25, (rows + 0.5) / 12], axis=1)
    pace = dice.normal(0, 0.004, (300, 2))
    tracker = make_tracker()
    owner: dict[int, int] = {}
    for tick in range(30):
        centre = start + pace * tick / 10
        seen = dice.permutation(np.flatnonzero(dice.random(300) > 0.1))
        frame = np.array([box(*centre[one], size=0.05, confidence=dice.uniform(0.45, 0.9)) for one in seen])
        look = tracker.step(tick / 10, frame, WIDE)
        assert look is not None
        middle = (look.boxes[:, :2] + look.boxes[:, 2:]) / 2
        nearest = np.hypot(*(middle[:, None] - centre).transpose(2, 0, 1)).argmin(axis=1)
        for number, one, sure in zip(look.ids.tolist(), nearest.tolist(), look.sure.tolist(), strict=True):
            if sure:
                assert owner.setdefault(number, one) == one
    assert len(owner) < 1.1 * 300


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.floats(-0.2, 1.2)
ROWS = st.lists(st.lists(NUMBERS, min_size=6, max_size=6), max_size=8)
LIKELY = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.4), st.floats(0.1, 1), st.integers(0, 5)), max_size=40
)
TIMES = st.floats(-1, 12) | st.sampled_from([0.0, 0.1, math.nan, math.inf])


@given(frames=st.lists(st.tuples(TIMES, ROWS, LIKELY), max_size=25))
def test_no_input_breaks_it(
    frames: list[tuple[float, list[list[float]], list[tuple[float, float, float, float, int]]]],
) -> None:
    """Whatever comes in, what comes out is sound: numbers once a frame and never again after their end, boxes in the picture."""
    tracker = make_tracker()
    time, highest = 0.0, 0
    ended: set[int] = set()
    for step, odd, likely in frames:
        time = time + step if math.isfinite(step) else step
        rows = np.array([*odd, *(box(x, y, size=s, confidence=c, kind=k) for x, y, s, c, k in likely)]).reshape(-1, 6)
        look = tracker.step(time, rows, WIDE)
        if look is None:
            time = time if math.isfinite(time) else 0.0
            continue
        ids = look.ids.tolist()
        assert ids == sorted(set(ids))
        assert not ended & {*ids, *look.ended}
        assert len(set(look.ended)) == len(look.ended)
        ended |= set(look.ended)
        assert len(ids) <= len(rows)
        assert all(one <= highest for one, sure in zip(ids, look.sure.tolist(), strict=True) if sure) or LOOKS == 1
        highest = max([highest, *ids])
        assert np.isfinite(look.boxes).all()
        assert np.isfinite(look.velocity).all()
        assert ((look.boxes >= 0) & (look.boxes <= 1)).all()
        assert (look.boxes[:, :2] <= look.boxes[:, 2:]).all()
        assert set(look.labels.tolist()) <= set(range(len(CLASSES)))
