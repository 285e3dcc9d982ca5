"""Migrations: numbered plain SQL, forward only, each with a checksum, under an advisory lock.

`NNNN_name.sql` runs on every edition of TimescaleDB; `NNNN_name.apache.sql` and `NNNN_name.community.sql` run on theirs.
"""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files
from typing import Final, NamedTuple

from ioc.db.pool import Connection, Edition, edition, translated
from ioc.errors import MigrationError, StorageError

#: Any number of our own: one migration at a time per database.
_LOCK: Final = 0x7464_696F_63
_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)(?:\.(apache|community))?\.sql")


class Migration(NamedTuple):
    """One file of SQL."""

    version: int
    name: str
    sql: str
    checksum: str


def migrations(on: Edition) -> list[Migration]:
    """The migrations of an edition, in order.

    Raises:
        MigrationError: when numbers are doubled or a file's name breaks the rule.
    """
    found: dict[int, Migration] = {}
    for file in sorted((files("ioc.db") / "migrations").iterdir(), key=lambda file: file.name):
        if not file.name.endswith(".sql"):
            continue
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise MigrationError(f"{file.name}: expected NNNN_name.sql or NNNN_name.<edition>.sql")
        if match[3] not in (None, on):
            continue
        version, sql = int(match[1]), file.read_text("utf-8")
        if version in found:
            raise MigrationError(f"{file.name}: number {version} is taken by {found[version].name}")
        found[version] = Migration(version, match[2], sql, hashlib.sha256(sql.encode()).hexdigest())
    return list(found.values())


def migrate(connection: Connection) -> list[str]:
    """Bring the schema up to date; returns the names applied now, [] when it was.

    Raises:
        MigrationError: a migration failed (nothing of it remains), an applied one was changed, or the database is newer.
        StorageError: the server is away.
    """
    with translated():
        connection.autocommit = True
        # Another process that migrates may need long.
        connection.execute("SET lock_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        connection.execute("RESET lock_timeout")
    try:
        with translated():
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS schema_migration (version integer PRIMARY KEY, name text NOT NULL,"
                " checksum text NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
            )
            applied = {row[0]: row[1] for row in connection.execute("SELECT version, checksum FROM schema_migration")}
        wanted = migrations(edition(connection))
        _check_history(applied, wanted)
        new = [migration for migration in wanted if migration.version not in applied]
        for migration in new:
            _apply(connection, migration)
        return [f"{migration.version:04} {migration.name}" for migration in new]
    finally:
        with translated():
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def pending(connection: Connection) -> list[str]:
    """Names of the migrations that have not run, without running them."""
    with translated():
        row = connection.execute("SELECT to_regclass('schema_migration')").fetchone()
        rows = connection.execute("SELECT version FROM schema_migration") if row is not None and row[0] else ()
        applied = {row[0] for row in rows}
        return [f"{m.version:04} {m.name}" for m in migrations(edition(connection)) if m.version not in applied]


def _check_history(applied: dict[int, str], wanted: list[Migration]) -> None:
    known = {migration.version: migration for migration in wanted}
    for version, checksum in applied.items():
        if version not in known:
            raise MigrationError(
                f"the database has migration {version}, this program does not: it is newer; update the program"
            )
        if known[version].checksum != checksum:
            raise MigrationError(
                f"migration {version} {known[version].name} was changed after it ran: put the file back and write a new one"
            )


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        with translated(), connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO schema_migration (version, name, checksum) VALUES (%s, %s, %s)",
                (migration.version, migration.name, migration.checksum),
            )
    except StorageError as error:
        raise MigrationError(f"migration {migration.version} {migration.name}: {error}") from error
