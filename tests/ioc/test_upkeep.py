"""Hourly figures, chunks ahead and retention, on the edition that runs here."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioc.db.copy import DETECTION, DEVICE_STATE, store
from ioc.db.migrate import migrations
from ioc.db.pool import Connection, edition
from ioc.db.readings import begin_writing, newest_of, store_readings
from ioc.db.upkeep import chunks_ahead, retain, roll_hours, upkeep_once
from ioc.model import Detection, DeviceState, Quality, Reading
from ioc.settings import Settings
from tests.fix_stack import Database

HOUR = timedelta(hours=1)
#: Fixed, so that hours and days lie where the tests expect them; nothing here looks at the clock.
NOW = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)

FROM_READINGS = (
    "SELECT time_bucket('1 hour', time), device, measure, count(*), sum(value), min(value), max(value)"
    " FROM reading GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
)
FROM_HOURS = (
    "SELECT h.bucket, h.device, m.measure, h.readings, h.total, h.least, h.most"
    " FROM (SELECT measure, array_agg(device) AS devices"
    " FROM (SELECT device, measure FROM reading UNION SELECT device, measure FROM rollup_hour) AS known GROUP BY measure) AS m"
    " CROSS JOIN LATERAL hours_of(m.devices, m.measure, '-infinity', 'infinity', true) AS h ORDER BY 1, 2, 3"
)
#: Devices, measure, since, until, apart.
HOURS_OF = "SELECT * FROM hours_of(%s, %s, %s, %s, %s) ORDER BY 1, 2"


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A database without readings, on the edition whose hourly figures are ours to keep."""
    with db.connect() as connection:
        if edition(connection) != "apache":
            pytest.skip("TimescaleDB keeps the hourly figures itself on the community edition")
        connection.execute("SELECT drop_chunks('reading', newer_than => '1990-01-01'::timestamptz)")
        connection.execute(
            "DELETE FROM rollup_hour; DELETE FROM rollup_dirty; UPDATE rollup_state SET watermark = '2000-01-01+00'"
        )
        yield connection


def make_reading(hours: float, *, device: str = "d", measure: str = "pm25", value: float = 1.0) -> Reading:
    """A reading that many hours before NOW."""
    time = NOW - hours * HOUR
    return Reading(time, device, measure, value, Quality.GOOD, NOW)


def write(connection: Connection, *readings: Reading) -> None:
    with connection.transaction():
        store_readings(connection, readings, begin_writing(connection, "apache"), newest_of(readings))


def figures(connection: Connection, query: LiteralString, asked: tuple[Any, ...] = ()) -> list[Any]:
    return connection.execute(query, asked).fetchall()


