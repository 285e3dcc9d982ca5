"""`ioc-alarms` as a process, with a real database and a real Redis, both of which may go away."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import sql

from ioc.alarms import actions
from ioc.alarms.execute import Order, execute
from ioc.alarms.log import verify
from ioc.alarms.world import Decision
from ioc.db import alarms as stored
from ioc.db.copy import DEVICE_STATE, READING, store
from ioc.db.pool import Connection
from ioc.errors import LiveError
from ioc.live import Live
from ioc.model import AlarmsChanged, DeviceState, Heartbeat, Quality, Reading, ReadingsChanged, StatesChanged
from ioc.service import utc_now
from ioc.stack.embedded import Stack
from tests.fix_stack import CacheServer, Database
from tests.impatient import impatient
from tests.ioc.test_alarm_actions import register
from tests.ioc.test_alarm_world import make_device

BURNING, FINE = 5.0, 0.0


def eventually(check: Callable[[], Any], within_s: float = 90.0) -> Any:
    """Ask until it is true; returns the answer."""
    deadline = time.monotonic() + within_s
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {within_s} s: last answer {answer!r}"
        time.sleep(0.1)


class City:
    """Stores and publishes what devices say, as ingest does."""

    def __init__(self, connection: Connection, live: Live) -> None:
        self.connection = connection
        self.live = live

    def say(
        self, values: dict[str, float], *, measure: str = "binStatus", publish: bool = True, age_s: float = 0
    ) -> None:
        """Store one value of each device, and publish it."""
        now = utc_now()
        time = now - timedelta(seconds=age_s)
        readings = [Reading(time, device, measure, value, Quality.GOOD, now) for device, value in values.items()]
        with self.connection.transaction():
            store(self.connection, READING, readings)
            with self.connection.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO latest (time, device, measure, value, quality, received) VALUES (%s, %s, %s, %s, %s, %s)"
                    " ON CONFLICT (device, measure) DO UPDATE SET time = excluded.time, value = excluded.value,"
                    " received = excluded.received WHERE excluded.time > latest.time",
                    [(r.time, r.device, r.measure, r.value, r.quality, r.received) for r in readings],
                )
        if publish:
            self.live.publish([ReadingsChanged(readings)])

    def state(self, device: str, state: Any, *, publish: bool = True) -> None:
        """Store what a device says of itself, and publish it."""
        now = utc_now()
        row = DeviceState(now, device, state, "", now)
        with self.connection.transaction():
            store(self.connection, DEVICE_STATE, [row])
            self.connection.execute("UPDATE device SET state = %s, state_time = %s WHERE id = %s", (state, now, device))
        if publish:
            self.live.publish([StatesChanged([row])])

    def alive(self) -> dict[tuple[str, str], str]:
        """States of the alarms that are alive in the database, by rule and device."""
        return {(a.rule, a.device): a.state for a in stored.alive_alarms(self.connection)}


@pytest.fixture
def city(db: Database, live: Live) -> Iterator[City]:
    """A city without devices and alarms."""
    with db.connect() as connection:
        connection.execute("ALTER TABLE incident_log DISABLE TRIGGER USER")
        for table in ("incident_log", "alarm", "incident", "device", "latest", "reading", "device_state"):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        connection.execute("ALTER TABLE incident_log ENABLE TRIGGER USER")
        yield City(connection, live)


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    """A copy that a test may change."""
    return dict(environment)


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Starts engines; they are killed at the end."""
    running: list[subprocess.Popen[bytes]] = []

    def begin(argv: Sequence[str] = (sys.executable, "-m", "ioc.alarms")) -> subprocess.Popen[bytes]:
        running.append(subprocess.Popen(argv, env=environment))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.wait()


def beat_of(live: Live, process: subprocess.Popen[bytes]) -> Heartbeat | None:
    try:
        beats = live.heartbeats()
    except LiveError:
        return None
    return next((b for b in beats if b.service == "alarms" and b.instance.endswith(f"-{process.pid}")), None)


