"""The one live feed: the change stream folded into the city's state, serialised once, sent to every open page.

A page gets a `snapshot` when it connects and a `delta` every half second; a delta with nothing in it is the heartbeat.
A page that cannot keep up loses its queued deltas and gets a fresh snapshot: the latest wins, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import orjson
import structlog

from dashboards.city import CityState
from dashboards.links import Links
from dashboards.snapshot import Snapshot, read
from ioc.db.pool import Pool
from ioc.errors import LiveError, StorageError
from ioc.live import Live
from ioc.service import backoff
from ioc.settings import Settings

TICK_S: Final = 0.5
#: Deltas a slow page may have waiting.
QUEUE: Final = 8
#: How often the state is compared with TimescaleDB: a change that was committed while Redis was away is found then.
RECONCILE_S: Final = 300.0
#: How often heartbeats are read and TimescaleDB is asked for a sign of life.
PROBE_S: Final = 1.0
#: A snapshot of 100,000 devices is several MB; in pieces, so that a slow reader is not buffered for.
_PIECE: Final = 65536

_T = TypeVar("_T")


class Client:
    """One open page: its queue, and whether it has to start over."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self._behind = True

    def push(self, event: bytes) -> None:
        """Queue an event; a full queue is dropped and the page starts over."""
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            while not self._queue.empty():
                self._queue.get_nowait()
            self._behind = True
            self._queue.put_nowait(event)

    async def next(self, snapshot: Callable[[], bytes]) -> bytes:
        """The next event for this page."""
        if self._behind:
            self._behind = False
            return snapshot()
        return await self._queue.get()


