"""Devices: registering, announcing, states, sightings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ioc.catalog import FINDINGS
from ioc.db.copy import DEVICE_STATE, stage
from ioc.db.pool import Connection
from ioc.model import Announcement, Device, DeviceState, Discovery

_COLUMNS: Final = sql.SQL(", ").join(map(sql.Identifier, Device.__struct_fields__))
_ALL: Final = sql.SQL("SELECT {} FROM device ORDER BY id").format(_COLUMNS)
_ONE: Final = sql.SQL("SELECT {} FROM device WHERE id = %s").format(_COLUMNS)
_CHANGED: Final = sql.SQL("SELECT {} FROM device WHERE state_time >= %s").format(_COLUMNS)
_LOCK: Final = sql.SQL("SELECT {} FROM device WHERE id = %s FOR NO KEY UPDATE").format(_COLUMNS)
_NAMED: Final = sql.SQL("SELECT {} FROM device WHERE id = ANY(%s) ORDER BY id").format(_COLUMNS)
_BELOW: Final = sql.SQL("SELECT {} FROM device WHERE parent = %s ORDER BY id").format(_COLUMNS)
_ANNOUNCE: Final = sql.SQL(
    "INSERT INTO device (id, kind, name, lat, lon, ward, parent, dialect, firmware, attrs)"
    " SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[], %s::float8[], %s::text[], %s::text[], %s::text[],"
    " %s::text[], %s::jsonb[])"
    " ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, lat = excluded.lat,"
    " lon = excluded.lon, ward = excluded.ward, parent = excluded.parent, dialect = excluded.dialect,"
    " firmware = excluded.firmware, attrs = excluded.attrs,"
    " status = CASE WHEN device.status = 'maintenance' THEN 'maintenance' ELSE 'active' END"
    " WHERE (device.kind, device.name, device.lat, device.lon, device.ward, device.parent, device.dialect,"
    " device.firmware, device.attrs) IS DISTINCT FROM (excluded.kind, excluded.name, excluded.lat, excluded.lon,"
    " excluded.ward, excluded.parent, excluded.dialect, excluded.firmware, excluded.attrs)"
    " OR device.status IN ('new', 'retired') RETURNING {}"
).format(_COLUMNS)
_REGISTER: Final = sql.SQL(
    "INSERT INTO device (id, kind, name, dialect, status) SELECT id, '', id, %s, 'new' FROM unnest(%s::text[]) AS id"
    " ON CONFLICT (id) DO NOTHING RETURNING {}"
).format(_COLUMNS)
_DISCOVER: Final = sql.SQL(
    "INSERT INTO device (id, kind, name, parent, dialect, firmware, attrs, status)"
    " SELECT one.*, 'new' FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::jsonb[])"
    " AS one (id, kind, name, parent, dialect, firmware, attrs)"
    " ON CONFLICT (id) DO UPDATE SET"
    " kind = CASE WHEN device.status = 'new' AND excluded.kind <> '' THEN excluded.kind ELSE device.kind END,"
    " name = CASE WHEN device.status = 'new' THEN excluded.name ELSE device.name END,"
    " parent = CASE WHEN device.status = 'new' THEN excluded.parent ELSE device.parent END,"
    " dialect = excluded.dialect, firmware = CASE WHEN excluded.firmware = '' THEN device.firmware ELSE excluded.firmware END,"
    " attrs = device.attrs || excluded.attrs"
    " WHERE (device.status = 'new' AND (device.name, device.parent) IS DISTINCT FROM (excluded.name, excluded.parent))"
    " OR (device.status = 'new' AND excluded.kind NOT IN ('', device.kind))"
    " OR device.dialect <> excluded.dialect OR excluded.firmware NOT IN ('', device.firmware)"
    " OR NOT device.attrs @> excluded.attrs RETURNING {}"
).format(_COLUMNS)
_NOTE: Final = (
    "UPDATE device SET last_seen = greatest(last_seen, sight.seen), clock_skew_s = coalesce(sight.ahead, clock_skew_s)"
    " FROM unnest(%s::text[], %s::timestamptz[], %s::float8[]) AS sight (id, seen, ahead) WHERE device.id = sight.id"
)
_RETIRE: Final = sql.SQL(
    "UPDATE device SET status = 'retired' WHERE id = ANY(%s) AND status <> 'retired' RETURNING {}"
).format(_COLUMNS)


class Placed(NamedTuple):
    """An announcement, and the code of the ward the device stands in."""

    announcement: Announcement
    ward: str


class Sight(NamedTuple):
    """When a device was last heard of, and how far its clock was ahead of ours then, if it said a time."""

    device: str
    seen: datetime
    ahead_s: float | None


def all_devices(connection: Connection) -> list[Device]:
    """Every registered device, retired ones too, by id."""
    return _devices(connection, _ALL)


def device(connection: Connection, key: str) -> Device | None:
    """One device."""
    found = _devices(connection, _ONE, (key,))
    return found[0] if found else None


def devices_named(connection: Connection, keys: Iterable[str]) -> list[Device]:
    """Those of these devices that there are, by id."""
    return _devices(connection, _NAMED, (sorted(keys),))


def below(connection: Connection, key: str) -> list[Device]:
    """Devices directly below one, retired ones too, by id."""
    return _devices(connection, _BELOW, (key,))


def lock_device(connection: Connection, key: str) -> Device | None:
    """One device, which nobody else changes until the end of the caller's transaction."""
    found = _devices(connection, _LOCK, (key,))
    return found[0] if found else None


