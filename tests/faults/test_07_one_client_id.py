"""Two ingest processes are given one client id: one works, the other stands by and says so; nothing is lost or doubled."""

from __future__ import annotations

import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.mqtt import connect_properties
from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.gate import BACKENDS
from tests.faults.process import IngestProcess
from tests.fix_stack import BrokerServer, Database
from tests.ledger import Ledger

CLIENT = "ioc-the-one"


@pytest.fixture
def homes(tmp_path: Path) -> list[dict[str, str]]:
    """Settings of two processes that know nothing of each other."""
    return [{"IOC_INGEST_CLIENT_ID": CLIENT, "IOC_HOME": str(tmp_path / name)} for name in ("one", "two")]


@pytest.mark.parametrize("spool_mb", ["0", "10"])
def test_the_second_stands_by(
    spool_mb: str, homes: list[dict[str, str]], spawn: Spawn, publish: Publish, db: Database, live: Live, topic: str
) -> None:
    """It takes no message while the first one lives, and takes over where that one was killed."""
    one, two = ({**home, "IOC_INGEST_SPOOL_MB": spool_mb} for home in homes)
    first = spawn(**one)
    load = publish(Ledger.mixed(topic, 8000, seed=1))
    second = spawn(wait=False, **two)
    assert CLIENT in second.wait_degraded(live, "another ingest runs as")
    load.wait_moving(db)
    first.wait_well(live)
    assert not first.said("lost")
    beat = second.beat(live)
    assert beat is not None
    assert beat.figures["queue"] == beat.figures["spool_mb"] == 0
    first.kill()
    second.wait_well(live)
    load.finish(db)


def test_the_lock_goes_from_one_to_the_other(
    homes: list[dict[str, str]], spawn: Spawn, publish: Publish, db: Database, connection: Connection, topic: str
) -> None:
    """Who loses the database to the other ends, with messages in hand; started again it stands by. Several times."""
    processes: list[IngestProcess] = [spawn(**homes[0]), spawn(wait=False, **homes[1])]
    load = publish(Ledger.mixed(topic, 12_000, seed=2))
    ended = 0
    while load.publishing or ended < 2:
        load.wait_moving(db)
        connection.execute(f"SELECT pg_terminate_backend(pid) {BACKENDS} AND query NOT LIKE '%%pg_advisory_lock%%'")
        time.sleep(0.3)
        for place, process in enumerate(processes):
            if not process.alive:
                assert process.said("thread died")
                assert "another ingest r" in process.log.read_text()
                processes[place] = spawn(wait=False, **homes[place])
                ended += 1
    load.finish(db)


def test_a_session_taken_by_something_else(
    homes: list[dict[str, str]],
    spawn: Spawn,
    publish: Publish,
    broker: BrokerServer,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """It is said, fought over with ever longer pauses, and when it is over nothing is lost or doubled."""
    process = spawn(**homes[0])
    load = publish(Ledger.mixed(topic, 8000, seed=3), rate=1000)
    load.wait_moving(db)
    taken = 0
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=CLIENT, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    client.connect_async(broker.host, broker.port, clean_start=False, properties=connect_properties(1000))
    until = time.monotonic() + 6
    while time.monotonic() < until:
        client.reconnect()
        taken += 1
        while client.loop(0.05) == paho.MQTT_ERR_SUCCESS and time.monotonic() < until:
            pass
    client.disconnect()
    assert process.said("lost", what="mqtt", why=f"another client connect as {CLIENT}")
    assert 2 <= taken < 30
    load.finish(db)
    process.wait_well(live)
