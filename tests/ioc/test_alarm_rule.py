"""Conditions of alarm rules on streams of readings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.alarms.rule import (
    SETTLE,
    Presence,
    Track,
    heard_reading,
    heard_state,
    lapse,
    lapses_at,
    observe,
    offline_at,
    reading_time,
    silent_at,
)
from ioc.catalog import MEASURES, Label, Measure, Rule
from ioc.model import Quality, Reading

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def make_rule(kind: str = "above", limit: float = 10.0, **fields: object) -> Rule:
    return Rule(key="r", kind=kind, label=Label("r", "r"), priority=2, cause="flood", limit=limit, **fields)  # type: ignore[arg-type]


def make_measure(**fields: object) -> Measure:
    given = {"key": "m", "label": Label("m", "m"), "unit": "m", "range": (-100, 100), "period_s": 30.0} | fields
    return Measure(**given)  # type: ignore[arg-type]


MEASURE = make_measure()


def run(
    rule: Rule, values: list[tuple[float, float]], measure: Measure = MEASURE, track: Track | None = None
) -> list[bool]:
    """Feed (second, value) pairs that arrive at once; returns whether the condition holds after each."""
    track, raised = track or Track(), []
    for second, value in values:
        track = observe(rule, measure, track, at(second), value, at(second))
        raised.append(track.raised)
    return raised


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        (make_rule("above"), [(0, 9.9), (1, 10.0), (2, 10.1), (3, 9.9)], [False, True, True, False]),
        (make_rule("below"), [(0, 10.1), (1, 10.0), (2, 9.0), (3, 10.1)], [False, True, True, False]),
        # Hysteresis: between limit and limit - 2 an alarm stays what it is.
        (make_rule(hysteresis=2), [(0, 9), (1, 11), (2, 9), (3, 8.1), (4, 8), (5, 9)], [False, True, True, True, False, False]),
        (make_rule("below", hysteresis=2), [(0, 9), (1, 11), (2, 12), (3, 11)], [True, True, False, False]),
        # On-delay: a spike that is gone at the next reading is none.
        (make_rule(on_delay_s=30), [(0, 11), (30, 9), (60, 11), (90, 11)], [False, False, False, True]),
        (make_rule(on_delay_s=60), [(0, 11), (30, 11), (59, 11), (60, 11)], [False, False, False, True]),
        # Off-delay: it must be gone for a while.
        (make_rule(off_delay_s=60), [(0, 11), (30, 9), (60, 11), (90, 9), (120, 9), (150, 9)], [True] * 5 + [False]),
        # A hole of more than five periods says nothing of what was in it.
        (make_rule(on_delay_s=60), [(0, 11), (200, 11), (230, 11), (260, 11)], [False, False, False, True]),
    ],
)  # fmt: skip
def test_observe_limit(rule: Rule, values: list[tuple[float, float]], expected: list[bool]) -> None:
    """Limits, hysteresis and delays, in device time."""
    assert run(rule, values) == expected


def test_observe_hysteresis_is_not_off_by_a_rounding() -> None:
    """1.40 - 0.04 is 1.3599999999999999 in floats; a level of 1.36 is back all the same."""
    level = MEASURES["waterLevel"]
    rule = next(r for r in level.rules if r.key == "water_alert_1")
    assert run(rule, [(0, 1.40), (60, 1.40), (90, 1.37), (120, 1.36)], level) == [False, True, True, False]


def test_observe_state() -> None:
    """An enumerated measure matches by the names of its states."""
    door = make_measure(states=("closed", "open", "forced"), range=(0, 2))
    rule = make_rule("is_state", states=("open", "forced"))
    assert run(rule, [(0, 0), (1, 2), (2, 1), (3, 0)], door) == [False, True, True, False]


def test_observe_zero_is_a_value() -> None:
    """Zero is not missing: a phase at 0 V is a supply loss."""
    assert run(make_rule("below", 100), [(0, 220), (30, 0)]) == [False, True]


def test_observe_rise_over_window() -> None:
    """The rise counts from the least value of the window, wherever in it that lies."""
    rule = make_rule("rise", 0.2, window_s=600)
    values = [(0, 1.0), (150, 0.95), (300, 1.1), (450, 1.16), (700, 1.16), (770, 1.2)]
    # At 770 s the 0.95 of 150 s has left the window.
    assert run(rule, values, make_measure(period_s=60)) == [False, False, False, True, True, False]


def test_observe_rise_of_a_fresh_start_is_none() -> None:
    """After a hole the first value is no rise from what was before it."""
    assert run(make_rule("rise", 0.2, window_s=100), [(0, 0.0), (1000, 5.0)]) == [False, False]


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=300), st.integers(1, 40))
def test_observe_rise_matches_the_plain_definition(values: list[float], window: int) -> None:
    """The thinned window gives the rise that keeping every reading would give."""
    rule, track = make_rule("rise", 1000.0, window_s=float(window)), Track()
    for second, value in enumerate(values):
        track = observe(rule, MEASURE, track, at(second), value, at(second))
        least = min(values[max(0, second - window) : second + 1])
        assert track.value == value - least


def test_observe_rise_memory_is_bounded() -> None:
    """A device that sends a thousand ascending values a second does not fill our memory."""
    rule, track = make_rule("rise", 1e9, window_s=60.0), Track()
    for step in range(20_000):
        track = observe(rule, MEASURE, track, at(step / 1000), step / 1000, at(step / 1000))
    assert len(track.window) <= 501
    assert track.value == pytest.approx(19.999)


samples = st.lists(st.tuples(st.integers(0, 600), st.floats(0, 20)), max_size=60)
rules = st.builds(
    make_rule,
    st.sampled_from(["above", "below", "rise"]),
    st.floats(1, 15),
    hysteresis=st.floats(0, 3),
    on_delay_s=st.sampled_from([0.0, 30.0, 90.0]),
    off_delay_s=st.sampled_from([0.0, 60.0]),
    window_s=st.just(120.0),
)


@given(rules, samples, st.integers(0, 59), st.integers(-600, 0), st.floats(0, 20))
def test_observe_old_and_doubled_readings_change_nothing(
    rule: Rule, values: list[tuple[int, float]], where: int, earlier: int, other: float
) -> None:
    """Redelivery and disorder leave every track as it is."""
    track = Track()
    for number, (second, value) in enumerate(sorted(values)):
        track = observe(rule, MEASURE, track, at(second), value, at(second))
        if number == where:
            assert observe(rule, MEASURE, track, at(second), value, at(second)) is track
            assert observe(rule, MEASURE, track, at(second + earlier), other, at(second)) is track


@given(rules, samples)
def test_observe_never_raises_before_the_delay_nor_within_the_limit(
    rule: Rule, values: list[tuple[int, float]]
) -> None:
    """What is raised was breached for the whole delay; what is cleared has been past the hysteresis."""
    track, begun = Track(), None
    for second, value in sorted(values):
        before, track = track, observe(rule, MEASURE, track, at(second), value, at(second))
        if track is before:
            continue
        shown = track.value
        breach = shown <= rule.limit if rule.kind == "below" else shown >= rule.limit
        holed = before.at is None or track.at - before.at > timedelta(seconds=MEASURE.gone_after_s)  # type: ignore[operator]
        begun = None if not breach else second if begun is None or holed else begun
        if track.raised and not before.raised:
            assert begun is not None
            assert second - begun >= rule.on_delay_s
        if before.raised and not track.raised:
            assert not breach


def test_observe_history_changes_nothing() -> None:
    """A reading that was older than five periods when it came is back-fill."""
    rule = make_rule()
    assert observe(rule, MEASURE, Track(), at(0), 99, at(151)) == Track()
    assert observe(rule, MEASURE, Track(), at(0), 99, at(150)).raised


def test_reading_time_of_a_wrong_clock_is_ours() -> None:
    """A reading whose device clock is off counts from when it came."""
    reading = Reading(at(-9999), "d", "m", 1.0, Quality.CLOCK_OFF, at(3))
    assert reading_time(reading) == at(3)
    assert reading_time(Reading(at(1), "d", "m", 1.0, Quality.GOOD, at(3))) == at(1)


def test_lapse_ends_a_delay_when_a_reading_is_late() -> None:
    """A bin that says once that it burns and then nothing is alarmed when its next reading is late, not before."""
    rule = make_rule(on_delay_s=45)
    track = observe(rule, MEASURE, Track(), at(0), 11, at(2))
    assert lapses_at(rule, MEASURE, track) == at(2 + 60)
    assert not lapse(rule, MEASURE, track, at(61)).raised
    assert lapse(rule, MEASURE, track, at(62)).raised


def test_lapse_of_a_value_that_is_gone_decides_nothing() -> None:
    """After five periods nobody knows the value any more."""
    rule = make_rule(on_delay_s=45)
    track = observe(rule, MEASURE, Track(), at(0), 11, at(0))
    assert lapse(rule, MEASURE, track, at(151)) is track
    slow = make_rule(on_delay_s=3600)
    assert lapses_at(slow, MEASURE, observe(slow, MEASURE, Track(), at(0), 11, at(0))) is None


OFFLINE = make_rule("offline", on_delay_s=10)
SILENT = make_rule("silent", 5)


def test_offline_needs_to_have_been_online() -> None:
    """A camera point without footage is offline and not lost."""
    never = heard_state(Presence(), "offline", at(0), at(0))
    assert offline_at(OFFLINE, never, at(-100)) is None
    once = heard_state(heard_state(Presence(), "online", at(0), at(0)), "offline", at(5), at(6))
    assert offline_at(OFFLINE, once, at(-100)) == at(16)


def test_offline_repeated_does_not_start_again() -> None:
    """A last will told twice is one loss."""
    lost = heard_state(heard_reading(Presence(), at(0), at(0)), "offline", at(5), at(5))
    assert offline_at(OFFLINE, heard_state(lost, "offline", at(9), at(9)), at(-100)) == at(15)


def test_offline_ends_when_the_device_speaks() -> None:
    """The last will of the old connection may come after the new one is there."""
    lost = heard_state(heard_reading(Presence(), at(0), at(0)), "offline", at(5), at(5))
    assert offline_at(OFFLINE, heard_reading(lost, at(4), at(6)), at(-100)) is not None
    assert offline_at(OFFLINE, heard_reading(lost, at(7), at(7)), at(-100)) is None


def test_offline_from_before_our_start_may_come_back() -> None:
    """After a restart of everything no flood: devices get a minute to connect."""
    lost = heard_state(heard_reading(Presence(), at(0), at(0)), "offline", at(5), at(5))
    assert offline_at(OFFLINE, lost, at(100)) == at(100) + SETTLE


def test_offline_word_that_is_older_changes_nothing() -> None:
    """States out of order: the newest device time wins."""
    online = heard_state(Presence(), "online", at(10), at(10))
    assert heard_state(online, "offline", at(9), at(11)) is online


def test_silent_counts_periods_from_the_last_word() -> None:
    """Five periods after the last word, or after we began to listen."""
    heard = heard_reading(Presence(), at(0), at(1))
    assert silent_at(SILENT, 30, heard, at(-10)) == at(151)
    assert silent_at(SILENT, 30, heard, at(100)) == at(250)


def test_silent_is_not_for_those_who_never_spoke_or_said_goodbye() -> None:
    """Announced only, or offline: another rule's matter."""
    assert silent_at(SILENT, 30, Presence(), at(0)) is None
    gone = heard_state(heard_reading(Presence(), at(0), at(0)), "offline", at(1), at(1))
    assert silent_at(SILENT, 30, gone, at(0)) is None
