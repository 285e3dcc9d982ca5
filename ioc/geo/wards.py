"""The 12 wards in force since 1 July 2025, and which of them a point lies in."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ioc.geo.polygon import Shape
from ioc.geo.tables import load_table

BBOX = (106.698, 10.742, 106.882, 10.902)
"""West, south, east, north of the area, degrees."""

LngLat = tuple[float, float]


class Ward(msgspec.Struct, frozen=True):
    """One ward: official code, name, and its area as GeoJSON multipolygon coordinates."""

    code: str
    name: str
    polygons: tuple[tuple[tuple[LngLat, ...], ...], ...]

    def __hash__(self) -> int:
        """By code: hashing thousands of coordinates for every look-up would be waste."""
        return hash(self.code)


class _Table(msgspec.Struct, frozen=True):
    wards: tuple[Ward, ...]


@lru_cache(maxsize=1)
def wards() -> tuple[Ward, ...]:
    """The 12 wards, in the order of the table.

    Raises:
        ioc.geo.tables.TableError: the package's table is damaged.
    """
    return load_table("wards.json", _Table).wards


@lru_cache(maxsize=1)
def _shapes() -> tuple[tuple[Ward, Shape], ...]:
    return tuple((ward, Shape(ward.polygons)) for ward in wards())


@lru_cache(maxsize=1)
def _by_code() -> dict[str, Ward]:
    return {ward.code: ward for ward in wards()}


def ward_by_code(code: str) -> Ward | None:
    """The ward with the official ``code``, or None."""
    return _by_code().get(code)


def bounding_box(ward: Ward) -> tuple[float, float, float, float]:
    """West, south, east, north of one ward, degrees."""
    shape = next(shape for known, shape in _shapes() if known.code == ward.code)
    return (shape.west, shape.south, shape.east, shape.north)


def ward_of(lat: float, lon: float) -> Ward | None:
    """The ward the point lies in, or None. A point on a shared border belongs to exactly one ward."""
    for ward, shape in _shapes():
        if shape.contains(lon, lat):
            return ward
    return None


def nearest_ward(lat: float, lon: float, within_m: float = 100.0) -> Ward | None:
    """The ward with the border nearest to a point outside all of them, if it is ``within_m`` metres away or less.

    Borders are simplified to about 20 m, so that a lamp on a border road may fall just outside.
    """
    reach = within_m / 100_000.0
    near = [
        (shape.distance(lon, lat), ward.code)
        for ward, shape in _shapes()
        if shape.west - reach <= lon <= shape.east + reach and shape.south - reach <= lat <= shape.north + reach
    ]
    if not near:
        return None
    metres, code = min(near)
    return ward_by_code(code) if metres <= within_m else None


def ward_at(lat: float, lon: float, within_m: float = 100.0) -> Ward | None:
    """The ward the point lies in, else the nearest one within ``within_m`` metres, else None."""
    return ward_of(lat, lon) or nearest_ward(lat, lon, within_m)
