"""PostgreSQL runs and refuses: no space, read-only, a lock that is not given up, a deadlock. It passes, and nothing is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.database import DatabaseServer
from tests.faults.gate import BACKENDS
from tests.faults.small_disk import FileSizeLimit, SmallDisk, SmallFileSystem, can_mount
from tests.fix_ingest import eventually
from tests.fix_stack import Database
from tests.ledger import Ledger


@pytest.fixture(scope="module")
def db(crashing_db: Database) -> Database:
    """In place of the shared server's: settings of the whole server are changed here."""
    return crashing_db


@pytest.fixture(params=["small file system", "file size limit"] if can_mount() else ["file size limit"])
def disk(request: pytest.FixtureRequest, server: DatabaseServer, runtime: Path) -> Iterator[SmallDisk]:
    """A database that runs out of space, in each way that this machine allows."""
    way = SmallFileSystem if request.param == "small file system" else FileSizeLimit
    disk: SmallDisk = way(server, runtime / "small-disk")
    yield disk
    disk.remove()


def test_disk_full(spawn: Spawn, publish: Publish, disk: SmallDisk, live: Live, topic: str) -> None:
    """No space for a while under load: ingest says so and holds what it has; with space again all is stored once."""
    process = spawn(IOC_DATABASE_URL=disk.db.url)
    load = publish(Ledger.mixed(topic, 8000, seed=1), first=2000)
    load.wait_moving(disk.db)
    with disk.full():
        load.go_on()
        process.wait_degraded(live, "timescaledb", disk.error)
        load.wait_published()
        process.wait_holding(live, 1)
    load.finish(disk.db)
    process.wait_well(live)
    process.stop()


def test_read_only(
    spawn: Spawn, publish: Publish, server: DatabaseServer, db: Database, live: Live, topic: str
) -> None:
    """The server takes no writes for a while, as a standby does: the batch waits, and is not taken for a bad one."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 6000, seed=2), first=2000)
    load.wait_moving(db)
    server.admin("ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    try:
        load.go_on()
        process.wait_degraded(live, "timescaledb", "read-only")
    finally:
        server.admin("ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()")
    load.finish(db)
    process.wait_well(live)


def test_lock_not_given_up(spawn: Spawn, publish: Publish, db: Database, live: Live, topic: str) -> None:
    """A table is locked for longer than a statement waits: the batch is tried again until it is given up."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 6000, seed=3), first=2000)
    load.wait_moving(db)
    with db.connect() as connection, connection.transaction():
        connection.execute("LOCK TABLE reading IN ACCESS EXCLUSIVE MODE")
        load.go_on()
        process.wait_degraded(live, "timescaledb", "lock timeout")
    load.finish(db)
    process.wait_well(live)


def test_deadlock(spawn: Spawn, publish: Publish, server: DatabaseServer, db: Database, live: Live, topic: str) -> None:
    """Somebody locks our tables in another order: PostgreSQL ends our transaction, and its batch is written again."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 6000, seed=4), first=2000)
    load.wait_moving(db)
    # Whoever has waited that long looks for a deadlock and is its victim; the other, being asked to wait longer, is not.
    server.admin("ALTER SYSTEM SET deadlock_timeout = '8s'", "SELECT pg_reload_conf()")
    name = db.url.rpartition("/")[2]
    with psycopg.connect(server.admin_url, dbname=name, options="-c deadlock_timeout=10min") as other:
        other.execute("LOCK TABLE latest IN SHARE ROW EXCLUSIVE MODE")
        load.go_on()
        waiting = f"SELECT pid {BACKENDS} AND wait_event_type = 'Lock'"
        (pid,) = eventually(lambda: other.execute(waiting).fetchone())
        held = (
            "SELECT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE pid = %s AND granted"
            " AND mode = 'RowExclusiveLock' AND relnamespace = 'public'::regnamespace AND relkind = 'r'"
        )
        (table,) = eventually(lambda: other.execute(held, [pid]).fetchone())
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        other.rollback()
    server.admin("ALTER SYSTEM RESET deadlock_timeout", "SELECT pg_reload_conf()")
    found = f"SELECT true FROM pg_stat_database WHERE datname = '{name}' AND deadlocks > 0"
    eventually(lambda: server.admin(found))
    load.finish(db)
    process.wait_well(live)