def acting(live: Live, process: subprocess.Popen[bytes]) -> bool:
    beat = beat_of(live, process)
    return beat is not None and beat.figures.get("acting") == 1


def test_engine_raises_publishes_and_ends(city: City, start: Start, live: Live) -> None:
    """A burning bin is an alarm within seconds; the operator's word reaches the engine; the end is told."""
    register(city.connection, make_device("bin", "waste_bin"))
    after = live.last_id()
    engine = start()
    eventually(lambda: acting(live, engine))
    city.say({"bin": BURNING})
    eventually(lambda: city.alive() == {("bin_burning", "bin"): "unacknowledged"})
    (alarm,) = stored.alive_alarms(city.connection)
    live.publish(actions.acknowledge(city.connection, "trực ban", alarms=[alarm.id]))
    city.say({"bin": FINE})
    eventually(lambda: city.alive() == {})

    def told() -> list[str]:
        changes = [change for _, change in live.changes(after, block_ms=1)]
        return [row.state for change in changes if isinstance(change, AlarmsChanged) for row in change.alarms]

    eventually(lambda: told() == ["unacknowledged", "acknowledged", "normal"])
    file = stored.incident_file(city.connection, alarm.incident)
    assert [e.kind for e in file.log] == ["detected", "acknowledged", "returned", "cleared"]
    assert file.fault is None


def test_engine_ends_in_order_when_told(start: Start, city: City, live: Live) -> None:
    """SIGTERM ends it with code 0."""
    engine = start()
    eventually(lambda: acting(live, engine))
    engine.terminate()
    assert engine.wait(60) == 0


