"""What TimescaleDB knows of devices beyond the live state: facts for the table, and the file of one device."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg.rows import class_row

from ioc.camera_view import ACCEPT_VIEW
from ioc.catalog import FINDINGS
from ioc.commands import is_lit
from ioc.db.audit import AuditEntry, entries_of
from ioc.db.availability import Availability, availability
from ioc.db.camera_truth import Condition, Uptime, conditions, uptime, view_learnt
from ioc.db.commands import commands_below, commands_of
from ioc.db.devices import below as devices_below
from ioc.db.devices import device as read_device
from ioc.db.devices import state_history
from ioc.db.events import events_of
from ioc.db.pool import Connection
from ioc.db.quarantine import PLACE
from ioc.db.readings import latest_of
from ioc.model import Alarm, Command, Device, DeviceState, Event, Quality, Reading, Rejected
from ioc.register import ACTS
from ioc.topics import ROOT

#: A device first seen within this time is young, unless the whole installation is: its first hour counts as its beginning.
NEW_FOR: Final = timedelta(hours=24)
STRIP: Final = timedelta(hours=24)
STRIP_BUCKET: Final = timedelta(minutes=15)
ALARMS: Final = 20
REJECTED: Final = 10
CHILDREN: Final = 60
EVENTS: Final = 20
EVENTS_OF: Final = timedelta(days=7)
#: Acts of people on a device that are shown, commands of a lamp, and requests to the lamps of a cabinet.
ENTRIES: Final = 4
COMMANDS: Final = 4
REQUESTS: Final = 2

_QUALITIES: Final = {
    None: "none",
    Quality.GOOD: "good",
    Quality.CLOCK_OFF: "clock",
    Quality.MANUAL: "manual",
    Quality.NO_TIME: "receipt",
}


class Relative(NamedTuple):
    """A device above or below another."""

    id: str
    name: str
    kind: str


class LightFile(NamedTuple):
    """What of a device can be lit.

    Attributes:
        lamps: how many are reached from here: itself, or those below it that nobody works on.
        worked_on: how many below it are left out.
        commands: the newest of a lamp, newest first; or those of the newest requests to lamps below, by number.
        names: of the lamps below it.
    """

    device: Device
    lamps: int
    worked_on: int
    commands: list[Command]
    names: dict[str, str]


class CameraFile(NamedTuple):
    """How far the pictures of a camera can be trusted.

    Attributes:
        conditions: of the last day, oldest first.
        view: when its view was learnt or last followed the light, None while it is to be learnt.
    """

    uptime: Uptime | None
    conditions: list[Condition]
    view: datetime | None


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
    camera: CameraFile | None
    alarms: list[Alarm]
    rejected: list[Rejected]
    events: list[Event]
    entries: list[AuditEntry]
    parent: Relative | None
    children: list[Relative]
    below: int


def table_facts(connection: Connection, now: datetime) -> dict[str, list[Any]]:
    """For each device in service: link, last heard of (epoch s), data quality, clock skew (s), firmware, standing, dialect.

    Standing is `new` for one that waits to be adopted, `young` for one first seen lately, else "".

    Raises:
        StorageError: TimescaleDB is away.
    """
    rows = connection.execute(_FACTS, {"since": now - NEW_FOR, "findings": list(FINDINGS)}).fetchall()
    return {
        key: [state, seen, _QUALITIES.get(quality, "good"), skew, firmware, standing, dialect]
        for key, state, seen, quality, skew, firmware, standing, dialect in rows
    }


def availability_of_all(connection: Connection, now: datetime) -> dict[str, float]:
    """Availability over the last 24 hours of every device it is known of, 0–1."""
    return {row.device: round(row.day, 4) for row in availability(connection, now) if row.day is not None}


def light_file(connection: Connection, key: str) -> LightFile | None:
    """What of a device can be lit, and what was told lately; None when there is no such device.

    Raises:
        StorageError: TimescaleDB is away.
    """
    device = read_device(connection, key)
    if device is None:
        return None
    if is_lit(device):
        return LightFile(device, 1, 0, commands_of(connection, key, COMMANDS), {})
    lamps = [lamp for lamp in devices_below(connection, key) if is_lit(lamp)]
    worked_on = sum(lamp.status == "maintenance" for lamp in lamps)
    commands = commands_below(connection, key, REQUESTS) if lamps else []
    return LightFile(device, len(lamps) - worked_on, worked_on, commands, {lamp.id: lamp.name for lamp in lamps})


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
    heard = connection.execute(
        _HEARD, {"id": key, "since": since, "bucket": STRIP_BUCKET, "findings": list(FINDINGS)}
    ).fetchall()
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
        camera_file(connection, key, now) if device.kind == "camera" else None,
        alarms_of_device(connection, key),
        _rejected(connection, key, now),
        events_of(connection, key, now - EVENTS_OF, EVENTS),
        entries_of(connection, key, (*ACTS, ACCEPT_VIEW), ENTRIES),
        parent[0] if parent else None,
        _relatives(connection, "parent = %s", key),
        below,
    )


_FACTS: Final = f"""
    SELECT d.id, CASE WHEN d.status = 'maintenance' THEN 'maintenance' ELSE d.state END,
           extract(epoch FROM greatest(d.last_seen, l.received))::float8, l.quality, d.clock_skew_s, d.firmware,
           CASE WHEN d.status = 'new' THEN 'new'
                WHEN d.first_seen > %(since)s AND d.first_seen > born.first + INTERVAL '1 hour' THEN 'young' ELSE '' END,
           d.dialect
    FROM device d CROSS JOIN (SELECT min(first_seen) AS first FROM device) AS born
    LEFT JOIN (
        SELECT device, max(received) AS received,
               CASE WHEN bool_or(quality = {Quality.CLOCK_OFF}) THEN {Quality.CLOCK_OFF}
                    WHEN bool_or(quality = {Quality.MANUAL}) THEN {Quality.MANUAL}
                    WHEN bool_or(quality = {Quality.NO_TIME}) THEN {Quality.NO_TIME} ELSE {Quality.GOOD} END AS quality
        FROM latest WHERE measure <> ALL(%(findings)s) GROUP BY device
    ) AS l ON l.device = d.id
    WHERE d.status <> 'retired'
