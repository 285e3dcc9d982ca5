"""What a service needs to begin from TimescaleDB, or to go on without Redis: newest readings, and those of the last minutes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from psycopg import sql
from psycopg.rows import args_row, class_row

from ioc.db.pool import Connection, translated
from ioc.model import Reading

_READING: Final = sql.SQL(", ").join(map(sql.Identifier, Reading.__struct_fields__))


def latest(connection: Connection, received_after: datetime | None = None) -> list[Reading]:
    """The newest reading of each measure of each device, all or those received after a time."""
    # Binary and by place: tens of thousands of rows cost the reader more than the server.
    with translated(), connection.cursor(binary=True, row_factory=args_row(Reading)) as cursor:
        return cursor.execute(
            sql.SQL("SELECT {} FROM latest WHERE %(after)s::timestamptz IS NULL OR received > %(after)s").format(
                _READING
            ),
            {"after": received_after},
        ).fetchall()


def devices_once_online(connection: Connection) -> set[str]:
    """Devices that were there at least once: they have sent a reading, or said that they are online."""
    with translated():
        rows = connection.execute(
            "SELECT id FROM device d WHERE state = 'online' OR EXISTS (SELECT FROM latest l WHERE l.device = d.id)"
            " OR EXISTS (SELECT FROM device_state s WHERE s.device = d.id AND s.state = 'online')"
        ).fetchall()
    return {row[0] for row in rows}


def readings_since(connection: Connection, wanted: Iterable[tuple[str, str, datetime]]) -> list[Reading]:
    """Readings of each (device, measure) from its time on, each measure's in the order of their times."""
    devices, measures, begins = [], [], []
    for device, measure, begin in wanted:
        devices.append(device)
        measures.append(measure)
        begins.append(begin)
    with translated(), connection.cursor(row_factory=class_row(Reading)) as cursor:
        return cursor.execute(
            "SELECT r.* FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS w (device, measure, begin)"
            " CROSS JOIN LATERAL (SELECT r.time, r.device, r.measure, r.value, r.quality, r.received FROM reading r"
            " WHERE r.device = w.device AND r.measure = w.measure AND r.time >= w.begin ORDER BY r.time) AS r",
            (devices, measures, begins),
        ).fetchall()