def test_engine_killed_in_a_storm_loses_and_doubles_nothing(city: City, start: Start, live: Live) -> None:
    """SIGKILL again and again while hundreds of alarms open and return: each is there once, its log whole."""
    names = [f"bin-{n:03}" for n in range(400)]
    for name in names:
        register(city.connection, make_device(name, "waste_bin", ward=f"w{int(name[-3:]) % 7}"))
    engine = start()
    eventually(lambda: acting(live, engine))
    counts = []
    for first in range(0, 400, 100):
        city.say(dict.fromkeys(names[first : first + 100], BURNING))
        time.sleep(0.02 * (first // 100))
        engine.kill()
        engine.wait()
        counts.append(len(city.alive()))
        engine = start()
    eventually(lambda: len(city.alive()) == 400)
    (opened,) = city.connection.execute("SELECT count(*) FROM alarm").fetchone() or (0,)
    assert opened == 400, f"alive after each kill: {counts}"
    city.say(dict.fromkeys(names, FINE))
    eventually(lambda: set(city.alive().values()) == {"returned_unacknowledged"})
    logs = [stored.log_of(city.connection, incident.id) for incident in stored.open_incidents(city.connection)]
    assert [verify(log) for log in logs] == [None] * 7
    kinds = [entry.kind for log in logs for entry in log]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {"detected": 400, "returned": 400}


def test_engine_tells_what_a_killed_one_could_not(city: City, start: Start, live: Live) -> None:
    """Killed between commit and publish: the next one publishes what the pages never heard."""
    register(city.connection, make_device("bin", "waste_bin"))
    city.say({"bin": BURNING}, publish=False)
    after = live.last_id()
    order = Order(Decision("bin_burning", "bin", "raise", value=BURNING), make_device("bin", "waste_bin"), None)
    execute(city.connection, [order], utc_now())  # committed, and nobody was told
    start()

    def told() -> list[tuple[str, str]]:
        changes = [change for _, change in live.changes(after, block_ms=1)]
        return [
            (row.rule, row.state) for change in changes if isinstance(change, AlarmsChanged) for row in change.alarms
        ]

    eventually(lambda: told() == [("bin_burning", "unacknowledged")])
    assert city.alive() == {("bin_burning", "bin"): "unacknowledged"}


def test_engine_decides_what_happened_while_it_was_down(city: City, start: Start, live: Live) -> None:
    """A new engine finds what began and what ended without it, the delay of a level included."""
    for name, kind in (("old", "waste_bin"), ("new", "waste_bin"), ("gauge", "flood_gauge")):
        register(city.connection, make_device(name, kind))
    city.say({"old": BURNING, "new": FINE})
    engine = start()
    eventually(lambda: city.alive() == {("bin_burning", "old"): "unacknowledged"})
    engine.kill()
    engine.wait()
    city.say({"old": FINE, "new": BURNING}, publish=False)
    for age in (90, 60, 30, 0):
        city.say({"gauge": 1.55}, measure="waterLevel", publish=False, age_s=age)
    start()
    expected = {
        ("bin_burning", "old"): "returned_unacknowledged",
        ("bin_burning", "new"): "unacknowledged",
        ("water_alert_1", "gauge"): "suppressed",
        ("water_alert_2", "gauge"): "unacknowledged",
    }
    eventually(lambda: city.alive() == expected)


def test_engine_opens_nothing_from_old_values(city: City, start: Start, live: Live) -> None:
    """What burned half an hour ago, and a queue that is drained late, are history."""
    register(city.connection, make_device("bin", "waste_bin"))
    register(city.connection, make_device("live", "waste_bin"))
    city.say({"bin": BURNING}, age_s=1800)
    start()
    city.say({"live": BURNING})
    eventually(lambda: ("bin_burning", "live") in city.alive())
    city.say({"bin": BURNING}, age_s=1700)
    city.say({"live": FINE})
    eventually(lambda: city.alive() == {("bin_burning", "live"): "returned_unacknowledged"})


def test_second_engine_takes_over_from_a_killed_one(city: City, start: Start, live: Live) -> None:
    """Only one acts; when it dies the other goes on, and nothing is doubled."""
    register(city.connection, make_device("bin", "waste_bin"))
    first = start()
    eventually(lambda: acting(live, first))
    second = start()
    eventually(lambda: beat_of(live, second))
    assert not acting(live, second)
    city.say({"bin": BURNING})
    eventually(lambda: ("bin_burning", "bin") in city.alive())
    first.kill()
    eventually(lambda: acting(live, second))
    city.say({"bin": FINE})
    eventually(lambda: city.alive() == {("bin_burning", "bin"): "returned_unacknowledged"})
    (opened,) = city.connection.execute("SELECT count(*) FROM alarm").fetchone() or (0,)
    assert opened == 1


def test_second_engine_takes_over_from_one_that_hangs(city: City, start: Start, live: Live) -> None:
    """It loses its turn while it stands still; when it wakes it stands by, and nothing is doubled."""
    register(city.connection, make_device("bin", "waste_bin"))
    first = start()
    eventually(lambda: acting(live, first))
    second = start(impatient("ioc.alarms"))
    eventually(lambda: beat_of(live, second))
    first.send_signal(signal.SIGSTOP)
    eventually(lambda: acting(live, second))
    city.say({"bin": BURNING})
    eventually(lambda: ("bin_burning", "bin") in city.alive())
    first.send_signal(signal.SIGCONT)
    eventually(lambda: (beat := beat_of(live, first)) and beat.figures == {"acting": 0})
    assert acting(live, second)
    city.say({"bin": FINE})
    eventually(lambda: city.alive() == {("bin_burning", "bin"): "returned_unacknowledged"})
    assert city.connection.execute("SELECT count(*) FROM alarm").fetchone() == (1,)


def test_engine_without_redis_asks_the_database(city: City, start: Start, live: Live, cache: CacheServer) -> None:
    """Alarms still open while Redis is away; when it is back the pages are told what they missed."""
    register(city.connection, make_device("bin", "waste_bin"))
    register(city.connection, make_device("cab", "cabinet"))
    city.state("cab", "online")
    engine = start()
    eventually(lambda: acting(live, engine))
    cache.kill()
    city.say({"bin": BURNING}, publish=False)
    city.say({"cab": 1.0}, measure="cabinetDoor", publish=False, age_s=31)
    city.say({"cab": 1.0}, measure="cabinetDoor", publish=False)
    eventually(lambda: ("bin_burning", "bin") in city.alive())
    cache.start()

    def told() -> set[str]:
        try:
            changes = [change for _, change in live.changes("0-0", block_ms=1)]
        except LiveError:
            return set()
        return {row.rule for change in changes if isinstance(change, AlarmsChanged) for row in change.alarms}

    eventually(lambda: told() == {"bin_burning", "cabinet_door_open"})
    eventually(lambda: (beat := beat_of(live, engine)) is not None and "redis" not in beat.reason)
    city.say({"bin": FINE})
    eventually(lambda: city.alive()["bin_burning", "bin"] == "returned_unacknowledged")


def test_engine_survives_the_database(city: City, start: Start, live: Live, stack: Stack, db: Database) -> None:
    """The database refuses everybody for a while: the engine says so, waits, and catches up."""
    register(city.connection, make_device("bin", "waste_bin"))
    engine = start()
    eventually(lambda: acting(live, engine))
    name = sql.Identifier(db.url.rpartition("/")[2])
    with psycopg.connect(stack.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(name))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ioc-alarms'")
        eventually(lambda: (beat := beat_of(live, engine)) is not None and "timescaledb" in beat.reason)
        city.say({"bin": BURNING})
        admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(name))
    eventually(lambda: city.alive() == {("bin_burning", "bin"): "unacknowledged"})
    eventually(lambda: (beat := beat_of(live, engine)) is not None and "timescaledb" not in beat.reason)


def test_engine_tells_a_lost_device_from_one_that_never_was(city: City, start: Start, live: Live) -> None:
    """Offline after online is an alarm; offline from the beginning is not."""
    for name in ("seen", "dark", "last"):
        register(city.connection, make_device(name, "camera"))
    city.state("dark", "offline")
    city.state("seen", "online")
    engine = start()
    eventually(lambda: acting(live, engine))
    city.state("dark", "offline")
    city.state("seen", "offline")
    eventually(lambda: city.alive() == {("camera_offline", "seen"): "unacknowledged"})
    city.state("seen", "online")
    eventually(lambda: city.alive() == {("camera_offline", "seen"): "returned_unacknowledged"})


def test_engine_shelf_time_ends_by_itself(city: City, start: Start, live: Live) -> None:
    """A shelved alarm comes back without anybody doing anything."""
    register(city.connection, make_device("bin", "waste_bin"))
    start()
    city.say({"bin": BURNING})
    eventually(lambda: city.alive())
    (alarm,) = stored.alive_alarms(city.connection)
    until: datetime = utc_now() + timedelta(seconds=5)
    shelved = actions.shelve(city.connection, [alarm.id], until, "đang xử lý", "a")
    assert [row.state for change in shelved if isinstance(change, AlarmsChanged) for row in change.alarms] == [
        "shelved"
    ]
    live.publish(shelved)
    eventually(lambda: city.alive() == {("bin_burning", "bin"): "unacknowledged"})
    assert utc_now() >= until


def test_engine_says_that_it_hears_nobody(city: City, start: Start, live: Live) -> None:
    """Without ingest and without readings silence means nothing, and the wall is told; a healthy ingest is enough."""
    engine = start()
    eventually(lambda: (beat := beat_of(live, engine)) is not None and "hearing" in beat.reason)

    def well() -> bool:
        live.beat(Heartbeat("ingest", "test-1", utc_now(), "ok"))
        beat = beat_of(live, engine)
        return beat is not None and beat.state == "ok"

    eventually(well)


def test_engine_waits_for_the_schema(start: Start, live: Live, environment: dict[str, str], stack: Stack) -> None:
    """Started before the migrations have run it says what is missing instead of dying."""
    environment["IOC_DATABASE_URL"] = stack.urls.database_url
    with psycopg.connect(stack.urls.database_url, autocommit=True) as connection:
        assert connection.execute("SELECT to_regclass('alarm')").fetchone() == (None,)
    engine = start()
    eventually(lambda: (beat := beat_of(live, engine)) is not None and "does not exist" in beat.reason)
    assert engine.poll() is None
