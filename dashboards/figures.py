"""KPI values for the feed, computed every few seconds, each with the short history that its tile draws."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from dashboards.room import Room
from ioc import kpis
from ioc.errors import StorageError

EVERY_S: Final = 10.0
#: The pause is at least this many times what computing took, so that a large city's figures never keep TimescaleDB busy.
_REST: Final = 8.0
#: Points of a tile's trend, one a minute: the last hour since this process began, and never more than it saw.
POINTS: Final = 60
_POINT_S: Final = 60.0


class Trends:
    """The last hour of each KPI, as this process saw it."""

    def __init__(self) -> None:
        self._points: dict[str, deque[tuple[int, float]]] = {}

    def add(self, key: str, now: float, value: float | None) -> list[tuple[int, float]]:
        """Remember a value; returns the points so far, oldest first, the newest always last."""
        points = self._points.setdefault(key, deque(maxlen=POINTS))
        if value is not None:
            point = (int(now), round(value, 3))
            if len(points) > 1 and points[-1][0] - points[-2][0] < _POINT_S:
                points[-1] = point
            else:
                points.append(point)
        return list(points)


@contextlib.asynccontextmanager
async def running(room: Room) -> AsyncIterator[None]:
    """Keep the feed's KPI values fresh while the application lives."""
    task = asyncio.create_task(_follow(room))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _follow(room: Room) -> None:
    trends = Trends()
    while True:
        began = time.monotonic()
        try:
            values = await room.query(kpis.compute)
        except StorageError as error:
            room.feed.links.lost("timescaledb", error)
        else:
            now = time.time()
            room.feed.tell("kpis", [_row(value, trends, now) for value in values])
        await asyncio.sleep(max(EVERY_S, _REST * (time.monotonic() - began)))


def _row(value: kpis.KpiValue, trends: Trends, now: float) -> dict[str, Any]:
    return {
        "key": value.key,
        "value": value.value,
        "time": int(value.as_of.timestamp()) if value.as_of is not None else 0,
        "band": value.band,
        "trend": trends.add(value.key, now, value.value),
    }
