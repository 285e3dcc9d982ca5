"""The wall: what is wrong now, where, how bad; readable from where the operators sit."""

from __future__ import annotations

from typing import Any, Final

import dash
from dash import ClientsideFunction, Input, Output, clientside_callback, dcc, html

from dashboards import shell
from dashboards.components.alarm_list import alarm_list
from dashboards.components.camera_tile import camera_tiles
from dashboards.components.city_map import city_map
from dashboards.components.kpi_tile import kpi_tile
from dashboards.components.trend import trend_chart
from dashboards.components.wall_header import wall_header
from dashboards.room import room
from dashboards.trends import TRENDS, draw
from ioc.errors import StorageError
from ioc.kpis import KPIS

#: The key figures of the wall; water, dust and speed stand above their charts.
TILES: Final = ("aqi_worst", "rain_highest", "vehicles_in_view", "energy_today", "devices_online", "cameras_online")

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
                html.Section(
                    [
                        html.Div([kpi_tile(words, KPIS[key]) for key in TILES], className="kpis"),
                        html.Div([trend_chart(words, trend) for trend in TRENDS], className="trends"),
                        dcc.Store(id="figures"),
                        dcc.Interval(id="trends-due", interval=60_000),
                    ],
                    className="wall-left",
                ),
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


@dash.callback(Output("figures", "data"), Input("trends-due", "n_intervals"))
async def read_trends(_: int | None) -> Any:
    """Figures by the id of their chart; nothing new while TimescaleDB is away, which the header says."""
    here = room()
    try:
        series = await here.trends.series(here.query, here.feed.city)
    except StorageError:
        return dash.no_update
    words = shell.reader().words
    return {f"trend-{trend.key}": draw(trend, series[trend.key], words) for trend in TRENDS}


clientside_callback(
    ClientsideFunction("charts", "scale"),
    [Output(f"trend-{trend.key}", "figure") for trend in TRENDS],
    Input("figures", "data"),
)
