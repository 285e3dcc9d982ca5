"""Two ingest processes are given one client id: one works, the other stands by and says so; nothing is lost or doubled.

One that hangs loses its place within the time that `ioc.db.hung` gives it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, Literal

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.mqtt import connect_properties
from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.gate import BACKENDS, Gates, Place, in_copy
from tests.faults.process import IngestProcess
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually
from tests.fix_stack import BrokerServer, Database
from tests.impatient import impatient
from tests.ledger import Ledger
from tests.load import Load

CLIENT = "ioc-the-one"


@pytest.fixture
def homes(tmp_path: Path) -> list[dict[str, str]]:
    """Settings of two processes that know nothing of each other."""
    return [{"IOC_INGEST_CLIENT_ID": CLIENT, "IOC_HOME": str(tmp_path / name)} for name in ("one", "two")]


@pytest.mark.parametrize("home", [0, 1])
@pytest.mark.parametrize("spool_mb", ["0", "10"])
def test_the_second_stands_by(
    spool_mb: str,
    home: int,
    homes: list[dict[str, str]],
    spawn: Spawn,
    publish: Publish,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """It takes no message while the first one lives, in one home with it or not, and takes over where that one was killed."""
    one, two = ({**homes[place], "IOC_INGEST_SPOOL_MB": spool_mb} for place in (0, home))
    first = spawn(**one)
    load = publish(Ledger.mixed(topic, 8000, seed=1))
    second = spawn(wait=False, **two)
    assert CLIENT in second.wait_degraded(live, "another ingest runs as")
    load.wait_moving(db)
    first.wait_well(live)
    assert not first.connections_lost
    beat = eventually(lambda: second.beat(live))
    assert not beat.figures.get("queue")
    assert not beat.figures.get("spool_mb")
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


@contextmanager
def hung(
    place: Place | Literal["copy"] | None,
    process: IngestProcess,
    live: Live,
    gates: Gates,
    wire: Proxy,
    db: Database,
    load: Load,
) -> Iterator[None]:
    """Stop the process at that place, and wake it at the end."""
    if place is None:
        load.go_on()
        process.pause()
    elif place == "copy":
        with in_copy(process, live, wire, db, load):
            process.pause()
    else:
        with gates.closed(place):
            load.go_on()
            gates.wait_held()
            process.pause()
    yield
    process.resume()


@pytest.mark.parametrize("place", [None, "copy", *Place])
def test_one_that_hangs_loses_its_place(
    place: Place | Literal["copy"] | None,
    homes: list[dict[str, str]],
    spawn: Spawn,
    publish: Publish,
    gates: Gates,
    wired: dict[str, str],
    db_wire: Proxy,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """Wherever it stopped, the other one goes on; it wakes, stores and acknowledges nothing more, and ends."""
    first = spawn(**homes[0], IOC_DATABASE_URL=wired["IOC_DATABASE_URL"])
    second = spawn(wait=False, argv=impatient("ingest"), **homes[1])
    second.wait_degraded(live, "another ingest runs as")
    load = publish(Ledger.mixed(topic, 8000, seed=4), rate=2000, first=3000)
    load.wait_moving(db)
    with hung(place, first, live, gates, db_wire, db, load):
        second.wait_well(live, within_s=120)
        load.finish(db)
        while_it_wakes = publish(Ledger.mixed(f"awake-{topic}", 6000, seed=5), rate=1000)
        while_it_wakes.wait_moving(db)
    assert first.process.wait(60) == 1
    assert "another ingest r" in first.log.read_text()
    while_it_wakes.finish(db)
    with db.connect() as connection:
        load.ledger.check(connection, load.flood)
    second.wait_well(live)


#: An ingest whose decoder never comes to an end of a message that says so.
_ENDLESS: Final = """
import runpy, time
import ingest.decode, ingest.service
ingest.service._HANGS_S = 5
decode = ingest.decode.Decoder.decode
def endless(self, block):
    while any(b"endless" in message[1] for message in block.messages):
        time.sleep(1)
    decode(self, block)
ingest.decode.Decoder.decode = endless
runpy.run_module("ingest", run_name="__main__")
"""


def test_one_whose_thread_hangs_ends(
    homes: list[dict[str, str]], spawn: Spawn, publish: Publish, db: Database, live: Live, topic: str
) -> None:
    """It could not end in order; it says where it hangs, and the other one goes on with what it had in hand."""
    first = spawn(argv=(sys.executable, "-c", _ENDLESS), **homes[0])
    second = spawn(wait=False, **homes[1])
    second.wait_degraded(live, "another ingest runs as")
    ledger = Ledger.mixed(topic, 2000, seed=6)
    ledger.poison(f"ioc/{topic}-p/telemetry", b"endless", "json")
    load = publish(ledger)
    assert first.process.wait(60) == 1
    assert first.said("a block is decoded without end, the process ends")
    assert "in endless" in first.log.read_text()
    load.finish(db)
    second.wait_well(live)


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
    told = partial(process.said, "lost", what="mqtt", why=f"another client connect as {CLIENT}")
    until = time.monotonic() + 60
    while not told() and time.monotonic() < until:
        client.reconnect()
        taken += 1
        while client.loop(0.05) == paho.MQTT_ERR_SUCCESS and not told() and time.monotonic() < until:
            pass
        # Only when it is back it is lost anew; once it was there at its start.
        eventually(lambda: told() or len(process.said("back", what="mqtt")) > taken)  # noqa: B023
    client.disconnect()
    assert told()
    assert 2 <= taken < 30
    load.finish(db)
    process.wait_well(live)
