"""The catalogue holds together: everything that follows from a row finds what it needs in it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from ioc.alarms.rule import breached, cleared
from ioc.catalog import (
    CAUSES,
    KINDS,
    MEASURES,
    RULES,
    VISION_CLASSES,
    DeviceKind,
    Label,
    Measure,
    Rule,
    kind,
    measure,
    own_period,
    pace_of,
    period_of,
)
from ioc.errors import CatalogError

ALL_RULES = [rule for row in (*MEASURES.values(), *KINDS.values()) for rule in row.rules]
VALUE_RULES = [(rule, row) for row in MEASURES.values() for rule in row.rules]


def is_whole(label: Label) -> bool:
    return all(text and text == text.strip() for text in label)


@pytest.mark.parametrize("row", MEASURES.values(), ids=MEASURES)
def test_measure_is_complete(row: Measure) -> None:
    """Label in both languages, unit, range, period; an enumeration has a label for each state and no unit."""
    assert is_whole(row.label)
    assert row.range[0] < row.range[1]
    assert row.period_s > 0
    assert row.period_s < row.late_after_s < row.gone_after_s
    assert 0 <= row.decimals <= 3
    if row.states:
        assert row.unit == ""
        assert len(row.states) == len(set(row.states)) == len(row.state_labels)
        assert row.range == (0, len(row.states) - 1)
        assert all(is_whole(label) for label in row.state_labels)
    else:
        assert row.unit
        assert not row.state_labels


@pytest.mark.parametrize("rule", ALL_RULES, ids=lambda rule: rule.key)
def test_rule_is_complete(rule: Rule) -> None:
    """Label in both languages, a cause that exists, sensible delays, and only the fields of its kind."""
    assert is_whole(rule.label)
    assert rule.cause in CAUSES
    assert rule.priority in (1, 2, 3)
    assert rule.hysteresis >= 0
    assert rule.on_delay_s >= 0
    assert rule.off_delay_s >= 0
    assert (rule.window_s > 0) == (rule.kind == "rise")
    assert bool(rule.states) == (rule.kind == "is_state")
    assert rule.hysteresis == 0 or rule.kind in ("above", "below", "rise")


@pytest.mark.parametrize(("rule", "row"), VALUE_RULES, ids=lambda x: x.key)
def test_rule_of_a_measure_can_rise_and_return(rule: Rule, row: Measure) -> None:
    """The limit and the limit less its hysteresis are values the measure can have, on their own sides."""
    low, high = row.range
    if rule.kind == "is_state":
        assert set(rule.states) < set(row.states)
        values = [float(index) for index in range(len(row.states))]
    elif rule.kind == "rise":
        assert 0 < rule.limit <= high - low
        values = [0.0, rule.limit]
    else:
        assert rule.kind in ("above", "below")
        back = rule.limit - rule.hysteresis if rule.kind == "above" else rule.limit + rule.hysteresis
        assert low < rule.limit < high
        assert low < back < high
        values = [low, high]
    assert any(breached(rule, row, value) for value in values)
    assert any(cleared(rule, row, value) for value in values)


@pytest.mark.parametrize("row", MEASURES.values(), ids=MEASURES)
def test_limits_of_a_measure_are_ordered_by_priority(row: Measure) -> None:
    """The further limit is the more urgent, and the nearer one is out of the further one's hysteresis."""
    for sign, side in ((1, "above"), (-1, "below")):
        rules = sorted((r for r in row.rules if r.kind == side), key=lambda r: sign * r.limit)
        priorities = [rule.priority for rule in rules]
        assert priorities == sorted(priorities, reverse=True)
        assert len({rule.limit for rule in rules}) == len(rules)
        for near, far in pairwise(rules):
            assert sign * near.limit < sign * far.limit - far.hysteresis


@pytest.mark.parametrize("row", KINDS.values(), ids=KINDS)
def test_kind_is_complete(row: DeviceKind) -> None:
    """Its measures exist, its headline is one of them, and it is known when it is lost."""
    assert is_whole(row.label)
    assert row.period_s > 0
    assert row.icon
    assert len(row.measures) == len(set(row.measures))
    assert set(row.measures) <= set(MEASURES)
    assert row.headline == "" or row.headline in row.measures
    assert sorted(rule.kind for rule in row.rules) == ["offline", "silent"]
    assert all(rule.limit >= 2 for rule in row.rules if rule.kind == "silent")


def test_rules_of_a_device_and_of_a_measure_are_not_mixed() -> None:
    """`silent` and `offline` ask about a device, the others about a value."""
    assert {rule.kind for row in MEASURES.values() for rule in row.rules} <= {"above", "below", "rise", "is_state"}
    assert {rule.kind for row in KINDS.values() for rule in row.rules} == {"offline", "silent"}


def test_keys_are_unique_and_plain() -> None:
    """A key is a column value, a topic part and an id in a page."""
    assert [key for key, count in Counter(rule.key for rule in ALL_RULES).items() if count > 1] == []
    assert len(RULES) == len(ALL_RULES)
    for keys in (MEASURES, KINDS, RULES, CAUSES, VISION_CLASSES):
        assert all(key.isidentifier() and key.isascii() for key in keys)
    assert not set(MEASURES) & set(KINDS)


def test_rules_name_their_measure() -> None:
    """Every rule by key, with the measure it stands beside."""
    assert all(rule in MEASURES[key].rules for rule, key in RULES.values() if key)
    assert all(any(rule in row.rules for row in KINDS.values()) for rule, key in RULES.values() if not key)


def test_every_measure_is_reported_and_every_cause_is_used() -> None:
    """A row that nothing uses is a mistake, `peopleCount` of cameras included."""
    assert set(MEASURES) == {key for row in KINDS.values() for key in row.measures}
    assert {rule.cause for rule in ALL_RULES} == set(CAUSES)
    assert all(is_whole(label) for label in (*CAUSES.values(), *VISION_CLASSES.values()))


def test_unknown_keys_are_refused_with_what_to_do() -> None:
    """An error names what was asked for and where to add it."""
    with pytest.raises(CatalogError, match=r"measure 'nope': not in the catalogue; add a row to ioc/catalog\.py"):
        measure("nope")
    with pytest.raises(CatalogError, match="device kind 'nope'"):
        kind("nope")
    assert measure("pm25") is MEASURES["pm25"]
    assert kind("camera") is KINDS["camera"]


def test_label_in_language() -> None:
    """Vietnamese unless English is asked for."""
    label = Label("Mực nước", "Water level")
    assert [label.in_language(code) for code in ("vi", "en", "fr")] == ["Mực nước", "Water level", "Mực nước"]


@pytest.mark.parametrize(
    ("said", "own"),
    [
        (None, 0), ("", 0), ("soon", 0), ("nan", 0), ("inf", 0), ("-5", 0), (0, 0), ("0", 0), (True, 0), (900_000, 0),
        ("600", 600), (600, 600), (" 2.5 ", 2.5), ("863999", 863_999),
    ],
)  # fmt: skip
def test_pace_of_a_device(said: object, own: float) -> None:
    """A device that says so is expected at its own period; its measures are, where it is quieter than they are."""
    attrs = {"period_s": said} if said is not None else {}
    assert own_period(attrs) == own
    assert period_of("waste_bin", attrs) == (own or KINDS["waste_bin"].period_s)
    assert period_of("", attrs) == (own or 60)
    assert pace_of("waterLevel", attrs) == max(own, MEASURES["waterLevel"].period_s)
    assert pace_of("of no catalogue", attrs) == max(own, 60)
