"""The map: wards and main roads drawn once by Leaflet, every device on one live canvas (`assets/map.js`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import dash_leaflet as dl
from dash import html

from ioc.geo import BBOX, roads_geojson, wards, wards_geojson
from ioc.geo.polygon import Shape
from ioc.i18n import Translator

#: Points a side that are tried for a ward's name.
_STEPS: Final = 15
_WEST, _SOUTH, _EAST, _NORTH = BBOX


@lru_cache(maxsize=1)
def label_points() -> dict[str, tuple[float, float]]:
    """Where a ward's name stands (lat, lon): inside it, far from its border, and its name reads across, so width counts more."""
    points = {}
    for ward in wards():
        shape = Shape(ward.polygons)
        grid = [
            (
                shape.south + (shape.north - shape.south) * (i + 0.5) / _STEPS,
                shape.west + (shape.east - shape.west) * (j + 0.5) / _STEPS,
            )
            for i in range(_STEPS)
            for j in range(_STEPS)
        ]
        inside = [(lat, lon) for lat, lon in grid if shape.contains(lon, lat)]
        points[ward.code] = max(inside, key=lambda at: shape.distance(at[1], at[0]))
    return points


def ward_layers() -> list[dl.GeoJSON]:
    """Wards and main roads for a small map."""
    return [
        dl.GeoJSON(data=wards_geojson(), style={"className": "ward"}, interactive=False),
        dl.GeoJSON(data=roads_geojson(), style={"className": "road"}, interactive=False),
    ]


def city_map(words: Translator) -> html.Div:
    """Map of all wards. Our own geometry, so no tile is asked of anybody; colours come from `tokens.css` by class."""
    return html.Div(
        [
            dl.Map(
                [
                    dl.Pane(
                        dl.GeoJSON(data=wards_geojson(), style={"className": "ward"}, interactive=False), name="wards"
                    ),
                    dl.Pane(
                        dl.GeoJSON(data=roads_geojson(), style={"className": "road"}, interactive=False), name="roads"
                    ),
                ],
                id="city-map",
                center=[(_SOUTH + _NORTH) / 2, (_WEST + _EAST) / 2],
                zoom=12,
                zoomSnap=0,
                zoomDelta=0.5,
                zoomControl=False,
                attributionControl=False,
                zoomAnimation=False,
                fadeAnimation=False,
                inertia=False,
                keyboard=False,
                maxZoom=18,
                minZoom=10,
                className="map",
            ),
            html.Div(id="map-legend", className="map-legend", role="group", title=words("Legend")),
            html.Div(id="map-tip", className="map-tip"),
        ],
        className="map-frame panel",
    )
