"""Readings: stored each once with their latest values and late hours marked; read as latest values and as history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

import msgspec
from psycopg.rows import class_row

from ioc.db.arrays import Array, floats, small_integers, texts, times
from ioc.db.copy import READING, copy_into, store
from ioc.db.pool import Connection, Edition
from ioc.model import Reading

#: A history of more than this is read from hourly figures: a month of raw values is a million rows a measure at worst.
_RAW: Final = timedelta(days=2)
#: The latest value of each measure, if it is newer than the one that is there.
_KEEP: Final = (
    "INSERT INTO latest (time, device, measure, value, quality, received)"
    " SELECT * FROM unnest(%b, %b, %b, %b, %b, %b)"
    " ON CONFLICT (device, measure) DO UPDATE SET time = excluded.time,"
    " value = excluded.value, quality = excluded.quality, received = excluded.received"
    " WHERE excluded.time > latest.time"
)
_STORE: Final = (
    "INSERT INTO reading (time, device, measure, value, quality, received)"
    " SELECT * FROM unnest(%b, %b, %b, %b, %b, %b) ON CONFLICT DO NOTHING"
)
#: The finished hours that readings change. Where nobody has locked the watermark yet, it may have passed the readings; but the
#: lock waits for who moves it and brings the row as it is then, and until the commit it stays. So no hour is passed whose mark is
#: not written here. In order, so that writers cannot deadlock; and held, so that who takes a mark away sees its readings.
_DIRTY: Final = (
    "INSERT INTO rollup_dirty (bucket) SELECT hour FROM unnest(%b) AS hour"
    " WHERE hour < (SELECT watermark FROM rollup_state FOR SHARE) ORDER BY hour"
    " ON CONFLICT (bucket) DO UPDATE SET bucket = excluded.bucket"
)
#: Up to so many readings are stored faster by `store_at_once` than by COPY.
AT_ONCE: Final = 32
#: Within this time a device repeats, as a message of its own, what was not acknowledged to it. Later it is another reading: a
#: gauge that reports so seldom must not be silenced by a clock that stands still. What the broker repeats its delivery tells.
SENT_AGAIN: Final = timedelta(seconds=20)


class Point(msgspec.Struct, frozen=True):
    """One bucket of a history: its beginning, mean, least and greatest value, and how many readings it holds."""

    time: datetime
    mean: float
    least: float
    most: float
    readings: int


class HourOfDay(msgspec.Struct, frozen=True):
    """One hour of the city's clock over many days: mean, least and greatest value, and how many readings they are of."""

    hour: int
    mean: float
    least: float
    most: float
    readings: int


def begin_writing(connection: Connection, on: Edition) -> datetime:
    """Begin to write readings; must be the first statement of the transaction.

    On the Apache edition the row is held until the commit: the job that keeps hourly figures cannot pass hours by that we still
    write (0003_rollup).

    Returns:
        The watermark: hours before it are finished. On the community edition TimescaleDB keeps watch itself, and there are none.
    """
    if on == "community":
        return datetime.min.replace(tzinfo=UTC)
    row = connection.execute("SELECT watermark FROM rollup_state FOR SHARE").fetchone()
    assert row is not None
    watermark: datetime = row[0]
    return watermark


def store_readings(
    connection: Connection,
    readings: Sequence[Reading],
    watermark: datetime,
    newest: Sequence[Reading],
    *,
    all_new: bool = False,
) -> int:
    """Store readings, each key once, with the latest values; mark the finished hours they change. Returns how many were new.

    Must run inside a transaction, once in it, after `begin_writing`.

    Args:
        connection: the connection.
        readings: what to store.
        watermark: of this transaction.
        newest: the newest of the readings for each (device, measure).
        all_new: take it that every key is new, which is twice as fast; one that is not raises UniqueViolation, and the
            transaction is to be tried again without.
    """
    if not readings:
        return 0
    if all_new:
        copy_into(connection, READING, readings)
        stored = len(readings)
    else:
        stored = store(connection, READING, readings)
    # In order, so that writers cannot deadlock.
    ordered = sorted(newest, key=attrgetter("device", "measure"))
    connection.execute(_KEEP, _columns(ordered))
    if late := {reading.time for reading in readings if reading.time < watermark}:
        connection.execute(_DIRTY, [times(_hours(late))])
    return stored


def store_at_once(
    connection: Connection,
    on: Edition,
    readings: Sequence[Reading],
    newest: Sequence[Reading],
    beside: Sequence[tuple[str, Sequence[Any]]],
) -> int:
    """Store a few readings as `store_readings` does, in one round trip: the statement is the transaction.

    Must run outside a transaction; returns how many readings were new.

    Args:
        connection: in autocommit.
        on: edition of TimescaleDB.
        readings: what to store, at least one; more than `AT_ONCE` are stored faster by the others.
        newest: the newest of the readings for each (device, measure).
        beside: statements that change something else in the same transaction, and their values.
    """
    ordered = sorted(newest, key=attrgetter("device", "measure"))
    besides = "".join(f"beside{number} AS ({statement}), " for number, (statement, _) in enumerate(beside))
    values = [value for _, values in beside for value in values]
    hours = [] if on == "community" else [times(_hours(reading.time for reading in readings))]
    dirty = "" if on == "community" else f", dirty AS ({_DIRTY})"
    query = f"WITH {besides}kept AS ({_KEEP}){dirty} {_STORE}"
    # Prepared: what differs from one time to the next is only how many there are.
    cursor = connection.execute(query, [*values, *_columns(ordered), *hours, *_columns(readings)], prepare=True)
    return cursor.rowcount