def enter(connection: Connection, key: str, values: Mapping[str, Any]) -> Device:
    """Change columns of a device that there is; returns it as it is now."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    query = sql.SQL("UPDATE device SET {} WHERE id = {} RETURNING {}").format(
        columns, sql.Placeholder("_key"), _COLUMNS
    )
    (changed,) = _devices(connection, query, {**values, "_key": key})
    return changed


def announce(connection: Connection, placed: Iterable[Placed]) -> list[Device]:
    """Register devices as they announce themselves; returns those that are new or changed, as they are now.

    Each device once at most. A retired or unannounced one becomes active; one that a person put under maintenance stays so.
    """
    rows = [
        (
            one.device,
            one.kind,
            one.name,
            one.lat,
            one.lon,
            ward,
            one.parent,
            one.dialect,
            one.firmware,
            Jsonb(one.attrs),
        )
        for one, ward in sorted(placed, key=lambda one: one.announcement.device)
    ]
    return _devices(connection, _ANNOUNCE, [list(column) for column in zip(*rows, strict=True)]) if rows else []


def register_unannounced(connection: Connection, keys: Iterable[str], dialect: str) -> list[Device]:
    """Register devices that sent data before any announcement, without a kind; returns those that were not there."""
    ids = sorted(keys)
    return _devices(connection, _REGISTER, (dialect, ids))


def discover(connection: Connection, discoveries: Iterable[Discovery]) -> list[Device]:
    """Register devices of other dialects as new; returns those that were not there, or of which something is new.

    What a person may have set (name, kind, place, what it stands below) is left alone once the device is no longer new.
    """
    rows = [
        (one.device, one.kind, one.name or one.device, one.parent, one.dialect, one.firmware, Jsonb(one.attrs))
        for one in sorted(discoveries, key=lambda one: one.device)
    ]
    return _devices(connection, _DISCOVER, [list(column) for column in zip(*rows, strict=True)]) if rows else []


def retire(connection: Connection, keys: Iterable[str]) -> list[Device]:
    """Take devices out of service; their records stay. Returns those that were in service."""
    return _devices(connection, _RETIRE, (sorted(keys),))


def store_states(connection: Connection, states: Sequence[DeviceState]) -> int:
    """Store states, each once, and bring `device.state` to the newest; returns how many were new.

    Must run inside a transaction, once in it.
    """
    if not states:
        return 0
    stage(connection, DEVICE_STATE, states)
    stored = connection.execute(
        "INSERT INTO device_state (time, device, state, reason, received)"
        " SELECT time, device, state, reason, received FROM stage_device_state ON CONFLICT DO NOTHING"
    ).rowcount
    connection.execute(
        "UPDATE device SET state = newest.state, state_time = newest.time, state_reason = newest.reason FROM"
        " (SELECT DISTINCT ON (device) time, device, state, reason FROM stage_device_state"
        " ORDER BY device, time DESC, received DESC) AS newest"
        " WHERE device.id = newest.device AND (device.state_time IS NULL OR device.state_time < newest.time)"
    )
    return stored


def states_of(connection: Connection, keys: Iterable[str]) -> dict[str, tuple[str, datetime | None]]:
    """State of devices, and since when."""
    rows = connection.execute("SELECT id, state, state_time FROM device WHERE id = ANY(%s)", (sorted(keys),))
    return {key: (state, time) for key, state, time in rows}


def changed_states(connection: Connection, since: datetime) -> list[Device]:
    """Devices whose state is from that time or later."""
    return _devices(connection, _CHANGED, (since,))


def noting(sights: Sequence[Sight]) -> tuple[str, Sequence[Any]]:
    """The statement that notes when devices were last heard of, and its values; never moves backwards."""
    ordered = sorted(sights)
    return _NOTE, ([one.device for one in ordered], [one.seen for one in ordered], [one.ahead_s for one in ordered])


def recover_sights(connection: Connection) -> int:
    """Bring `last_seen` up to what is stored, after an ingest that was killed before it wrote it; returns how many moved."""
    return connection.execute(
        "UPDATE device SET last_seen = newest.received FROM"
        " (SELECT device, max(received) AS received FROM latest WHERE measure <> ALL(%s) GROUP BY device) AS newest"
        " WHERE device.id = newest.device AND (device.last_seen IS NULL OR device.last_seen < newest.received)",
        (list(FINDINGS),),
    ).rowcount


def state_history(connection: Connection, key: str, since: datetime, until: datetime) -> list[DeviceState]:
    """States of one device in a span of time, oldest first, led by the one that held at its beginning."""
    with connection.cursor(row_factory=class_row(DeviceState)) as cursor:
        return cursor.execute(
            "(SELECT time, device, state, reason, received FROM device_state WHERE device = %(d)s AND time < %(since)s"
            " ORDER BY time DESC LIMIT 1) UNION ALL"
            " (SELECT time, device, state, reason, received FROM device_state WHERE device = %(d)s AND time >= %(since)s"
            " AND time < %(until)s) ORDER BY time, received",
            {"d": key, "since": since, "until": until},
        ).fetchall()


def _devices(connection: Connection, query: sql.Composed, values: Any = None) -> list[Device]:
    with connection.cursor(row_factory=class_row(Device)) as cursor:
        return cursor.execute(query, values).fetchall()
