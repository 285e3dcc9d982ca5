"""Where the sun stands: a low-precision formula (Astronomical Almanac), good to 0.1 degree."""

from __future__ import annotations

from math import asin, cos, degrees, radians, sin

#: Middle of the city.
LAT, LON = 10.85, 106.77
#: Street lamps follow a photocell: they switch when the sun is this far below the horizon.
SWITCH_DEGREES = -1.5


def elevation(t: float, lat: float = LAT, lon: float = LON) -> float:
    """Degrees of the sun above the horizon at epoch second ``t``, refraction left out."""
    days = t / 86_400 - 10_957.5
    mean = radians((357.528 + 0.9856003 * days) % 360)
    longitude = radians((280.460 + 0.9856474 * days) % 360 + 1.915 * sin(mean) + 0.020 * sin(2 * mean))
    tilt = radians(23.439 - 0.0000004 * days)
    declination = asin(sin(tilt) * sin(longitude))
    # Equation of time through the right ascension: atan2 is spared by the usual series.
    equation = -1.915 * sin(mean) - 0.020 * sin(2 * mean) + 2.466 * sin(2 * longitude) - 0.053 * sin(4 * longitude)
    hour_angle = radians((t % 86_400) / 240 - 180 + lon + equation)
    high = sin(radians(lat)) * sin(declination) + cos(radians(lat)) * cos(declination) * cos(hour_angle)
    return degrees(asin(max(-1.0, min(1.0, high))))


def is_dark(t: float) -> bool:
    """Whether street lamps should burn."""
    return elevation(t) < SWITCH_DEGREES
