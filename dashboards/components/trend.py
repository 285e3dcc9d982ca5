"""A trend chart: its title with the newest figure, and plotly under it."""

from __future__ import annotations

from dash import dcc, html

from dashboards.trends import Trend
from ioc.i18n import Translator


def trend_chart(words: Translator, trend: Trend) -> html.Section:
    """The chart's panel; its figure comes by callback, scaled to the screen by `assets/charts.js`."""
    return html.Section(
        [
            html.Header(
                [
                    html.H2(words(trend.title)),
                    html.Span(words("last {n} h", n=6), className="muted trend-span"),
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
