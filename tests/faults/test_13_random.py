"""Faults of every sort at random, one or two at a time, under constant load: each round ends with the comparison of the ledger.

`make soak` goes on with it for as long as asked.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Final

import pytest

from ioc.db.upkeep import roll_hours
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.database import DatabaseServer
from tests.faults.gate import BACKENDS
from tests.faults.process import IngestProcess
from tests.faults.proxy import Proxy
from tests.fix_stack import BrokerServer, CacheServer, Database
from tests.ledger import Ledger
from tests.soak import MINUTES, random_s


@pytest.fixture(scope="module")
def db(crashing_db: Database) -> Database:
    """In place of the shared server's: this one crashes."""
    return crashing_db


class Scene:
    """All that can fail."""

    def __init__(
        self, start: Callable[[], IngestProcess], broker: BrokerServer, cache: CacheServer, server: DatabaseServer
    ) -> None:
        self._start = start
        self.broker = broker
        self.cache = cache
        self.server = server
        self.process = start()

    @contextmanager
    def killed(self) -> Iterator[None]:
        """Ingest, by SIGKILL."""
        self.process.kill()
        yield
        self.process = self._start()

    @contextmanager
    def asked_to_stop(self) -> Iterator[None]:
        """Ingest, by SIGTERM."""
        self.process.stop(within_s=120)
        yield
        self.process = self._start()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Ingest, by SIGSTOP."""
        self.process.pause()
        yield
        self.process.resume()

    @contextmanager
    def broker_restarted(self) -> Iterator[None]:
        """In order: a killed one may lose what it has acknowledged."""
        self.broker.stop()
        yield
        self.broker.start()

    @contextmanager
    def database_crashed(self) -> Iterator[None]:
        """As by a fault of the machine."""
        self.server.crash()
        yield
        self.server.start()

    @contextmanager
    def database_stopped(self) -> Iterator[None]:
        """In order."""
        self.server.stop()
        yield
        self.server.start()

    @contextmanager
    def connections_ended(self) -> Iterator[None]:
        """Those that ingest writes over."""
        query = f"SELECT pg_terminate_backend(pid) {BACKENDS.replace('current_database()', 'datname')}"
        self.server.admin(query)
        yield
        self.server.admin(query)

    @contextmanager
    def redis_killed(self) -> Iterator[None]:
        """By SIGKILL."""
        self.cache.kill()
        yield
        self.cache.start()

    @contextmanager
    def redis_stalled(self) -> Iterator[None]:
        """By SIGSTOP."""
        self.cache.pause()
        yield
        self.cache.resume()


@contextmanager
def stalled(wire: Proxy) -> Iterator[None]:
    """Nothing passes."""
    wire.stall()
    yield
    wire.heal()


@contextmanager
def slow(wire: Proxy) -> Iterator[None]:
    """Little passes."""
    wire.slow(20_000)
    yield
    wire.heal()


@contextmanager
def cut(wire: Proxy) -> Iterator[None]:
    """Every connection ends, twice."""
    wire.cut()
    yield
    wire.cut()


@contextmanager
def half_open(wire: Proxy) -> Iterator[None]:
    """What is connected hears nothing any more."""
    wire.forget()
    yield
    wire.cut()


Fault = Callable[[], AbstractContextManager[None]]
#: Seconds that a fault lasts at most, beside what it takes to begin and to end it.
LONGEST: Final = 4.0


@pytest.mark.timeout(MINUTES * 60 + 900)
def test_random_faults(
    spawn: Spawn,
    publish: Publish,
    wired: dict[str, str],
    mqtt_wire: Proxy,
    db_wire: Proxy,
    broker: BrokerServer,
    cache: CacheServer,
    server: DatabaseServer,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """Whatever fails, and whatever fails beside it: what was acknowledged to the publisher is stored, each message once."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    settings = wired | {"IOC_MQTT_KEEPALIVE_S": "2", "IOC_INGEST_HANG_UP_S": "7"}
    scene = Scene(lambda: spawn(wait=False, **settings), broker, cache, server)
    # Of one thing that fails only one fault at a time.
    kinds: list[list[Fault]] = [
        [scene.killed, scene.asked_to_stop, scene.stopped],
        [scene.broker_restarted],
        [scene.database_crashed, scene.database_stopped, scene.connections_ended],
        [scene.redis_killed, scene.redis_stalled],
        *(
            [lambda wire=wire, way=way: way(wire) for way in (stalled, slow, cut, half_open)]
            for wire in (mqtt_wire, db_wire)
        ),
    ]
    scene.process.wait_well(live)  # the broker keeps nothing for a session that does not exist yet
    ends, rounds = time.monotonic() + random_s(), 0
    while not rounds or time.monotonic() < ends:
        rounds += 1
        load = publish(Ledger.mixed(f"r{rounds}-{topic}", 15_000, seed=seed + rounds), rate=1000)
        while load.publishing:
            with ExitStack() as faults:
                for kind in chance.sample(kinds, chance.choice((1, 1, 2))):
                    fault = chance.choice(kind)
                    print(f"{datetime.now(UTC):%H:%M:%S}", fault)
                    faults.enter_context(fault())
                time.sleep(chance.uniform(0, LONGEST))
            with db.connect() as connection:
                roll_hours(connection, datetime.now(UTC))
            time.sleep(chance.uniform(0, LONGEST / 2))
        load.finish(db, within_s=150)
        scene.process.wait_well(live, within_s=120)
    print(f"{rounds} rounds")
