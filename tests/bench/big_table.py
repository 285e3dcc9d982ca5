"""A city's month of readings, made inside the server in the schema of the migrations, and kept from one run to the next.

Twelve wards of two hundred devices, as a city has them: half are lamps. Every series reports at one even interval, which follows
from how many readings are asked for. Each day is one transaction: readings in the order of time as ingest would have written
them, and their hourly figures; the keys are built when all days are there. A build that was interrupted goes on at the next run.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from ioc.catalog import KINDS, MEASURES
from ioc.db.migrate import migrate
from ioc.db.pool import Connection, connect, edition
from ioc.geo import wards
from ioc.stack.embedded import CLONE, free_port
from ioc.stack.home import Home
from ioc.stack.postgres import Cluster, find_programs, release_wait
from tests.bench.steps import Steps

DAYS = 31
#: Devices of each kind in every ward.
IN_A_WARD = {
    "streetlight": 100,
    "waste_bin": 55,
    "traffic_detector": 16,
    "flood_gauge": 15,
    "air_station": 5,
    "rain_gauge": 5,
    "cabinet": 4,
}
#: The indexes that are built last.
KEYS = ["reading_key", "rollup_hour_key"]
#: Disk a reading takes at most while the table is built: row, key, hourly figures, sorting, write-ahead log.
BYTES_EACH = 220

#: While nothing of value is in it. Settings of a session cannot do this.
_FAST = {"fsync": "off", "full_page_writes": "off", "autovacuum": "off", "max_wal_size": "8GB"}

_DAY = """
INSERT INTO reading (time, device, measure, value, quality, received)
SELECT t + s.phase, s.device, s.measure, s.middle + s.swing * (sin(extract(epoch FROM t)::float8 / 13751) + random() - 0.5),
       0, t + s.phase + INTERVAL '1 second'
FROM generate_series(%(since)s::timestamptz, %(until)s::timestamptz, %(step)s::interval) AS t CROSS JOIN bench_series s
WHERE t + s.phase < %(until)s
"""
#: As ioc.db.upkeep computes them, but a day at once.
_HOURS = """
INSERT INTO rollup_hour
SELECT time_bucket('1 hour', time), device, measure, count(*), sum(value), min(value), max(value) FROM reading
WHERE time >= %(since)s AND time < date_trunc('hour', %(until)s::timestamptz) GROUP BY 1, 2, 3 ORDER BY 1
"""
_LATEST = """
INSERT INTO latest (time, device, measure, value, quality, received)
SELECT DISTINCT ON (device, measure) time, device, measure, value, quality, received FROM reading
WHERE time > %(until)s - INTERVAL '1 day' ORDER BY device, measure, time DESC ON CONFLICT DO NOTHING
"""


class BigTable(NamedTuple):
    """A built table.

    Attributes:
        url: its database, running.
        readings: how many there are.
        until: about the time of the newest.
        size: what the readings and their index take on disk, bytes.
    """

    url: str
    readings: int
    until: datetime
    size: int


@contextmanager
def big_table(readings: int) -> Iterator[BigTable]:
    """The table with so many readings, built if it is not there, and its server while it is used."""
    # Inside the clone's own state, so that `make clean` removes it.
    home = Home.at(Home.at(CLONE / ".ioc").state / "bench" / "query")
    home.make()
    _require_disk(home.path, readings)
    cluster = Cluster(home, find_programs(home, Home(CLONE / ".ioc")))
    release_wait(cluster.data)
    cluster.create()
    with ExitStack() as stay:
        port = free_port()
        server = cluster.start(port)
        stay.callback(server.stop, 300)
        url = cluster.url(port)
        connection = stay.enter_context(closing(connect(url, name="bench")))
        migrate(connection)
        until, done = _plan(connection, readings, home.path)
        if not done:
            with _tuned(cluster.admin_url(port)):
                _build(url, connection, readings, until)
            connection.execute("UPDATE bench_plan SET done = true")
        rows, size = _one(connection, "SELECT sum(rows)::bigint, hypertable_size('reading') FROM bench_day")
        yield BigTable(url, rows, until, size)


def _plan(connection: Connection, readings: int, folder: Path) -> tuple[datetime, bool]:
    """Until when the table of this folder reaches, and whether it is complete; decided at the first run."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS bench_plan (readings bigint, until timestamptz, keys text[], done boolean)"
    )
    connection.execute("CREATE TABLE IF NOT EXISTS bench_day (since timestamptz PRIMARY KEY, rows bigint)")
    plan = connection.execute("SELECT readings, until, done FROM bench_plan").fetchone()
    if plan is None:
        # Half an hour that is not finished, as there always is one.
        until = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(minutes=30)
        connection.execute(
            "INSERT INTO bench_plan SELECT %s, %s, array_agg(indexdef), false FROM pg_indexes WHERE indexname = ANY(%s)",
            (readings, until, KEYS),
        )
        return until, False
    if plan[0] != readings:
        raise SystemExit(f"{folder} holds a table for {plan[0]:,} readings, not {readings:,}: remove it to build anew")
    return plan[1], plan[2]


