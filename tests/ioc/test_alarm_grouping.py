"""Which incident an alarm joins, what an incident's state is, and when alarms are a flood."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.alarms.grouping import JOIN_WITHIN, Candidate, Newcomer, choose, incident_state, rate
from ioc.model import AlarmState

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def make_candidate(number: int = 1, ward: str = "w1", age: timedelta = MINUTE, **fields: frozenset[str]) -> Candidate:
    return Candidate(number, ward, NOW - age, **fields)


def make_newcomer(device: str = "lamp-9", ward: str = "w1", parent: str = "") -> Newcomer:
    return Newcomer("lighting", ward, device, parent)


def test_choose_same_ward_while_things_happen() -> None:
    """An incident of the ward takes the alarm for half an hour after its last change."""
    assert choose(make_newcomer(), [make_candidate(age=JOIN_WITHIN - MINUTE)], NOW) == 1
    assert choose(make_newcomer(), [make_candidate(age=JOIN_WITHIN)], NOW) is None
    assert choose(make_newcomer(ward="w2"), [make_candidate()], NOW) is None


def test_choose_own_device_at_any_age() -> None:
    """An escalation an hour later is no second incident."""
    old = make_candidate(age=60 * MINUTE, devices=frozenset({"lamp-9"}))
    assert choose(make_newcomer(), [old], NOW) == 1


@pytest.mark.parametrize(
    ("newcomer", "fields"),
    [
        (make_newcomer(parent="cab-1", ward="w2"), {"devices": frozenset({"cab-1"})}),  # below it
        (make_newcomer(parent="cab-1", ward="w2"), {"parents": frozenset({"cab-1"})}),  # beside its sibling
        (make_newcomer("cab-1", ward="w2"), {"parents": frozenset({"cab-1"})}),  # above it
    ],
)
def test_choose_family_across_wards(newcomer: Newcomer, fields: dict[str, frozenset[str]]) -> None:
    """Lamps of one cabinet are one incident, on whichever side of a border they stand."""
    assert choose(newcomer, [make_candidate(**fields)], NOW) == 1


def test_choose_no_parent_is_no_family() -> None:
    """Devices without a parent are not siblings."""
    assert choose(make_newcomer(ward="w2"), [make_candidate(parents=frozenset({""}))], NOW) is None


def test_choose_the_closest_then_the_newest() -> None:
    """Own device before family before ward; of equals the one that changed last."""
    ward, newer = make_candidate(1, age=2 * MINUTE), make_candidate(2)
    family = make_candidate(3, age=90 * MINUTE, devices=frozenset({"cab-1"}))
    own = make_candidate(4, age=90 * MINUTE, devices=frozenset({"lamp-9"}))
    newcomer = make_newcomer(parent="cab-1")
    assert choose(newcomer, [ward, newer, family, own], NOW) == 4
    assert choose(newcomer, [family, ward, newer], NOW) == 3
    assert choose(newcomer, [newer, ward], NOW) == 2
    assert choose(newcomer, [], NOW) is None


@pytest.mark.parametrize(
    ("alarms", "closed", "state"),
    [
        (["unacknowledged", "acknowledged"], False, "open"),
        (["returned_unacknowledged", "normal"], False, "open"),
        (["acknowledged", "normal"], False, "acknowledged"),
        (["shelved"], False, "acknowledged"),
        (["suppressed"], False, "acknowledged"),
        (["out_of_service"], False, "acknowledged"),
        (["normal", "normal"], False, "cleared"),
        (["acknowledged"], True, "closed"),
        (["normal"], True, "closed"),
        (["unacknowledged"], True, "open"),
        ([], False, "cleared"),
    ],
)
def test_incident_state_follows_from_its_alarms(alarms: list[AlarmState], closed: bool, state: str) -> None:
    """One alarm that asks opens the incident, a closed one too."""
    assert incident_state(alarms, closed=closed) == state


@pytest.mark.parametrize(
    ("count", "level"), [(0, "calm"), (1, "calm"), (2, "busy"), (9, "busy"), (10, "flood"), (500, "flood")]
)
def test_rate_levels(count: int, level: str) -> None:
    """One in ten minutes is manageable, ten are a flood."""
    found = rate([NOW - MINUTE] * count, NOW, target=1, flood=10)
    assert (found.opened, found.level) == (count, level)


@given(st.lists(st.integers(-1200, 1200)))
def test_rate_counts_the_last_ten_minutes_only(seconds: list[int]) -> None:
    """What is older, or not yet, is not counted."""
    times = [NOW - timedelta(seconds=s) for s in seconds]
    assert rate(times, NOW, target=1, flood=10).opened == sum(0 <= s < 600 for s in seconds)
