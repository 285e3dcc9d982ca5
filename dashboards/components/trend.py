"""A trend chart: its title with the newest figure, and plotly under it."""

from __future__ import annotations

from dash import dcc, html

from dashboards.components.kpi_tile import kpi_value
from dashboards.trends import HOURS, Trend
from ioc.i18n import Translator
from ioc.kpis import KPIS


def trend_chart(words: Translator, trend: Trend) -> html.Section:
    """The chart's panel; its figure comes by callback, scaled to the screen by `assets/charts.js`."""
    return html.Section(
        [
            html.Header(
                [
                    html.Div(
                        [html.H2(words(trend.title)), html.Span(words("last {n} h", n=HOURS), className="trend-span")]
                    ),
                    kpi_value(words, KPIS[trend.kpi]),
                ],
                className="panel-head",
            ),
            html.Div(
                dcc.Graph(
                    id=f"trend-{trend.key}",
                    figure={"data": [], "layout": {"xaxis": {"visible": False}, "yaxis": {"visible": False}}},
                    config={"displayModeBar": False, "responsive": True, "staticPlot": False},
                    responsive=True,
                ),
                className="trend-plot",
            ),
        ],
        className="trend panel",
    )
