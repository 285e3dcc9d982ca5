"""Alarms, incidents and their log, as the engine and the pages read them."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from ioc.alarms.grouping import RATE_WINDOW, IncidentState, Rate, rate
from ioc.alarms.log import Entry, verify
from ioc.chain import Fault
from ioc.db.pool import Connection, translated
from ioc.errors import ActionError
from ioc.model import Alarm, Incident

_ALARM: Final = sql.SQL(", ").join(map(sql.Identifier, Alarm.__struct_fields__))
_ENTRY: Final = sql.SQL(", ").join(map(sql.Identifier, Entry.__struct_fields__))
_INCIDENT: Final = (
    "SELECT i.id, i.cause, i.ward, i.priority, i.state, i.opened, i.changed, i.closed, a.alarms, a.active FROM incident i"
    " CROSS JOIN LATERAL (SELECT count(*) AS alarms, count(*) FILTER (WHERE a.returned IS NULL) AS active"
    " FROM alarm a WHERE a.incident = i.id) a"
)


class IncidentPage(NamedTuple):
    """A page of a list of incidents, and how many the whole list has."""

    incidents: list[Incident]
    total: int


class IncidentFile(NamedTuple):
    """One incident with everything about it.

    Attributes:
        fault: where its log was tampered with, None when the chain of hashes holds.
    """

    incident: Incident
    alarms: list[Alarm]
    log: list[Entry]
    fault: Fault | None


def alive_alarms(connection: Connection) -> list[Alarm]:
    """Every alarm that is not normal, the most urgent and newest first."""
    return _alarms(connection, "state <> 'normal' ORDER BY priority, opened DESC", {})


def alarms_of(connection: Connection, incident: int) -> list[Alarm]:
    """The alarms of one incident in the order in which they opened."""
    return _alarms(connection, "incident = %(incident)s ORDER BY opened, id", {"incident": incident})


def alarms_changed_since(connection: Connection, since: datetime) -> list[Alarm]:
    """Alarms that changed from that time on, normal ones too."""
    return _alarms(connection, "changed >= %(since)s ORDER BY changed, id", {"since": since})


def alarm(connection: Connection, id: int) -> Alarm:  # noqa: A002 - the field's own name
    """One alarm.

    Raises:
        ActionError: when there is none.
    """
    found = _alarms(connection, "id = %(id)s", {"id": id})
    if not found:
        raise ActionError(f"alarm {id}: there is none")
    return found[0]


def open_incidents(connection: Connection) -> list[Incident]:
    """Incidents that somebody has to deal with (open or acknowledged), the most urgent and newest first."""
    return _incidents(connection, "WHERE i.state IN ('open', 'acknowledged') ORDER BY i.priority, i.opened DESC", {})


def incidents_by_id(connection: Connection, ids: Collection[int]) -> list[Incident]:
    """These incidents."""
    return _incidents(connection, "WHERE i.id = ANY(%(ids)s) ORDER BY i.id", {"ids": list(ids)})


def incidents(
    connection: Connection,
    *,
    states: Collection[IncidentState] = (),
    causes: Collection[str] = (),
    wards: Collection[str] = (),
    priorities: Collection[int] = (),
    opened_from: datetime | None = None,
    opened_before: datetime | None = None,
    order: Literal["urgent", "newest"] = "newest",
    limit: int = 50,
    offset: int = 0,
) -> IncidentPage:
    """A page of incidents; an empty filter lets everything through.

    Args:
        connection: to TimescaleDB.
        states: any of these.
        causes: keys of `ioc.catalog.CAUSES`.
        wards: codes of wards, "" for devices that stand in none.
        priorities: 1, 2, 3.
        opened_from: opened then or later.
        opened_before: opened earlier.
        order: unclosed and urgent first, or newest first.
        limit: incidents on the page.
        offset: incidents before it.
    """
    conditions, values = ["true"], dict[str, Any](limit=limit, offset=offset)
    for column, wanted in (("state", states), ("cause", causes), ("ward", wards), ("priority", priorities)):
        if wanted:
            conditions.append(f"i.{column} = ANY(%({column})s)")
            values[column] = list(wanted)
    if opened_from is not None:
        conditions.append("i.opened >= %(opened_from)s")
        values["opened_from"] = opened_from
    if opened_before is not None:
        conditions.append("i.opened < %(opened_before)s")
        values["opened_before"] = opened_before
    where = "WHERE " + " AND ".join(conditions)
    urgent = "array_position(ARRAY['open', 'acknowledged', 'cleared', 'closed'], i.state), i.priority, "
    by = f"ORDER BY {urgent if order == 'urgent' else ''}i.opened DESC, i.id DESC LIMIT %(limit)s OFFSET %(offset)s"
    with translated():
        # The columns are named above; what comes from outside are parameters.
        count = sql.SQL("SELECT count(*) FROM incident i " + where)  # noqa: S608
        (total,) = connection.execute(count, values).fetchone() or (0,)
    return IncidentPage(_incidents(connection, f"{where} {by}", values), total)


def incident_file(connection: Connection, id: int) -> IncidentFile:  # noqa: A002 - the field's own name
    """One incident with its alarms and its log, checked.

    Raises:
        ActionError: when there is none.
    """
    found = incidents_by_id(connection, [id])
    if not found:
        raise ActionError(f"incident {id}: there is none")
    entries = log_of(connection, id)
    return IncidentFile(found[0], alarms_of(connection, id), entries, verify(entries))


def log_of(connection: Connection, incident: int) -> list[Entry]:
    """The log of one incident, oldest first."""
    with translated(), connection.cursor(row_factory=class_row(Entry)) as cursor:
        return cursor.execute(
            sql.SQL("SELECT {} FROM incident_log WHERE incident = %s ORDER BY seq").format(_ENTRY), (incident,)
        ).fetchall()


def openings_since(connection: Connection, since: datetime) -> list[datetime]:
    """When alarms were put before the operators; suppressed ones were not."""
    with translated():
        rows = connection.execute(
            "SELECT opened FROM alarm WHERE opened > %s AND state NOT IN ('suppressed', 'out_of_service')", (since,)
        ).fetchall()
    return [row[0] for row in rows]


def alarm_rate(connection: Connection, now: datetime, *, target: int, flood: int) -> Rate:
    """Alarms of the last ten minutes against the target."""
    return rate(openings_since(connection, now - RATE_WINDOW), now, target=target, flood=flood)


def _alarms(connection: Connection, rest: str, values: dict[str, Any]) -> list[Alarm]:
    with translated(), connection.cursor(row_factory=class_row(Alarm)) as cursor:
        return cursor.execute(sql.SQL("SELECT {} FROM alarm WHERE " + rest).format(_ALARM), values).fetchall()  # noqa: S608


def _incidents(connection: Connection, rest: str, values: dict[str, Any]) -> list[Incident]:
    with translated(), connection.cursor(row_factory=class_row(Incident)) as cursor:
        return cursor.execute(sql.SQL(f"{_INCIDENT} {rest}"), values).fetchall()
