"""A command's whole way through a real broker, ingest and TimescaleDB, with a lamp that is an ordinary MQTT client."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from ingest.commands import Commander
from ingest.dialects import all_dialects
from ingest.message import Outgoing
from ingest.outbox import WITHDRAWN, Done
from ioc.commands import light
from ioc.db.commands import commands_of
from ioc.db.devices import device as registered
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.model import Command, CommandsChanged
from ioc.service import Service
from ioc.settings import Settings
from tests.faults.proxy import Proxy
from tests.fix_ingest import Spawn, eventually, wait_beating
from tests.fix_stack import BrokerServer, Database
from tests.lamp import Lamp

#: Short, so that what expires does so while a test waits; long enough for a busy machine.
PATIENCE_S = 8.0
_WAITER = 42


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """With little patience."""
    return settings.model_copy(update={"command_answer_s": PATIENCE_S})


@pytest.fixture(scope="module")
def environment(environment: dict[str, str]) -> dict[str, str]:
    """With little patience."""
    return environment | {"IOC_COMMAND_ANSWER_S": str(PATIENCE_S)}


@pytest.fixture
def process(spawn: Spawn, live: Live) -> subprocess.Popen[bytes]:
    """An ingest process."""
    started = spawn()
    wait_beating(live, started)
    return started


@pytest.fixture
def lamp(process: subprocess.Popen[bytes], broker: BrokerServer, connection: Connection, topic: str) -> Iterator[Lamp]:
    """A lamp that is registered."""
    lamp = Lamp(broker, topic)
    eventually(lambda: registered(connection, topic))
    yield lamp
    lamp.close()


def tell(connection: Connection, lamp: Lamp, level: float) -> int:
    """Order a level; returns the command's number."""
    (change,) = light(connection, "Trực ban", level, devices=[lamp.key])
    assert isinstance(change, CommandsChanged)
    return next(one.id for one in change.commands if one.state == "requested")


def wait_for(connection: Connection, lamp: Lamp, state: str) -> Command:
    """The lamp's newest command, once it is in that state."""
    return eventually(lambda: next((one for one in commands_of(connection, lamp.key)[:1] if one.state == state), None))


def test_command_is_sent_accepted_and_confirmed(lamp: Lamp, connection: Connection, live: Live) -> None:
    """The lamp is told its target with the command's number; answer and reading come back; pages hear of every step."""
    after = live.last_id()
    lamp.reply = lamp.obey
    order = tell(connection, lamp, 0.4)
    done = wait_for(connection, lamp, "confirmed")
    assert lamp.heard == [{"id": order, "light": 0.4}]
    assert (done.id, done.reason, done.ended) == (order, "", done.confirmed)
    assert done.sent is not None
    assert done.answered is not None
    assert done.confirmed is not None
    assert done.requested <= done.sent <= done.answered
    assert done.sent < done.confirmed

    def told() -> set[str]:
        changes = [change for _, change in live.changes(after, block_ms=100)]
        return {one.state for change in changes if isinstance(change, CommandsChanged) for one in change.commands}

    eventually(lambda: "confirmed" in told())
    assert told() <= {"sent", "accepted", "confirmed"}


def test_command_of_which_no_reading_tells_stays_accepted(lamp: Lamp, connection: Connection) -> None:
    """An answer is the device's word, and no proof; nor is a reading of another level, or one from before."""
    lamp.report(1.0)
    eventually(lambda: connection.execute("SELECT 1 FROM latest WHERE device = %s", (lamp.key,)).fetchone())
    lamp.reply = lamp.accept
    tell(connection, lamp, 1.0)
    accepted = wait_for(connection, lamp, "accepted")
    lamp.report(0.5)
    eventually(
        lambda: connection.execute("SELECT 1 FROM latest WHERE device = %s AND value = 0.5", (lamp.key,)).fetchone()
    )
    threading.Event().wait(2.5)  # two looks of ingest
    assert commands_of(connection, lamp.key)[0] == accepted
    lamp.report(0.99)
    assert wait_for(connection, lamp, "confirmed").id == accepted.id


