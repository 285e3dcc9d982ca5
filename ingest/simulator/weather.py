"""Rain cells that cross the city, temperature and humidity that follow the sun and the rain.

The wet season runs from May to November, with convective cells on most afternoons; the dry season has few.
"""

from __future__ import annotations

from functools import lru_cache
from math import cos, exp, pi

import msgspec

from ingest.simulator import sun
from ingest.simulator.effects import METRES_PER_DEGREE, Effects, distance, fade, total
from ingest.simulator.noise import between, day_start, drift, local_day, local_hour, unit

#: Mean number of cells on a day, January to December.
CELLS_A_DAY = (0.1, 0.1, 0.2, 0.6, 1.8, 2.3, 2.4, 2.4, 2.6, 2.3, 1.1, 0.3)
#: How long a street remembers the rain: drains empty with this time constant.
DRAIN_S = 1800.0
#: Drains carry this much; only heavier rain ponds.
DRAIN_MM_H = 12.0


class Cell(msgspec.Struct, frozen=True):
    """A convective cell: it is born at ``start``, drifts, and rains out over ``duration``."""

    start: float
    duration: float
    lat: float
    lon: float
    north_ms: float
    east_ms: float
    radius_m: float
    peak_mm_h: float

    def rain(self, t: float, lat: float, lon: float) -> float:
        """Millimetres an hour at a place and time."""
        age = t - self.start
        if not 0 <= age < self.duration:
            return 0.0
        middle_lat = self.lat + self.north_ms * age / METRES_PER_DEGREE
        middle_lon = self.lon + self.east_ms * age / METRES_PER_DEGREE
        life = (1 - cos(2 * pi * age / self.duration)) / 2
        return self.peak_mm_h * life * fade(distance(middle_lat, middle_lon, lat, lon), self.radius_m)


@lru_cache(maxsize=64)
def cells(seed: int, day: int) -> tuple[Cell, ...]:
    """The cells of one local day."""
    month = int((day % 365.2425) / 30.44) % 12
    count = int(CELLS_A_DAY[month] * 2 * unit(seed, "cells", day) + 0.5)
    found = []
    for number in range(count):
        key = ("cell", day, number)
        hour = 14.0 + 4.5 * (unit(seed, *key, "h1") + unit(seed, *key, "h2") - 0.7)
        found.append(
            Cell(
                start=day_start(day) + hour * 3600,
                duration=between(2400, 6000, seed, *key, "long"),
                lat=between(10.74, 10.88, seed, *key, "lat"),
                lon=between(106.66, 106.82, seed, *key, "lon"),
                north_ms=between(-0.5, 2.0, seed, *key, "north"),
                east_ms=between(0.5, 3.5, seed, *key, "east"),
                radius_m=between(2500, 6500, seed, *key, "radius"),
                peak_mm_h=between(14, 75, seed, *key, "peak"),
            )
        )
    return tuple(found)


def rainfall(seed: int, t: float, lat: float, lon: float, effects: Effects = ()) -> float:
    """Millimetres an hour at a place and time; below 0.1 is 0, as a gauge reports it."""
    rain = sum(cell.rain(t, lat, lon) for cell in cells(seed, local_day(t)))
    rain += total(effects, "rain", t, lat, lon)
    return 0.0 if rain < 0.1 else min(rain, 240.0)


def standing_water(seed: int, t: float, lat: float, lon: float, effects: Effects = ()) -> float:
    """Metres of water that stand on a low street: what fell and the drains could not carry, running off since."""
    if not effects and not any(c.start <= t <= c.start + c.duration + 4 * DRAIN_S for c in cells(seed, local_day(t))):
        return 0.0
    step = 300.0
    first = int(t // step)
    depth = 0.0
    for back in range(int(4 * DRAIN_S / step)):
        then = (first - back) * step
        over = rainfall(seed, then, lat, lon, effects) - DRAIN_MM_H
        if over > 0:
            depth += over * step / 3600 * exp(-(t - then) / DRAIN_S)
    return depth * 0.008


def temperature(seed: int, t: float, lat: float, lon: float, effects: Effects = ()) -> float:
    """Air temperature, °C: warmest at two, cooled by rain."""
    season = 1.6 * cos(2 * pi * (t / 86_400 / 365.2425 - 0.30))
    day = 3.9 * cos(2 * pi * (local_hour(t) - 14) / 24)
    wander = 0.8 * drift(seed, "temperature", t, 6 * 3600) + 0.15 * drift(seed, f"t{lat:.3f}{lon:.3f}", t, 900)
    rain = max(rainfall(seed, t - back, lat, lon, effects) for back in (0.0, 900.0, 1800.0))
    return 28.0 + season + day + wander - 4.5 * (1 - exp(-rain / 12))


def humidity(seed: int, t: float, lat: float, lon: float, effects: Effects = ()) -> float:
    """Relative humidity, 0 to 1: falls as it warms, rises in rain."""
    warm = temperature(seed, t, lat, lon, effects)
    wander = 0.04 * drift(seed, "humidity", t, 5 * 3600)
    rain = rainfall(seed, t, lat, lon, effects)
    return max(0.35, min(0.99, 0.78 - 0.027 * (warm - 28) + wander + 0.15 * (1 - exp(-rain / 5))))


def sunshine(seed: int, t: float, lat: float, lon: float, effects: Effects = ()) -> float:
    """Share of full sun that reaches the ground, 0 to 1."""
    cloud = 0.75 + 0.25 * drift(seed, "cloud", t, 3 * 3600)
    rain = rainfall(seed, t, lat, lon, effects)
    return max(0.0, sun.elevation(t) / 90) * cloud * exp(-rain / 15)
