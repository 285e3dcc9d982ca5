"""What the tests of faults share.

spawn        test     starts `python -m ingest`, as in service; settings may be given as `IOC_…=…`
mqtt_wire    module   a relay in front of the module's broker
db_wire      module   a relay in front of the module's database
gates        module   hold ingest's transactions at a chosen place
wired        test     settings for `spawn` that lead ingest through both relays
server       session  a TimescaleDB that may be crashed; a module that uses it takes `crashing_db` for its `db`
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ioc.live import Live
from ioc.settings import Settings
from ioc.stack.home import Home
from tests.faults.database import DatabaseServer
from tests.faults.gate import Gates
from tests.faults.process import AS_IN_SERVICE, IngestProcess
from tests.faults.proxy import Proxy
from tests.fix_stack import BrokerServer, Database
from tests.ledger import Ledger
from tests.load import Load

Spawn = Callable[..., IngestProcess]
Publish = Callable[..., Load]


@pytest.fixture
def spawn(environment: dict[str, str], live: Live, tmp_path: Path) -> Iterator[Spawn]:
    """Start `python -m ingest` and wait until it is well; what still runs is stopped after the test, and every log is printed."""
    started: list[IngestProcess] = []

    def start(*, wait: bool = True, argv: Sequence[str] = AS_IN_SERVICE, **settings: str) -> IngestProcess:
        process = IngestProcess(environment | settings, tmp_path / f"ingest-{len(started)}.log", argv)
        started.append(process)
        if wait:
            process.wait_well(live)
        return process

    yield start
    for process in started:
        process.resume()
        if process.alive:
            process.ask_to_stop()
    try:
        for process in started:
            process.stop()
    finally:
        for process in started:
            print(f"--- ingest {process.pid}\n{process.log.read_text('utf-8', 'replace')}")


@pytest.fixture
def publish(broker: BrokerServer) -> Iterator[Publish]:
    """Publish a ledger in the background; ended after the test."""
    started: list[Load] = []

    def start(ledger: Ledger, *, rate: float | None = 2000, first: int | None = None) -> Load:
        started.append(Load(broker.port, ledger, rate=rate, first=first))
        return started[-1]

    yield start
    for load in started:
        load.end()


@pytest.fixture(scope="module")
def gates(db: Database) -> Gates:
    """Hold ingest's transactions at a chosen place."""
    return Gates(db)


@pytest.fixture(scope="module")
def mqtt_wire(broker: BrokerServer) -> Iterator[Proxy]:
    """A relay in front of the broker."""
    with Proxy(broker.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def db_wire(settings: Settings) -> Iterator[Proxy]:
    """A relay in front of the database."""
    port = urlsplit(settings.database_url).port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy


@pytest.fixture
def wired(settings: Settings, mqtt_wire: Proxy, db_wire: Proxy) -> Iterator[dict[str, str]]:
    """Settings that lead ingest through the relays, which are whole again after the test."""
    at = urlsplit(settings.database_url)
    database = at._replace(netloc=at.netloc.replace(f":{at.port}", f":{db_wire.port}")).geturl()
    yield {"IOC_MQTT_URL": f"mqtt://{mqtt_wire.host}:{mqtt_wire.port}", "IOC_DATABASE_URL": database}
    mqtt_wire.heal()
    db_wire.heal()


_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def server(runtime: Path) -> Iterator[DatabaseServer]:
    """A TimescaleDB that may be crashed."""
    server = DatabaseServer(Home.at(runtime / "crashing"))
    yield server
    server.child.stop()


@pytest.fixture(scope="module")
def crashing_db(server: DatabaseServer) -> Database:
    """A fresh database on it."""
    return server.make_database(f"faults_{next(_numbers)}")
