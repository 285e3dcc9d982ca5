"""The database is away for longer than the broker can hold: with a spool on disk nothing is lost and nothing doubled."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ingest.identity import Identity
from ingest.service import Ingest
from ingest.spool import Spool, hold_spool, spool_root
from ingest.spool_record import scan
from ingest.spool_segment import Segment, segments
from ioc.live import Live
from ioc.service import Service
from ioc.settings import Settings
from ioc.stack.accounts import account, own_folder, write_private
from ioc.stack.broker import answers
from ioc.stack.embedded import free_port
from ioc.stack.home import Home
from ioc.stack.process import Child, find, start, wait_ready
from tests.faults.conftest import Spawn
from tests.faults.database import DatabaseServer
from tests.fix_ingest import eventually
from tests.fix_stack import BrokerServer, Database
from tests.flood import Flood
from tests.ledger import Ledger

#: What this broker keeps for a session, as Mosquitto's default is a thousand.
HELD = 2000
INFLIGHT = 200
#: So many it can surely hold, however slow the machine is.
BURST = 1000
SMALL_BROKER = f"""\
listener {{port}} 127.0.0.1
allow_anonymous true
max_inflight_messages {INFLIGHT}
max_queued_messages {HELD}
"""


class ForgetfulBroker:
    """A Mosquitto that keeps little, and drops without a word what is more."""

    host = "127.0.0.1"

    def __init__(self, home: Home) -> None:
        user = account("mosquitto", "mosquitto")
        folder = own_folder(home.state / "mosquitto", user)
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        write_private(folder / "mosquitto.conf", SMALL_BROKER.format(port=self.port), user)
        argv = [find("mosquitto", "mosquitto"), "-c", folder / "mosquitto.conf"]
        self.child: Child = start("mosquitto", argv, log=home.log / "mosquitto.log", user=user)
        wait_ready(self.child, lambda: answers(self.host, self.port), 30)


@pytest.fixture(scope="module")
def broker(runtime: Path) -> Iterator[ForgetfulBroker]:
    home = Home.at(runtime / "forgetful")
    home.make()
    server = ForgetfulBroker(home)
    yield server
    server.child.stop()


@pytest.fixture(autouse=True)
def database_back(server: DatabaseServer) -> Iterator[None]:
    """A test that fails leaves no crashed database to the next one."""
    yield
    if not server.child.alive():
        server.start()


@pytest.fixture(scope="module")
def db(crashing_db: Database) -> Database:
    return crashing_db


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    """With a spool, in a home of this test's own; the broker's own bound on what is in flight holds for MQTT 3.1.1 alone."""
    return settings.model_copy(update={"home": tmp_path, "ingest_spool_mb": 100, "mqtt_version": "3.1.1"})


@pytest.fixture
def environment(settings: Settings) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("IOC_")}
    return inherited | {
        "IOC_DATABASE_URL": settings.database_url,
        "IOC_MQTT_URL": settings.mqtt_url,
        "IOC_REDIS_URL": settings.redis_url,
        "IOC_HOME": str(settings.home),
        "IOC_INGEST_SPOOL_MB": str(settings.ingest_spool_mb),
        "IOC_MQTT_VERSION": settings.mqtt_version,
    }


class Load:
    """A ledger, sent in bursts that the broker can hold."""

    def __init__(self, broker: BrokerServer | ForgetfulBroker, db: Database, topic: str, number: int) -> None:
        self.ledger = Ledger.mixed(topic, number, seed=1)
        self._db = db
        self._flood = Flood(broker.host, broker.port)
        self._stored = 0
        self.sent = 0

    def send(self, number: int = BURST) -> None:
        """Publish so many more; returns when the broker has taken them."""
        self.sent = min(self.sent + number, len(self.ledger.messages))
        self._flood.publish(self.ledger.messages[: self.sent])

    def wait_stored(self) -> None:
        """Wait until all that was sent is stored."""
        with self._db.connect() as connection:
            eventually(lambda: self.ledger.progress(connection) >= self.sent)
        self._stored = self.sent

    def wait_spooled(self, settings: Settings) -> None:
        """Wait until all that was sent and is not stored is on the disk."""
        eventually(lambda: records(settings) >= self.sent - self._stored)

    def finish(self) -> None:
        """Send and wait for the rest, and compare."""
        while self.sent < len(self.ledger.messages):
            self.send()
            self.wait_stored()
        with self._db.connect() as connection:
            self.ledger.settle(connection)
            self.ledger.check(connection, self._flood)


def spooled(settings: Settings) -> list[Segment]:
    """The segments of every spool, oldest first."""
    root = spool_root(settings)
    return [segment for folder in (root.iterdir() if root.is_dir() else ()) for segment in segments(folder)]


def records(settings: Settings) -> int:
    """How many messages are on the disk."""
    number = 0
    for segment in spooled(settings):
        with suppress(FileNotFoundError):
            number += len(scan(segment.path.read_bytes(), segment.seed).records)
    return number


def wait_empty(settings: Settings) -> None:
    """Wait until all that was spooled is committed."""
    eventually(lambda: not spooled(settings))


def test_database_away_longer_than_broker_holds(
    spawn: Spawn,
    broker: ForgetfulBroker,
    server: DatabaseServer,
    db: Database,
    settings: Settings,
    live: Live,
    topic: str,
) -> None:
    """Twice the database goes away while more comes than the broker holds; every message is stored once, in the end."""
    spawn()
    load = Load(broker, db, topic, 11_000)
    for _ in range(2):
        load.send()
        load.wait_stored()
        server.crash()
        for _ in range((INFLIGHT + HELD) // BURST + 2):
            load.send()
            load.wait_spooled(settings)
        server.start()
        load.send()
        load.wait_stored()
        wait_empty(settings)
    load.finish()
    with db.connect() as connection:
        row = connection.execute("SELECT count(*) FROM delivery WHERE client LIKE '% spool %'").fetchone()
        assert row == (0,), "what is spooled no more needs no memory"


def test_database_hangs(
    spawn: Spawn,
    broker: ForgetfulBroker,
    server: DatabaseServer,
    db: Database,
    settings: Settings,
    live: Live,
    topic: str,
) -> None:
    """A database that answers nothing for a while, without an error, is away too."""
    spawn()
    load = Load(broker, db, topic, 6000)
    load.send()
    load.wait_stored()
    with db.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE latest IN ACCESS EXCLUSIVE MODE")
        for _ in range((INFLIGHT + HELD) // BURST + 2):
            load.send()
            load.wait_spooled(settings)
    load.finish()
    wait_empty(settings)


def test_killed_while_spooling(
    spawn: Spawn,
    broker: ForgetfulBroker,
    server: DatabaseServer,
    db: Database,
    settings: Settings,
    live: Live,
    topic: str,
) -> None:
    """Ingest is killed again and again, while it spools and while it catches up, and starts without a database too."""
    process = spawn()
    load = Load(broker, db, topic, 9000)
    load.send()
    load.wait_stored()
    server.crash()
    for _ in range(3):
        load.send()
        load.wait_spooled(settings)
        load.send()
        process.kill()
        process = spawn(wait=False)
        load.wait_spooled(settings)
    server.start()
    with db.connect() as connection:
        for _ in range(3):
            before = load.ledger.progress(connection)
            eventually(lambda before=before: load.ledger.progress(connection) > before or not spooled(settings))
            process.kill()
            process = spawn(wait=False)
    load.finish()
    wait_empty(settings)


def test_full(
    spawn: Spawn,
    ample: BrokerServer,
    environment: dict[str, str],
    server: DatabaseServer,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """A full spool stops the reading and says so; a broker that can hold does, and all is stored in the end."""
    environment |= {"IOC_INGEST_SPOOL_MB": "1", "IOC_MQTT_URL": ample.url}
    environment |= {"IOC_INGEST_INFLIGHT": "2000", "IOC_INGEST_BATCH_ROWS": "1000"}
    process = spawn()
    load = Load(ample, db, topic, 40_000)
    load.send()
    load.wait_stored()
    server.crash()
    load.send(40_000)

    process.wait_degraded(live, "spool: full at 1 MB")
    beat = process.beat(live)
    assert beat is not None
    assert beat.figures["spool_mb"] <= 1
    # Two inboxes and two batches, each by one block over its bound.
    assert beat.figures["queue"] < 40_000 / 2
    server.start()
    load.finish()
    process.wait_well(live)


@pytest.fixture
def ample(runtime: Path, topic: str) -> Iterator[BrokerServer]:
    """A broker that can hold."""
    server = BrokerServer(Home.at(runtime / f"ample-{topic}"))
    server.start()
    yield server
    server.stop()


def test_damaged_on_disk(
    spawn: Spawn,
    broker: ForgetfulBroker,
    server: DatabaseServer,
    db: Database,
    settings: Settings,
    live: Live,
    topic: str,
) -> None:
    """A damaged record costs itself alone and is kept aside; the half of a record at the end costs nothing."""
    process = spawn()
    load = Load(broker, db, topic, 3000)
    load.send()
    load.wait_stored()
    server.crash()
    while load.sent < len(load.ledger.messages):
        load.send()
        load.wait_spooled(settings)
    process.kill()
    segment = max(spooled(settings), key=lambda one: one.size)
    data = bytearray(segment.path.read_bytes())
    found = scan(bytes(data), segment.seed).records
    victim = next(record.message[1] for record in found[len(found) // 2 :] if b"powerConsumption" in record.message[1])
    data[data.index(victim)] ^= 1
    segment.path.write_bytes(data)
    with spooled(settings)[-1].path.open("ab") as file:
        file.write(b"\xc1SP1 half of a record")
    load.ledger.excuse(victim)
    server.start()
    spawn()
    load.finish()
    wait_empty(settings)
    (aside,) = spool_root(settings).glob("*/*.damaged")
    assert victim[1:] in aside.read_bytes()


def test_removal_fails(
    settings: Settings,
    live: Live,
    broker: ForgetfulBroker,
    server: DatabaseServer,
    db: Database,
    topic: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is committed but could not be removed is read once more by the next process, and changes nothing."""

    @contextmanager
    def running() -> Iterator[Service]:
        with Service("ingest", settings) as shell, hold_spool(spool_root(settings), "once", 50_000_000) as spool:
            ingest = Ingest(shell, Identity("once"), live, spool)
            thread = threading.Thread(target=ingest.run)
            thread.start()
            try:
                assert ingest.wait_ready(60)
                yield shell
            finally:
                shell.stopping.set()
                thread.join(60)

    def refuse(spool: Spool, segment: Segment) -> None:
        raise OSError(30, "Read-only file system")

    load = Load(broker, db, topic, 5000)
    with monkeypatch.context() as patch, running() as shell:
        patch.setattr(Spool, "remove", refuse)
        load.send()
        load.wait_stored()
        server.crash()
        for _ in range(3):
            load.send()
            load.wait_spooled(settings)
        server.start()
        load.wait_stored()
        assert spooled(settings)
        assert "spool disk" in shell.heartbeat().reason
    with running():
        wait_empty(settings)
        load.finish()