def test_command_is_refused_in_the_lamps_words(lamp: Lamp, connection: Connection) -> None:
    """What the lamp says is what people read."""
    lamp.reply = lamp.refuse
    tell(connection, lamp, 1.0)
    refused = wait_for(connection, lamp, "refused")
    assert refused.reason == "kẹt rơ-le"
    assert refused.ended == refused.answered


def test_command_to_a_silent_lamp_expires(lamp: Lamp, connection: Connection) -> None:
    """No answer is said to be none."""
    order = tell(connection, lamp, 1.0)
    expired = wait_for(connection, lamp, "expired")
    assert [command["id"] for command in lamp.heard] == [order]
    assert expired.reason == "unanswered"
    assert expired.sent is not None
    assert expired.ended is not None
    assert expired.ended - expired.sent >= timedelta(seconds=PATIENCE_S)


def test_command_that_nobody_hears_fails_at_once(lamp: Lamp, connection: Connection) -> None:
    """The broker knows whether the lamp is there."""
    lamp.close()
    tell(connection, lamp, 1.0)
    failed = wait_for(connection, lamp, "failed")
    assert (failed.reason, failed.sent) == ("unheard", None)


def test_command_that_no_dialect_can_say_fails(lamp: Lamp, connection: Connection) -> None:
    """A device whose dialect is not spoken here cannot be told, and the command says so."""
    connection.execute("UPDATE device SET dialect = 'semaphore' WHERE id = %s", (lamp.key,))
    tell(connection, lamp, 1.0)
    failed = wait_for(connection, lamp, "failed")
    assert "semaphore" in failed.reason
    assert lamp.heard == []


def test_command_is_not_sent_late(lamp: Lamp, connection: Connection, broker: BrokerServer) -> None:
    """What was ordered while the broker was away for too long is not done when it is back; what is ordered then, is."""
    broker.stop()
    late = tell(connection, lamp, 1.0)
    expired = wait_for(connection, lamp, "expired")
    assert (expired.id, expired.reason, expired.sent) == (late, "unsent", None)
    lamp.ready.clear()
    broker.start()
    assert lamp.ready.wait(60)
    lamp.reply = lamp.obey

    def ended() -> str:
        """The state of the lamp's newest command, once it has ended."""
        return eventually(lambda: [one.state for one in commands_of(connection, lamp.key)[:1] if one.ended])[0]

    # Ingest may need a moment longer than the lamp to be back.
    eventually(lambda: tell(connection, lamp, 0.3) and ended() == "confirmed")
    assert late not in [command["id"] for command in lamp.heard]


def test_command_survives_a_kill_before_it_was_marked(
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    process: subprocess.Popen[bytes],
    lamp: Lamp,
    connection: Connection,
    db: Database,
    spawn: Spawn,
    live: Live,
) -> None:
    """Ingest is killed when the lamp has the command and the database does not know: the next one says it again."""
    connection.execute(
        f"CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN PERFORM pg_advisory_xact_lock({_WAITER}); RETURN NEW; END $$".encode()
    )
    connection.execute(
        "CREATE TRIGGER wait_for_the_test BEFORE UPDATE OF sent ON command FOR EACH ROW"
        " EXECUTE FUNCTION wait_for_the_test()"
    )
    with db.connect() as holding:
        holding.execute("SELECT pg_advisory_lock(%s)", (_WAITER,))
        order = tell(connection, lamp, 1.0)
        eventually(lambda: lamp.heard)
        process.kill()
        process.wait()
    connection.execute("DROP TRIGGER wait_for_the_test ON command")
    assert commands_of(connection, lamp.key)[0].state == "requested"
    lamp.reply = lamp.obey
    monkeypatch.setitem(environment, "IOC_COMMAND_ANSWER_S", "300")  # however long a start takes here
    wait_beating(live, spawn())
    assert wait_for(connection, lamp, "confirmed").id == order
    assert [command["id"] for command in lamp.heard] == [order, order]