def _columns(readings: Sequence[Reading]) -> list[Array]:
    return [
        times([one.time for one in readings]),
        texts([one.device for one in readings]),
        texts([one.measure for one in readings]),
        floats([one.value for one in readings]),
        small_integers([one.quality for one in readings]),
        times([one.received for one in readings]),
    ]


def _hours(times: Iterable[datetime]) -> list[datetime]:
    """The hours they lie in, in order."""
    return sorted({time.replace(minute=0, second=0, microsecond=0) for time in times})


def newest_of(readings: Iterable[Reading]) -> list[Reading]:
    """The newest reading of every (device, measure)."""
    found: dict[tuple[str, str], Reading] = {}
    for reading in readings:
        key = (reading.device, reading.measure)
        earlier = found.get(key)
        if earlier is None or earlier.time < reading.time:
            found[key] = reading
    return list(found.values())


def admit_clock_off(connection: Connection, readings: Sequence[tuple[Reading, datetime]]) -> list[Reading]:
    """Which readings, stored at their receive time, are not there yet; must run in their transaction.

    A clock that is wrong may repeat its times, after each boot or always. The same device time is the same reading sent again
    only with the same value, and only within `SENT_AGAIN` of the time it was stored at; so steady values of a clock that stands
    still are thinned to that where they come faster.
    """
    admitted = []
    for group in _unique_times(readings):
        with connection.cursor() as cursor:
            new = cursor.execute(
                "INSERT INTO reading_clock_off AS known (device, measure, device_time, time, value)"
                " SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::float8[])"
                " ORDER BY 1, 2, 3 ON CONFLICT (device, measure, device_time) DO UPDATE SET time = excluded.time,"
                " value = excluded.value WHERE known.value IS DISTINCT FROM excluded.value"
                " OR known.time NOT BETWEEN excluded.time - %s AND excluded.time + %s RETURNING device, measure, time",
                (
                    [reading.device for reading, _ in group],
                    [reading.measure for reading, _ in group],
                    [device_time for _, device_time in group],
                    [reading.time for reading, _ in group],
                    [reading.value for reading, _ in group],
                    SENT_AGAIN,
                    SENT_AGAIN,
                ),
            ).fetchall()
        keys = set(new)
        admitted += [reading for reading, _ in group if (reading.device, reading.measure, reading.time) in keys]
    return admitted


def _unique_times(readings: Sequence[tuple[Reading, datetime]]) -> list[list[tuple[Reading, datetime]]]:
    """In order, in groups in which no device time of a measure comes twice: one statement can judge a key but once."""
    groups: list[list[tuple[Reading, datetime]]] = []
    times: dict[tuple[str, str, datetime], int] = {}
    for reading, device_time in readings:
        key = (reading.device, reading.measure, device_time)
        place = times[key] = times.get(key, -1) + 1
        if place == len(groups):
            groups.append([])
        groups[place].append((reading, device_time))
    return groups


def latest_of(connection: Connection, device: str) -> list[Reading]:
    """The latest readings of one device, by measure."""
    with connection.cursor(row_factory=class_row(Reading)) as cursor:
        return cursor.execute(
            "SELECT time, device, measure, value, quality, received FROM latest WHERE device = %s ORDER BY measure",
            (device,),
        ).fetchall()


def history(
    connection: Connection, device: str, measure: str, since: datetime, until: datetime, points: int = 300
) -> list[Point]:
    """One measure of one device over a span, in at most about `points` buckets, oldest first.

    A bucket without readings is absent: a gap is shown as a gap. Spans of more than two days come from hourly figures, in
    buckets of whole hours.
    """
    width = (until - since) / max(points, 1)
    if until - since > _RAW:
        hours = max(1, -(-width // timedelta(hours=1)))
        query, width = _FROM_HOURS, timedelta(hours=hours)
    else:
        query, width = _FROM_READINGS, timedelta(seconds=max(1, -(-width // timedelta(seconds=1))))
    with connection.cursor(row_factory=class_row(Point)) as cursor:
        return cursor.execute(
            query, {"width": width, "device": device, "measure": measure, "since": since, "until": until}
        ).fetchall()


def ward_profile(connection: Connection, ward: str, measure: str, since: datetime, until: datetime) -> list[HourOfDay]:
    """One measure over the devices of a ward by the hour of the city's day, whole hours of the span alone.

    Each reading counts once, so that a device that reports twice as often weighs twice; an hour without readings is absent.
    """
    with connection.cursor(row_factory=class_row(HourOfDay)) as cursor:
        return cursor.execute(_PROFILE, {"ward": ward, "measure": measure, "since": since, "until": until}).fetchall()


_FROM_READINGS: Final = (
    "SELECT time_bucket(%(width)s, time) AS time, avg(value) AS mean, min(value) AS least, max(value) AS most,"
    " count(*) AS readings FROM reading WHERE device = %(device)s AND measure = %(measure)s AND time >= %(since)s"
    " AND time < %(until)s GROUP BY 1 ORDER BY 1"
)
_FROM_HOURS: Final = (
    "SELECT time_bucket(%(width)s, bucket) AS time, (sum(total) / sum(readings))::float8 AS mean, min(least) AS least,"
    " max(most) AS most, sum(readings)::bigint AS readings FROM hours_of("
    "ARRAY[%(device)s], %(measure)s, %(since)s, %(until)s, false) GROUP BY 1 ORDER BY 1"
)
_PROFILE: Final = (
    "SELECT extract(hour FROM bucket AT TIME ZONE 'Asia/Ho_Chi_Minh')::int AS hour, (sum(total) / sum(readings))::float8 AS mean,"
    " min(least) AS least, max(most) AS most, sum(readings)::bigint AS readings FROM hours_of("
    "ARRAY(SELECT id FROM device WHERE ward = %(ward)s), %(measure)s, %(since)s, %(until)s, false) GROUP BY 1 ORDER BY 1"
)
