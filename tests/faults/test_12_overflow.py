"""More than a queue or a message may hold, and what the broker repeats unasked; the spool is in `test_12_spool`."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from ioc.db.pool import Connection
from ioc.live import Live
from ioc.stack.home import Home
from tests.faults.conftest import Publish, Spawn
from tests.faults.proxy import Proxy
from tests.faults.small_broker import HELD, INFLIGHT, ForgetfulBroker
from tests.fix_ingest import Device, eventually
from tests.fix_stack import Database
from tests.flood import packet
from tests.ledger import Ledger
from tests.load import Load

#: Larger than ingest takes, and than the broker does.
LARGE, TOO_LARGE = 1_500_000, 2_500_000


@pytest.fixture
def small(runtime: Path, topic: str) -> Iterator[ForgetfulBroker]:
    """A broker that keeps little."""
    server = ForgetfulBroker(Home.at(runtime / f"small-{topic}"))
    yield server
    server.child.stop()


def dropped(broker: ForgetfulBroker) -> int:
    """How many messages the broker says that it dropped."""
    said: list[int] = []
    came = threading.Event()

    def on_message(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        said.append(int(message.payload))
        came.set()

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe("$SYS/broker/publish/messages/dropped")
    client.connect(broker.host, broker.port)
    client.loop_start()
    assert came.wait(60)
    client.disconnect()
    client.loop_stop()
    return said[-1]


def test_queue_overflow(
    spawn: Spawn, small: ForgetfulBroker, db: Database, connection: Connection, live: Live, topic: str
) -> None:
    """Offline for longer than the broker holds: what it drops it counts, nothing else is lost, and nothing is doubled."""
    process = spawn(IOC_MQTT_URL=small.url)
    before = Load(small.port, Ledger.mixed(f"before-{topic}", 500, seed=1))
    before.finish(db)
    process.wait_idle(live)
    assert process.stop() == 0
    load = Load(small.port, Ledger.mixed(topic, HELD + INFLIGHT + 3000, seed=2), rate=None)
    load.wait_published()
    process = spawn(IOC_MQTT_URL=small.url)
    # Else the broker, still full, might drop of what comes now.
    eventually(lambda: load.ledger.progress(connection) > HELD / 2)
    after = Load(small.port, Ledger.mixed(f"after-{topic}", 500, seed=3))
    after.finish(db)  # it comes behind all that the broker held
    lost, doubled, strange = load.ledger.difference(connection, load.flood.acknowledged)
    assert not doubled
    assert not strange
    assert len(lost) >= len(load.ledger.messages) - HELD - INFLIGHT
    eventually(lambda: dropped(small) == len(lost))
    eventually(lambda: (beat := process.beat(live)) and beat.figures.get("broker_dropped") == len(lost))


def test_oversize(spawn: Spawn, small: ForgetfulBroker, db: Database, live: Live, topic: str) -> None:
    """What is larger than ingest takes is kept, cut; what is larger than the broker takes its sender is told."""
    process = spawn(IOC_MQTT_URL=small.url)
    ledger = Ledger(topic)
    base = round(time.time() * 1000)
    for index in range(400):
        ledger.reading(f"{topic}-{index % 5}", base - index, {"pm25": 1.0 + index})
        if index % 100 == 50:
            body = b'{"ts":%d,"values":{"pm25":1},"x":"%s"}' % (base, b"x" * (LARGE + index))
            where = f"ioc/{topic}-{index}/telemetry"
            ledger.message(where, body, ("quarantine", where, "size", body[:65_536]))
    load = Load(small.port, ledger)
    load.finish(db)
    with db.connect() as connection:
        sizes = "SELECT array_agg(size ORDER BY size), max(length(payload)) FROM quarantine WHERE topic LIKE %s"
        row = connection.execute(sizes, [f"ioc/{topic}-%"]).fetchone()
    whole = sorted(len(payload) for _, payload in ledger.messages if len(payload) > LARGE)
    assert row == (whole, 65_536)
    assert is_refused(small, packet(f"ioc/{topic}-0/telemetry", b"x" * TOO_LARGE, 1))
    process.wait_idle(live)
    load.finish(db)


def is_refused(broker: ForgetfulBroker, message: bytes) -> bool:
    """Whether the broker ends the connection of who sends this, instead of acknowledging it."""
    with socket.create_connection((broker.host, broker.port), timeout=60) as connection:
        connection.sendall(bytes([0x10, 12, 0, 4]) + b"MQTT" + bytes([4, 2, 0, 60, 0, 0]))
        assert connection.recv(4)[:1] == b"\x20"
        try:
            connection.sendall(message)
            return connection.recv(4) == b""
        except ConnectionError:
            return True


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_retained_replay(
    version: str,
    spawn: Spawn,
    publish: Publish,
    device: Device,
    wired: dict[str, str],
    mqtt_wire: Proxy,
    db: Database,
    connection: Connection,
    topic: str,
) -> None:
    """What is retained was stored when it was sent: over a new connection, or to a new process, it is nothing new."""
    process = spawn(IOC_MQTT_VERSION=version, **wired)
    ledger = Ledger(topic)
    stamp = round(time.time() * 1000)
    ledger.reading(f"{topic}-r", stamp, {"pm25": 3.0})
    ledger.clock_off(f"{topic}-c", 1000, {"pm25": 4.0})
    ledger.state(f"{topic}-s", stamp, "maintenance")
    ledger.will(f"{topic}-w", "maintenance")
    ledger.poison(f"ioc/{topic}-p/telemetry", b"poison", "json")
    for name, payload in ledger.messages:
        device.send(name, payload, retain=True)
    ledger.settle(connection)
    ledger.will(f"{topic}-w", "online")  # said later and not retained: a repetition of the other one would undo it
    device.send(*ledger.messages[-1])
    mqtt_wire.cut()
    publish(Ledger.mixed(f"over-another-wire-{topic}", 300, seed=1)).finish(db)
    process.kill()
    spawn(IOC_MQTT_VERSION=version, **wired)
    publish(Ledger.mixed(f"to-another-process-{topic}", 300, seed=2)).finish(db)
    assert ledger.difference(connection, range(len(ledger.messages))) == ([], [], [])
