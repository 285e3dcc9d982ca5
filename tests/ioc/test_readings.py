"""Readings in a real TimescaleDB: latest values, late data, histories."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ioc.db import snapshot
from ioc.db.pool import Connection, edition
from ioc.db.readings import (
    SENT_AGAIN,
    admit_clock_off,
    begin_writing,
    history,
    latest_of,
    newest_of,
    store_at_once,
    store_readings,
    ward_profile,
)
from ioc.db.upkeep import roll_hours
from ioc.model import Quality, Reading
from tests.fix_ingest import eventually
from tests.fix_stack import Database

Store = Callable[..., int]

NOW = datetime.now(UTC).replace(microsecond=0)


def make_reading(device: str, ago_s: float, value: float, measure: str = "pm25") -> Reading:
    return Reading(NOW - timedelta(seconds=ago_s), device, measure, value, Quality.GOOD, NOW)


def store(connection: Connection, *readings: Reading, all_new: bool = False) -> int:
    with connection.transaction():
        watermark = begin_writing(connection, edition(connection))
        return store_readings(connection, readings, watermark, newest_of(readings), all_new=all_new)


def at_once(connection: Connection, *readings: Reading) -> int:
    """The same in one statement, beside which a delivery is noted."""
    noted = str(len(readings)).encode()
    beside = (
        "INSERT INTO delivery (client, mid, digest) VALUES (%s, 0, %s)"
        " ON CONFLICT (client, mid) DO UPDATE SET digest = excluded.digest"
    )
    values = (readings[0].device, noted)
    stored = store_at_once(connection, edition(connection), readings, newest_of(readings), [(beside, values)])
    query = "SELECT digest FROM delivery WHERE client = %s"
    assert connection.execute(query, values[:1]).fetchall() == [(noted,)]
    return stored


both = pytest.mark.parametrize("store", [store, at_once])


@both
def test_store_readings_counts_what_is_new(store: Store, connection: Connection, topic: str) -> None:
    """Only new keys count; a key within one batch twice is one."""
    first = make_reading(topic, 10, 1.0)
    assert store(connection, first, first, make_reading(topic, 9, 2.0)) == 2
    assert store(connection, first, make_reading(topic, 8, 3.0)) == 1


def test_store_readings_none(connection: Connection) -> None:
    """A batch without readings stores none."""
    assert store(connection) == 0


def test_store_at_once_all_or_nothing(connection: Connection, topic: str) -> None:
    """What stands beside the readings is of the same transaction: when one fails, the other is not there."""
    one = make_reading(topic, 10, 1.0)
    nothing = ("INSERT INTO delivery (client, mid, digest) VALUES (%s, 0, NULL)", (topic,))
    with pytest.raises(psycopg.errors.NotNullViolation):
        store_at_once(connection, edition(connection), [one], [one], [nothing])
    assert latest_of(connection, topic) == []
    assert store(connection, one) == 1


def test_store_readings_all_new(connection: Connection, topic: str) -> None:
    """Taken to be new, readings are stored as well; a key that is there fails the whole, which then goes the careful way."""
    first, second = make_reading(topic, 10, 1.0), make_reading(topic, 9, 2.0)
    assert store(connection, first, all_new=True) == 1
    with pytest.raises(psycopg.errors.UniqueViolation):
        store(connection, second, first, all_new=True)
    assert [one.value for one in latest_of(connection, topic)] == [1.0]
    assert store(connection, second, first) == 1
    assert [one.value for one in latest_of(connection, topic)] == [2.0]


@both
def test_latest_is_the_newest_by_device_time(store: Store, connection: Connection, topic: str) -> None:
    """Whatever the order of arrival, the latest value is the one with the newest time."""
    readings = [make_reading(topic, ago, float(ago)) for ago in range(50)]
    random.Random(1).shuffle(readings)
    for at in range(0, 50, 7):
        store(connection, *readings[at : at + 7], make_reading(topic, 5 + at, 9.0, "o3"))
    assert [(one.measure, one.value) for one in latest_of(connection, topic)] == [("o3", 9.0), ("pm25", 0.0)]
    of_all = [one for one in snapshot.latest(connection) if one.device == topic]
    assert sorted(of_all, key=lambda one: one.measure) == latest_of(connection, topic)


@both
def test_late_data_changes_finished_hours(store: Store, connection: Connection, topic: str) -> None:
    """Hourly figures stay exact when data of a finished hour comes late, before and after the job has run."""
    if edition(connection) != "apache":
        pytest.skip("the community edition keeps its hourly figures itself")

    def figures() -> object:
        return connection.execute(
            "SELECT sum(readings)::int, sum(total), min(least), max(most)"
            " FROM hours_of(ARRAY[%s], 'pm25', '-infinity', 'infinity', false)",
            [topic],
        ).fetchone()

    store(connection, *(make_reading(topic, hour * 3600, float(hour)) for hour in range(1, 30)))
    roll_hours(connection, NOW)
    assert figures() == (29, 435.0, 1.0, 29.0)
    store(connection, make_reading(topic, 10 * 3600 + 1, 500.0))
    assert figures() == (30, 935.0, 1.0, 500.0)
    assert roll_hours(connection, NOW) == 1
    assert figures() == (30, 935.0, 1.0, 500.0)


@both
def test_hours_that_are_finished_meanwhile(store: Store, db: Database, connection: Connection, topic: str) -> None:
    """A writer that met the job which passes its hour says that the hour has changed: it does not trust an older watermark."""
    if edition(connection) != "apache":
        pytest.skip("the community edition keeps its hourly figures itself")
    reading = make_reading(topic, 0, 1.0)
    hour = reading.time.replace(minute=0, second=0, microsecond=0)
    connection.execute("DELETE FROM rollup_dirty")
    with db.connect() as job, ThreadPoolExecutor(1) as thread:
        (before,) = job.execute("SELECT watermark FROM rollup_state").fetchone() or (None,)
        assert before is not None
        assert before <= hour
        with job.transaction():
            job.execute("SELECT watermark FROM rollup_state FOR UPDATE")
            stored = thread.submit(store, connection, reading)
            pid = connection.info.backend_pid
            waits = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
            eventually(lambda: job.execute(waits, (pid,)).fetchall())
            job.execute("UPDATE rollup_state SET watermark = %s", (hour + timedelta(hours=1),))
        assert stored.result(30) == 1
        job.execute("UPDATE rollup_state SET watermark = %s", (before,))
    assert connection.execute("SELECT bucket FROM rollup_dirty").fetchall() == [(hour,)]


def test_admit_clock_off_once(connection: Connection, topic: str) -> None:
    """A reading of a wrong clock is known again by the device's own time, within a batch and after it."""
    wrong = datetime(1970, 1, 1, tzinfo=UTC)
    first, again, other = make_reading(topic, 3, 1.0), make_reading(topic, 2, 1.0), make_reading(topic, 1, 2.0)
    with connection.transaction():
        assert admit_clock_off(connection, [(first, wrong), (again, wrong)]) == [first]
    with connection.transaction():
        assert admit_clock_off(connection, [(again, wrong), (other, wrong + timedelta(seconds=1))]) == [other]
        assert admit_clock_off(connection, []) == []


