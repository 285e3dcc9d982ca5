"""Events that devices tell of: stored each once, read by device."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ioc.db.pool import Connection
from ioc.model import Event


def store_events(connection: Connection, events: Sequence[Event]) -> None:
    """Store events, each key once, the last that was told of it; must run inside a transaction."""
    last = {(one.device, one.time, one.kind, one.source): one for one in events}
    if not last:
        return
    rows = [last[key] for key in sorted(last)]
    connection.execute(
        "INSERT INTO event (time, device, kind, source, data, received) SELECT * FROM"
        " unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::timestamptz[])"
        " ON CONFLICT (device, time, kind, source) DO UPDATE SET data = excluded.data, received = excluded.received",
        (
            [one.time for one in rows],
            [one.device for one in rows],
            [one.kind for one in rows],
            [one.source for one in rows],
            [Jsonb(one.data) for one in rows],
            [one.received for one in rows],
        ),
    )


def events_of(connection: Connection, device: str, since: datetime, most: int = 50) -> list[Event]:
    """The newest events of one device, newest first."""
    with connection.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(
            "SELECT time, device, kind, source, data, received FROM event WHERE device = %s AND time >= %s"
            " ORDER BY time DESC LIMIT %s",
            (device, since, most),
        ).fetchall()