def kept(connection: Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM rollup_hour").fetchone() or (0,)
    return int(count)


def test_roll_hours_of_finished_hours(connection: Connection) -> None:
    """Finished hours move into the table, the running one is read from the readings; together they are exact."""
    write(connection, *(make_reading(step / 10, value=step) for step in range(100)))
    assert roll_hours(connection, NOW) > 0
    assert figures(connection, FROM_HOURS) == figures(connection, FROM_READINGS)
    # 12:00–12:30 is running; ten hours back from 12:30 are 10 finished ones and a part of 02:00.
    assert kept(connection) == 10
    assert roll_hours(connection, NOW) == 0


def test_roll_hours_waits_until_an_hour_is_settled(connection: Connection) -> None:
    """At 12:04 the hour that ended at 12:00 may still get its last readings; at 12:05 it is rolled."""
    write(connection, make_reading(1))
    noon = NOW.replace(minute=0)
    roll_hours(connection, noon + timedelta(minutes=4))
    assert kept(connection) == 0
    roll_hours(connection, noon + timedelta(minutes=5))
    assert kept(connection) == 1


def test_late_data_is_exact_at_once_and_after_rolling(connection: Connection) -> None:
    """A reading for a finished hour counts at once, through the readings; then the hour is computed anew."""
    write(connection, *(make_reading(h) for h in (3, 2, 1)))
    roll_hours(connection, NOW)
    write(connection, make_reading(2.1, value=50), make_reading(30, value=7))
    assert figures(connection, FROM_HOURS) == figures(connection, FROM_READINGS)
    assert roll_hours(connection, NOW) == 2
    assert figures(connection, FROM_HOURS) == figures(connection, FROM_READINGS)
    assert kept(connection) == 4


def test_redelivered_data_changes_no_figure(connection: Connection) -> None:
    """A duplicate of a finished hour's reading leaves the sums as they are."""
    write(connection, make_reading(3, value=5))
    roll_hours(connection, NOW)
    before = figures(connection, FROM_HOURS)
    write(connection, make_reading(3, value=99))
    roll_hours(connection, NOW)
    assert figures(connection, FROM_HOURS) == before == figures(connection, FROM_READINGS)


hours = st.floats(0.51, 60).map(lambda h: round(h, 4))
steps = st.lists(
    st.one_of(
        st.lists(st.tuples(hours, st.integers(0, 9)), min_size=1, max_size=8).map(lambda rows: ("write", rows)),
        st.integers(0, 70).map(lambda hours: ("roll", hours)),
    ),
    max_size=12,
)


#: Ends of spans about hours and midnights, where hours and chunks begin, and about the watermark, the running hour and beyond.
ends = st.tuples(st.integers(-2, 72), st.sampled_from((-1, 0, 1, 1_800_000_000))).map(
    lambda end: NOW.replace(minute=0) - end[0] * HOUR + timedelta(microseconds=end[1])
)
spans = st.lists(
    st.tuples(
        st.sets(st.sampled_from(("d0", "d1", "d2", "none"))),
        st.sampled_from(("pm25", "o3", "none")),
        ends | st.just(datetime.min.replace(tzinfo=UTC)),
        ends | st.just(datetime.max.replace(tzinfo=UTC)),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, spans)
def test_hours_are_exact_at_every_moment(connection: Connection, steps: list[Any], spans: list[Any]) -> None:
    """Whatever is written and rolled in whatever order, the hours of any span tell what the readings tell."""
    with connection.transaction(force_rollback=True):
        for what, subject in steps:
            if what == "write":
                write(
                    connection,
                    *(
                        make_reading(h, value=value, device=f"d{value % 3}", measure="pm25" if value % 2 else "o3")
                        for h, value in subject
                    ),
                )
            else:
                roll_hours(connection, NOW - subject * HOUR)
            assert figures(connection, FROM_HOURS) == figures(connection, FROM_READINGS)
        check_spans(connection, spans)


def check_spans(connection: Connection, spans: list[Any]) -> None:
    """The hours of these spans are those of all readings that lie in them."""
    all_hours = figures(connection, FROM_READINGS)
    for devices, measure, since, until, apart in spans:
        meant: dict[Any, list[Any]] = {}
        for bucket, device, of, *values in all_hours:
            if device in devices and of == measure and since <= bucket < until:
                meant.setdefault((bucket, device if apart else None), []).append(values)
        wanted = [
            (*key, *(fold(column) for fold, column in zip((sum, sum, min, max), zip(*rows, strict=True), strict=True)))
            for key, rows in meant.items()
        ]
        asked = (list(devices), measure, since, until, apart)
        assert figures(connection, HOURS_OF, asked) == wanted, asked


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(hours, st.integers(0, 9)), max_size=30), spans)
def test_hours_on_the_community_edition(connection: Connection, written: list[Any], spans: list[Any]) -> None:
    """Its function, over a table in place of its continuous aggregate."""
    with connection.transaction(force_rollback=True):
        write(connection, *(make_reading(h, value=value, device=f"d{value % 3}") for h, value in written))
        roll_hours(connection, NOW + HOUR)
        connection.execute("DROP FUNCTION hours_of; CREATE VIEW reading_hour AS TABLE rollup_hour")
        connection.execute(next(one.sql for one in migrations("community") if one.name == "hours_of").encode())
        check_spans(connection, spans)


def test_hours_open_the_chunks_alone_that_hold_them(connection: Connection) -> None:
    """However many days are kept: a span of finished hours opens no chunk of readings, a late hour its own, today today's."""
    write(connection, *(make_reading(day * 24) for day in range(0, 60, 2)))
    roll_hours(connection, NOW)
    assert opened(connection, NOW - 30 * 24 * HOUR, NOW - 2 * HOUR) == {"reading": 0, "rollup_hour": 2}
    write(connection, make_reading(10 * 24 + 0.1), make_reading(11 * 24 - 0.1))
    assert opened(connection, NOW - 30 * 24 * HOUR, NOW - 2 * HOUR) == {"reading": 2, "rollup_hour": 2}
    assert opened(connection, NOW - HOUR, NOW) == {"reading": 1, "rollup_hour": 1}
    assert opened(connection, NOW.replace(minute=0), NOW) == {"reading": 1, "rollup_hour": 0}