def test_spool_turned_off_is_emptied(
    spawn: Spawn,
    broker: ForgetfulBroker,
    environment: dict[str, str],
    server: DatabaseServer,
    db: Database,
    settings: Settings,
    live: Live,
    topic: str,
) -> None:
    """What was spooled before the setting was taken back is stored all the same."""
    process = spawn()
    load = Load(broker, db, topic, 3000)
    load.send()
    load.wait_stored()
    server.crash()
    load.send()
    load.wait_spooled(settings)
    assert process.stop() == 0
    server.start()
    environment["IOC_INGEST_SPOOL_MB"] = "0"
    spawn()
    load.finish()
    wait_empty(settings)


def test_spool_of_another_client(
    spawn: Spawn,
    environment: dict[str, str],
    server: DatabaseServer,
    db: Database,
    settings: Settings,
    live: Live,
    topic: str,
) -> None:
    """One process holds a spool; messages in a spool that nobody empties are told by the heartbeat."""
    with hold_spool(spool_root(settings), "ioc-gone", 1_000_000):
        named = environment | {"IOC_INGEST_CLIENT_ID": "ioc-gone"}
        refused = subprocess.run(
            [sys.executable, "-m", "ingest"], env=named, capture_output=True, text=True, timeout=60, check=False
        )
        assert refused.returncode == 1
        assert "another ingest runs as ioc-gone" in refused.stderr
    (spool_root(settings) / "ioc-gone" / "0000000001-00.raw").write_bytes(b"x")
    process = spawn(wait=False)
    process.wait_degraded(live, "ioc-gone")
