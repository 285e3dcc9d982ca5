"""The tide on the Sài Gòn river, approximate.

Seven harmonic constituents with amplitudes and lags near those published for the river's mouth, damped and delayed up
to the city, without nodal corrections: the shape, the fortnightly springs and the hours are right to about an hour and
a few decimetres. It is a model to exercise software with, not a tide table.
"""

from __future__ import annotations

from math import cos, pi, radians, tanh

#: Name, amplitude in metres, lag in degrees (Greenwich).
CONSTITUENTS = (
    ("M2", 0.74, 282.0),
    ("S2", 0.29, 320.0),
    ("N2", 0.15, 261.0),
    ("K2", 0.08, 320.0),
    ("K1", 0.55, 269.0),
    ("O1", 0.41, 227.0),
    ("P1", 0.17, 269.0),
)
MEAN_M = 0.05
"""Mean level above the national datum, metres."""
SEASONAL_M = 0.13
"""Half range of the yearly swing; highest in early November."""
CEILING_M = 1.0
"""Above this the flood plain takes water in, and further rise is damped."""


def river_level(t: float, lag_s: float = 0.0) -> float:
    """Metres above datum at epoch second ``t``, ``lag_s`` seconds upstream of the lower gauge."""
    t -= lag_s
    hours = t % 86_400 / 3600
    century = (t / 86_400 - 10_957.5) / 36_525
    moon = 218.3165 + 481_267.8813 * century
    sun = 280.4661 + 36_000.7698 * century
    perigee = 83.3535 + 4_069.0137 * century
    day = 15 * hours
    arguments = {
        "M2": 2 * day - 2 * moon + 2 * sun,
        "S2": 2 * day,
        "N2": 2 * day - 3 * moon + 2 * sun + perigee,
        "K2": 2 * day + 2 * sun,
        "K1": day + sun + 90,
        "O1": day - 2 * moon + sun - 90,
        "P1": day - sun - 90,
    }
    year = t / (365.2422 * 86_400)
    level = MEAN_M + SEASONAL_M * cos(2 * pi * (year - 0.84))
    level += sum(high * cos(radians((arguments[name] - lag) % 360)) for name, high, lag in CONSTITUENTS)
    if level <= CEILING_M:
        return level
    return CEILING_M + 0.5 * tanh((level - CEILING_M) / 0.8)
