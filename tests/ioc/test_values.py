"""Values against the catalogue: pure."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.catalog import MEASURES
from ioc.errors import RejectedError
from ioc.model import REASONS
from ioc.values import MEASURES_OF, RANGES_OF, number_of, shorten

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    ("key", "raw", "expected"),
    [
        ("pm25", 0, 0.0),
        ("pm25", 0.0, 0.0),
        ("pm25", 12.5, 12.5),
        ("pm25", 1000, 1000.0),
        ("powerState", "on", 1.0),
        ("powerState", 3, 3.0),
        ("cabinetDoor", True, 1.0),
        ("cabinetDoor", False, 0.0),
        ("powerState", True, 1.0),
        ("cabinetDoor", "open", 1.0),
    ],
)
def test_number_of_good_value(key: str, raw: Any, expected: float) -> None:
    """Numbers, booleans and named states are stored; zero is not missing."""
    assert number_of(MEASURES[key], raw) == expected


@pytest.mark.parametrize(
    ("key", "raw", "reason"),
    [
        ("pm25", None, "value"),
        ("powerConsumption", True, "value"),
        ("batteryLevel", True, "value"),
        ("occupancy", False, "value"),
        ("workingMode", False, "value"),
        ("pm25", "12.5", "value"),
        ("pm25", math.nan, "value"),
        ("pm25", math.inf, "value"),
        ("pm25", 10**400, "value"),
        ("pm25", [1], "value"),
        ("pm25", {"a": 1}, "value"),
        ("pm25", "1\x002", "encoding"),
        ("pm25", 12345678901234567890, "range"),
        ("pm25", -0.1, "range"),
        ("pm25", 1000.1, "range"),
        ("powerState", 1.5, "value"),
        ("powerState", 4, "range"),
        ("powerState", "ON", "value"),
    ],
)
def test_number_of_bad_value(key: str, raw: Any, reason: str) -> None:
    """Each kind of bad value has its reason, and a detail that names the measure."""
    with pytest.raises(RejectedError) as caught:
        number_of(MEASURES[key], raw)
    assert caught.value.reason == reason
    assert caught.value.detail.startswith(key)


@given(st.sampled_from(sorted(MEASURES)), json_values)
def test_number_of_anything(key: str, raw: Any) -> None:
    """Whatever JSON holds is a finite value in range, or rejected with a known reason."""
    measure = MEASURES[key]
    value, reason = measure.range[0], REASONS[0]
    try:
        value = number_of(measure, raw)
    except RejectedError as error:
        reason = error.reason
    assert reason in REASONS
    assert measure.range[0] <= value <= measure.range[1]


@given(json_values)
def test_shorten_anything(raw: Any) -> None:
    """A quote of a value is short, whatever the value."""
    assert len(shorten(raw)) <= 100


def test_ranges_agree_with_measures() -> None:
    """The quick check knows the same ranges as the full one, and no enumerations."""
    for kind, ranges in RANGES_OF.items():
        for key, (least, most) in ranges.items():
            assert number_of(MEASURES_OF[kind][key], least) == least
            assert number_of(MEASURES_OF[kind][key], most) == most
            assert not MEASURES_OF[kind][key].states
