"""TimescaleDB's present, as the changes that lead to it, so that a snapshot and the change stream are folded alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, TypeVar

from psycopg.rows import args_row, class_row

from dashboards.city import RECENT_S
from ioc.catalog import FINDINGS, KINDS
from ioc.db.pool import Connection
from ioc.model import Alarm, AlarmsChanged, Change, Device, DevicesChanged, Incident, Reading, ReadingsChanged

_HEADLINES: Final = sorted({kind.headline for kind in KINDS.values()} - {""})

#: The fields of a device and of a reading, in their order.
_DEVICES: Final = """
    SELECT id, kind, name, lat, lon, ward, parent, dialect, firmware, attrs, status, state, state_time, state_reason,
           greatest(last_seen, heard) AS last_seen, clock_skew_s
    FROM device
    LEFT JOIN (SELECT device, max(received) AS heard FROM latest WHERE measure <> ALL(%s) GROUP BY device) AS newest
           ON newest.device = id
    WHERE status <> 'retired'
"""
_LATEST: Final = "SELECT time, device, measure, value, quality, received FROM latest WHERE measure = ANY(%s)"
_INCIDENTS: Final = """
    SELECT i.id, i.cause, i.ward, i.priority, i.state, i.opened, i.changed, i.closed, count(a.id) AS alarms,
           count(a.id) FILTER (WHERE a.returned IS NULL AND a.state <> 'normal') AS active
    FROM incident i LEFT JOIN alarm a ON a.incident = i.id
    WHERE i.state <> 'closed' GROUP BY i.id
"""
#: The columns are the struct's own.
_ALARM_COLUMNS: Final = ", ".join(f'"{field}"' for field in Alarm.__struct_fields__)
_ALARMS: Final = f"SELECT {_ALARM_COLUMNS} FROM alarm WHERE state <> 'normal'"  # noqa: S608 - names of our own struct
_OPENINGS: Final = (
    "SELECT id, extract(epoch FROM opened)::float8 FROM alarm"
    " WHERE opened > %s AND state NOT IN ('suppressed', 'out_of_service')"
)

_T = TypeVar("_T")


class Snapshot(NamedTuple):
    """The present: changes to fold, what is alive, and the openings of the last ten minutes (alarm → epoch seconds)."""

    changes: list[Change]
    alarms: list[int]
    incidents: list[int]
    openings: dict[int, float]


def read(connection: Connection) -> Snapshot:
    """Read the present in one consistent view. Take `Live.last_id()` before it."""
    since = datetime.now(UTC) - timedelta(seconds=RECENT_S)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # Binary and by place: there may be a hundred thousand of both.
        with connection.cursor(binary=True, row_factory=args_row(Device)) as cursor:
            devices = cursor.execute(_DEVICES, (list(FINDINGS),)).fetchall()
        with connection.cursor(binary=True, row_factory=args_row(Reading)) as cursor:
            readings = cursor.execute(_LATEST, (_HEADLINES,)).fetchall()
        alarms = _rows(connection, Alarm, _ALARMS)
        incidents = _rows(connection, Incident, _INCIDENTS)
        openings: dict[int, float] = dict(connection.execute(_OPENINGS, (since,)).fetchall())
    return Snapshot(
        [DevicesChanged(devices), ReadingsChanged(readings), AlarmsChanged(alarms, incidents)],
        [alarm.id for alarm in alarms],
        [incident.id for incident in incidents],
        openings,
    )


def _rows(connection: Connection, struct: type[_T], query: str) -> list[_T]:
    with connection.cursor(row_factory=class_row(struct)) as cursor:
        return cursor.execute(query.encode()).fetchall()
