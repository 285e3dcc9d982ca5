"""What TimescaleDB knows of devices beyond the live state: facts for the table, and the file of one device."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg.rows import class_row

from ioc.db.availability import Availability, availability
from ioc.db.devices import device as read_device
from ioc.db.devices import state_history
from ioc.db.pool import Connection
from ioc.db.readings import latest_of
from ioc.model import Alarm, Device, DeviceState, Quality, Reading, Rejected

#: A device first seen within this time is new, unless the whole installation is: its first hour counts as its beginning.
NEW_FOR: Final = timedelta(hours=24)
STRIP: Final = timedelta(hours=24)
STRIP_BUCKET: Final = timedelta(minutes=15)
ALARMS: Final = 20
REJECTED: Final = 10
CHILDREN: Final = 60

_QUALITIES: Final = {None: "none", Quality.GOOD: "good", Quality.CLOCK_OFF: "clock", Quality.MANUAL: "manual"}


class Relative(NamedTuple):
    """A device above or below another."""

    id: str
    name: str
    kind: str


class DeviceFile(NamedTuple):
    """One device with everything about it.

    Attributes:
        heard: quarter hours of the last day in which it sent data, with the number of records.
        children: the first `CHILDREN` below it; `below` is how many there are.
    """

    device: Device
    first_seen: datetime
    latest: list[Reading]
    states: list[DeviceState]
    heard: dict[datetime, int]
    availability: Availability | None
    alarms: list[Alarm]
    rejected: list[Rejected]
    parent: Relative | None
    children: list[Relative]
    below: int


def table_facts(connection: Connection, now: datetime) -> dict[str, list[Any]]:
    """For each device in service: link, last heard of (epoch s), data quality, clock skew (s), firmware, is it new.

    Raises:
        StorageError: TimescaleDB is away.
    """
    rows = connection.execute(_FACTS, {"since": now - NEW_FOR}).fetchall()
    return {
        key: [state, seen, _QUALITIES.get(quality, "good"), skew, firmware, new]
        for key, state, seen, quality, skew, firmware, new in rows
    }


def availability_of_all(connection: Connection, now: datetime) -> dict[str, float]:
    """Availability over the last 24 hours of every device it is known of, 0–1."""
    return {row.device: round(row.day, 4) for row in availability(connection, now) if row.day is not None}


def device_file(connection: Connection, key: str, now: datetime) -> DeviceFile | None:
    """Everything about one device, None when there is none of that id.

    Raises:
        StorageError: TimescaleDB is away.
    """
    device = read_device(connection, key)
    if device is None:
        return None
    (first_seen,) = connection.execute("SELECT first_seen FROM device WHERE id = %s", (key,)).fetchone() or (now,)
    since = now - STRIP
    heard = connection.execute(_HEARD, {"id": key, "since": since, "bucket": STRIP_BUCKET}).fetchall()
    known = availability(connection, now, key)
    parent = _relatives(connection, "id = %s", device.parent) if device.parent else []
    (below,) = connection.execute("SELECT count(*) FROM device WHERE parent = %s", (key,)).fetchone() or (0,)
    return DeviceFile(
        device,
        first_seen,
        latest_of(connection, key),
        state_history(connection, key, since, now),
        dict(heard),
        known[0] if known else None,
        _alarms(connection, key),
        _rejected(connection, key, now),
        parent[0] if parent else None,
        _relatives(connection, "parent = %s", key),
        below,
    )


_FACTS: Final = f"""
    SELECT d.id, CASE WHEN d.status = 'maintenance' THEN 'maintenance' ELSE d.state END,
           extract(epoch FROM greatest(d.last_seen, l.received))::float8, l.quality, d.clock_skew_s, d.firmware,
           d.status = 'new' OR (d.first_seen > %(since)s AND d.first_seen > born.first + INTERVAL '1 hour')
    FROM device d CROSS JOIN (SELECT min(first_seen) AS first FROM device) AS born
    LEFT JOIN (
        SELECT device, max(received) AS received,
               CASE WHEN bool_or(quality = {Quality.CLOCK_OFF}) THEN {Quality.CLOCK_OFF}
                    WHEN bool_or(quality = {Quality.MANUAL}) THEN {Quality.MANUAL} ELSE {Quality.GOOD} END AS quality
        FROM latest GROUP BY device
    ) AS l ON l.device = d.id
    WHERE d.status <> 'retired'
"""  # noqa: S608 - the numbers are constants of ours
_HEARD: Final = """
    SELECT bucket, sum(records)::bigint FROM (
        SELECT time_bucket(%(bucket)s, time) AS bucket, count(*) AS records FROM reading
        WHERE device = %(id)s AND time >= %(since)s GROUP BY 1
        UNION ALL
        SELECT time_bucket(%(bucket)s, time), sum(frames) FROM camera_count
        WHERE camera = %(id)s AND time >= %(since)s GROUP BY 1
    ) AS heard GROUP BY bucket
"""
_ALARM: Final = ", ".join(f'"{field}"' for field in Alarm.__struct_fields__)
_REJECTED: Final = "received, topic, client, dialect, reason, detail, substr(payload, 1, 400) AS payload, size"


def _alarms(connection: Connection, key: str) -> list[Alarm]:
    with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        query = f"SELECT {_ALARM} FROM alarm WHERE device = %s ORDER BY opened DESC LIMIT {ALARMS}"  # noqa: S608
        return cursor.execute(query.encode(), (key,)).fetchall()


def _rejected(connection: Connection, key: str, now: datetime) -> list[Rejected]:
    query = (
        f"SELECT {_REJECTED} FROM quarantine WHERE received > %s"  # noqa: S608
        f" AND (split_part(topic, '/', 2) = %s OR client = %s) ORDER BY received DESC LIMIT {REJECTED}"
    )
    with connection.cursor(row_factory=class_row(Rejected)) as cursor:
        return cursor.execute(query.encode(), (now - timedelta(days=7), key, key)).fetchall()


def _relatives(connection: Connection, where: str, value: str) -> list[Relative]:
    query = f"SELECT id, name, kind FROM device WHERE {where} AND status <> 'retired' ORDER BY id LIMIT {CHILDREN}"  # noqa: S608
    return [Relative(*row) for row in connection.execute(query.encode(), (value,))]