def opened(connection: Connection, since: datetime, until: datetime) -> dict[str, int]:
    """How many chunks of readings and of hourly figures a query opens: the planner locks each that it looks at."""
    with connection.transaction():
        connection.execute(HOURS_OF, (["d"], "pm25", since, until, False)).fetchall()
        locked = connection.execute(
            "SELECT hypertable_name, count(*) FROM timescaledb_information.chunks JOIN pg_class ON relname = chunk_name"
            " JOIN pg_locks ON relation = pg_class.oid AND pid = pg_backend_pid() GROUP BY 1"
        ).fetchall()
    return {"reading": 0, "rollup_hour": 0} | dict(locked)


def test_hours_are_exact_while_many_write_and_two_roll(connection: Connection, db: Database) -> None:
    """Writers of live and of late data, rolled under their hands; every snapshot of the hours is that of the readings."""
    stop = threading.Event()
    rolled = itertools.count()

    def write_until_stopped(number: int) -> int:
        dice, written = random.Random(number), 0
        with db.connect() as mine:
            while not stop.is_set():
                batch = (
                    make_reading(dice.uniform(0.5, 6), device=f"w{number}", value=dice.randint(0, 9)) for _ in range(20)
                )
                write(mine, *batch)
                written += 20
        return written

    def roll_until_stopped() -> int:
        with db.connect() as mine:
            while not stop.is_set():
                # Time goes on while they write: the watermark moves over hours that are still written to.
                roll_hours(mine, NOW - timedelta(hours=6) + timedelta(minutes=10) * min(36, next(rolled)))
                time.sleep(0.02)
        return next(rolled)

    checks, deadline = 0, time.monotonic() + 8
    with ThreadPoolExecutor(5) as pool:
        work = [*(pool.submit(write_until_stopped, number) for number in range(3))]
        work += [pool.submit(roll_until_stopped) for _ in range(2)]
        try:
            while (time.monotonic() < deadline or checks < 4) and not any(one.done() for one in work):
                with connection.transaction():
                    connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    assert figures(connection, FROM_HOURS) == figures(connection, FROM_READINGS)
                checks += 1
        finally:
            stop.set()
        assert all(one.result() > 0 for one in work)
    assert checks > 3
    roll_hours(connection, NOW)
    assert figures(connection, FROM_HOURS) == figures(connection, FROM_READINGS)
    assert connection.execute("SELECT count(*) FROM rollup_dirty").fetchone() == (0,)


def test_roll_hours_does_not_make_writers_wait_for_its_counting(connection: Connection, db: Database) -> None:
    """While one finished hour is being computed, live data is committed all the same."""
    write(connection, make_reading(3), make_reading(2))
    roll_hours(connection, NOW)
    write(connection, make_reading(2.2))
    with db.connect() as roller, roller.transaction():
        roller.execute("DELETE FROM rollup_dirty")  # what the computing transaction holds
        with db.connect() as writer:
            writer.execute("SET lock_timeout = '2s'")
            write(writer, make_reading(0.1))
    assert figures(connection, FROM_HOURS)[-1][3] == 1


def test_figures_stay_when_their_readings_are_dropped(connection: Connection) -> None:
    """Hourly figures outlive the readings; a very late reading does not replace what they were made of."""
    write(connection, *(make_reading(24 * 20 + step / 100) for step in range(50)), make_reading(1))
    roll_hours(connection, NOW)
    before = figures(connection, FROM_HOURS)
    keep = Settings(retention_readings_days=10)
    assert retain(connection, keep, NOW) == 1
    assert figures(connection, FROM_HOURS) == before
    write(connection, make_reading(24 * 20 + 0.3333))
    roll_hours(connection, NOW, NOW - timedelta(days=10))
    assert figures(connection, FROM_HOURS) == before


def test_chunks_ahead_makes_tomorrows(connection: Connection) -> None:
    """Tomorrow's chunk is there before its first reading; asking again changes nothing, and readings use it."""
    for _ in range(2):
        chunks_ahead(connection, NOW)
        assert chunks(connection, "reading") == [(datetime(2026, 7, 2, tzinfo=UTC), datetime(2026, 7, 3, tzinfo=UTC))]
    write(connection, make_reading(-20))
    assert len(chunks(connection, "reading")) == 1
    write(connection, make_reading(0))
    chunks_ahead(connection, NOW + timedelta(days=1))
    assert [begin.day for begin, _ in chunks(connection, "reading")] == [1, 2, 3]


def chunks(connection: Connection, table: str) -> list[tuple[datetime, datetime]]:
    return connection.execute(
        "SELECT range_start, range_end FROM timescaledb_information.chunks WHERE hypertable_name = %s ORDER BY 1",
        (table,),
    ).fetchall()


