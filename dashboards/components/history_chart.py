"""A measure over time as a chart: mean and spread of each bucket, gaps left open, limits as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

from dash import dcc, html

from dashboards.theme import LIMITS, LINES, chart_layout
from dashboards.when import ZONE, figure
from ioc.catalog import MEASURES, Measure, pace_of
from ioc.db.readings import Point
from ioc.i18n import Translator


class Mark(NamedTuple):
    """A moment worth a vertical line."""

    time: datetime
    label: str
    colour: str


class Limit(NamedTuple):
    """A limit worth a horizontal line."""

    value: float
    label: str
    priority: int


def history_chart(
    measure: str,
    points: Sequence[Point],
    since: datetime,
    until: datetime,
    width: timedelta,
    words: Translator,
    *,
    limits: Sequence[Limit] | None = None,
    marks: Sequence[Mark] = (),
    attrs: Mapping[str, Any] = MappingProxyType({}),
    rem: float = 16.0,
) -> dict[str, Any]:
    """A plotly figure.

    Args:
        measure: key of the measure.
        points: buckets, oldest first; a missing one is a gap.
        since: where the axis begins.
        until: where it ends.
        width: of a bucket; more than two and a half of it, and of the device's pace, without a point is a gap.
        words: the reader's language.
        limits: horizontal lines; by default the measure's own that lie near the values.
        marks: vertical lines.
        attrs: of the device.
        rem: pixels of a rem in the reader's browser.
    """
    row = MEASURES[measure]
    scale = 100.0 if row.unit == "1" else 1.0
    drawn = limits_of(row, points, words) if limits is None else limits
    times, means, least, most = _with_gaps(
        points, max(2.5 * width, timedelta(seconds=2.5 * pace_of(measure, attrs))), scale
    )
    states = bool(row.states)
    spread = not states and any(point.readings > 1 for point in points)
    traces: list[dict[str, Any]] = []
    if spread:
        band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "connectgaps": False, "type": "scatter"}
        traces.append(band | {"x": times, "y": most})
        traces.append(band | {"x": times, "y": least, "fill": "tonexty", "fillcolor": "rgba(143,169,196,.22)"})
    traces.append(
        {
            "type": "scatter",
            # Single points between two gaps would be no line at all.
            "mode": "lines+markers" if len(points) < 90 else "lines",
            "x": times,
            "y": means,
            "connectgaps": False,
            "line": {"color": LINES[0], "width": rem / 8, "shape": "hv" if states else "linear"},
            "marker": {"color": LINES[0], "size": rem / 4},
            "text": [None if y is None else figure(measure, y / scale, words) for y in means],
            "hovertemplate": "%{text}<extra></extra>",
        }
    )
    layout = chart_layout(
        margin={"l": rem / 2, "r": rem / 2, "t": rem * 1.2 if marks else rem / 2, "b": rem / 2},
        font={"family": "Inter Variable, sans-serif", "size": 0.75 * rem},
        separators=",." if words.language == "vi" else ".,",
        xaxis=_time_axis(since, until),
        yaxis=_value_axis(row, words),
        shapes=[*(_limit_line(limit, scale, rem) for limit in drawn), *(_mark_line(mark, rem) for mark in marks)],
        annotations=[
            *(_limit_name(limit, scale, place) for place, limit in enumerate(drawn)),
            *(_mark_name(mark) for mark in marks),
        ],
        uirevision=f"{measure} {until - since}",
    )
    return {"data": traces, "layout": layout}


def graph(figure: dict[str, Any]) -> html.Div:
    """The figure on a page, without tools, as large as its frame."""
    return html.Div(dcc.Graph(figure=figure, config={"displayModeBar": False}, responsive=True), className="chart")


def limits_of(row: Measure, points: Sequence[Point], words: Translator) -> list[Limit]:
    """The measure's limits that lie near enough to its values to be worth a line."""
    levels = [rule for rule in row.rules if rule.kind in ("above", "below")]
    if not points or not levels:
        return []
    low, high = min(point.least for point in points), max(point.most for point in points)
    reach = max(high - low, 0.35 * max(abs(high), abs(low)), 1e-9)
    near = [rule for rule in levels if low - reach <= rule.limit <= high + reach]
    return [Limit(rule.limit, rule.label.in_language(words.language), rule.priority) for rule in near]


def local(time: datetime) -> str:
    """A time as plotly's axis takes it: wall-clock time of the city, without a zone."""
    return time.astimezone(ZONE).strftime("%Y-%m-%d %H:%M:%S.%f")


def _with_gaps(
    points: Sequence[Point], gap: timedelta, scale: float
) -> tuple[list[str], list[float | None], list[float | None], list[float | None]]:
    """Columns of the points with an empty one wherever data is missing."""
    times: list[str] = []
    means: list[float | None] = []
    least: list[float | None] = []
    most: list[float | None] = []

    def put(time: datetime, point: Point | None) -> None:
        times.append(local(time))
        for column, value in ((means, "mean"), (least, "least"), (most, "most")):
            column.append(None if point is None else round(getattr(point, value) * scale, 4))

    if points:
        put(points[0].time, points[0])
    for before, point in pairwise(points):
        if point.time - before.time > gap:
            put(before.time + (point.time - before.time) / 2, None)
        put(point.time, point)
    return times, means, least, most


def _time_axis(since: datetime, until: datetime) -> dict[str, Any]:
    day = until - since > timedelta(hours=26)
    return {
        "type": "date",
        "range": [local(since), local(until)],
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        "ticks": "",
        "nticks": 8,
        "tickformat": "%d/%m %H:%M" if day else "%H:%M",
        "hoverformat": "%d/%m %H:%M:%S",
    }


def _value_axis(row: Measure, words: Translator) -> dict[str, Any]:
    unit = "%" if row.unit == "1" else words(row.unit) if row.unit else ""
    axis: dict[str, Any] = {
        "showgrid": True,
        "zeroline": False,
        "fixedrange": True,
        "automargin": True,
        "ticks": "",
        "nticks": 6,
        "ticksuffix": f" {unit}" if unit else "",
        "separatethousands": True,
    }
    if row.states:
        names = [label.in_language(words.language) for label in row.state_labels]
        axis |= {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.3, len(names) - 0.7]}
    return axis


_PLACES = ((1, "right"), (0.52, "center"), (0.02, "left"))


def _limit_line(limit: Limit, scale: float, rem: float) -> dict[str, Any]:
    colour = LIMITS[limit.priority]
    at = limit.value * scale
    line = {"color": colour, "width": rem / 11, "dash": "dash"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": at, "y1": at, "line": line, "layer": "below"}


def _limit_name(limit: Limit, scale: float, place: int) -> dict[str, Any]:
    # Limits may lie so close that names in one column would cover each other.
    x, anchor = _PLACES[place % len(_PLACES)]
    return {
        "xref": "paper",
        "x": x,
        "xanchor": anchor,
        "y": limit.value * scale,
        "yanchor": "bottom",
        "text": limit.label,
        "showarrow": False,
        "font": {"color": LIMITS[limit.priority]},
    }


def _mark_line(mark: Mark, rem: float) -> dict[str, Any]:
    at = local(mark.time)
    return {
        "type": "line",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "x0": at,
        "x1": at,
        "line": {"color": mark.colour, "width": rem / 11},
    }


def _mark_name(mark: Mark) -> dict[str, Any]:
    return {
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "x": local(mark.time),
        "xanchor": "center",
        "text": mark.label,
        "showarrow": False,
        "font": {"color": mark.colour},
    }
