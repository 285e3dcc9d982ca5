"""Kinds of rule hold together; a rule that cannot be followed is refused, field by field. Pure."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.camera_rules import NAME_AT_MOST, RULE_KINDS, VEHICLES, CameraRule, RuleKind, area
from ioc.catalog import VISION_CLASSES
from ioc.errors import FormError

SQUARE = ((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))
SHAPES = {"line": ((0.1, 0.5), (0.9, 0.5)), "zone": SQUARE, "quad": SQUARE}


def make_rule(kind: str = "zone", **fields: Any) -> CameraRule:
    """A rule that passes, but for the fields given."""
    known: dict[str, Any] = {"id": 0, "camera": "cam-1", "kind": kind, "name": "Lối vào"}
    return CameraRule(**{**known, "points": SHAPES[RULE_KINDS[kind].shape], **fields})


def faults(rule: CameraRule) -> dict[str, str]:
    with pytest.raises(FormError) as caught:
        rule.check()
    return caught.value.faults


@pytest.mark.parametrize("kind", RULE_KINDS.values(), ids=RULE_KINDS)
def test_kind_is_complete(kind: RuleKind) -> None:
    """Labels in both languages, classes that the detector knows, defaults within their limits, and its plainest rule passes."""
    labels = [kind.label, *(setting.label for setting in kind.settings)]
    assert all(text and text == text.strip() for label in labels for text in label)
    assert set(kind.classes) <= set(kind.choices) <= set(VISION_CLASSES)
    assert bool(kind.classes) == (kind.key != "ground")
    assert all(setting.least <= setting.default <= setting.most and setting.unit for setting in kind.settings)
    assert len({setting.key for setting in kind.settings}) == len(kind.settings)
    rule = make_rule(kind.key)
    rule.check()
    assert rule.looks_at() == kind.classes
    assert {setting.key: rule.setting(setting.key) for setting in kind.settings} == {
        setting.key: setting.default for setting in kind.settings
    }


def test_settings_at_their_limits_pass_and_beyond_them_do_not() -> None:
    """Each number of each kind; NaN is no number."""
    for kind in RULE_KINDS.values():
        for setting in kind.settings:
            for value in (setting.least, setting.most):
                rule = make_rule(kind.key, settings={setting.key: value})
                rule.check()
                assert rule.setting(setting.key) == value
            for value in (setting.least - 0.001, setting.most + 0.001, math.nan, math.inf):
                assert faults(make_rule(kind.key, settings={setting.key: value})) == {setting.key: "limits"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "teleport"}, {"kind": "rule_kind"}),
        ({"name": " "}, {"name": "empty"}),
        ({"name": "a\0b"}, {"name": "empty"}),
        ({"name": "x" * (NAME_AT_MOST + 1)}, {"name": "long"}),
        ({"classes": ("tram",)}, {"classes": "classes"}),
        ({"classes": ("car", "car")}, {"classes": "classes"}),
        ({"settings": {"seconds": 3.0}}, {"seconds": "setting"}),
        ({"points": ()}, {"points": "points_zone"}),
        ({"points": SQUARE[:2]}, {"points": "points_zone"}),
        ({"points": ((0.5, 0.5),) * 21}, {"points": "points_zone"}),
        ({"points": ((0.2, 0.2), (0.8, 0.2), (0.8, 1.01))}, {"points": "outside"}),
        ({"points": ((0.2, 0.2), (0.8, 0.2), (math.nan, 0.5))}, {"points": "outside"}),
        ({"points": ((0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8))}, {"points": "crossed"}),
        ({"points": ((0.2, 0.2), (0.5, 0.2), (0.8, 0.2))}, {"points": "small"}),
        ({"points": ((0.2, 0.2), (0.21, 0.2), (0.21, 0.21))}, {"points": "small"}),
        ({"name": "", "points": ()}, {"name": "empty", "points": "points_zone"}),
    ],
)
def test_what_cannot_be_followed_is_refused(fields: dict[str, Any], expected: dict[str, str]) -> None:
    """Every field at fault is named, with a key that the pages have words for."""
    assert faults(msgspec.structs.replace(make_rule(), **fields)) == expected


@pytest.mark.parametrize(
    ("kind", "points", "expected"),
    [
        ("line", SQUARE, "points_line"),
        ("line", ((0.5, 0.5), (0.5, 0.51)), "small"),
        ("ground", SQUARE[:3], "points_quad"),
        ("ground", ((0.2, 0.2), (0.2, 0.2), (0.8, 0.8), (0.2, 0.8)), "small"),
        ("ground", ((0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8)), "crossed"),
        ("ground", ((0.1, 0.1), (0.9, 0.1), (0.3, 0.3), (0.1, 0.9)), "convex"),
        ("ground", ((0.1, 0.1), (0.5, 0.1), (0.9, 0.1), (0.5, 0.9)), "convex"),
        ("ground", ((0.5, 0.9), (0.9, 0.1), (0.5, 0.1), (0.1, 0.1)), "convex"),
    ],
)
def test_shapes_that_say_nothing_are_refused(kind: str, points: Any, expected: str) -> None:
    """A line has two ends; the ground is a rectangle seen in perspective, so convex."""
    assert faults(make_rule(kind, points=points)) == {"points": expected}


def test_a_rule_looks_at_its_own_classes() -> None:
    """Where a rule names classes they count; a crowd is of people."""
    rule = make_rule("line", classes=("bus",))
    rule.check()
    assert rule.looks_at() == ("bus",)
    assert faults(make_rule("crowd", classes=("bus",))) == {"classes": "classes"}
    assert set(VEHICLES) | {"person"} == set(VISION_CLASSES)


SHARES = st.floats(0, 1)
CORNERS = st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=8).map(tuple)


@given(points=CORNERS, start=st.integers(0, 7))
def test_zone_is_judged_alike_from_whichever_corner_and_way_round(
    points: tuple[tuple[float, float], ...], start: int
) -> None:
    """Where a polygon begins, and its sense, are nothing; what passes has an area."""

    def passes(corners: tuple[tuple[float, float], ...]) -> bool:
        try:
            make_rule(points=corners).check()
        except FormError:
            return False
        return True

    turned = points[start:] + points[:start]
    # The last digit of an area that is just the smallest may fall either way.
    if abs(abs(area(points)) - 0.0004) > 1e-9:
        assert passes(points) == passes(turned) == passes(points[::-1])
    if passes(points):
        assert abs(area(points)) > 0