def test_admit_clock_off_of_a_clock_that_stands_still(connection: Connection, topic: str) -> None:
    """A device that always states the same time loses nothing: another value, or the same one later, is another reading."""
    wrong = datetime(1970, 1, 1, tzinfo=UTC)
    readings = [make_reading(topic, 5 - n, value) for n, value in enumerate((1.0, 2.0, 2.0, 1.0))]
    with connection.transaction():
        admitted = admit_clock_off(connection, [(one, wrong) for one in readings])
    assert admitted == [readings[0], readings[1], readings[3]]
    soon = make_reading(topic, -SENT_AGAIN.total_seconds() + 10, 1.0)
    later = make_reading(topic, -SENT_AGAIN.total_seconds() - 10, 1.0)
    with connection.transaction():
        assert admit_clock_off(connection, [(soon, wrong), (later, wrong)]) == [later]


def test_history_of_a_day_in_buckets(connection: Connection, topic: str) -> None:
    """Buckets hold mean, least and greatest; where nothing was measured there is no bucket."""
    store(
        connection,
        *(make_reading(topic, ago, float(ago % 120)) for ago in range(60, 7200, 60) if not 1800 < ago < 3600),
    )
    since = NOW - timedelta(hours=2)
    points = history(connection, topic, "pm25", since, NOW, points=12)
    assert sum(point.readings for point in points) == 90
    assert all(point.least <= point.mean <= point.most for point in points)
    assert [point.time for point in points] == sorted(point.time for point in points)
    assert len(points) <= 13
    quiet = [p for p in points if NOW - timedelta(seconds=2950) < p.time < NOW - timedelta(seconds=2450)]
    assert quiet == []


def test_history_of_a_month_agrees_with_readings(connection: Connection, topic: str) -> None:
    """A long history comes from hourly figures and says the same as the readings."""
    chance = random.Random(2)
    readings = [
        make_reading(topic, hour * 3600 + chance.random() * 3000, chance.random() * 100) for hour in range(24 * 20)
    ]
    store(connection, *readings)
    roll_hours(connection, NOW)
    points = history(connection, topic, "pm25", NOW - timedelta(days=30), NOW + timedelta(hours=1), points=200)
    assert sum(point.readings for point in points) == len(readings)
    total = sum(point.mean * point.readings for point in points)
    assert total == pytest.approx(sum(reading.value for reading in readings))
    assert max(point.most for point in points) == max(reading.value for reading in readings)
    assert len(points) <= 201


def test_ward_profile_by_hour_of_the_citys_day(connection: Connection, topic: str) -> None:
    """Readings of all devices of the ward, and of no other, by the hour in Ho Chi Minh City; late data counts at once."""
    ward = topic
    for device, where in ((f"{topic}-a", ward), (f"{topic}-b", ward), (f"{topic}-c", "elsewhere")):
        connection.execute("INSERT INTO device (id, kind, name, ward) VALUES (%s, '', '', %s)", (device, where))
    until = NOW.replace(minute=0, second=0) - timedelta(hours=1)
    since = until - timedelta(days=3)
    hours = [since + timedelta(hours=hour) for hour in range(72)]
    noon_utc = [hour for hour in hours if hour.hour == 12]
    readings = [
        Reading(hour + timedelta(minutes=minute), f"{topic}-{device}", "pm25", float(hour.hour), Quality.GOOD, NOW)
        for device, minute in (("a", 5), ("b", 10), ("b", 40), ("c", 5))
        for hour in hours
    ]
    store(connection, *readings)
    roll_hours(connection, NOW)
    profile = ward_profile(connection, ward, "pm25", since, until)
    assert [one.hour for one in profile] == list(range(24))
    assert {one.readings for one in profile} == {9}
    assert all(one.mean == one.least == one.most == (one.hour - 7) % 24 for one in profile)
    store(connection, Reading(noon_utc[0] + timedelta(minutes=50), f"{topic}-a", "pm25", 112.0, Quality.GOOD, NOW))
    for _ in range(2):
        noon = next(one for one in ward_profile(connection, ward, "pm25", since, until) if one.hour == 19)
        assert (noon.readings, noon.mean, noon.least, noon.most) == (10, pytest.approx(22.0), 12.0, 112.0)
        roll_hours(connection, NOW)
    assert ward_profile(connection, ward, "o3", since, until) == []
