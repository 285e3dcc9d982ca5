"""Migrations on a real TimescaleDB: what they make fits the structs, and what does not belong is refused."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import msgspec
import psycopg
import pytest
from psycopg import sql

from ioc.alarms.log import Entry
from ioc.db import migrate as module
from ioc.db.audit import AuditEntry
from ioc.db.copy import TABLES, CopyTable
from ioc.db.migrate import migrate, migrations, pending
from ioc.db.pool import Connection, edition
from ioc.errors import MigrationError
from ioc.model import Alarm, AlarmState, Command, Device, Event, Incident, Rejected
from ioc.stack.embedded import Stack
from tests.fix_stack import Database


@pytest.fixture
def empty(stack: Stack) -> Iterator[Database]:
    """A database without the schema."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(stack.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} OWNER ioc TEMPLATE template0").format(sql.Identifier(name)))
        yield Database(stack.urls.database_url.rpartition("/")[0] + f"/{name}")
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def columns(connection: Connection, table: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT column_name, udt_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
        (table,),
    ).fetchall()
    return dict(rows)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_copied_columns_match_the_struct(db: Database, table: CopyTable) -> None:
    """Binary COPY casts nothing: names, order and types of the struct are those of the table."""
    with db.connect() as connection:
        found = columns(connection, table.name)
    assert list(found) == list(table.columns)
    assert tuple(found.values()) == table.types


@pytest.mark.parametrize(
    ("table", "struct", "apart"),
    [
        ("device", Device, {"first_seen"}),
        ("alarm", Alarm, set()),
        ("incident", Incident, set()),
        ("incident_log", Entry, set()),
        ("quarantine", Rejected, {"id", "replay", "outcome", "settled"}),
        ("event", Event, set()),
        ("command", Command, {"handed"}),
        ("audit", AuditEntry, set()),
    ],
)
def test_columns_match_the_struct(db: Database, table: str, struct: type[msgspec.Struct], apart: set[str]) -> None:
    """What is read into a struct has its fields; what the struct counts (`alarms`, `active`) is no column."""
    with db.connect() as connection:
        found = set(columns(connection, table)) - apart
    counted = {"alarms", "active"} if struct is Incident else set()
    assert found == set(struct.__struct_fields__) - counted


def test_latest_has_the_columns_of_reading(db: Database) -> None:
    """The newest reading is a reading."""
    with db.connect() as connection:
        assert columns(connection, "latest") == dict(sorted(columns(connection, "reading").items(), key=_latest_order))


def _latest_order(column: tuple[str, str]) -> int:
    return ["device", "measure", "time", "value", "quality", "received"].index(column[0])


def test_alarm_states_of_the_schema_are_those_of_the_model(db: Database) -> None:
    """Every state can be stored, and no other."""
    with db.connect() as connection:
        row = connection.execute(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'alarm_state_check'"
        ).fetchone()
    assert row is not None
    assert {part for part in row[0].split("'") if part.replace("_", "").isalpha()} == set(get_args(AlarmState))


def test_migrate_twice_is_migrate_once(empty: Database) -> None:
    """The second run finds nothing to do, and neither does `pending`."""
    with empty.connect() as connection:
        connection.execute("CREATE EXTENSION timescaledb")
        wanted = [f"{m.version:04} {m.name}" for m in migrations(edition(connection))]
        assert pending(connection) == wanted
        assert migrate(connection) == wanted
        assert pending(connection) == []
        assert migrate(connection) == []


def test_migrate_at_once_from_two_processes(empty: Database) -> None:
    """Several services that start together: one migrates, the others wait for it."""
    applied: list[list[str]] = []

    def run() -> None:
        with empty.connect() as connection:
            applied.append(migrate(connection))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(bool, applied)) == [False, False, True]


def test_migrate_refuses_a_changed_migration(empty: Database) -> None:
    """History is not rewritten: the file must be put back."""
    with empty.connect() as connection:
        migrate(connection)
        connection.execute("UPDATE schema_migration SET checksum = 'x' WHERE version = 2")
        with pytest.raises(MigrationError, match="migration 2 alarms was changed after it ran: put the file back"):
            migrate(connection)


def test_migrate_refuses_a_newer_database(empty: Database) -> None:
    """An older program does not touch what it does not know."""
    with empty.connect() as connection:
        migrate(connection)
        connection.execute("INSERT INTO schema_migration (version, name, checksum) VALUES (9000, 'later', 'x')")
        with pytest.raises(
            MigrationError, match="has migration 9000, this program does not: it is newer; update the program"
        ):
            migrate(connection)
        with empty.connect() as other:
            (free,) = other.execute("SELECT pg_try_advisory_lock(%s)", (module._LOCK,)).fetchone() or (None,)
        assert free, "the lock is given back after a refusal"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package folder whose migrations a test writes."""
    (tmp_path / "migrations").mkdir()
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    return tmp_path / "migrations"


def test_failed_migration_leaves_nothing(empty: Database, folder: Path) -> None:
    """Half a migration is none: the error names it, and the next run starts it from its beginning."""
    (folder / "0001_first.sql").write_text("CREATE TABLE one (a int);")
    (folder / "0002_second.sql").write_text("CREATE TABLE two (a int); SELECT 1 / 0;")
    with empty.connect() as connection:
        with pytest.raises(MigrationError, match="migration 2 second: TimescaleDB: division by zero"):
            migrate(connection)
        assert columns(connection, "one")
        assert not columns(connection, "two")
        (folder / "0002_second.sql").write_text("CREATE TABLE two (a int);")
        assert migrate(connection) == ["0002 second"]


def test_migrations_choose_by_edition(folder: Path) -> None:
    """A file named for an edition runs on it alone."""
    for name in ("0001_a.sql", "0002_b.apache.sql", "0002_b.community.sql", "README"):
        (folder / name).write_text(f"-- {name}")
    assert [m.sql for m in migrations("apache")] == ["-- 0001_a.sql", "-- 0002_b.apache.sql"]
    assert [m.sql for m in migrations("community")] == ["-- 0001_a.sql", "-- 0002_b.community.sql"]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["first.sql"], "expected NNNN_name.sql"),
        (["0001_a.toolkit.sql"], "expected NNNN_name.sql"),
        (["0001_a.sql", "0001_b.sql"], "number 1 is taken by a"),
    ],
)
def test_migrations_refuse_bad_names(folder: Path, names: list[str], why: str) -> None:
    """A file that would be skipped or doubled in silence is an error."""
    for name in names:
        (folder / name).write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=why):
        migrations("apache")
