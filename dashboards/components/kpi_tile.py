"""One KPI tile: label, value with unit and age, band, the last hour as a line."""

from __future__ import annotations

from dash import html

from dashboards.attributes import data
from ioc.i18n import Translator
from ioc.kpis import Kpi


def kpi_tile(words: Translator, kpi: Kpi) -> html.Div:
    """The tile of a KPI row; `assets/wall.js` fills it from the feed."""
    return html.Div(
        [
            html.Div(kpi.label.in_language(words.language), className="kpi-label"),
            kpi_value(words, kpi),
            html.Canvas(className="kpi-trend"),
        ],
        className="kpi panel",
        title=kpi.note.in_language(words.language),
        **data(kpi=kpi.key),
    )


def kpi_value(words: Translator, kpi: Kpi) -> html.Div:
    """The value of a KPI with its unit, and its age once it is late."""
    return html.Div(
        [
            html.Span("–", className="figure"),
            html.Span(kpi.unit.in_language(words.language), className="unit"),
            html.Span("", className="age"),
        ],
        className="kpi-value",
        **data(value=kpi.key, decimals=kpi.decimals),
    )
