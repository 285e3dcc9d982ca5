"""Whether a rule's condition holds: pure functions over what one device says.

A value rule (`above`, `below`, `rise`, `is_state`) is a `Track` moved on by `observe`, in the device's own time; a rule on the
device itself (`silent`, `offline`) is a question to its `Presence`, asked by our clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from ioc.catalog import Measure, Rule
from ioc.model import Quality, Reading

#: A rise is exact as long as readings come no closer than this part of its window; closer ones are thinned.
_WINDOW_PARTS: Final = 500
#: After a start, or after a time in which nothing could be heard, devices get this long to come back.
SETTLE: Final = timedelta(seconds=60)


class Track(msgspec.Struct, frozen=True):
    """What is remembered of one value rule on one device.

    Attributes:
        at: device time of the newest reading that counted.
        heard: when that reading reached us.
        value: its value; for `rise` the rise over the window.
        raised: the condition holds, delay included.
        since: since when the readings say the opposite of `raised`; the delay runs from here.
        window: for `rise`, readings that may still be the least of the window; times and values both ascend.
    """

    at: datetime | None = None
    heard: datetime | None = None
    value: float = 0.0
    raised: bool = False
    since: datetime | None = None
    window: tuple[tuple[datetime, float], ...] = ()


class Presence(msgspec.Struct, frozen=True):
    """What is known of a device being there.

    Attributes:
        heard: when anything of it last reached us.
        spoke: device time of the newest reading or frame.
        state: what it, or its last will, last said of itself, "unknown" if nothing.
        state_at: when that was said.
        state_heard: when that reached us.
        been_online: it was there once; what was never there cannot be lost.
    """

    heard: datetime | None = None
    spoke: datetime | None = None
    state: str = "unknown"
    state_at: datetime | None = None
    state_heard: datetime | None = None
    been_online: bool = False


class Pace(msgspec.Struct, frozen=True):
    """How far the times of a device lie behind ours, and since when that has been steady, by our clock."""

    lag: timedelta
    since: datetime


def reading_time(reading: Reading) -> datetime:
    """When the reading counts: the device's time, or our receive time where the device's clock is known to be off."""
    return reading.received if reading.quality == Quality.CLOCK_OFF else reading.time


def is_history(measure: Measure, at: datetime, now: datetime) -> bool:
    """Whether a reading is too old to say anything about now (back-fill, a queue drained late)."""
    return now - at > timedelta(seconds=measure.gone_after_s)


def keep_pace(pace: Pace | None, measure: Measure, at: datetime, received: datetime) -> Pace:
    """The pace after one more reading that looks like history."""
    lag = received - at
    if pace is None or abs(lag - pace.lag) > timedelta(seconds=measure.period_s):
        return Pace(lag, received)
    return pace


def present_time(pace: Pace, measure: Measure, at: datetime, received: datetime) -> datetime:
    """When a reading counts that looks like history.

    A queue that is drained catches up with the present; a clock that is slow never does. Who has stayed equally far behind
    for three periods speaks of now, by a slow clock: a flood gauge must not be deaf to a flood because nobody set its time.
    """
    return at + pace.lag if received - pace.since >= timedelta(seconds=3 * measure.period_s) else at


def breached(rule: Rule, measure: Measure, value: float) -> bool:
    """Whether the value has reached the limit."""
    if rule.kind == "below":
        return value <= rule.limit
    if rule.kind == "is_state":
        return _state(measure, value) in rule.states
    return value >= rule.limit


def cleared(rule: Rule, measure: Measure, value: float) -> bool:
    """Whether the value is back past the limit by the hysteresis."""
    if breached(rule, measure, value):
        return False
    # Rounded, so that 1.40 - 0.04 is reached by 1.36.
    if rule.kind == "below":
        return value >= round(rule.limit + rule.hysteresis, 9)
    if rule.kind == "is_state":
        return True
    return value <= round(rule.limit - rule.hysteresis, 9)


def observe(rule: Rule, measure: Measure, track: Track, at: datetime, value: float, heard: datetime) -> Track:
    """The track after one more reading. A reading that is not newer than the last one changes nothing.

    Args:
        rule: a value rule.
        measure: what it stands beside.
        track: what was known.
        at: when the reading counts, see `reading_time`.
        value: in the measure's unit, or the index of its state.
        heard: when it reached us; a reading older than its measure's `gone_after_s` by then is history and changes nothing.
    """
    if (track.at is not None and at <= track.at) or is_history(measure, at, heard):
        return track
    window = track.window
    if rule.kind == "rise":
        window = _window(rule, window, at, value)
        value = value - window[0][1]
    holed = track.at is None or at - track.at > timedelta(seconds=measure.gone_after_s)
    since = None if holed else track.since  # nobody knows what the value did in a hole
    raised = track.raised
    opposite = cleared(rule, measure, value) if raised else breached(rule, measure, value)
    if not opposite:
        since = None
    else:
        since = since or at
        if at - since >= _delay(rule, raised):
            raised, since = not raised, None
    return Track(at, heard, value, raised, since, window)


def lapse(rule: Rule, measure: Measure, track: Track, now: datetime) -> Track:
    """The track when only time has passed.

    A device that reports changes only says "on fire" once. So a delay also ends without a further reading, but not before
    one is late: until then the next reading decides. Once the value is gone it decides nothing more.
    """
    due = lapses_at(rule, measure, track)
    if due is None or now < due or track.heard is None or now - track.heard > timedelta(seconds=measure.gone_after_s):
        return track
    return msgspec.structs.replace(track, raised=not track.raised, since=None)


def lapses_at(rule: Rule, measure: Measure, track: Track) -> datetime | None:
    """When `lapse` would turn the track, by our clock, if no reading comes; None = never."""
    if track.since is None or track.at is None or track.heard is None:
        return None
    left = max(timedelta(seconds=measure.late_after_s), _delay(rule, track.raised) - (track.at - track.since))
    return None if left > timedelta(seconds=measure.gone_after_s) else track.heard + left


def heard_reading(presence: Presence, at: datetime, received: datetime) -> Presence:
    """The presence after a reading or a frame: whoever speaks has been there."""
    return msgspec.structs.replace(
        presence, heard=_later(presence.heard, received), spoke=_later(presence.spoke, at), been_online=True
    )


def heard_state(presence: Presence, state: str, at: datetime, received: datetime) -> Presence:
    """The presence after a device's word on itself; an older word changes nothing."""
    if presence.state_at is not None and at <= presence.state_at:
        return presence
    if state == "offline":
        # A repeated "offline" does not start the delay again. It is no sign of life either: the broker says it.
        since = presence.state_heard if presence.state == "offline" else received
        return msgspec.structs.replace(presence, state=state, state_at=at, state_heard=since)
    return msgspec.structs.replace(
        presence,
        state=state,
        state_at=at,
        state_heard=received,
        heard=_later(presence.heard, received),
        been_online=presence.been_online or state == "online",
    )