def _build(url: str, connection: Connection, readings: int, until: datetime) -> None:
    """Fill what is not filled."""
    midnight = until.replace(hour=0, minute=0)
    days = [midnight - timedelta(days=ago) for ago in range(DAYS, -1, -1)]
    _make_devices(connection, readings)
    with Steps() as steps:
        _fill(url, connection, [(day, min(day + timedelta(days=1), until)) for day in days], readings, steps)
        (keys,) = _one(connection, "SELECT keys FROM bench_plan")
        steps.begin("keys", len(keys))
        connection.execute("SET maintenance_work_mem = '1GB'")
        for key in keys:
            connection.execute(key.replace(" INDEX ", " INDEX IF NOT EXISTS ", 1))
            steps.done(tell=True)
        steps.begin("latest values and statistics", 2)
        connection.execute(_LATEST, {"until": until})
        steps.done(tell=True)
        if edition(connection) == "apache":
            connection.execute("UPDATE rollup_state SET watermark = date_trunc('hour', %s::timestamptz)", (until,))
        connection.execute("VACUUM ANALYZE")
        steps.done(tell=True)


def _make_devices(connection: Connection, readings: int) -> None:
    devices = [
        (f"{kind}-{ward.code}-{number}", kind, ward.code)
        for ward in wards()
        for kind, many in IN_A_WARD.items()
        for number in range(many)
    ]
    step_s = _step(readings).total_seconds()
    series: list[tuple[Any, ...]] = []
    for device, kind, _ in devices:
        for measure in KINDS[kind].measures:
            least, most = MEASURES[measure].range
            phase = timedelta(seconds=step_s * (len(series) * 0.618 % 1))
            series.append((device, measure, (least + most) / 2, (most - least) / 4, phase))
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO device (id, kind, name, ward, state, state_time) VALUES (%s, %s, %s, %s, 'online', now())"
            " ON CONFLICT DO NOTHING",
            [(device, kind, device, ward) for device, kind, ward in devices],
        )
        cursor.execute("DROP TABLE IF EXISTS bench_series")
        cursor.execute(
            "CREATE TABLE bench_series (device text, measure text, middle float8, swing float8, phase interval)"
        )
        with cursor.copy("COPY bench_series FROM STDIN") as copy:
            for row in series:
                copy.write_row(row)
    connection.execute("ANALYZE bench_series")


def _step(readings: int) -> timedelta:
    """How often each series reports."""
    series = len(wards()) * sum(many * len(KINDS[kind].measures) for kind, many in IN_A_WARD.items())
    return timedelta(days=DAYS) * series / readings


def _fill(
    url: str, connection: Connection, days: Sequence[tuple[datetime, datetime]], readings: int, steps: Steps
) -> None:
    filled = {since for (since,) in connection.execute("SELECT since FROM bench_day")}
    steps.begin("days of readings", len(days), len(filled))
    wanted = [day for day in days if day[0] not in filled]
    if wanted:
        for key in KEYS:
            connection.execute(f"DROP INDEX IF EXISTS {key}")
    apache = edition(connection) == "apache"
    for since, _ in wanted:
        # Beforehand: a transaction that makes a chunk keeps others from making theirs until it ends. A row's chunk outlives it.
        connection.execute("INSERT INTO reading VALUES (%s, '', '', 0, 0, now())", (since,))
        connection.execute("DELETE FROM reading WHERE time = %s AND device = ''", (since,))
        if apache:
            connection.execute("INSERT INTO rollup_hour VALUES (%s, '', '', 0, 0, 0, 0)", (since,))
            connection.execute("DELETE FROM rollup_hour WHERE bucket = %s AND device = ''", (since,))
    step = _step(readings)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as workers:
        try:
            for done in as_completed(
                [workers.submit(_fill_day, url, apache, since, until, step) for since, until in wanted]
            ):
                done.result()
                steps.done(tell=True)
        except BaseException:
            workers.shutdown(wait=False, cancel_futures=True)
            raise


def _fill_day(url: str, apache: bool, since: datetime, until: datetime, step: timedelta) -> None:
    with closing(connect(url, name="bench")) as connection, connection.transaction():
        rows = connection.execute(_DAY, {"since": since, "until": until, "step": step}).rowcount
        if apache:
            connection.execute("SET LOCAL work_mem = '256MB'")
            connection.execute(_HOURS, {"since": since, "until": until})
        connection.execute("INSERT INTO bench_day VALUES (%s, %s)", (since, rows))


@contextmanager
def _tuned(admin_url: str) -> Iterator[None]:
    """Server settings for a build that can be done again; the usual ones, and everything on the disk, when it is done."""
    with psycopg.connect(admin_url, autocommit=True) as admin:
        for name, value in _FAST.items():
            admin.execute(f"ALTER SYSTEM SET {name} = '{value}'".encode())
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            for name in _FAST:
                admin.execute(f"ALTER SYSTEM RESET {name}".encode())
            admin.execute("SELECT pg_reload_conf()")
        admin.execute("CHECKPOINT")
        os.sync()


def _require_disk(folder: Path, readings: int) -> None:
    held = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    lacking = readings * BYTES_EACH - held - shutil.disk_usage(folder).free
    if lacking > 0:
        raise SystemExit(f"{folder}: the disk lacks {lacking / 1e9:.0f} GB for {readings:,} readings")


def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row
