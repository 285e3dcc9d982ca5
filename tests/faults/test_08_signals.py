"""Ingest is told to stop under load, and is stopped for a while without being told."""

from __future__ import annotations

import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.mqtt import connect_properties
from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.gate import Gates, Place
from tests.fix_ingest import eventually
from tests.fix_stack import BrokerServer, Database
from tests.ledger import Ledger
from tests.soak import STILL_S

CLIENT = "ioc-signals"


def waiting_messages(broker: BrokerServer) -> set[tuple[str, bytes]]:
    """What the broker still has for ingest's session; none of it is acknowledged here."""
    found: set[tuple[str, bytes]] = set()
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=CLIENT, protocol=MQTTProtocolVersion.MQTTv5, manual_ack=True
    )
    client.on_message = lambda _client, _data, message: found.add((message.topic, message.payload))
    client.connect(broker.host, broker.port, clean_start=False, properties=connect_properties(60_000))
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.loop_start()
    assert connected.wait(60)
    time.sleep(1)
    client.disconnect()
    client.loop_stop()
    return found


def test_sigterm_drains(
    spawn: Spawn, publish: Publish, broker: BrokerServer, db: Database, connection: Connection, topic: str
) -> None:
    """Told to stop, it commits what it took, acknowledges it, writes its last sightings and ends well; the next one goes on."""
    process = spawn(IOC_INGEST_CLIENT_ID=CLIENT)
    load = publish(Ledger.mixed(topic, 12_000, seed=1), rate=1500)
    for _ in range(2):
        load.wait_moving(db)
        assert process.stop() == 0
        unseen = "SELECT count(*) FROM device WHERE id LIKE %s AND last_seen IS NULL"
        assert connection.execute(unseen, [f"{topic}-%"]).fetchone() == (0,)
        stored = load.ledger.stored(connection)
        committed = {load.ledger.messages[index] for fact in stored for index in load.ledger.facts[fact][:1]}
        assert not committed & waiting_messages(broker), "committed and not acknowledged"
        process = spawn(IOC_INGEST_CLIENT_ID=CLIENT)
    load.finish(db)


@pytest.mark.parametrize("place", [None, *Place])
def test_sigstop(
    place: Place | None, spawn: Spawn, publish: Publish, gates: Gates, db: Database, live: Live, topic: str
) -> None:
    """Stopped for longer than the broker waits, anywhere and in a transaction: it goes on, and nothing is lost or doubled."""
    process = spawn(IOC_MQTT_KEEPALIVE_S="2")
    load = publish(Ledger.mixed(topic, 8000, seed=2), rate=1000, first=2000)
    load.wait_moving(db)
    if place is None:
        load.go_on()
        process.pause()
    else:
        with gates.closed(place):
            load.go_on()
            gates.wait_held()
            process.pause()
    time.sleep(STILL_S)
    process.resume()
    eventually(lambda: process.said("lost", what="mqtt"))
    load.finish(db)
    process.wait_well(live)
