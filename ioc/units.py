"""Units that devices state, and their conversion to the catalogue's; pure.

Gases are reported as a share of the air (ppb) or as a mass in it (µg/m³); between them lies the molar mass, at 25 °C and 1 atm,
the reference state of QCVN 05:2023/BTNMT.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ioc.errors import RejectedError

#: Litres of one mole of an ideal gas at 25 °C and 1 atm.
_MOLAR_VOLUME: Final = 24.465


class Unit(NamedTuple):
    """A unit: value in the base unit of its dimension = value x scale + offset."""

    dimension: str
    scale: float
    offset: float = 0.0


#: Every unit by the spellings devices use; the catalogue's own unit of each dimension is among them.
UNITS: Final[dict[str, Unit]] = {
    spelling: unit
    for spellings, unit in (
        (("1", "ratio"), Unit("ratio", 1)),
        (("%", "percent", "%RH", "%rH"), Unit("ratio", 0.01)),
        (("‰",), Unit("ratio", 0.001)),
        (("°C", "℃", "C", "degC", "CEL", "Cel", "celsius"), Unit("temperature", 1)),
        (("°F", "℉", "F", "degF", "FAR", "fahrenheit"), Unit("temperature", 5 / 9, -160 / 9)),
        (("K", "kelvin"), Unit("temperature", 1, -273.15)),
        (("µg/m³", "μg/m³", "ug/m3", "µg/m3", "μg/m3", "ug/m³"), Unit("mass in air", 1)),
        (("mg/m³", "mg/m3"), Unit("mass in air", 1000)),
        (("ppb",), Unit("share of air", 1)),
        (("ppm",), Unit("share of air", 1000)),
        (("m", "M"), Unit("length", 1)),
        (("cm",), Unit("length", 0.01)),
        (("mm",), Unit("length", 0.001)),
        (("ft",), Unit("length", 0.3048)),
        (("in",), Unit("length", 0.0254)),
        (("mm/h", "mm/hr"), Unit("rain", 1)),
        (("mm/min",), Unit("rain", 60)),
        (("in/h", "in/hr"), Unit("rain", 25.4)),
        (("km/h", "kph", "kmh", "KMH"), Unit("speed", 1)),
        (("m/s", "MTS"), Unit("speed", 3.6)),
        (("mph",), Unit("speed", 1.609344)),
        (("kn", "kt"), Unit("speed", 1.852)),
        (("s", "sec", "SEC"), Unit("time", 1)),
        (("ms",), Unit("time", 0.001)),
        (("min",), Unit("time", 60)),
        (("W", "WTT"), Unit("power", 1)),
        (("mW",), Unit("power", 0.001)),
        (("kW", "KWT"), Unit("power", 1000)),
        (("A", "AMP"), Unit("current", 1)),
        (("mA",), Unit("current", 0.001)),
        (("V", "VLT"), Unit("voltage", 1)),
        (("mV",), Unit("voltage", 0.001)),
        (("kV",), Unit("voltage", 1000)),
        (("kWh", "KWH"), Unit("energy", 1)),
        (("Wh",), Unit("energy", 0.001)),
        (("MWh",), Unit("energy", 1000)),
        (("kJ",), Unit("energy", 1 / 3600)),
        (("MJ",), Unit("energy", 1 / 3.6)),
        (("dBm", "dB"), Unit("signal", 1)),
        (("vehicles/min", "veh/min"), Unit("flow", 1)),
        (("vehicles/h", "veh/h"), Unit("flow", 1 / 60)),
        (("people", "persons", "person"), Unit("people", 1)),
    )
    for spelling in spellings
}


def convert(value: float, stated: str, wanted: str, *, molar_mass: float = 0.0) -> float:
    """A value in the unit a device states, in the unit of the catalogue.

    Args:
        value: the value as stated.
        stated: the device's unit; "" = none stated, taken to be `wanted`.
        wanted: the catalogue's unit.
        molar_mass: grams per mole of the gas that is measured, 0 when it is no gas.

    Raises:
        RejectedError: `unit`, when the one is not known or cannot become the other.

    >>> convert(86, "°F", "°C")
    30.0
    >>> round(convert(100, "ppb", "µg/m³", molar_mass=46.0055), 1)
    188.0
    """
    if stated in ("", wanted):
        return value
    unit, target = UNITS.get(stated.strip()), UNITS.get(wanted)
    if unit is None:
        raise RejectedError("unit", f"unit: got {stated[:40]!r}, which is not known; expected {wanted or 'none'}")
    if target is not None and unit.dimension == target.dimension:
        return round((value * unit.scale + unit.offset - target.offset) / target.scale, 9)
    if target is not None and molar_mass and unit.dimension == "share of air" and target.dimension == "mass in air":
        return round(value * unit.scale * molar_mass / _MOLAR_VOLUME / target.scale, 9)
    raise RejectedError("unit", f"unit: got {stated[:40]!r}, which cannot become {wanted or 'a state'}")
