"""GeoJSON of wards and roads, as maps want it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, TypedDict

from ioc.geo.roads import roads
from ioc.geo.wards import wards


class FeatureCollection(TypedDict):
    """A GeoJSON feature collection (RFC 7946)."""

    type: str
    features: list[dict[str, Any]]


@lru_cache(maxsize=1)
def wards_geojson() -> FeatureCollection:
    """The 12 wards: feature id and properties ``code``, ``name``. The same object each time: do not change it."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": ward.code,
                "properties": {"code": ward.code, "name": ward.name},
                "geometry": {"type": "MultiPolygon", "coordinates": ward.polygons},
            }
            for ward in wards()
        ],
    }


@lru_cache(maxsize=1)
def roads_geojson() -> FeatureCollection:
    """All main-road centre lines as one feature, which a map draws in one stroke. Do not change it."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "id": "main-roads",
                "properties": {},
                "geometry": {"type": "MultiLineString", "coordinates": [road.line for road in roads()]},
            }
        ],
    }
