"""Readings: stored each once with their latest values and late hours marked; read as latest values and as history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from psycopg.rows import class_row

from ioc.db.copy import READING, stage
from ioc.db.pool import Connection, Edition
from ioc.model import Reading

#: A history of more than this is read from hourly figures: a month of raw values is a million rows a measure at worst.
_RAW: Final = timedelta(days=2)


class Point(msgspec.Struct, frozen=True):
    """One bucket of a history: its beginning, mean, least and greatest value, and how many readings it holds."""

    time: datetime
    mean: float
    least: float
    most: float
    readings: int


def store_readings(connection: Connection, on: Edition, readings: Sequence[Reading]) -> int:
    """Store readings, each key once, with the latest values; mark the finished hours they change. Returns how many were new.

    Must run inside a transaction, once in it. Keys are written in order, so that writers cannot deadlock.
    """
    if not readings:
        return 0
    if on == "apache":
        # Held until the commit: the job that keeps hourly figures cannot pass hours by that we still write (0003_rollup).
        connection.execute("SELECT watermark FROM rollup_state FOR SHARE")
    stage(connection, READING, readings)
    stored = connection.execute(
        "INSERT INTO reading (time, device, measure, value, quality, received)"
        " SELECT time, device, measure, value, quality, received FROM stage_reading ON CONFLICT DO NOTHING"
    ).rowcount
    connection.execute(
        "INSERT INTO latest (time, device, measure, value, quality, received)"
        " SELECT DISTINCT ON (device, measure) time, device, measure, value, quality, received FROM stage_reading"
        " ORDER BY device, measure, time DESC ON CONFLICT (device, measure) DO UPDATE SET time = excluded.time,"
        " value = excluded.value, quality = excluded.quality, received = excluded.received"
        " WHERE excluded.time > latest.time"
    )
    if on == "apache":
        connection.execute(
            "INSERT INTO rollup_dirty (bucket) SELECT DISTINCT time_bucket('1 hour', time) FROM stage_reading"
            " WHERE time < (SELECT watermark FROM rollup_state) ORDER BY 1"
            " ON CONFLICT (bucket) DO UPDATE SET bucket = excluded.bucket"
        )
    return stored


def admit_clock_off(connection: Connection, readings: Sequence[tuple[Reading, datetime]]) -> list[Reading]:
    """Which readings, stored at their receive time, are new by the device's own time; must run in their transaction."""
    if not readings:
        return []
    with connection.cursor() as cursor:
        new = cursor.execute(
            "INSERT INTO reading_clock_off (device, measure, device_time, time)"
            " SELECT * FROM unnest(%s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[]) ORDER BY 1, 2, 3"
            " ON CONFLICT DO NOTHING RETURNING device, measure, time",
            (
                [reading.device for reading, _ in readings],
                [reading.measure for reading, _ in readings],
                [device_time for _, device_time in readings],
                [reading.time for reading, _ in readings],
            ),
        ).fetchall()
    keys = set(new)
    return [reading for reading, _ in readings if (reading.device, reading.measure, reading.time) in keys]


def all_latest(connection: Connection) -> list[Reading]:
    """The latest reading of every measure of every device, by device and measure."""
    with connection.cursor(row_factory=class_row(Reading)) as cursor:
        return cursor.execute(
            "SELECT time, device, measure, value, quality, received FROM latest ORDER BY device, measure"
        ).fetchall()


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


_FROM_READINGS: Final = (
    "SELECT time_bucket(%(width)s, time) AS time, avg(value) AS mean, min(value) AS least, max(value) AS most,"
    " count(*) AS readings FROM reading WHERE device = %(device)s AND measure = %(measure)s AND time >= %(since)s"
    " AND time < %(until)s GROUP BY 1 ORDER BY 1"
)
_FROM_HOURS: Final = (
    "SELECT time_bucket(%(width)s, bucket) AS time, (sum(total) / sum(readings))::float8 AS mean, min(least) AS least,"
    " max(most) AS most, sum(readings)::bigint AS readings FROM reading_hour WHERE device = %(device)s"
    " AND measure = %(measure)s AND bucket >= %(since)s AND bucket < %(until)s GROUP BY 1 ORDER BY 1"
)
