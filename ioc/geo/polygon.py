"""Point in polygon, exactly once: pure ray casting over rings, with holes and many parts.

A point on a border shared by two neighbours belongs to exactly one of them: the test is half open, and every edge is
worked out from its lower to its upper end, so that both neighbours compute the very same number for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import cos, hypot, radians

Point = Sequence[float]
"""``(lon, lat)`` in degrees, GeoJSON order."""
Ring = Sequence[Point]
Edge = tuple[float, float, float, float]
"""``(x0, y0, x1, y1)`` with ``y0 < y1``."""

METRES_PER_DEGREE = 111_195.0
"""Length of a degree of latitude on a sphere of 6,371 km radius."""


def sides(ring: Ring) -> Iterator[tuple[Point, Point]]:
    """The sides of ``ring``, closing it if its last point is not its first."""
    return zip(ring, (*ring[1:], ring[0]), strict=True)


def crossable(rings: Iterable[Ring]) -> tuple[Edge, ...]:
    """The edges of ``rings`` that a horizontal ray can cross, each from its lower to its upper end."""
    found: list[Edge] = []
    for ring in rings:
        for start, end in sides(ring):
            if start[1] < end[1]:
                found.append((start[0], start[1], end[0], end[1]))
            elif start[1] > end[1]:
                found.append((end[0], end[1], start[0], start[1]))
    return tuple(found)


def crosses_odd(crossing: Iterable[Edge], lon: float, lat: float) -> bool:
    """Whether a ray going west from the point crosses an odd number of ``crossing`` edges.

    Outer rings and holes of any number of parts may be mixed: parity sorts them out.
    """
    odd = False
    for x0, y0, x1, y1 in crossing:
        if y0 <= lat < y1 and x0 + (lat - y0) * (x1 - x0) / (y1 - y0) <= lon:
            odd = not odd
    return odd


class Shape:
    """A polygon with holes or several parts, ready for many point tests.

    The edges are sorted into horizontal bands, so that a test looks at a handful of edges and not at all of them.
    """

    BANDS = 48

    def __init__(self, polygons: Sequence[Sequence[Ring]]) -> None:
        rings = [ring for polygon in polygons for ring in polygon]
        edges = crossable(rings)
        self._sides = tuple(side for ring in rings for side in sides(ring))
        self.west = min(point[0] for ring in rings for point in ring)
        self.east = max(point[0] for ring in rings for point in ring)
        self.south = min(point[1] for ring in rings for point in ring)
        self.north = max(point[1] for ring in rings for point in ring)
        height = self.north - self.south
        self._per_degree = self.BANDS / height if height > 0 else 0.0
        bands: list[list[Edge]] = [[] for _ in range(self.BANDS + 1)]
        for edge in edges:
            for band in range(self._band(edge[1]), self._band(edge[3]) + 1):
                bands[band].append(edge)
        self._bands = tuple(tuple(band) for band in bands)

    def _band(self, lat: float) -> int:
        return int((lat - self.south) * self._per_degree)

    def contains(self, lon: float, lat: float) -> bool:
        """Whether the point lies inside."""
        if not (self.south <= lat < self.north and self.west <= lon <= self.east):
            return False
        return crosses_odd(self._bands[self._band(lat)], lon, lat)

    def distance(self, lon: float, lat: float) -> float:
        """Metres from the point to the nearest border, flat-earth, good for a few kilometres."""
        kx, ky = METRES_PER_DEGREE * cos(radians(lat)), METRES_PER_DEGREE
        best = float("inf")
        for start, end in self._sides:
            ax, ay = (start[0] - lon) * kx, (start[1] - lat) * ky
            dx, dy = (end[0] - start[0]) * kx, (end[1] - start[1]) * ky
            square = dx * dx + dy * dy
            along = min(1.0, max(0.0, -(ax * dx + ay * dy) / square)) if square > 0 else 0.0
            best = min(best, hypot(ax + along * dx, ay + along * dy))
        return best
