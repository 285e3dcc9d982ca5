"""The last hours as lines: water against its alert levels, fine dust, traffic speed. Read once for all pages.

The readings are indexed by device, so the devices of a kind are asked for by name, never the measure alone: lamps alone would
be millions of rows an hour.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec

from dashboards.city import CityState
from dashboards.theme import LIMITS, LINES, chart_layout
from ioc.catalog import MEASURES
from ioc.db.pool import Connection
from ioc.i18n import Translator

HOURS: Final = 6
_STEP: Final = timedelta(minutes=5)
#: Series are read again after this long, whoever asks.
KEPT_S: Final = 55.0


class Trend(msgspec.Struct, frozen=True):
    """One chart: a measure of some kinds of devices, as the city's highest, mean or lowest.

    Attributes:
        title: a message.
        kpi: the key figure whose present value stands above the chart.
        limits: rules whose limits are drawn as lines, by key.
        least: the axis spans at least this much, so that a calm day looks calm.
    """

    key: str
    title: str
    kpi: str
    measure: str
    kinds: tuple[str, ...]
    figure: Literal["max", "avg", "min"]
    limits: tuple[str, ...]
    least: tuple[float, float]


TRENDS: Final = (
    Trend(
        "water",
        "Highest water level",
        "water_highest",
        "waterLevel",
        ("flood_gauge", "tide_gauge"),
        "max",
        ("water_alert_1", "water_alert_2", "water_alert_3"),
        (0.8, 1.75),
    ),
    Trend("air", "Mean PM2.5", "pm25_mean", "pm25", ("air_station",), "avg", ("pm25_high",), (0, 90)),
    Trend(
        "speed",
        "Mean traffic speed",
        "traffic_speed",
        "averageVehicleSpeed",
        ("traffic_detector",),
        "avg",
        ("slow",),
        (0, 45),
    ),
)

_SQL: Final = {
    figure: (
        f"SELECT time_bucket('5 minutes', time) AS bucket, {figure}(value) FROM reading"  # noqa: S608 - one of three words
        " WHERE device = ANY(%s) AND measure = %s AND time >= %s GROUP BY bucket ORDER BY bucket"
    )
    for figure in ("max", "avg", "min")
}


class Point(NamedTuple):
    """The figure of five minutes; None where nothing was measured, so that a gap is drawn as a gap."""

    time: datetime
    value: float | None


def series(connection: Connection, trend: Trend, devices: list[str], now: datetime) -> list[Point]:
    """The trend's points of the last hours, one every five minutes, oldest first."""
    since = now - timedelta(hours=HOURS)
    start = since.replace(minute=since.minute // 5 * 5, second=0, microsecond=0)
    found: dict[datetime, float] = dict(
        connection.execute(_SQL[trend.figure], (devices, trend.measure, start)).fetchall()
    )
    count = int((now - start) / _STEP) + 1
    return [Point(at := start + _STEP * i, found.get(at)) for i in range(count)]


class Trends:
    """The series of all charts, read again when they are old and somebody asks."""

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._series: dict[str, list[Point]] = {}
        self._lock = asyncio.Lock()

    async def series(
        self, ask: Callable[[Callable[[Connection], Any]], Any], city: CityState
    ) -> dict[str, list[Point]]:
        """Series by the trend's key. `ask` runs a question on a connection.

        Raises:
            StorageError: TimescaleDB is away.
        """
        async with self._lock:
            if time.monotonic() - self._read_at > KEPT_S:
                ids = {t.key: [d.id for d in city.devices if d.kind in t.kinds] for t in TRENDS}
                now = datetime.now(UTC)
                self._series = await ask(lambda c: {t.key: series(c, t, ids[t.key], now) for t in TRENDS})
                self._read_at = time.monotonic()
        return self._series


def draw(trend: Trend, points: list[Point], words: Translator) -> dict[str, Any]:
    """The plotly figure, for a wall 1920 pixels wide; `assets/charts.js` scales it to the real one."""
    measure = MEASURES[trend.measure]
    known = [point.value for point in points if point.value is not None]
    limits = [(rule, LIMITS[rule.priority]) for rule in measure.rules if rule.key in trend.limits]
    low = min([trend.least[0], *known])
    high = max([trend.least[1], *known])
    pad = (high - low) * 0.06
    local = [_local(point.time) for point in points]
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": local,
        "y": [None if point.value is None else round(point.value, 3) for point in points],
        "line": {"color": LINES[0], "width": 3, "shape": "spline", "smoothing": 0.5},
        "fill": "tozeroy",
        "fillcolor": "rgba(143,169,196,0.10)",
        "hovertemplate": f"%{{y:.{measure.decimals}f}} {words(measure.unit)}<extra></extra>",
        "connectgaps": False,
    }
    shapes = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": rule.limit,
            "y1": rule.limit,
            "line": {"color": colour, "width": 1.5, "dash": "5px,5px"},
        }
        for rule, colour in limits
    ]
    notes = [
        {
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": rule.limit,
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0.01)",
            "text": rule.label.in_language(words.language),
            "showarrow": False,
            "font": {"size": 16},
        }
        for rule, _ in limits[-1:]
    ]
    layout = chart_layout(
        font={"family": "Inter Variable, sans-serif", "size": 16},
        margin={"l": 12, "r": 14, "t": 6, "b": 32},
        shapes=shapes,
        annotations=notes,
        separators=",." if words.language == "vi" else ".,",
    )
    layout["xaxis"] = (
        {**layout["xaxis"], "tickformat": "%H:%M", "nticks": 4, "ticklabelstandoff": 5, "range": [local[0], local[-1]]}
        if local
        else {}
    )
    layout["yaxis"] = {
        **layout["yaxis"],
        "range": [low - pad, high + pad],
        "nticks": 4,
        "tickformat": f".{min(1, measure.decimals)}f",
    }
    return {"data": [line], "layout": layout}


def _local(time: datetime) -> str:
    """City time without a zone: plotly draws what it is given."""
    return (time + timedelta(hours=7)).strftime("%Y-%m-%d %H:%M")
