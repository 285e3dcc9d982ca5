"""Ingest is killed with SIGKILL at every moment between the broker and its acknowledgement."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

import pytest

from ioc.db.pool import Connection
from ioc.db.upkeep import roll_hours
from ioc.live import Live
from tests.faults import gate
from tests.faults.conftest import Publish, Spawn
from tests.faults.gate import BACKENDS, Gates, Place
from tests.faults.process import IngestProcess
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually
from tests.fix_stack import Database
from tests.ledger import Ledger
from tests.load import Load


class Scene(NamedTuple):
    """What a moment is made with."""

    live: Live
    database: Database
    connection: Connection
    gates: Gates
    mqtt: Proxy
    db: Proxy
    load: Load
    #: Let out for it, None = all that is left.
    number: int | None = None

    def hold(self) -> bool:
        """Let something out, which meets a closed gate; whether it is a small batch as one statement that is held."""
        self.load.go_on(self.number)
        self.gates.wait_held()
        return gate.is_at_once(self.connection)


@contextmanager
def before_copy(scene: Scene, process: IngestProcess) -> Iterator[bool]:
    """It has taken messages, and none of them has reached the database."""
    scene.db.stall()
    scene.load.go_on(scene.number)
    process.wait_holding(scene.live, 1)
    yield False
    scene.db.forget(tell_target=True)


@contextmanager
def in_copy(scene: Scene, process: IngestProcess) -> Iterator[bool]:
    """Some of a batch's rows are on the server, some are not."""
    with gate.in_copy(process, scene.live, scene.db, scene.database, scene.load):
        yield False


@contextmanager
def before_commit(scene: Scene, process: IngestProcess) -> Iterator[bool]:
    """All rows are on the server; the transaction is not committed."""
    with scene.gates.closed(Place.BEFORE_COMMIT):
        yield scene.hold()


@contextmanager
def in_commit(scene: Scene, process: IngestProcess) -> Iterator[bool]:
    """The transaction commits, and its client is dead before it hears of it."""
    with scene.gates.closed(Place.IN_COMMIT):
        yield scene.hold()


@contextmanager
def after_commit(scene: Scene, process: IngestProcess) -> Iterator[bool]:
    """The rows are there for all to see; no acknowledgement has reached the broker."""
    with scene.gates.closed(Place.BEFORE_COMMIT):
        is_small = scene.hold()
        before = scene.load.ledger.progress(scene.connection)
        scene.mqtt.stall(down=False)
    eventually(lambda: scene.load.ledger.progress(scene.connection) > before)
    yield is_small
    scene.mqtt.forget(tell_target=True)


#: Gives whether what it stops is a small batch as one statement.
Moment = Callable[[Scene, IngestProcess], AbstractContextManager[bool]]


@pytest.fixture
def make_scene(
    live: Live, db: Database, connection: Connection, gates: Gates, mqtt_wire: Proxy, db_wire: Proxy
) -> Callable[[Load], Scene]:
    """Of the servers and wires of a test, for one load."""
    return partial(Scene, live, db, connection, gates, mqtt_wire, db_wire)


@pytest.mark.parametrize("moment", [before_copy, in_copy, before_commit, in_commit, after_commit])
def test_killed_at_a_moment(
    moment: Moment,
    spawn: Spawn,
    publish: Publish,
    wired: dict[str, str],
    make_scene: Callable[[Load], Scene],
    topic: str,
) -> None:
    """Killed at that moment under load: what was acknowledged to the publisher is stored, each message once."""
    process = spawn(**wired)
    load = publish(Ledger.mixed(topic, 5000, seed=1), rate=1500, first=2500)
    scene = make_scene(load)
    load.wait_moving(scene.database)
    with moment(scene, process):
        process.kill()
    scene.mqtt.heal()
    scene.db.heal()
    process = spawn(wait=False, **wired)
    load.finish(scene.database)
    assert process.alive


@pytest.mark.parametrize("moment", [before_commit, in_commit, after_commit])
def test_killed_while_little_comes(
    moment: Moment,
    spawn: Spawn,
    publish: Publish,
    wired: dict[str, str],
    make_scene: Callable[[Load], Scene],
    topic: str,
) -> None:
    """Killed at that moment of a small batch, whose one statement is its transaction: the same holds."""
    process = spawn(**wired)
    load = publish(Ledger.readings_alone(topic, 300), rate=60, first=60)
    scene = make_scene(load)._replace(number=gate.FEW)
    load.wait_stored(scene.database)  # every device is known
    with moment(scene, process) as is_small:
        assert is_small
        process.kill()
    scene.mqtt.heal()
    process = spawn(wait=False, **wired)
    load.finish(scene.database)
    assert process.alive


def test_killed_successor_meets_the_old_transaction(
    spawn: Spawn, publish: Publish, gates: Gates, db: Database, connection: Connection, topic: str
) -> None:
    """The next ingest starts, and gets the same messages, while the killed one's transaction still commits."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 4000, seed=2), first=2000)
    load.wait_moving(db)
    with gates.closed(Place.IN_COMMIT):
        load.go_on()
        old = gates.wait_held()
        process.kill()
        process = spawn(wait=False)
        query = f"SELECT true {BACKENDS} AND pid <> {old} AND wait_event_type = 'Lock'"
        eventually(lambda: connection.execute(query).fetchone())
    load.finish(db)
    assert process.alive


def test_killed_at_random(spawn: Spawn, publish: Publish, db: Database, connection: Connection, topic: str) -> None:
    """Killed again and again at random, while starting too; late data meets hours that are rolled up meanwhile."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    process = spawn()
    load = publish(Ledger.mixed(topic, 15_000, seed=seed), rate=1500)
    while load.publishing:
        if chance.random() < 0.7:
            load.wait_moving(db)
        time.sleep(chance.uniform(0, 1))
        process.kill()
        roll_hours(connection, datetime.now(UTC))
        process = spawn(wait=False)
    load.finish(db)
    assert process.alive
