"""What every page of one running process shares, reached through the application and no global of ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, cast

import dash
import msgspec

from dashboards.feed import Feed
from dashboards.trends import Trends
from ioc.db.pool import Connection, Pool
from ioc.live import Live
from ioc.settings import Settings

_T = TypeVar("_T")


class Room(msgspec.Struct, frozen=True):
    """Settings, the stores, and the live feed with the city's state.

    Attributes:
        pool: connections to TimescaleDB; ask through `query`, since they block.
        live: Redis; its calls block, wrap them in `asyncio.to_thread`.
        feed: `feed.city` is the state as of now.
        trends: the series of the charts, read once for all pages.
    """

    settings: Settings
    pool: Pool
    live: Live
    feed: Feed
    trends: Trends

    async def query(self, question: Callable[[Connection], _T]) -> _T:
        """Run a function of a connection in a thread; the event loop serves every page and must not wait.

        Raises:
            StorageError: TimescaleDB is away or refuses.
        """

        def ask() -> _T:
            with self.pool.connection() as connection:
                return question(connection)

        return await asyncio.to_thread(ask)


def room() -> Room:
    """The room of the application that is running."""
    return cast("Room", dash.get_app().server.state.room)
