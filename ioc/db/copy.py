"""The one COPY writer: structs into a staging table, from there into the hypertable, each key once.

COPY straight into a table with a unique key fails on the first duplicate; COPY into a temporary table and
INSERT … ON CONFLICT DO NOTHING stores each key exactly once at three times the speed of row inserts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
from psycopg import sql

from ioc.db.pool import Connection
from ioc.model import CameraCount, Detection, DeviceState, Reading


class CopyTable(NamedTuple):
    """Where a struct is copied to.

    Attributes:
        name: the table.
        struct: its fields are the columns, by name and order.
        types: PostgreSQL types of the columns; binary COPY does not cast.
    """

    name: str
    struct: type[msgspec.Struct]
    types: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are copied."""
        return self.struct.__struct_fields__


READING: Final = CopyTable("reading", Reading, ("timestamptz", "text", "text", "float8", "int2", "timestamptz"))
DEVICE_STATE: Final = CopyTable("device_state", DeviceState, ("timestamptz", "text", "text", "text", "timestamptz"))
DETECTION: Final = CopyTable(
    "detection", Detection, ("timestamptz", "text", "int2", "text", "float4", "float4", "float4", "float4", "float4")
)
CAMERA_COUNT: Final = CopyTable("camera_count", CameraCount, ("timestamptz", "text", "text", "int4", "int4", "int4"))

TABLES: Final = (READING, DEVICE_STATE, DETECTION, CAMERA_COUNT)


def stage(connection: Connection, table: CopyTable, rows: Sequence[msgspec.Struct]) -> sql.Identifier:
    """COPY rows into the session's staging table of `table`, empty at each transaction's start; returns its name.

    Must run inside a transaction. Raises psycopg's own errors, which the caller tells apart (a bad row, a lost server).
    """
    name = sql.Identifier(f"stage_{table.name}")
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE IF NOT EXISTS {} ON COMMIT DELETE ROWS AS SELECT {} FROM {} WITH NO DATA"
        ).format(name, columns, sql.Identifier(table.name))
    )
    copy_into(connection, table, rows, name)
    return name


def copy_into(
    connection: Connection, table: CopyTable, rows: Iterable[msgspec.Struct], name: sql.Identifier | None = None
) -> None:
    """COPY rows into a table of that shape: the one named, else the table itself, where a doubled key fails the whole."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(name or sql.Identifier(table.name), columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(table.types)
        pack = copy.formatter.write_row  # `copy.write_row` looks after every row whether there is something to send
        for row in map(msgspec.structs.astuple, rows):
            if data := pack(row):
                copy.write(data)


def store(connection: Connection, table: CopyTable, rows: Sequence[msgspec.Struct]) -> int:
    """Store rows, each key once; returns how many were new. Must run inside a transaction, once per table in it."""
    if not rows:
        return 0
    name = stage(connection, table, rows)
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    return connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} ON CONFLICT DO NOTHING").format(
            sql.Identifier(table.name), columns, columns, name
        )
    ).rowcount
