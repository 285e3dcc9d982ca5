"""Units: what devices state becomes what the catalogue states, or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.catalog import MEASURES, measure_named
from ioc.errors import RejectedError
from ioc.units import UNITS, convert


@pytest.mark.parametrize(
    ("value", "stated", "wanted", "expected"),
    [
        (0, "°C", "°C", 0),
        (32, "°F", "°C", 0),
        (300, "K", "°C", 26.85),
        (55, "%", "1", 0.55),
        (0.4, "mg/m³", "µg/m³", 400),
        (12, "ug/m3", "µg/m³", 12),
        (15, "cm", "m", 0.15),
        (10, "m/s", "km/h", 36),
        (1.5, "kW", "W", 1500),
        (250, "mA", "A", 0.25),
        (2500, "Wh", "kWh", 2.5),
        (120, "vehicles/h", "vehicles/min", 2),
        (7, "", "V", 7),
    ],
)
def test_convert(value: float, stated: str, wanted: str, expected: float) -> None:
    """A value in another unit of the same dimension."""
    assert convert(value, stated, wanted) == pytest.approx(expected)


def test_convert_gas() -> None:
    """A share of the air becomes a mass in it by the molar mass, 25 °C and 1 atm."""
    assert convert(1, "ppm", "mg/m³", molar_mass=28.010) == pytest.approx(1.145, abs=0.001)
    assert convert(100, "ppb", "µg/m³", molar_mass=47.998) == pytest.approx(196.2, abs=0.1)
    with pytest.raises(RejectedError, match="cannot become"):
        convert(1, "ppb", "µg/m³")


@pytest.mark.parametrize(("stated", "wanted"), [("lx", "1"), ("°C", "V"), ("m", "mm/h"), ("%", "")])
def test_convert_refuses(stated: str, wanted: str) -> None:
    """An unknown unit, one of another dimension, and any unit of a state."""
    with pytest.raises(RejectedError) as refused:
        convert(1, stated, wanted)
    assert refused.value.reason == "unit"


@given(st.sampled_from(sorted(UNITS)), st.floats(-1e6, 1e6))
def test_convert_there_and_back(stated: str, value: float) -> None:
    """Every unit comes back from its dimension's own."""
    unit = UNITS[stated]
    base = next(key for key, row in UNITS.items() if row == (unit.dimension, 1, 0))
    assert convert(convert(value, stated, base), base, stated) == pytest.approx(value, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("row", MEASURES.values(), ids=MEASURES)
def test_names_of_a_measure(row: object) -> None:
    """Every name leads to its measure alone, in a unit that becomes the measure's."""
    measure = MEASURES[row.key]  # type: ignore[attr-defined]
    for name, unit in ((measure.key, measure.unit), *measure.aliases):
        found = measure_named(name.upper().replace("_", " "))
        assert found is not None
        assert found[0] is measure
        assert measure_named(name) == (measure, unit)
        convert(1.0, unit, measure.unit, molar_mass=measure.molar_mass)