class Feed:
    """Follows the change stream and keeps every open page up to date. Lives on one event loop.

    Attributes:
        city: the state as of now; replace nothing in it, read what you like.
        links: what the state stands on.
        extra: further keys of the next delta and of every snapshot (KPI values), set with `tell`.
    """

    def __init__(self, settings: Settings, pool: Pool, live: Live) -> None:
        self._settings = settings
        self._pool = pool
        self._live = live
        self._clients: set[Client] = set()
        self._closing = asyncio.Event()
        self._sequence = 0
        self._snapshot: tuple[int, bytes] = (-1, b"")
        self._told: dict[str, Any] = {}
        self._untold: set[str] = set()
        self.city = CityState()
        self.links = Links()
        self.extra: dict[str, Any] = {}
        #: Tells one run of this process from the next: device numbers hold within a run.
        self.epoch = uuid.uuid4().hex[:12]

    def tell(self, key: str, value: Any) -> None:
        """Put something of one's own into the next delta and every snapshot, if it is new."""
        if self.extra.get(key) != value:
            self.extra[key] = value
            self._untold.add(key)
            self._snapshot = (-1, b"")

    async def run(self) -> None:
        """Follow, probe and tick until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._probe())
            group.create_task(self._tick())

    def close(self) -> None:
        """End every open page's stream."""
        self._closing.set()

    @property
    def clients(self) -> int:
        """Pages that are open now."""
        return len(self._clients)

    async def events(self) -> AsyncIterator[bytes]:
        """The stream of one page, as Server-Sent Events."""
        client = Client()
        self._clients.add(client)
        closing = asyncio.ensure_future(self._closing.wait())
        following = asyncio.ensure_future(client.next(self._whole))
        try:
            yield b"retry: 1000\n\n"
            while True:
                await asyncio.wait((following, closing), return_when=asyncio.FIRST_COMPLETED)
                if not following.done():
                    break
                event = following.result()
                following = asyncio.ensure_future(client.next(self._whole))
                for start in range(0, len(event), _PIECE):
                    yield event[start : start + _PIECE]
        finally:
            following.cancel()
            closing.cancel()
            self._clients.discard(client)

    # --- the state ---

    async def _follow(self) -> None:
        waits = backoff()
        while True:
            try:
                after = await asyncio.to_thread(self._live.last_id)
                await self._reconcile()
                waits = backoff()
                await self._read_changes(after)
            except LiveError as error:
                self.links.lost("redis", error)
            except StorageError as error:
                self.links.lost("timescaledb", error)
            await asyncio.sleep(next(waits))

    async def _read_changes(self, after: str) -> None:
        """Fold the change stream; every few minutes compare with TimescaleDB."""
        due = time.monotonic() + RECONCILE_S
        while True:
            changes = await asyncio.to_thread(self._live.changes, after, block_ms=1000)
            self.links.good("redis", time.time())
            for _, change in changes:
                self.city.fold(change)
            after = changes[-1][0] if changes else after
            if time.monotonic() > due:
                await self._reconcile()
                due = time.monotonic() + RECONCILE_S

    async def _reconcile(self) -> None:
        snapshot = await self._query(read)
        take(self.city, snapshot)

    async def _query(self, question: Callable[[Any], _T]) -> _T:
        def ask() -> _T:
            with self._pool.connection() as connection:
                return question(connection)

        answer = await asyncio.to_thread(ask)
        self.links.good("timescaledb", time.time())
        return answer

    async def _probe(self) -> None:
        """Ask the stores and listen for the services, each once a second."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe_redis())
            group.create_task(self._probe_timescaledb())

    async def _probe_redis(self) -> None:
        while True:
            try:
                self.links.heard(await asyncio.to_thread(self._live.heartbeats))
                self.links.good("redis", time.time())
            except LiveError as error:
                self.links.lost("redis", error)
            await asyncio.sleep(PROBE_S)

    async def _probe_timescaledb(self) -> None:
        while True:
            try:
                await self._query(lambda connection: connection.execute("SELECT 1").fetchone())
            except StorageError as error:
                self.links.lost("timescaledb", error)
            await asyncio.sleep(PROBE_S)

    # --- the events ---

    async def _tick(self) -> None:
        due = time.monotonic()
        while True:
            due = max(due + TICK_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
            now = time.time()
            delta = self.city.delta(now) | self._head(now)
            delta.update({key: self.extra[key] for key in self._untold})
            self._untold = set()
            self._sequence += 1
            event = self._event("delta", delta)
            for client in self._clients:
                client.push(event)

    def _head(self, now: float) -> dict[str, Any]:
        """What every event carries: the time, the age of the data, the links."""
        return {
            "now": round(now, 3),
            "newest": round(self.city.newest, 3),
            "links": [tuple(link) for link in self.links.rows(now)],
            "recent": self.city.recent_openings(now),
            "rejected": self.city.rejected,
            "simulated": len(self.city.simulated),
        }

    def _whole(self) -> bytes:
        """The snapshot event, made once per tick however many pages ask for it."""
        if self._snapshot[0] != self._sequence:
            now = time.time()
            body = self.city.whole(now) | self._head(now) | self.extra | {"epoch": self.epoch}
            self._snapshot = (self._sequence, self._event("snapshot", body))
        return self._snapshot[1]

    def _event(self, name: str, body: dict[str, Any]) -> bytes:
        data = orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
        return b"event: %b\nid: %b-%d\ndata: %b\n\n" % (name.encode(), self.epoch.encode(), self._sequence, data)


def take(city: CityState, snapshot: Snapshot) -> None:
    """Bring a state to what a snapshot says."""
    for change in snapshot.changes:
        city.fold(change)
    city.keep_only(snapshot.alarms, snapshot.incidents)
    city.openings = snapshot.openings | city.openings


@contextlib.asynccontextmanager
async def running(feed: Feed) -> AsyncIterator[None]:
    """Run a feed while the application lives."""
    task = asyncio.create_task(feed.run())
    task.add_done_callback(_end_with)
    try:
        yield
    finally:
        feed.close()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _end_with(task: asyncio.Task[None]) -> None:
    """End the process when the feed ends by a fault: pages without a feed would only pretend, and its keeper starts it anew."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        structlog.get_logger().critical("the feed has failed", service="dashboards", exc_info=fault)
        signal.raise_signal(signal.SIGTERM)
