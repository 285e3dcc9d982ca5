"""The database is away for longer than the broker can hold: with a spool on disk nothing is lost and nothing doubled."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
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
from ioc.stack.home import Home
from tests.faults.conftest import Spawn
from tests.faults.database import DatabaseServer
from tests.faults.small_broker import HELD, INFLIGHT, ForgetfulBroker
from tests.fix_ingest import eventually
from tests.fix_stack import BrokerServer, Database, environment_of
from tests.flood import Flood
from tests.ledger import Ledger

#: So many the broker can surely hold, however slow the machine is.
BURST = 1000


@pytest.fixture(scope="module")
def broker(runtime: Path) -> Iterator[ForgetfulBroker]:
    server = ForgetfulBroker(Home.at(runtime / "forgetful"))
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
    return environment_of(settings)


class Load:
    """A ledger, sent in bursts that the broker can hold."""

    def __init__(self, port: int, db: Database, settings: Settings, ledger: Ledger) -> None:
        self.ledger = ledger
        self._db = db
        self._settings = settings
        self._flood = Flood("127.0.0.1", port)
        self._stored = 0
        self.sent = 0

    def send(self, number: int = BURST) -> None:
        """Publish so many more; returns when the broker has taken them."""
        self.sent = min(self.sent + number, len(self.ledger.messages))
        self._flood.publish(self.ledger.messages[: self.sent])

    def send_stored(self) -> None:
        """Publish a burst; returns when all that was sent is stored."""
        self.send()
        with self._db.connect() as connection:
            eventually(lambda: self.ledger.progress(connection) >= self.sent)
        self._stored = self.sent

    def wait_spooled(self) -> None:
        """Wait until all that was sent and is not stored is on the disk."""
        eventually(lambda: records(self._settings) >= self.sent - self._stored)

    def send_spooled(self, bursts: int = (INFLIGHT + HELD) // BURST + 2) -> None:
        """Publish bursts, one after the other is on the disk; if not said otherwise, more than the broker holds."""
        for _ in range(bursts):
            self.send()
            self.wait_spooled()

    def finish(self) -> None:
        """Send and wait for the rest, compare, and wait until nothing is left on the disk."""
        while self.sent < len(self.ledger.messages):
            self.send_stored()
        with self._db.connect() as connection:
            self.ledger.settle(connection)
            self.ledger.check(connection, self._flood)
        wait_empty(self._settings)


Begin = Callable[[int], Load]


@pytest.fixture
def begin(broker: ForgetfulBroker, db: Database, settings: Settings, topic: str) -> Begin:
    """Begin a ledger of so many messages, of which a first burst is stored."""

    def start(number: int) -> Load:
        load = Load(broker.port, db, settings, Ledger.mixed(topic, number, seed=1))
        load.send_stored()
        return load

    return start


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


@contextmanager
def crashed(server: DatabaseServer, db: Database) -> Iterator[None]:
    """The database is gone."""
    server.crash()
    yield
    server.start()


@contextmanager
def hanging(server: DatabaseServer, db: Database) -> Iterator[None]:
    """The database answers nothing, without an error."""
    with db.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.execute("LOCK TABLE latest IN ACCESS EXCLUSIVE MODE")
        yield


@pytest.mark.parametrize("away", [crashed, hanging])
def test_database_away_longer_than_broker_holds(
    away: Callable[[DatabaseServer, Database], AbstractContextManager[None]],
    spawn: Spawn,
    begin: Begin,
    server: DatabaseServer,
    db: Database,
    settings: Settings,
) -> None:
    """Twice the database goes away while more comes than the broker holds; every message is stored once, in the end."""
    spawn()
    load = begin(11_000)
    for _ in range(2):
        with away(server, db):
            load.send_spooled()
        load.send_stored()
        wait_empty(settings)
    load.finish()
    with db.connect() as connection:
        # What is spooled no more needs no memory.
        kept = "SELECT FROM delivery WHERE client LIKE '% spool %'"
        eventually(lambda: connection.execute(kept).fetchone() is None)


def test_killed_while_spooling(
    spawn: Spawn, begin: Begin, server: DatabaseServer, db: Database, settings: Settings
) -> None:
    """Ingest is killed again and again, while it spools and while it catches up, and starts without a database too."""
    process = spawn()
    load = begin(9000)
    with crashed(server, db):
        for _ in range(3):
            load.send_spooled(1)
            load.send()
            process.kill()
            process = spawn(wait=False)
            load.wait_spooled()
    with db.connect() as connection:
        for _ in range(3):
            before = load.ledger.progress(connection)
            eventually(lambda before=before: load.ledger.progress(connection) > before or not spooled(settings))
            process.kill()
            process = spawn(wait=False)
    load.finish()


def test_full(
    spawn: Spawn, ample: BrokerServer, server: DatabaseServer, db: Database, settings: Settings, live: Live, topic: str
) -> None:
    """A full spool stops the reading and says so; a broker that can hold does, and all is stored in the end."""
    process = spawn(
        IOC_INGEST_SPOOL_MB="1", IOC_MQTT_URL=ample.url, IOC_INGEST_INFLIGHT="2000", IOC_INGEST_BATCH_ROWS="1000"
    )
    load = Load(ample.port, db, settings, Ledger.mixed(topic, 40_000, seed=1))
    load.send_stored()
    with crashed(server, db):
        load.send(len(load.ledger.messages))
        process.wait_degraded(live, "spool: full at 1 MB")
        beat = process.beat(live)
        assert beat is not None
        assert beat.figures["spool_mb"] <= 1
        # Two inboxes and two batches, each by one block over its bound.
        assert beat.figures["queue"] < 40_000 / 2
    load.finish()
    process.wait_well(live)


@pytest.fixture
def ample(runtime: Path, topic: str) -> Iterator[BrokerServer]:
    """A broker that can hold."""
    server = BrokerServer(Home.at(runtime / f"ample-{topic}"))
    server.start()
    yield server
    server.stop()


def test_damaged_on_disk(spawn: Spawn, begin: Begin, server: DatabaseServer, db: Database, settings: Settings) -> None:
    """A damaged record costs itself alone and is kept aside; the half of a record at the end costs nothing."""
    process = spawn()
    load = begin(3000)
    server.crash()
    while load.sent < len(load.ledger.messages):
        load.send_spooled(1)
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
    (aside,) = spool_root(settings).glob("*/*.damaged")
    assert victim[1:] in aside.read_bytes()


def test_removal_fails(
    settings: Settings,
    live: Live,
    begin: Begin,
    server: DatabaseServer,
    db: Database,
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

    with monkeypatch.context() as patch, running() as shell:
        patch.setattr(Spool, "remove", refuse)
        load = begin(6000)
        with crashed(server, db):
            load.send_spooled(3)
        load.send_stored()
        assert spooled(settings)
        eventually(lambda: "spool disk" in shell.heartbeat().reason)
    with running():
        load.finish()


def test_spool_turned_off_is_emptied(spawn: Spawn, begin: Begin, server: DatabaseServer, db: Database) -> None:
    """What was spooled before the setting was taken back is stored all the same."""
    process = spawn()
    load = begin(3000)
    with crashed(server, db):
        load.send_spooled(1)
        assert process.stop() == 0
    spawn(IOC_INGEST_SPOOL_MB="0")
    load.finish()


def test_spool_of_another_client(spawn: Spawn, settings: Settings, live: Live) -> None:
    """One process holds a spool; messages in a spool that nobody empties are told by the heartbeat."""
    with hold_spool(spool_root(settings), "ioc-gone", 1_000_000):
        waiting = spawn(wait=False, IOC_INGEST_CLIENT_ID="ioc-gone")
        waiting.wait_degraded(live, "another ingest runs as ioc-gone")
        assert waiting.stop() == 0
    (spool_root(settings) / "ioc-gone" / "0000000001-00.raw").write_bytes(b"x")
    process = spawn(wait=False)
    process.wait_degraded(live, "ioc-gone")
