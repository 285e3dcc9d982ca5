"""Brightness as shares and steps, and kinds told by measures."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.guess import kind_of
from ingest.lamps import share_of, steps_of
from ioc.catalog import KINDS


@pytest.mark.parametrize(
    ("raw", "share"), [(0, 0.0), (127, 0.5), (254.0, 1.0), ("7", "7"), (True, True), (None, None), (10**400, 10**400)]
)
def test_share_of_full_light(raw: Any, share: Any) -> None:
    """Numbers are scaled; all else stays what it is, to be refused."""
    assert share_of(raw, 254) == share


@given(st.floats(0, 1), st.integers(1, 65_535))
def test_steps_never_round_to_dark(level: float, full: int) -> None:
    """Whatever is not off is one step at least, and never more than full."""
    assert steps_of(level, full) in range(1 if level > 0 else 0, full + 1)


@pytest.mark.parametrize(
    ("measures", "kind"),
    [(["pm25", "temperature"], "air_station"), (["pm10", "no2"], "air_station"), (["temperature"], ""), ([], "")],
)
def test_kind_told_by_measures(measures: list[str], kind: str) -> None:
    """Only measures that one kind alone has tell it."""
    assert kind_of(measures) == kind
    assert not kind or set(measures) <= set(KINDS[kind].measures)
