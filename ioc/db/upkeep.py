"""The scheduled job of the database: chunks ahead, hourly figures, retention. One process does it, whoever holds the lock.

On the community edition TimescaleDB's own policies keep the hourly figures; chunks ahead and retention are ours on both, so that
one setting rules both editions.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from prometheus_client import Counter, Gauge
from psycopg import sql

from ioc.connected import work_connected
from ioc.db.evidence_pictures import retain_pictures
from ioc.db.pool import Connection, Edition, edition, translated
from ioc.service import Service, run
from ioc.settings import Settings

#: Any number of our own: one upkeep at a time per database.
_LOCK: Final = 0x7464_7570
EVERY_S: Final = 30.0
#: An hour counts as finished this long after its end; what arrives later is late and marks it dirty.
_SETTLE: Final = timedelta(minutes=5)

_ROLLED = Counter("ioc_upkeep_hours_rolled_total", "Hours whose figures were computed, late data included.")
_DROPPED = Counter("ioc_upkeep_chunks_dropped_total", "Chunks dropped by retention.", ["table"])
_WATERMARK = Gauge("ioc_upkeep_watermark_seconds", "Up to when hourly figures are kept, epoch seconds.")


def roll_hours(connection: Connection, now: datetime, oldest: datetime | None = None) -> int:
    """Compute the hourly figures of finished and of dirty hours (Apache edition); returns how many hours.

    Writers look at the watermark by a lock FOR SHARE that they hold until they commit, so once we hold the row every reading
    below the new watermark is visible or will mark its hour dirty. Hours are computed one transaction each.

    Args:
        connection: in autocommit.
        now: the time.
        oldest: figures of earlier hours stay as they are, because their readings have been dropped.
    """
    finished = (now - _SETTLE).replace(minute=0, second=0, microsecond=0)
    with translated():
        with connection.transaction():
            # A new span of hours is first declared dirty; the view reads dirty hours from the readings, so it stays exact.
            row = connection.execute("SELECT watermark FROM rollup_state FOR UPDATE").fetchone()
            assert row is not None
            if row[0] < finished:
                # From the chunks, not from their readings: while we hold the row every writer waits.
                connection.execute(
                    "INSERT INTO rollup_dirty SELECT DISTINCT bucket FROM timescaledb_information.chunks CROSS JOIN LATERAL"
                    " generate_series(greatest(range_start, %(from)s), least(range_end, %(until)s) - INTERVAL '1 hour',"
                    " INTERVAL '1 hour') AS bucket WHERE hypertable_name = 'reading' AND range_end > %(from)s"
                    " AND range_start < %(until)s ON CONFLICT DO NOTHING",
                    {"from": row[0], "until": finished},
                )
                connection.execute("UPDATE rollup_state SET watermark = %s", (finished,))
        _WATERMARK.set(finished.timestamp())
        hours = connection.execute("SELECT bucket FROM rollup_dirty ORDER BY bucket DESC").fetchall()
        for (bucket,) in hours:
            with connection.transaction():
                # The dirty mark goes first: a writer that adds late data meanwhile waits for us, then marks the hour again.
                connection.execute("DELETE FROM rollup_dirty WHERE bucket = %s", (bucket,))
                if oldest is not None and bucket < oldest:
                    continue
                connection.execute(
                    "INSERT INTO rollup_hour SELECT %(b)s, device, measure, count(*), sum(value), min(value), max(value)"
                    " FROM reading WHERE time >= %(b)s AND time < %(b)s + INTERVAL '1 hour' GROUP BY device, measure"
                    " ON CONFLICT (device, measure, bucket) DO UPDATE SET readings = excluded.readings,"
                    " total = excluded.total, least = excluded.least, most = excluded.most",
                    {"b": bucket},
                )
            _ROLLED.inc()
    return len(hours)


def chunks_ahead(connection: Connection, now: datetime) -> None:
    """Make tomorrow's chunk of readings before the first reading needs it, so that no writer waits for it at midnight."""
    tomorrow = _midnight(now) + timedelta(days=1)
    with translated(), connection.transaction():
        there = connection.execute(
            "SELECT 1 FROM timescaledb_information.chunks"
            " WHERE hypertable_name = 'reading' AND range_start <= %(t)s AND range_end > %(t)s",
            {"t": tomorrow},
        ).fetchone()
        if there is None:
            # The Apache edition has no call for it: the chunk of a row stays when the row goes.
            connection.execute("INSERT INTO reading VALUES (%s, '', '', 0, 0, now())", (tomorrow,))
            connection.execute("DELETE FROM reading WHERE time = %s AND device = ''", (tomorrow,))


def retain(connection: Connection, settings: Settings, now: datetime) -> int:
    """Drop what is older than the settings say, one table at a time; returns the number of chunks dropped."""
    days = {
        "reading": settings.retention_readings_days,
        "device_state": settings.retention_readings_days,
        "event": settings.retention_readings_days,
        "camera_flow": settings.retention_readings_days,
        "camera_count": settings.retention_readings_days,
        "detection": settings.retention_detections_days,
        "quarantine": settings.retention_quarantine_days,
        "quarantine_hour": settings.retention_quarantine_days,
    }
    # Tables without chunks: what ended so long ago; what lasts has not ended.
    ends = {
        "reading_clock_off": ("time", settings.retention_readings_days),
        "camera_condition": ("ended", settings.retention_readings_days),
    }
    dropped = 0
    with translated():
        for table, keep in days.items():
            rows = connection.execute(
                "SELECT drop_chunks(%s::regclass, older_than => %s::timestamptz)", (table, now - timedelta(days=keep))
            ).fetchall()
            dropped += len(rows)
            _DROPPED.labels(table).inc(len(rows))
        for table, (column, keep) in ends.items():
            statement = sql.SQL("DELETE FROM {} WHERE {} < %s").format(sql.Identifier(table), sql.Identifier(column))
            connection.execute(statement, (now - timedelta(days=keep),))
    return dropped


def upkeep_once(connection: Connection, settings: Settings, on: Edition, now: datetime) -> None:
    """Do everything once, if no other process is doing it."""
    with translated():
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
    if row is None or not row[0]:
        return
    try:
        chunks_ahead(connection, now)
        if on == "apache":
            roll_hours(connection, now, now - timedelta(days=settings.retention_readings_days))
        if dropped := retain(connection, settings, now):
            structlog.get_logger().info("retention", chunks=dropped)
        pictures, originals = retain_pictures(connection, settings, now)
        if pictures or originals:
            structlog.get_logger().info("retention", pictures=pictures, originals=originals)
    finally:
        with translated():
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _midnight(now: datetime) -> datetime:
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def main() -> None:
    """Run upkeep until told to stop."""
    with Service("upkeep") as service:

        def keep_up(connection: Connection) -> None:
            with translated():
                on = edition(connection)
            while not service.stopping.is_set():
                began = time.monotonic()
                upkeep_once(connection, service.settings, on, datetime.now(UTC))
                service.stopping.wait(max(1.0, EVERY_S - (time.monotonic() - began)))

        work_connected(service, keep_up)


if __name__ == "__main__":
    run(main)
