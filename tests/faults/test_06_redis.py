"""Redis is killed, or says nothing, under load: storage goes on at speed, the live view says that it stopped, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime

import httpx
import pytest

from ioc.db.pool import Connection
from ioc.live import Live
from ioc.model import Reading, ReadingsChanged
from tests.faults.conftest import Publish, Spawn
from tests.fix_browser import Wall
from tests.fix_ingest import eventually
from tests.fix_stack import CacheServer, Database
from tests.ledger import Ledger


@contextmanager
def killed(cache: CacheServer) -> Iterator[None]:
    """SIGKILL; it comes back empty."""
    cache.kill()
    yield
    cache.start()


@contextmanager
def stalled(cache: CacheServer) -> Iterator[None]:
    """SIGSTOP: connections stay, new ones are accepted by the kernel, nothing answers."""
    cache.pause()
    try:
        yield
    finally:
        cache.resume()


def links(wall: Wall) -> dict[str, str]:
    """How the pages say that what they stand on is."""
    found: dict[str, str] = httpx.get(f"{wall.url}/healthz", timeout=30).json()["links"]
    return found


def transactions(connection: Connection, ledger: Ledger) -> int:
    """In how many transactions its readings were stored."""
    query = "SELECT count(DISTINCT xmin::text) FROM reading WHERE device LIKE %s"
    row = connection.execute(query, [f"{ledger.name}-%"]).fetchone()
    assert row is not None
    return int(row[0])


def newest_told(live: Live, ledger: Ledger) -> dict[tuple[str, str], tuple[datetime, float]]:
    """The newest value of each measure that the change stream tells."""
    newest: dict[tuple[str, str], Reading] = {}
    after = "0-0"
    while changes := live.changes(after, block_ms=1):
        after = changes[-1][0]
        for _, change in changes:
            for reading in change.readings if isinstance(change, ReadingsChanged) else ():
                key = (reading.device, reading.measure)
                if reading.device.startswith(f"{ledger.name}-") and (
                    key not in newest or newest[key].time <= reading.time
                ):
                    newest[key] = reading
    return {key: (reading.time, reading.value) for key, reading in newest.items()}


def newest_stored(connection: Connection, ledger: Ledger) -> dict[tuple[str, str], tuple[datetime, float]]:
    """The same as the database has it."""
    query = "SELECT device, measure, time, value FROM latest WHERE device LIKE %s"
    rows = connection.execute(query, [f"{ledger.name}-%"]).fetchall()
    return {(device, measure): (time, value) for device, measure, time, value in rows}


@pytest.mark.parametrize("outage", [killed, stalled])
def test_redis_away(
    outage: Callable[[CacheServer], AbstractContextManager[None]],
    spawn: Spawn,
    publish: Publish,
    cache: CacheServer,
    wall: Wall,
    db: Database,
    connection: Connection,
    live: Live,
    topic: str,
) -> None:
    """Everything is stored meanwhile, no commit waits; afterwards the live view has the newest of all that it missed."""
    process = spawn()
    before = publish(Ledger.mixed(f"before-{topic}", 4000, seed=1))
    before.finish(db)
    eventually(lambda: links(wall)["ingest"] == "ok")
    with outage(cache):
        during = publish(Ledger.mixed(f"during-{topic}", 4000, seed=2), rate=500)
        during.finish(db)
        eventually(lambda: process.said("lost", what="redis"))
        eventually(lambda: links(wall)["redis"] == "lost")
        assert links(wall)["ingest"] == "unknown"
    # A commit that waited for Redis would take as long as its time-out of two seconds, and of eight there would be five.
    assert transactions(connection, during.ledger) > 8
    process.wait_well(live)
    eventually(lambda: newest_told(live, during.ledger) == newest_stored(connection, during.ledger))
    eventually(lambda: (said := links(wall))["redis"] == said["ingest"] == "ok")


def test_redis_away_at_start_and_end(
    spawn: Spawn, publish: Publish, cache: CacheServer, live: Live, db: Database, topic: str
) -> None:
    """Ingest starts without Redis, stores, and ends as it was told to."""
    with stalled(cache):
        process = spawn(wait=False)
        load = publish(Ledger.mixed(topic, 2000, seed=3))
        load.wait_moving(db)
        assert process.stop() == 0
    spawn()
    load.finish(db)
