"""The live feed on a real TimescaleDB and a real Redis."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from dashboards.feed import QUEUE, Client, Feed, running
from ioc.db.pool import Connection, Pool
from ioc.live import Live
from ioc.model import Heartbeat, Quality, Reading, ReadingsChanged
from ioc.settings import Settings
from tests.fix_stack import CacheServer

#: Patience of a test; never what is measured.
PATIENCE_S = 60.0


def event_of(raw: bytes) -> tuple[str, dict[str, Any]]:
    name, data = (next(line for line in raw.split(b"\n") if line.startswith(key)) for key in (b"event: ", b"data: "))
    return name[7:].decode(), orjson.loads(data[6:])


class Page:
    """What an open page receives."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self._rest = b""
        self.values: dict[str, float | None] = {}
        self.ids: list[str] = []
        self.links: dict[str, str] = {}
        self.snapshots = 0

    async def until(self, condition: Callable[[Page], bool]) -> None:
        """Take events until the condition holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition(self):
                await self.take()

    async def take(self) -> None:
        """Take one event."""
        while b"\n\n" not in self._rest:
            self._rest += await anext(self._stream)
        raw, self._rest = self._rest.split(b"\n\n", 1)
        if not raw.startswith(b"event: "):
            return
        name, body = event_of(raw)
        if name == "snapshot":
            self.snapshots += 1
            self.ids = body["columns"]["id"]
            self.values = dict(zip(self.ids, body["value"], strict=True))
        else:
            self.ids += [row[1] for row in body.get("devices", [])]
            self.values |= {self.ids[row[0]]: row[2] for row in body.get("d", [])}
        self.links = {row[0]: row[1] for row in body["links"]}


@contextlib.asynccontextmanager
async def open_page(settings: Settings) -> AsyncIterator[tuple[Feed, Page]]:
    pool, live = Pool(settings.database_url, name="test-feed"), Live(settings.redis_url)
    feed = Feed(settings, pool, live)
    async with running(feed):
        stream = feed.events()
        yield feed, Page(stream)
        await stream.aclose()
    pool.close()
    live.close()


def store_gauge(connection: Connection, device: str, value: float) -> Reading:
    """Commit a gauge and its newest value, as ingest does; returns the reading."""
    now = datetime.now(UTC)
    connection.execute(
        "INSERT INTO device (id, kind, name, ward) VALUES (%s, 'flood_gauge', 'Trạm', '26824') ON CONFLICT DO NOTHING",
        (device,),
    )
    connection.execute(
        "INSERT INTO latest VALUES (%s, 'waterLevel', %s, %s, 0, %s) ON CONFLICT (device, measure)"
        " DO UPDATE SET time = excluded.time, value = excluded.value, received = excluded.received",
        (device, now, value, now),
    )
    return Reading(now, device, "waterLevel", value, Quality.GOOD, now)


def test_page_that_connects_gets_the_present_then_what_changes(
    settings: Settings, live: Live, connection: Connection, topic: str
) -> None:
    """First what TimescaleDB knows, then each committed change."""

    async def story() -> None:
        store_gauge(connection, topic, 1.25)
        async with open_page(settings) as (_, page):
            await page.until(lambda page: page.values.get(topic) == 1.25)
            live.publish([ReadingsChanged([store_gauge(connection, topic, 1.5)])])
            await page.until(lambda page: page.values[topic] == 1.5)

    asyncio.run(story())


def test_links_follow_the_heartbeats(settings: Settings, live: Live) -> None:
    """A service that is heard is ok, one that misses its broker is degraded and the broker lost, one never heard unknown."""
    said = Heartbeat("ingest", "one", datetime.now(UTC), "ok")

    async def beat() -> None:
        while True:
            await asyncio.to_thread(live.beat, said)
            await asyncio.sleep(0.2)

    async def story() -> None:
        nonlocal said
        async with open_page(settings) as (_, page):
            heart = asyncio.create_task(beat())
            await page.until(lambda page: page.links.get("ingest") == "ok" and page.links["mqtt"] == "ok")
            assert page.links["vision"] == "unknown"
            said = Heartbeat("ingest", "one", datetime.now(UTC), "degraded", "broker: connection refused")
            await page.until(lambda page: page.links["ingest"] == "degraded" and page.links["mqtt"] == "lost")
            said = Heartbeat("ingest", "one", datetime.now(UTC), "ok", figures={"broker_dropped": 3.0})
            await page.until(lambda page: page.links["ingest"] == "ok" and page.links["mqtt"] == "degraded")
            heart.cancel()
            await page.until(lambda page: page.links["ingest"] == "lost")

    asyncio.run(story())


def test_quiet_city_still_has_a_pulse(settings: Settings) -> None:
    """A delta in which nothing changed is what tells a page that its feed lives."""

    async def story() -> None:
        async with open_page(settings) as (_, page):
            await page.until(lambda page: page.snapshots == 1)
            for _ in range(3):
                await page.take()

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))


def test_page_that_cannot_keep_up_starts_over_with_the_present() -> None:
    """The latest wins: what waited is dropped, and a snapshot takes its place."""

    async def story() -> list[bytes]:
        page = Client()
        taken = [await page.next(lambda: b"first")]
        for number in range(QUEUE + 3):
            page.push(b"%d" % number)
        taken += [await page.next(lambda: b"whole") for _ in range(4)]
        return taken

    assert asyncio.run(story()) == [b"first", b"whole", b"8", b"9", b"10"]


def test_page_that_keeps_up_gets_every_delta_in_order() -> None:
    """Nothing is dropped for one who listens."""

    async def story() -> list[bytes]:
        page = Client()
        taken = [await page.next(lambda: b"whole")]
        for number in range(QUEUE * 2):
            page.push(b"%d" % number)
            taken.append(await page.next(lambda: b"whole"))
        return taken

    assert asyncio.run(story()) == [b"whole", *(b"%d" % number for number in range(QUEUE * 2))]


def test_snapshot_is_made_once_for_all_that_ask_in_one_tick(settings: Settings) -> None:
    """A thousand pages that come back together get the same bytes."""

    async def story() -> None:
        async with open_page(settings) as (feed, page):
            await page.until(lambda page: page.snapshots == 1)
            assert feed._whole() is feed._whole()

    asyncio.run(story())


def test_what_is_told_comes_in_the_next_delta_and_in_every_snapshot(settings: Settings) -> None:
    """Key figures travel with the feed, and only when they are new."""

    async def story() -> None:
        async with open_page(settings) as (feed, page):
            await page.until(lambda page: page.snapshots == 1)
            feed.tell("kpis", [{"key": "one"}])
            feed.tell("kpis", [{"key": "one"}])
            second = feed.events()
            bodies = []
            while len(bodies) < 3:
                raw = await anext(second)
                if raw.startswith(b"event: "):
                    bodies.append(event_of(raw))
            await second.aclose()
            assert [name for name, _ in bodies] == ["snapshot", "delta", "delta"]
            assert [body.get("kpis") for _, body in bodies] == [[{"key": "one"}], [{"key": "one"}], None]

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))


def test_closing_the_feed_ends_every_page(settings: Settings) -> None:
    """A server that stops lets its pages go."""

    async def story() -> None:
        async with open_page(settings) as (feed, page):
            await page.until(lambda page: page.snapshots == 1)
            assert feed.clients == 1
            feed.close()
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    await page.take()
            assert feed.clients == 0

    asyncio.run(asyncio.wait_for(story(), PATIENCE_S))


def test_feed_when_redis_dies_says_so_and_finds_what_it_missed(
    settings: Settings, cache: CacheServer, connection: Connection, topic: str
) -> None:
    """A change that was committed while Redis was away is on the page after it is back."""

    async def story() -> None:
        store_gauge(connection, topic, 1.0)
        async with open_page(settings) as (_, page):
            await page.until(lambda page: page.values.get(topic) == 1.0 and page.links["redis"] == "ok")
            await asyncio.to_thread(cache.kill)
            await page.until(lambda page: page.links["redis"] == "lost")
            assert page.links["timescaledb"] == "ok"
            assert page.links["ingest"] == "unknown"
            store_gauge(connection, topic, 2.0)
            await asyncio.to_thread(cache.start)
            await page.until(lambda page: page.values[topic] == 2.0 and page.links["redis"] == "ok")

    asyncio.run(story())