"""  # noqa: S608 - the numbers are constants of ours
_HEARD: Final = """
    SELECT bucket, sum(records)::bigint FROM (
        SELECT time_bucket(%(bucket)s, time) AS bucket, count(*) AS records FROM reading
        WHERE device = %(id)s AND time >= %(since)s AND measure <> ALL(%(findings)s) GROUP BY 1
        UNION ALL
        SELECT time_bucket(%(bucket)s, time), sum(frames) FROM camera_count
        WHERE camera = %(id)s AND time >= %(since)s GROUP BY 1
    ) AS heard GROUP BY bucket
"""
_ALARM: Final = ", ".join(f'"{field}"' for field in Alarm.__struct_fields__)
_REJECTED: Final = "received, topic, client, dialect, reason, detail, substr(payload, 1, 400) AS payload, size"


def camera_file(connection: Connection, key: str, now: datetime) -> CameraFile:
    """How far its pictures could be trusted."""
    found = uptime(connection, now, key)
    return CameraFile(
        found[0] if found else None, conditions(connection, key, now - STRIP, now), view_learnt(connection, key)
    )


def alarms_of_device(connection: Connection, key: str) -> list[Alarm]:
    """Its newest alarms, newest first."""
    with connection.cursor(row_factory=class_row(Alarm)) as cursor:
        query = f"SELECT {_ALARM} FROM alarm WHERE device = %s ORDER BY opened DESC LIMIT {ALARMS}"  # noqa: S608
        return cursor.execute(query.encode(), (key,)).fetchall()


def _rejected(connection: Connection, key: str, now: datetime) -> list[Rejected]:
    query = (
        f"SELECT {_REJECTED} FROM quarantine WHERE received > %s"  # noqa: S608
        f" AND {PLACE} = ANY(%s) AND outcome <> 'replayed' ORDER BY received DESC LIMIT {REJECTED}"
    )
    # By the device, or by its topics where it could not be told.
    places = [key, *(f"{ROOT}/{key}/{channel}" for channel in ("telemetry", "state", "announce"))]
    with connection.cursor(row_factory=class_row(Rejected)) as cursor:
        return cursor.execute(query.encode(), (now - timedelta(days=7), places)).fetchall()


def _relatives(connection: Connection, where: str, value: str) -> list[Relative]:
    query = f"SELECT id, name, kind FROM device WHERE {where} AND status <> 'retired' ORDER BY id LIMIT {CHILDREN}"  # noqa: S608
    return [Relative(*row) for row in connection.execute(query.encode(), (value,))]
