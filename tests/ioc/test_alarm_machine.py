"""The alarm states of ISA-18.2."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.alarms.machine import STATE_LABELS, Event, Occurrence, apply
from ioc.model import AlarmState

EVENTS: list[Event] = [
    "raise",
    "return",
    "acknowledge",
    "shelve",
    "unshelve",
    "suppress",
    "release",
    "remove",
    "restore",
]


def after(*events: Event) -> Occurrence:
    now = Occurrence()
    for event in events:
        now = apply(now, event)
    return now


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([], "unacknowledged"),
        (["acknowledge"], "acknowledged"),
        (["acknowledge", "return"], "normal"),
        (["return"], "returned_unacknowledged"),
        (["return", "acknowledge"], "normal"),
        (["return", "raise"], "unacknowledged"),
        (["acknowledge", "raise"], "acknowledged"),  # it never went
        (["shelve"], "shelved"),
        (["shelve", "return"], "shelved"),
        (["shelve", "return", "raise"], "shelved"),
        (["shelve", "unshelve"], "unacknowledged"),
        (["acknowledge", "shelve", "unshelve"], "unacknowledged"),  # it asks again
        (["shelve", "return", "unshelve"], "normal"),
        (["return", "shelve"], "shelved"),
        (["suppress"], "suppressed"),
        (["suppress", "release"], "unacknowledged"),
        (["acknowledge", "suppress", "release"], "acknowledged"),
        (["suppress", "return"], "normal"),
        (["suppress", "acknowledge", "release"], "acknowledged"),
        (["shelve", "suppress"], "suppressed"),
        (["shelve", "suppress", "release"], "shelved"),
        (["remove"], "out_of_service"),
        (["remove", "suppress"], "out_of_service"),
        (["remove", "restore"], "unacknowledged"),
        (["remove", "return"], "normal"),
        (["unshelve"], "unacknowledged"),
        (["release"], "unacknowledged"),
        (["restore"], "unacknowledged"),
    ],
)
def test_apply_events(events: list[Event], state: AlarmState) -> None:
    """Every transition that matters, from a new alarm."""
    assert after(*events).state == state


sequences = st.lists(st.sampled_from(EVENTS), max_size=30)


@given(sequences, st.sampled_from(EVENTS))
def test_normal_is_the_end(events: list[Event], event: Event) -> None:
    """An occurrence that is over never comes back; the next one is another."""
    now = after(*events)
    if now.state == "normal":
        assert apply(now, event) is now


@given(sequences, st.sampled_from(EVENTS))
def test_apply_twice_is_apply_once(events: list[Event], event: Event) -> None:
    """Every event can be told twice, by two operators or after a crash."""
    once = apply(after(*events), event)
    assert apply(once, event) == once


@given(sequences)
def test_active_is_never_normal(events: list[Event]) -> None:
    """While the condition holds, the alarm is alive somewhere."""
    now = after(*events)
    assert not (now.active and now.state == "normal")


@given(sequences)
def test_an_alarm_ends_only_seen_or_hidden(events: list[Event]) -> None:
    """Nothing that asked for an operator ends without one, or without having been hidden by design or put aside."""
    now = after(*events)
    if now.state == "normal":
        assert now.acknowledged or now.suppressed or now.out_of_service


@given(sequences)
def test_every_alarm_can_end(events: list[Event]) -> None:
    """Whatever happened, these three events end it (a retired device)."""
    now = after(*events)
    for event in ("return", "unshelve", "acknowledge"):
        now = apply(now, event)  # type: ignore[arg-type]
    assert now.state == "normal"


def test_state_labels_are_complete() -> None:
    """Every state has a name in both languages."""
    assert set(STATE_LABELS) == set(AlarmState.__args__)  # type: ignore[attr-defined]
    assert all(label.vi and label.en for label in STATE_LABELS.values())
