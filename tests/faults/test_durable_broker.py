"""With a broker that has on its disk what it has acknowledged, nothing is lost or kept twice, whatever dies; a real RabbitMQ."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ioc.db.pool import Connection
from ioc.doctor import examine
from ioc.live import Live
from ioc.settings import Settings
from ioc.stack.embedded import Stack, Urls
from ioc.stack.home import Home
from ioc.stack.process import Child
from tests.faults.conftest import Publish, Spawn
from tests.faults.gate import Gates, Place
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually, now_ms
from tests.fix_stack import Database
from tests.flood import packet
from tests.ledger import Ledger


class RabbitServer:
    """The RabbitMQ of a stack that has nothing else, which a test may kill and start again; port and what it keeps stay."""

    host = "127.0.0.1"

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.url = stack.urls.mqtt_url
        self.port = int(self.url.rpartition(":")[2])

    @property
    def child(self) -> Child:
        """Its process."""
        return next(child for child in self._stack.children if child.name == "rabbitmq")

    def start(self) -> None:
        """Start it again, as the supervisor of a city does."""
        eventually(lambda: self._stack.revive() or self.child.alive(), within_s=300)

    def stop(self) -> None:
        """Stop it in order."""
        self.child.stop(120)
        assert self.child.process.returncode == 0

    def kill(self) -> None:
        """SIGKILL it."""
        self.child.kill()


@pytest.fixture(scope="module")
def broker(runtime: Path) -> Iterator[RabbitServer]:
    """A RabbitMQ of this module's own, in the place of its Mosquitto."""
    elsewhere = Urls(database_url="postgresql://elsewhere/ioc", redis_url="redis://elsewhere")
    with Stack(Home.at(runtime / f"rabbitmq-{uuid.uuid4().hex[:8]}"), elsewhere, print, broker="rabbitmq") as stack:
        yield RabbitServer(stack)


@pytest.fixture(scope="module")
def environment(environment: dict[str, str]) -> dict[str, str]:
    """Ingest is told what its broker is."""
    return environment | {"IOC_BROKER": "rabbitmq"}


@contextmanager
def connected(broker: RabbitServer) -> Iterator[socket.socket]:
    """A device that has connected."""
    with socket.create_connection((broker.host, broker.port), timeout=60) as connection:
        connection.sendall(bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 0]))
        assert connection.recv(4)[:1] == b"\x20"
        yield connection


def assert_once(ledger: Ledger, connection: Connection) -> None:
    """Nothing is kept twice, whether it has a time or not."""
    assert [fact for fact, times in ledger.stored(connection).items() if times > 1] == []


def test_what_it_dropped_is_unknown(settings: Settings) -> None:
    """It takes the subscription to Mosquitto's count and never tells one; the technician does not read nought."""
    (finding,) = [one for one in examine(settings) if one.subject == "broker's queue"]
    assert finding.level == "note"
    assert "unknown" in finding.text


def test_killed_under_load_while_ingest_is_away(
    spawn: Spawn, publish: Publish, broker: RabbitServer, db: Database, topic: str
) -> None:
    """Killed with a backlog, more coming in: all that it had acknowledged is there for the next ingest."""
    process = spawn()
    assert process.stop() == 0
    load = publish(Ledger.mixed(topic, 6000, seed=1), rate=1000)
    eventually(lambda: len(load.flood.acknowledged) > 2500)
    broker.kill()
    assert load.publishing
    broker.start()
    load.wait_published()
    spawn()
    load.finish(db)


def test_killed_while_ingest_takes_its_backlog(
    spawn: Spawn,
    publish: Publish,
    broker: RabbitServer,
    gates: Gates,
    db: Database,
    connection: Connection,
    live: Live,
    topic: str,
) -> None:
    """Killed when some is acknowledged and some only handed over: all comes again, or for the first time, and is stored once."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 6000, seed=2), rate=None, first=3000)
    load.wait_moving(db)
    with gates.closed(Place.BEFORE_COMMIT):
        load.go_on()
        gates.wait_held()
        load.wait_published()
        process.wait_holding(live, 1000)
        assert load.ledger.progress(connection) > 0
        broker.kill()
    broker.start()
    load.finish(db)
    assert load.flood.sent_again == 0
    assert_once(load.ledger, connection)
    assert process.alive


def test_restarted_while_ingest_holds(
    spawn: Spawn,
    publish: Publish,
    broker: RabbitServer,
    gates: Gates,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """Stopped in order and started again, with what is not acknowledged and more behind it."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 6000, seed=3), rate=1000, first=2000)
    load.wait_moving(db)
    with gates.closed(Place.BEFORE_COMMIT):
        load.go_on()
        gates.wait_held()
        process.wait_holding(live, 200)
        broker.stop()
        process.wait_degraded(live, "mqtt")
    broker.start()
    load.finish(db)
    process.wait_well(live)


@pytest.mark.parametrize("dies", ["connection", "ingest"])
def test_acknowledgements_get_lost(
    dies: str,
    spawn: Spawn,
    publish: Publish,
    wired: dict[str, str],
    mqtt_wire: Proxy,
    db: Database,
    connection: Connection,
    topic: str,
) -> None:
    """What was committed is handed over once more, under other packet ids: it is told by its order, also without a time."""
    process = spawn(**wired)
    load = publish(Ledger.mixed(topic, 3000, seed=4), rate=1000, first=1500)
    load.wait_moving(db)
    mqtt_wire.stall(down=False)
    before = load.ledger.progress(connection)
    load.go_on()
    eventually(lambda: load.ledger.progress(connection) > before + 500)
    if dies == "ingest":
        process.kill()
        process = spawn(wait=False, **wired)
    mqtt_wire.cut()
    mqtt_wire.heal()
    load.finish(db)
    assert load.flood.sent_again == 0
    assert_once(load.ledger, connection)
    assert process.alive


def test_announcement_from_before_the_session(
    spawn: Spawn, broker: RabbitServer, connection: Connection, topic: str
) -> None:
    """RabbitMQ hands nothing retained to a filter with a wildcard: a device that ingest does not know is asked for by name."""
    retained = bytearray(packet(f"ioc/{topic}/announce", b'{"kind": "flood_gauge", "name": "A"}', 1))
    retained[0] |= 1
    telemetry = json.dumps({"ts": now_ms(), "values": {"waterLevel": 1.0}}).encode()
    with connected(broker) as device:
        device.sendall(retained)
        assert device.recv(4) == b"\x40\2\0\1"
        spawn(IOC_INGEST_CLIENT_ID=f"new-{topic}")
        device.sendall(packet(f"ioc/{topic}/telemetry", telemetry, 2))
        query = "SELECT kind FROM device WHERE id = %s AND kind <> ''"
        assert eventually(lambda: connection.execute(query, [topic]).fetchone()) == ("flood_gauge",)


def test_topic_with_a_dot_is_refused(broker: RabbitServer) -> None:
    """RabbitMQ would acknowledge it and hand it to nobody: its sender hears of it instead."""
    with connected(broker) as connection:
        connection.sendall(packet("ioc/gauge-1/telemetry", b"{}", 1))
        assert connection.recv(4) == b"\x40\2\0\1"
        connection.sendall(packet("ioc/gauge.1/telemetry", b"{}", 2))
        assert connection.recv(4) == b""
