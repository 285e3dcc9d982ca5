"""The wall's header: city, stage, unacknowledged by priority, alarm rate, links with their ages, clock."""

from __future__ import annotations

from dash import html

from dashboards.shell import brand, nav, switches
from ioc.i18n import Translator


def wall_header(words: Translator) -> html.Header:
    """The header; every figure in it is written by `assets/wall.js`."""
    return html.Header(
        [
            html.Div(
                [brand(words), html.Div([nav(words, "/"), switches(words)], className="wall-nav")],
                className="wall-title",
            ),
            html.Div(
                [html.Span(words("Stage"), className="label"), html.Strong("–", id="stage-name")],
                id="stage",
                className="stage",
            ),
            html.Div(
                [html.Span(words("Unacknowledged"), className="label"), html.Div(id="unseen", className="unseen")],
                className="counts",
            ),
            html.Div(
                [
                    html.Span(words("Alarms in 10 min"), className="label"),
                    html.Div(
                        [html.Strong("–", id="rate-now"), html.Span("", id="rate-target", className="rate-target")],
                        className="rate-figures",
                    ),
                ],
                id="rate",
                className="rate",
            ),
            html.Div(id="links", className="links"),
            html.Div(
                [
                    html.Div("--:--:--", id="clock", className="clock"),
                    html.Div("", id="day", className="day"),
                ],
                className="when",
            ),
        ],
        className="wall-header",
    )
