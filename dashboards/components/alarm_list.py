"""The list of open incidents, worst and unacknowledged first."""

from __future__ import annotations

from dash import html

from dashboards.attributes import data
from ioc.i18n import Translator


def alarm_list(words: Translator) -> html.Section:
    """The list; `assets/wall.js` fills it, and says so when there is nothing to do."""
    return html.Section(
        [
            html.Header(
                [
                    html.H2(words("Incidents")),
                    html.Span("", id="flood", className="flood"),
                    html.Button("", id="sound", className="sound", **data(wall="sound")),
                ],
                className="panel-head",
            ),
            html.Ol(id="incidents", className="incidents"),
            html.Div(id="incidents-more", className="more"),
        ],
        className="alarm-list panel",
    )
