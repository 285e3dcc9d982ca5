"""The map: wards and main roads drawn once by Leaflet, every device on one live canvas (`assets/map.js`)."""

from __future__ import annotations

import dash_leaflet as dl
from dash import html

from ioc.geo import BBOX, roads_geojson, wards_geojson
from ioc.i18n import Translator

_WEST, _SOUTH, _EAST, _NORTH = BBOX


def city_map(words: Translator) -> html.Div:
    """Map of all wards. Our own geometry, so no tile is asked of anybody; colours come from `tokens.css` by class."""
    return html.Div(
        [
            dl.Map(
                [
                    dl.Pane(dl.GeoJSON(data=wards_geojson(), style={"className": "ward"}, interactive=False), name="wards"),
                    dl.Pane(dl.GeoJSON(data=roads_geojson(), style={"className": "road"}, interactive=False), name="roads"),
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
            html.Div(id="map-legend", className="map-legend", **{"aria-label": words("Legend")}),
            html.Div(id="map-tip", className="map-tip"),
        ],
        className="map-frame panel",
    )
