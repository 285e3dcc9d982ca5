"""PostgreSQL crashes, restarts, and ends connections, in the middle of whatever ingest has begun."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.database import DatabaseServer
from tests.faults.gate import BACKENDS, FEW, Gates, Place, in_copy, is_at_once
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually
from tests.fix_stack import Database
from tests.ledger import Ledger


@pytest.fixture(scope="module")
def db(crashing_db: Database) -> Database:
    """In place of the shared server's: this one crashes."""
    return crashing_db


def test_crash_and_restart(
    spawn: Spawn, publish: Publish, server: DatabaseServer, gates: Gates, db: Database, live: Live, topic: str
) -> None:
    """Crashed before a commit and in one, then restarted in order: ingest keeps its batch, says what is missing, and goes on."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 12_000, seed=1), rate=1500, first=3000)
    for place in Place:
        load.wait_moving(db)
        with gates.closed(place):
            load.go_on(3000)
            gates.wait_held()
            server.crash()
        process.wait_degraded(live, "timescaledb")
        server.start()
    load.wait_moving(db)
    server.stop()
    server.start()
    load.finish(db)
    process.wait_well(live)
    assert process.said("back", what="timescaledb")


def test_number_of_a_lost_transaction_is_used_again(
    spawn: Spawn, publish: Publish, server: DatabaseServer, gates: Gates, db: Database, topic: str
) -> None:
    """Crashed before anything of a transaction was on the disk: another one has its number then, and ours is written again."""
    # The server writes its log by itself, at once in the background; here only a commit does.
    server.admin("ALTER SYSTEM SET wal_writer_delay = '10s'", "SELECT pg_reload_conf()")
    process = spawn()
    load = publish(Ledger.mixed(topic, 12_000, seed=4), rate=1500, first=1000)
    for _ in range(8):
        load.wait_moving(db)
        with gates.closed(Place.IN_COMMIT):
            load.go_on(1000)
            pid = gates.wait_held()
            (lost,) = server.admin(f"SELECT backend_xid::text::bigint FROM pg_stat_activity WHERE pid = {pid}")[0]
            process.pause()
            server.crash()
        server.start()
        with db.connect() as connection:
            numbers = [connection.execute("SELECT pg_current_xact_id()::text::bigint").fetchone() for _ in range(40)]
        process.resume()
        if (lost,) in numbers:
            break
    else:
        raise AssertionError("the server never gave the number of a lost transaction to another one")
    server.admin("ALTER SYSTEM RESET wal_writer_delay", "SELECT pg_reload_conf()")
    load.finish(db)
    assert process.alive


def terminate(pid: int, server: DatabaseServer) -> None:
    """The server ends the connection."""
    server.admin(f"SELECT pg_terminate_backend({pid})")


def cancel(pid: int, server: DatabaseServer) -> None:
    """The server ends the statement alone."""
    # Between two statements there is none to end.
    end = f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = {pid} AND state = 'active'"
    eventually(lambda: server.admin(end))


def kill(pid: int, server: DatabaseServer) -> None:
    """The backend dies of SIGKILL: the server ends all others and replays its log before it serves again."""
    server.kill_backend(pid)


def crash(pid: int, server: DatabaseServer) -> None:
    """The whole server dies, and is started again."""
    server.crash()
    server.start()


@pytest.mark.parametrize("end", [terminate, cancel, kill, crash])
def test_ended_in_mid_copy(
    end: Callable[[int, DatabaseServer], None],
    spawn: Spawn,
    publish: Publish,
    wired: dict[str, str],
    db_wire: Proxy,
    server: DatabaseServer,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """Ended while a COPY runs: none of its rows is kept, and all of them are copied again."""
    process = spawn(**wired)
    load = publish(Ledger.mixed(topic, 5000, seed=2), first=2500)
    load.wait_moving(db)
    with in_copy(process, live, db_wire, db, load) as pid:
        end(pid, server)
    load.finish(db)
    process.wait_well(live)
    assert process.said("lost", what="timescaledb")


@pytest.mark.parametrize("end", [terminate, cancel, kill, crash])
def test_ended_in_the_only_statement(
    end: Callable[[int, DatabaseServer], None],
    spawn: Spawn,
    publish: Publish,
    gates: Gates,
    server: DatabaseServer,
    db: Database,
    live: Live,
    topic: str,
) -> None:
    """Ended while a small batch is stored, whose one statement is its transaction: it is stored again, whole."""
    process = spawn()
    load = publish(Ledger.readings_alone(topic, 300), rate=60, first=60)
    load.wait_stored(db)  # every device is known
    with db.connect() as connection, gates.closed(Place.BEFORE_COMMIT):
        load.go_on(FEW)
        pid = gates.wait_held()
        assert is_at_once(connection)
        end(pid, server)
    load.finish(db)
    process.wait_well(live)
    assert process.said("lost", what="timescaledb")


def test_answer_to_the_only_statement_gets_lost(
    spawn: Spawn,
    publish: Publish,
    wired: dict[str, str],
    db_wire: Proxy,
    gates: Gates,
    db: Database,
    connection: Connection,
    live: Live,
    topic: str,
) -> None:
    """A small batch is committed, and the connection ends before ingest hears of it: it is known for stored, by its mark."""
    process = spawn(**wired)
    load = publish(Ledger.readings_alone(topic, 300), rate=60, first=60)
    load.wait_stored(db)
    with gates.closed(Place.BEFORE_COMMIT):
        load.go_on(FEW)
        gates.wait_held()
        assert is_at_once(connection)
        before = load.ledger.progress(connection)
        db_wire.stall(up=False)
    eventually(lambda: load.ledger.progress(connection) > before)
    db_wire.cut()
    db_wire.heal()
    load.finish(db)
    process.wait_well(live)
    assert process.said("lost", what="timescaledb")


def test_connections_ended_at_random(spawn: Spawn, publish: Publish, db: Database, topic: str) -> None:
    """Connections are ended again and again, in whatever statement; the batch is committed on the next one."""
    process = spawn()
    load = publish(Ledger.mixed(topic, 10_000, seed=3))
    killed = 0
    with db.connect() as connection:
        while load.publishing or killed < 8:
            killed += len(connection.execute(f"SELECT pg_terminate_backend(pid) {BACKENDS}").fetchall())
            time.sleep(0.31)
    load.finish(db)
    assert process.alive
