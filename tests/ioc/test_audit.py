"""The audit log on a real TimescaleDB: one chain, whoever writes, and nobody can change it unseen."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from ioc.chain import GENESIS
from ioc.db.audit import append, entries_after, entries_of, newest_entry, verify_audit
from ioc.db.pool import Connection
from tests.fix_stack import Database

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
)
_JSON = st.dictionaries(st.text(max_size=10), _SCALARS | st.lists(_SCALARS, max_size=3), max_size=4)


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection of the test's own to an empty log."""
    with db.connect() as connection:
        connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
        connection.execute("TRUNCATE audit")
        connection.execute("ALTER TABLE audit ENABLE TRIGGER ALL")
        yield connection


def write(connection: Connection, number: int = 1) -> None:
    for place in range(number):
        with connection.transaction():
            append(
                connection,
                "Trực ban",
                "device.edit",
                f"lamp-{place}",
                before={"name": "A"},
                after={"name": "B", "n": 1.0},
            )


def test_append_chains_and_verifies(connection: Connection) -> None:
    """Entries are numbered from 1, each with the hash of the one before, and the chain holds."""
    assert newest_entry(connection) == 0
    assert verify_audit(connection) is None
    write(connection, 3)
    first, second, third = entries_after(connection, 0)
    assert [first.seq, second.seq, third.seq] == [1, 2, 3]
    assert first.previous == GENESIS
    assert (second.previous, third.previous) == (first.hash, second.hash)
    assert newest_entry(connection) == 3
    assert verify_audit(connection) is None
    assert [entry.seq for entry in entries_of(connection, "lamp-1", ["device.edit"])] == [2]
    assert entries_of(connection, "lamp-1", ["device.adopt"]) == []


def test_append_rolled_back_leaves_no_gap(connection: Connection) -> None:
    """What was not done is not told, and its number goes to the next entry."""
    write(connection)
    with connection.transaction(force_rollback=True):
        append(connection, "x", "device.edit", "lamp-1")
    write(connection)
    assert [entry.seq for entry in entries_after(connection, 0)] == [1, 2]
    assert verify_audit(connection) is None


def test_append_concurrent_is_one_chain(db: Database, connection: Connection) -> None:
    """Several writers at once: no number twice, no fork."""

    def work() -> None:
        with db.connect() as mine:
            write(mine, 15)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.seq for entry in entries_after(connection, 0)] == list(range(1, 61))
    assert verify_audit(connection) is None


def test_audit_is_append_only(connection: Connection) -> None:
    """The database itself refuses to change, remove or empty it."""
    write(connection)
    for statement in ("UPDATE audit SET who = 'x'", "DELETE FROM audit", "TRUNCATE audit"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("statement", "at"),
    [
        ("UPDATE audit SET who = 'x' WHERE seq = 2", 2),
        ("UPDATE audit SET time = time + interval '1 microsecond' WHERE seq = 3", 3),
        ("UPDATE audit SET what = 'x' WHERE seq = 1", 1),
        ("UPDATE audit SET subject = 'x' WHERE seq = 1", 1),
        ("UPDATE audit SET before = NULL WHERE seq = 2", 2),
        ("UPDATE audit SET after = '{}' WHERE seq = 2", 2),
        ("UPDATE audit SET previous = '\\x00' WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 2", 2),
    ],
)
def test_verify_finds_what_was_changed(connection: Connection, statement: str, at: int) -> None:
    """Whoever gets past the triggers breaks the chain, and where is told."""
    write(connection, 4)
    connection.execute("ALTER TABLE audit DISABLE TRIGGER ALL")
    connection.execute(statement.encode())
    connection.execute("ALTER TABLE audit ENABLE TRIGGER ALL")
    fault = verify_audit(connection)
    assert fault is not None
    assert fault.seq == at


@limits(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(before=_JSON, after=_JSON)
def test_verify_survives_the_database(connection: Connection, before: dict[str, Any], after: dict[str, Any]) -> None:
    """Whatever JSON is kept, a detour through jsonb changes no hash."""
    if any("\0" in str(part) or "\\u0000" in repr(part) for part in (before, after)):
        return
    with connection.transaction(force_rollback=True):
        try:
            append(connection, "x", "device.edit", "lamp", before=before, after=after)
        except (psycopg.DataError, UnicodeEncodeError):
            return  # what TimescaleDB cannot keep (NUL, half of a surrogate pair) is refused whole
        assert verify_audit(connection) is None
