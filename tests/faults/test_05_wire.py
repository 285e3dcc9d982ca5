"""The wires to the broker and to the database stall, crawl, or go dead without a word."""

from __future__ import annotations

import time

import pytest

from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually
from tests.fix_stack import Database
from tests.ledger import Ledger


@pytest.fixture(params=["broker", "database"])
def wire(request: pytest.FixtureRequest, mqtt_wire: Proxy, db_wire: Proxy) -> Proxy:
    """One of the two."""
    return mqtt_wire if request.param == "broker" else db_wire


def test_stalled_for_a_while(
    spawn: Spawn, publish: Publish, wired: dict[str, str], wire: Proxy, db: Database, topic: str
) -> None:
    """Nothing passes for some seconds, twice, and then everything: all of it is stored once, over the same connections."""
    process = spawn(**wired)
    load = publish(Ledger.mixed(topic, 6000, seed=1))
    for _ in range(2):
        load.wait_moving(db)
        wire.stall()
        time.sleep(2)
        wire.heal()
    load.finish(db)
    assert not process.connections_lost


def test_slow(spawn: Spawn, publish: Publish, wired: dict[str, str], wire: Proxy, db: Database, topic: str) -> None:
    """A few kilobytes a second get through each way: it takes its time, and is whole."""
    process = spawn(**wired)
    load = publish(Ledger.mixed(topic, 3000, seed=2))
    load.wait_moving(db)
    wire.slow(8000)
    load.wait_published()
    time.sleep(3)
    wire.heal()
    load.finish(db)
    assert process.alive


def test_broker_that_says_nothing(
    spawn: Spawn, publish: Publish, wired: dict[str, str], mqtt_wire: Proxy, db: Database, live: Live, topic: str
) -> None:
    """The wire to the broker is half open, twice: keep-alive notices, the session goes on over a new one, all is stored once."""
    process = spawn(IOC_MQTT_KEEPALIVE_S="2", **wired)
    load = publish(Ledger.mixed(topic, 12_000, seed=3), rate=1500)
    for times in (1, 2):
        load.wait_moving(db)
        mqtt_wire.forget()
        eventually(lambda times=times: len(process.said("lost", what="mqtt", why="Keep alive timeout")) >= times)
    load.finish(db)
    process.wait_well(live)
    assert process.alive


def test_database_that_says_nothing(
    spawn: Spawn, publish: Publish, wired: dict[str, str], db_wire: Proxy, db: Database, live: Live, topic: str
) -> None:
    """The wire to the database stays open and silent: the heartbeat says so, the connection is given up, all is stored once."""
    process = spawn(IOC_INGEST_HANG_UP_S="15", **wired)
    load = publish(Ledger.mixed(topic, 6000, seed=4))
    load.wait_moving(db)
    db_wire.forget()
    process.wait_degraded(live, "timescaledb", "no answer")
    load.finish(db)
    assert process.alive
    db_wire.cut()  # what else asks the database does not hold up the end