def test_retain_drops_what_is_older_than_the_settings(connection: Connection) -> None:
    """Each table has its own time; a chunk goes when all of it is older, and never one with what is kept."""
    write(connection, make_reading(24 * 11), make_reading(24 * 5), make_reading(1))
    old, new = NOW - timedelta(days=40), NOW - timedelta(days=2)
    with connection.transaction():
        store(connection, DETECTION, [Detection(t, "c", 0, "car", 0.5, 0, 0, 1, 1) for t in (old, new)])
        store(connection, DEVICE_STATE, [DeviceState(t, "d", "online", "", t) for t in (old, new)])
    for received in (old, new):
        connection.execute(
            "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size)"
            " VALUES (%s, 't', '', 'native', 'json', '', '', 0)",
            (received,),
        )
        connection.execute("INSERT INTO reading_clock_off VALUES ('d', 'pm25', %s, %s)", (received, received))
    keep = Settings(retention_readings_days=10, retention_detections_days=30, retention_quarantine_days=30)
    assert retain(connection, keep, NOW) == 4
    assert retain(connection, keep, NOW) == 0
    for table, column, left in (
        ("reading", "time", 2), ("detection", "time", 1), ("device_state", "time", 1), ("quarantine", "received", 1),
        ("reading_clock_off", "time", 1),
    ):  # fmt: skip
        (oldest, count) = connection.execute(f"SELECT min({column}), count(*) FROM {table}").fetchone() or (None, 0)
        assert (table, count) == (table, left)
        assert oldest >= NOW - timedelta(days=10)
    connection.execute("SELECT drop_chunks('detection', newer_than => '1990-01-01'::timestamptz)")
    connection.execute("SELECT drop_chunks('device_state', newer_than => '1990-01-01'::timestamptz)")
    connection.execute("SELECT drop_chunks('quarantine', newer_than => '1990-01-01'::timestamptz)")


def test_retain_drops_what_cameras_counted_and_how_they_were(connection: Connection, topic: str) -> None:
    """Counts go by the chunk; an interval goes when its end is older, never one that lasts or reaches into what is kept."""
    for days in (80, 45, 2):
        row = (NOW - timedelta(days=days), topic, "car", 60, 30, 2)
        connection.execute("INSERT INTO camera_count VALUES (%s, %s, %s, %s, %s, %s)", row)
    for began, ended, condition in ((50, 45, "ok"), (45, 11, "black"), (11, 9, "ok"), (9, 8, "late"), (8, None, "ok")):
        until = None if ended is None else NOW - timedelta(days=ended)
        row = (topic, NOW - timedelta(days=began), until, condition)
        connection.execute("INSERT INTO camera_condition VALUES (%s, %s, %s, %s)", row)
    keep = Settings(retention_readings_days=10)
    for _ in range(2):
        retain(connection, keep, NOW)
        left = connection.execute("SELECT time FROM camera_count WHERE camera = %s", (topic,)).fetchall()
        assert left == [(NOW - timedelta(days=2),)]
        spans = connection.execute(
            "SELECT began, condition FROM camera_condition WHERE camera = %s ORDER BY began", (topic,)
        ).fetchall()
        assert spans == [(NOW - timedelta(days=days), what) for days, what in ((11, "ok"), (9, "late"), (8, "ok"))]
    # One that has lasted since long ago.
    connection.execute("DELETE FROM camera_condition WHERE camera = %s", (topic,))
    connection.execute(
        "INSERT INTO camera_condition VALUES (%s, %s, NULL, 'missing')", (topic, NOW - timedelta(days=99))
    )
    retain(connection, keep, NOW)
    assert connection.execute("SELECT condition FROM camera_condition WHERE camera = %s", (topic,)).fetchall() == [
        ("missing",)
    ]


def test_upkeep_is_done_by_one_at_a_time(connection: Connection, db: Database) -> None:
    """While another holds the lock nothing is done; afterwards it is, and the lock is given back."""
    write(connection, make_reading(3))
    with db.connect() as other:
        other.execute("SELECT pg_advisory_lock(%s)", (0x7464_7570,))
        upkeep_once(connection, Settings(), "apache", NOW)
        assert kept(connection) == 0
        other.execute("SELECT pg_advisory_unlock(%s)", (0x7464_7570,))
    for _ in range(2):
        upkeep_once(connection, Settings(), "apache", NOW)
        assert kept(connection) == 1
    with db.connect() as other:
        assert other.execute("SELECT pg_try_advisory_lock(%s)", (0x7464_7570,)).fetchone() == (True,)
