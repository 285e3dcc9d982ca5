"""Waste bins: they fill with the day's rhythm and are emptied by a truck that comes by at night."""

from __future__ import annotations

from math import floor

from ingest.simulator.noise import between, local_day, local_hour, unit

#: What is thrown away in each hour of the day, in shares of a day: markets in the morning, dinner in the evening.
HOURS = (1, 0.6, 0.4, 0.4, 0.8, 2, 4, 5, 5, 4.5, 4.5, 6, 6.5, 5, 4, 4, 4.5, 6, 8, 8.5, 7, 5.5, 4, 2.3)
_SUM = sum(HOURS)


def thrown(t: float) -> float:
    """Days' worth of waste thrown away since the epoch at ``t``."""
    hour = local_hour(t)
    whole = floor(hour)
    return local_day(t) + (sum(HOURS[:whole]) + HOURS[whole] * (hour - whole)) / _SUM


def filling(seed: int, name: str, stop: int, t: float) -> float:
    """How full a bin is, 0 to 1. ``stop`` is its place on the ward's route, which starts at about nine in the evening."""
    rate = between(0.45, 0.93, seed, "rate", name)
    every = 2 if unit(seed, "rare", name) < 0.05 else 1
    hour = 21.0 + 0.22 * stop + between(-0.3, 0.3, seed, "stop", name)
    day = local_day(t) - (local_hour(t) < hour)
    day -= (day + stop) % every
    emptied = (day + hour / 24) * 86_400 - 7 * 3600
    return min(1.0, 0.03 + rate * (thrown(t) - thrown(emptied)))


def condition(seed: int, name: str, t: float) -> str:
    """State of the bin: a few have their lid left open for a day."""
    return "lidOpen" if unit(seed, "lid", name, local_day(t)) < 0.01 else "ok"
