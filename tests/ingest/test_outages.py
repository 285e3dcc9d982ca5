"""Database, broker and Redis go away under load and come back: nothing is lost, nothing doubled, and the heartbeat says so."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ioc.db.migrate import migrate
from ioc.db.pool import Connection, connect
from ioc.live import Live
from ioc.model import Heartbeat
from ioc.stack.embedded import CLONE, free_port
from ioc.stack.home import Home
from ioc.stack.postgres import Cluster, find_programs
from ioc.stack.process import Child
from tests.fix_ingest import Spawn, eventually, wait_beating
from tests.fix_stack import BrokerServer, CacheServer, Database
from tests.flood import Flood
from tests.ledger import Ledger


class DatabaseServer:
    """A TimescaleDB of this module's own, that a test may crash and start again."""

    def __init__(self, home: Home) -> None:
        self._cluster = Cluster(home, find_programs(home, Home(CLONE / ".ioc")), shared_buffers="64MB")
        self._cluster.create()
        self.port = free_port()
        self.url = self._cluster.url(self.port)
        self.child: Child = self._cluster.start(self.port)

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate`: every process ends at once, and the next start replays the log."""
        self.child.process.send_signal(signal.SIGQUIT)
        self.child.process.wait(30)

    def start(self) -> None:
        """Start it again."""
        self.child = self._cluster.start(self.port)

    def connect(self) -> Connection:
        """Open a connection in autocommit."""
        connection = connect(self.url, name="test")
        connection.autocommit = True
        return connection


@pytest.fixture(scope="module")
def server(runtime: Path) -> Iterator[DatabaseServer]:
    home = Home.at(runtime / "outages")
    home.make()
    server = DatabaseServer(home)
    with server.connect() as connection:
        migrate(connection)
    yield server
    server.child.stop()


@pytest.fixture(scope="module")
def db(server: DatabaseServer) -> Database:
    """In place of the shared server's: this one crashes."""
    return Database(server.url)


class Load:
    """Publishes a ledger in the background."""

    def __init__(self, broker: BrokerServer, topic: str, number: int, rate: float) -> None:
        self.ledger = Ledger.mixed(topic, number, seed=1)
        self._flood = Flood(broker.host, broker.port)
        self._thread = threading.Thread(target=self._flood.publish, args=(self.ledger.messages,), kwargs={"rate": rate})
        self._thread.start()

    def wait_moving(self, server: DatabaseServer) -> None:
        """Wait until more of it is stored than now."""
        with server.connect() as connection:
            before = self.ledger.progress(connection)
            eventually(lambda: self.ledger.progress(connection) > before)

    def finish(self, server: DatabaseServer) -> None:
        """Wait for the rest, and compare."""
        self._thread.join(120)
        with server.connect() as connection:
            self.ledger.settle(connection)
            self.ledger.check(connection, self._flood)


def beat_of(live: Live, process: subprocess.Popen[bytes]) -> Heartbeat | None:
    return next((beat for beat in live.heartbeats() if beat.instance.endswith(f"-{process.pid}")), None)


def test_database_crash(spawn: Spawn, broker: BrokerServer, server: DatabaseServer, live: Live, topic: str) -> None:
    """The database crashes twice under load; ingest keeps its batch, says that it is degraded, and goes on by itself."""
    process = spawn()
    wait_beating(live, process)
    load = Load(broker, topic, 16_000, 2000)
    for _ in range(2):
        load.wait_moving(server)
        server.crash()
        eventually(
            lambda: (beat := beat_of(live, process)) and beat.state == "degraded" and "timescaledb" in beat.reason
        )
        time.sleep(1)
        server.start()
    load.finish(server)
    eventually(lambda: (beat := beat_of(live, process)) and beat.state == "ok")
    assert process.poll() is None


def test_connection_killed(spawn: Spawn, broker: BrokerServer, server: DatabaseServer, live: Live, topic: str) -> None:
    """The server ends the connection again and again, in whatever statement; the batch is committed on the next one."""
    process = spawn()
    wait_beating(live, process)
    load = Load(broker, topic, 10_000, 2000)
    killed = 0
    with server.connect() as connection:
        while killed < 8:
            killed += len(
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ioc-ingest'"
                ).fetchall()
            )
            time.sleep(0.31)
    load.finish(server)


def test_redis_gone(
    spawn: Spawn, broker: BrokerServer, server: DatabaseServer, cache: CacheServer, live: Live, topic: str
) -> None:
    """Without Redis everything is stored all the same; when it is back the live view goes on."""
    process = spawn()
    wait_beating(live, process)
    load = Load(broker, topic, 8000, 2000)
    load.wait_moving(server)
    cache.kill()
    load.finish(server)
    cache.start()
    wait_beating(live, process)
    again = Load(broker, f"{topic}-b", 500, 500)
    eventually(lambda: live.last_id() != "0-0")
    again.finish(server)


def test_broker_restart(spawn: Spawn, broker: BrokerServer, server: DatabaseServer, live: Live, topic: str) -> None:
    """The broker restarts under load, its session kept; the rest arrives over the new connection, redeliveries change nothing."""
    process = spawn()
    wait_beating(live, process)
    load = Load(broker, topic, 12_000, 2000)
    for _ in range(2):
        load.wait_moving(server)
        broker.stop()
        broker.start()
    load.finish(server)
    assert process.poll() is None


def test_sigterm_drains(spawn: Spawn, broker: BrokerServer, server: DatabaseServer, live: Live, topic: str) -> None:
    """Told to stop under load, ingest commits what it has and ends well; the next one gets the rest."""
    process = spawn()
    wait_beating(live, process)
    load = Load(broker, topic, 8000, 2000)
    load.wait_moving(server)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    with server.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FROM device WHERE id LIKE %s AND last_seen IS NULL", [f"{topic}%"]
        ).fetchone()
        assert row == (0,), "the last sightings are written at the end"
    wait_beating(live, spawn())
    load.finish(server)
