"""Ingest keeps its promises with MQTT 5 and with 3.1.1."""

from __future__ import annotations

import subprocess
import threading

import pytest

from ingest.identity import Identity
from ingest.metrics import RETAINED
from ingest.service import Ingest
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.service import Service
from ioc.settings import Settings
from tests.fix_ingest import Device, Spawn, eventually, now_ms, wait_beating
from tests.fix_stack import BrokerServer, Database
from tests.ledger import Ledger
from tests.load import Load

READINGS = "SELECT count(*) FROM reading WHERE device = %s"


@pytest.fixture(scope="module", params=["5", "3.1.1"])
def version(request: pytest.FixtureRequest) -> str:
    """The version that is set."""
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def settings(settings: Settings, version: str) -> Settings:
    return settings.model_copy(update={"mqtt_version": version})


@pytest.fixture(scope="module")
def environment(environment: dict[str, str], version: str) -> dict[str, str]:
    return environment | {"IOC_MQTT_VERSION": version}


def one(connection: Connection, query: str, *values: object) -> int:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return int(row[0])


def test_killed_and_cut_off(
    spawn: Spawn, broker: BrokerServer, db: Database, live: Live, topic: str, version: str
) -> None:
    """Ingest is killed, the broker restarts, all under load: what was acknowledged is stored exactly once."""
    process = spawn()
    wait_beating(live, process)
    load = Load(broker.port, Ledger.mixed(topic, 16_000, seed=int(version[0])))
    for _ in range(2):
        load.wait_moving(db)
        process.kill()
        process.wait()
        process = spawn()
    load.wait_moving(db)
    broker.stop()
    broker.start()
    load.finish(db)


def test_retained_is_taken_once(
    spawn: Spawn, broker: BrokerServer, db: Database, live: Live, topic: str, device: Device
) -> None:
    """Announcements are taken whenever the broker repeats them; anything else that it kept counts once, as it came."""
    announced = f"{topic}-a"
    device.send(f"ioc/{announced}/announce", {"kind": "waste_bin", "name": "Trước"}, retain=True)

    def restart(process: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
        process.terminate()
        process.wait(60)
        process = spawn()
        wait_beating(live, process)
        return process

    process = spawn()
    wait_beating(live, process)
    with db.connect() as connection:
        eventually(lambda: one(connection, "SELECT count(*) FROM device WHERE id = %s AND name = 'Trước'", announced))
        # Live, although the sender wants it kept.
        device.send(f"ioc/{topic}/telemetry", b"poison", retain=True)
        device.send(f"ioc/{topic}-b/telemetry", {"ts": now_ms(), "values": {"pm25": 1}}, retain=True)
        device.send(f"ioc/{topic}/state", {"state": "maintenance", "reason": "kept"}, retain=True)
        for number in range(2):
            process = restart(process)
            device.send(f"ioc/{topic}-c/telemetry", {"ts": now_ms(), "values": {"pm25": number}})
            eventually(lambda number=number: one(connection, READINGS, f"{topic}-c") == number + 1)
        assert one(connection, "SELECT count(*) FROM quarantine WHERE topic = %s", f"ioc/{topic}/telemetry") == 1
        assert one(connection, READINGS, f"{topic}-b") == 1
        assert one(connection, "SELECT count(*) FROM device_state WHERE device = %s AND reason = 'kept'", topic) == 1


def test_retained_is_counted(
    settings: Settings, live: Live, broker: BrokerServer, db: Database, topic: str, device: Device, version: str
) -> None:
    """What 3.1.1 brings anew is counted and acknowledged, so that it does not stand in the way of what follows."""
    for number in range(30):
        device.send(f"ioc/{topic}-{number}/telemetry", b"{}", retain=True)
    before = RETAINED._value.get()
    with Service("ingest", settings) as shell, db.connect() as connection:
        running = Ingest(shell, Identity(f"retained-{topic}"), live)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            assert running.wait_ready(60)
            device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 1}})
            eventually(lambda: one(connection, READINGS, topic))
            eventually(lambda: running.figures()["inflight"] == 0)
            assert one(connection, "SELECT count(*) FROM quarantine WHERE topic LIKE %s", f"ioc/{topic}-%") == 0
        finally:
            shell.stopping.set()
            thread.join(60)
    passed = RETAINED._value.get() - before
    assert passed >= 30 if version == "3.1.1" else passed == 0
