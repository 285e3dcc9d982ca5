"""Main-road centre lines: to draw, and to place things along."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from math import cos, hypot, radians

import msgspec

from ioc.geo.polygon import METRES_PER_DEGREE
from ioc.geo.tables import load_table
from ioc.geo.wards import LngLat


class Road(msgspec.Struct, frozen=True):
    """One centre line, unnamed, about 15 m true. ``line`` holds ``(lon, lat)`` pairs."""

    line: tuple[LngLat, ...]

    @property
    def length(self) -> float:
        """Metres along the line."""
        return sum(metres(a, b) for a, b in pairwise(self.line))

    def walk(self, step: float, start: float = 0.0) -> tuple[LngLat, ...]:
        """Points every ``step`` metres along the line, the first ``start`` metres in; ``(lon, lat)`` pairs."""
        found: list[LngLat] = []
        due = start
        for a, b in pairwise(self.line):
            span = metres(a, b)
            while due < span:
                part = due / span
                found.append((a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part))
                due += step
            due -= span
        return tuple(found)


class _Table(msgspec.Struct, frozen=True):
    lines: tuple[tuple[LngLat, ...], ...]


@lru_cache(maxsize=1)
def roads() -> tuple[Road, ...]:
    """All centre lines, 205 km together; a few run a little beyond the city's border."""
    return tuple(Road(line) for line in load_table("roads.json", _Table).lines)


def metres(a: LngLat, b: LngLat) -> float:
    """Metres between two ``(lon, lat)`` points, flat-earth, good for a few tens of kilometres."""
    return hypot((b[0] - a[0]) * cos(radians((a[1] + b[1]) / 2)), b[1] - a[1]) * METRES_PER_DEGREE
