"""The broker restarts with messages that nobody has taken yet; and what holds when it is killed."""

from __future__ import annotations

import pytest

from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.gate import Gates, Place
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually
from tests.fix_stack import BrokerServer, Database
from tests.ledger import Ledger


def restart(broker: BrokerServer) -> None:
    """Stop it in order, start it again."""
    broker.stop()
    broker.start()


def test_restart_with_a_backlog_and_no_ingest(
    spawn: Spawn, publish: Publish, broker: BrokerServer, db: Database, topic: str
) -> None:
    """What was acknowledged while no ingest ran is still there after a restart, and the next ingest gets it."""
    process = spawn()
    assert process.stop() == 0
    load = publish(Ledger.mixed(topic, 6000, seed=1), rate=None)
    load.wait_published()
    restart(broker)
    spawn()
    load.finish(db)


def test_restart_under_load(
    spawn: Spawn, publish: Publish, broker: BrokerServer, gates: Gates, db: Database, live: Live, topic: str
) -> None:
    """Restarted while ingest holds what it has not acknowledged, with more behind it and more to come: all is stored once."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 10_000, seed=2), rate=2000, first=3000)
    load.wait_moving(db)
    with gates.closed(Place.BEFORE_COMMIT):
        load.go_on()
        gates.wait_held()
        process.wait_holding(live, 500)
        broker.stop()
        process.wait_degraded(live, "mqtt")
        broker.start()
    load.wait_moving(db)
    restart(broker)
    load.finish(db)
    process.wait_well(live)
    assert process.said("back", what="mqtt")


def test_killed_with_its_last_save_behind(
    spawn: Spawn, publish: Publish, broker: BrokerServer, gates: Gates, db: Database, live: Live, topic: str
) -> None:
    """A killed broker comes back as it last saved itself and hands out again what was committed since: nothing is doubled."""
    process = spawn()
    with gates.closed(Place.BEFORE_COMMIT):
        load = publish(Ledger.mixed(topic, 3000, seed=3), rate=None)
        gates.wait_held()
        load.wait_published()
        broker.save()
    load.finish(db)
    process.wait_idle(live)
    broker.kill()
    process.wait_degraded(live, "mqtt")
    broker.start()
    process.wait_well(live)
    after = publish(Ledger.mixed(f"after-{topic}", 500, seed=4), rate=None)
    after.finish(db)
    load.finish(db)


def test_killed_with_what_only_it_had(
    spawn: Spawn, publish: Publish, broker: BrokerServer, db: Database, connection: Connection, topic: str
) -> None:
    """Mosquitto acknowledges before its disk: killed, it may lose what it had not handed over, and nothing else; all goes on."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 3000, seed=5))
    load.wait_moving(db)
    process.stop()
    load.wait_published()
    committed = load.ledger.stored(connection)
    broker.kill()
    broker.start()
    process = spawn()
    after = publish(Ledger.mixed(f"after-{topic}", 1000, seed=6))
    after.finish(db)
    assert committed.keys() <= load.ledger.stored(connection).keys()
    lost, doubled, strange = load.ledger.difference(connection, load.flood.acknowledged)
    print(f"lost with the broker: {len(lost)} of {len(load.flood.acknowledged)} messages it had acknowledged")
    assert not doubled
    assert not strange


@pytest.mark.parametrize("dies", ["connection", "ingest"])
def test_session_lost(
    dies: str,
    spawn: Spawn,
    publish: Publish,
    broker: BrokerServer,
    wired: dict[str, str],
    mqtt_wire: Proxy,
    connection: Connection,
    live: Live,
    topic: str,
) -> None:
    """A broker without its sessions numbers from 1 again: a word it hands over twice is not the one of that number before."""
    settings = wired | {"IOC_INGEST_CLIENT_ID": topic}
    words = "SELECT count(*) FROM quarantine WHERE topic = %s"
    name = f"ioc/{topic}/telemetry"
    ledger = Ledger(topic)
    ledger.message(name, b"ON")
    process = spawn(**settings)
    publish(ledger)
    eventually(lambda: connection.execute(words, [name]).fetchone() == (1,))
    broker.kill()
    process.wait_degraded(live, "mqtt")
    broker.forget()
    broker.start()
    process.wait_well(live)
    mqtt_wire.stall(up=False)
    publish(ledger).wait_published()
    if dies == "ingest":
        process.kill()
    mqtt_wire.cut()
    mqtt_wire.heal()
    if dies == "ingest":
        spawn(**settings)
    eventually(lambda: connection.execute(words, [name]).fetchone() == (2,))
