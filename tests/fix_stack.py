"""The real servers for tests: one private TimescaleDB a session; a database, a broker and a Redis of its own a module.

* `stack` (session): the whole embedded stack in a temporary folder
* `db` (module): a fresh, migrated database: `.url`, `.connect()`
* `broker` (module): a Mosquitto of its own: `.url`, `.host`, `.port`, `.kill()`, `.start()`
* `cache` (module): a Redis of its own: `.url`, `.kill()`, `.start()`, `.pause()`, `.resume()`
* `live` (module): an `ioc.live.Live` on it
* `settings` (module): `Settings` that point at all three
* `environment` (module): the same as the environment of a service started as a process
* `topic` (test): a device id nobody else uses, so that `ioc/<topic>/…` is this test's alone
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from ioc.db.migrate import migrate
from ioc.db.pool import Connection, connect
from ioc.live import Live
from ioc.settings import Settings
from ioc.stack.broker import Broker
from ioc.stack.cache import Cache
from ioc.stack.embedded import Stack, free_port
from ioc.stack.home import Home
from ioc.stack.process import Child

TEMPLATE = "migrated"


@dataclass(frozen=True)
class Database:
    """A fresh database with the schema in it."""

    url: str

    def connect(self) -> Connection:
        """Open a connection in autocommit; close it, or use it in a `with`."""
        connection = connect(self.url, name="test", timeout_s=60)
        connection.autocommit = True
        return connection


_given: set[int] = set()


def own_port() -> int:
    """A port that neither the kernel nor another worker gives away while its server is not there yet, or is down."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.randrange(11_000 + worker, 32_000, workers)  # below those for whoever asks for any
        if port not in _given and free_port(port) == port:
            _given.add(port)
            return port


class BrokerServer:
    """A Mosquitto that a test may kill and start again; port and stored sessions stay."""

    host = "127.0.0.1"

    def __init__(self, home: Home) -> None:
        self._broker = Broker(home)
        self._saved = home.state / "mosquitto" / "mosquitto.db"
        self.port = own_port()
        self.url = self._broker.url(self.port)
        self.child: Child | None = None

    def start(self) -> None:
        """Start it, on its port."""
        self.child = self._broker.start(self.port)

    def stop(self) -> None:
        """Stop it in order."""
        if self.child is not None:
            self.child.stop()

    def kill(self) -> None:
        """SIGKILL it."""
        if self.child is not None:
            self.child.kill()

    def forget(self) -> None:
        """While it is away: lose every session and message, as with its disk."""
        self._saved.unlink(missing_ok=True)

    def save(self) -> None:
        """Have it write sessions and messages to the disk, as it does now and then by itself, and wait until it has."""
        assert self.child is not None
        before = self._saved.stat().st_mtime_ns if self._saved.exists() else 0
        self.child.process.send_signal(signal.SIGUSR1)
        while not self._saved.exists() or self._saved.stat().st_mtime_ns == before:
            assert self.child.alive()
            time.sleep(0.02)


class CacheServer:
    """A Redis that a test may kill and start again, empty."""

    def __init__(self, home: Home) -> None:
        self._cache = Cache(home)
        self.url = self._cache.url
        self.child: Child | None = None

    def start(self) -> None:
        """Start it, on its port."""
        self.child = self._cache.start()

    def stop(self) -> None:
        """Stop it in order."""
        if self.child is not None:
            self.child.stop()

    def kill(self) -> None:
        """SIGKILL it."""
        if self.child is not None:
            self.child.kill()

    def pause(self) -> None:
        """SIGSTOP it."""
        assert self.child is not None
        self.child.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT it."""
        assert self.child is not None
        self.child.process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="session")
def runtime() -> Iterator[Path]:
    """A temporary folder that the servers' own users can enter, also when root runs the tests."""
    path = Path(tempfile.mkdtemp(prefix="ioc-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def stack(runtime: Path) -> Iterator[Stack]:
    """The embedded stack, running."""
    with Stack(Home.at(runtime / "stack"), shared_buffers="128MB") as running:
        yield running


@pytest.fixture(scope="session")
def template(stack: Stack) -> str:
    """Name of a migrated database that others are copied from."""
    url = _make_database(stack, TEMPLATE, template="template0")
    with closing(connect(url, name="test-template")) as connection:
        migrate(connection)
    with psycopg.connect(stack.admin_url, autocommit=True) as admin:
        # TimescaleDB's scheduler connects to every database that allows it, and a template must have no connections.
        admin.execute(f"ALTER DATABASE {TEMPLATE} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [TEMPLATE])
    return TEMPLATE


@pytest.fixture(scope="module")
def db(stack: Stack, template: str) -> Iterator[Database]:
    """A fresh, migrated database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield Database(_make_database(stack, name, template=template))
    with psycopg.connect(stack.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection in autocommit."""
    with db.connect() as opened:
        yield opened


@pytest.fixture(scope="module")
def broker(runtime: Path) -> Iterator[BrokerServer]:
    """A broker of this module's own."""
    server = BrokerServer(Home.at(runtime / f"broker-{uuid.uuid4().hex[:8]}"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cache(runtime: Path) -> Iterator[CacheServer]:
    """A Redis of this module's own."""
    server = CacheServer(Home.at(runtime / f"redis-{uuid.uuid4().hex[:8]}"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def live(cache: CacheServer) -> Iterator[Live]:
    """The live view on this module's Redis."""
    view = Live(cache.url)
    yield view
    view.close()


@pytest.fixture(scope="module")
def settings(db: Database, broker: BrokerServer, cache: CacheServer, runtime: Path) -> Settings:
    """Settings that point at this module's servers."""
    return Settings(database_url=db.url, mqtt_url=broker.url, redis_url=cache.url, home=runtime)


@pytest.fixture(scope="module")
def environment(settings: Settings) -> dict[str, str]:
    """Environment of a service process that uses this module's servers."""
    return environment_of(settings)


def environment_of(settings: Settings) -> dict[str, str]:
    """Environment of a service process with these settings, as far as they were set."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("IOC_")}
    return inherited | {f"IOC_{name.upper()}": str(getattr(settings, name)) for name in settings.model_fields_set}


@pytest.fixture
def topic() -> str:
    """A device id that is this test's alone."""
    return f"t-{uuid.uuid4().hex[:12]}"


def _make_database(stack: Stack, name: str, *, template: str) -> str:
    """Create a database that belongs to the services' role; returns its URL."""
    with psycopg.connect(stack.admin_url, autocommit=True) as admin:
        statement = sql.SQL("CREATE DATABASE {} OWNER ioc TEMPLATE {} STRATEGY file_copy")
        admin.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return stack.urls.database_url.rpartition("/")[0] + f"/{name}"