def test_older_command_is_not_sent(
    environment: dict[str, str],
    process: subprocess.Popen[bytes],
    lamp: Lamp,
    broker: BrokerServer,
    connection: Connection,
    spawn: Spawn,
    live: Live,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two orders while the broker is away: the lamp hears of the newer one alone."""
    process.kill()
    process.wait()
    with Proxy(broker.port) as wire:
        monkeypatch.setitem(environment, "IOC_MQTT_URL", f"mqtt://{wire.host}:{wire.port}")
        monkeypatch.setitem(environment, "IOC_COMMAND_ANSWER_S", "300")
        again = spawn()
        wait_beating(live, again)
        wire.stall()
        wire.cut()
        handed = "SELECT handed FROM command WHERE id = %s"
        orders = []
        for level in (1.0, 0.0):
            orders.append(tell(connection, lamp, level))
            eventually(lambda: connection.execute(handed, [orders[-1]]).fetchone() == (True,))
        lamp.reply = lamp.obey
        wire.heal()
        assert wait_for(connection, lamp, "confirmed").id == orders[1]
        again.terminate()
        again.wait(60)
    assert [command["id"] for command in lamp.heard] == orders[1:]
    older = commands_of(connection, lamp.key)[1]
    assert (older.state, older.reason, older.sent) == ("expired", "superseded", None)


class Post:
    """Takes what a commander gives to the broker."""

    def __init__(self) -> None:
        self.wanted: list[Callable[[], bool]] = []
        self.done: list[Done] = []

    def __call__(self, message: Outgoing, *, within_s: float, done: Done, wanted: Callable[[], bool]) -> None:
        """As `Link.publish`, while the broker is away."""
        self.wanted.append(wanted)
        self.done.append(done)


def test_who_may_not_send_any_more_does_not(
    settings: Settings, db: Database, connection: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits is withdrawn when the lock is lost, or may be; the next one sends it, and so does the same one once it leads."""
    connection.execute("INSERT INTO device (id, kind, name, dialect) VALUES (%s, 'streetlight', '', 'native')", [topic])
    patient = Service("test", settings.model_copy(update={"command_answer_s": 300.0}))
    posts = [Post(), Post()]
    one, two = (Commander(patient, all_dialects(), post, lambda commands: None) for post in posts)
    with db.connect() as first, db.connect() as second:
        light(connection, "Trực ban", 1.0, devices=[topic])
        one(first)
        two(second)
        (wanted,) = posts[0].wanted
        assert wanted()
        with monkeypatch.context() as patch:
            patch.setattr("ingest.commands._LEASE_S", -1.0)
            assert not wanted()
        assert wanted()
        first.close()
        assert not wanted()
        eventually(lambda: two(second) or posts[1].wanted)
        posts[0].done[0](WITHDRAWN, datetime.now(UTC))
        second.close()
    with db.connect() as third:
        eventually(lambda: one(third) or len(posts[0].wanted) == 2)
        assert [each() for each in posts[0].wanted] == [False, True]
        posts[0].done[1](None, datetime.now(UTC))
        one(third)
    assert commands_of(connection, topic)[0].state == "sent"


def test_command_is_sent_by_one_of_two(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    lamp: Lamp,
    connection: Connection,
    spawn: Spawn,
    live: Live,
) -> None:
    """Two ingest processes: each command is said once."""
    monkeypatch.setitem(environment, "IOC_INGEST_CLIENT_ID", "ioc-another")
    wait_beating(live, spawn())
    lamp.reply = lamp.accept
    orders = []
    for step in range(10):
        orders.append(tell(connection, lamp, step / 10))
        wait_for(connection, lamp, "accepted")
    assert [command["id"] for command in lamp.heard] == orders


def test_change_of_commands_travels() -> None:
    """The change stream carries commands as they are."""
    now = datetime.now(UTC)
    change = CommandsChanged([Command(1, "lamp", 0.4, "x", now, now, None, None, None, "sent", "")])
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(change), type=CommandsChanged) == change
