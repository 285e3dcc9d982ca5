"""The wall: what is wrong now, where, how bad; readable from where the operators sit."""

from __future__ import annotations

import dash
from dash import html

from dashboards import shell
from dashboards.components.alarm_list import alarm_list
from dashboards.components.camera_tile import camera_tiles
from dashboards.components.city_map import city_map
from dashboards.components.wall_header import wall_header

dash.register_page(__name__, path="/", title="Thủ Đức")


def layout(**query: str) -> html.Main:
    """The page. What moves on it is written by scripts from the feed."""
    del query
    words = shell.reader().words
    return shell.page(
        "wall",
        wall_header(words),
        html.Div(
            [
                html.Section(html.Div([], className="kpis"), className="wall-left"),
                city_map(words),
                html.Section([alarm_list(words), camera_tiles(words)], className="wall-right"),
            ],
            className="wall-body",
        ),
        html.Footer(
            [
                html.Span(words("12 wards, edition of 1 July 2025")),
                html.Span("", id="provenance"),
                html.Span(words("Press ? for keys"), className="grow-right"),
            ],
            className="wall-footer",
        ),
    )