def offline_at(rule: Rule, presence: Presence, listening_since: datetime) -> datetime | None:
    """When a device counts as lost if nothing more comes; None = it is there, or never was.

    Args:
        rule: its `on_delay_s` runs from when we heard that the device is gone.
        presence: what is known of the device.
        listening_since: a device that went before that is given `SETTLE` to come back.
    """
    if presence.state != "offline" or not presence.been_online or presence.state_heard is None:
        return None
    # A last will can arrive after its device is back: a broker ends the old connection when the new one is there.
    if presence.spoke is not None and presence.state_at is not None and presence.spoke > presence.state_at:
        return None
    due = presence.state_heard + timedelta(seconds=rule.on_delay_s)
    return due if presence.state_heard >= listening_since else max(due, listening_since + SETTLE)


def silent_at(rule: Rule, period_s: float, presence: Presence, listening_since: datetime) -> datetime | None:
    """When a device will have been silent for too long if nothing more comes; None = it never spoke, or said that it goes.

    Args:
        rule: its limit is a number of periods.
        period_s: how often a healthy device of the kind says anything.
        presence: what is known of the device.
        listening_since: since when we would have heard it; nobody is silent because we were deaf.
    """
    if not presence.been_online or presence.heard is None or presence.state == "offline":
        return None
    return max(presence.heard, listening_since) + timedelta(seconds=rule.limit * period_s)


def _window(
    rule: Rule, window: tuple[tuple[datetime, float], ...], at: datetime, value: float
) -> tuple[tuple[datetime, float], ...]:
    begin = at - timedelta(seconds=rule.window_s)
    kept = [entry for entry in window if entry[0] >= begin and entry[1] < value]
    if not kept or at - kept[-1][0] >= timedelta(seconds=rule.window_s / _WINDOW_PARTS):
        kept.append((at, value))
    return tuple(kept)


def _delay(rule: Rule, raised: bool) -> timedelta:
    return timedelta(seconds=rule.off_delay_s if raised else rule.on_delay_s)


def _state(measure: Measure, value: float) -> str:
    index = int(value)
    return measure.states[index] if 0 <= index < len(measure.states) and index == value else ""


def _later(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else max(one, other)
