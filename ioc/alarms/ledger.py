"""One incident, locked: its alarms move, its log grows, its state follows. Everything that writes alarms goes through here.

The row of the incident is the lock. The engine and the operators' actions take it first, read the alarms after it, and so
decide on what is true; whoever comes second finds the work done and adds nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ioc.alarms.grouping import incident_state
from ioc.alarms.log import Details, Entry, Kind, follow
from ioc.alarms.machine import Event, Occurrence, apply, occurrence_of
from ioc.db.pool import Connection
from ioc.errors import ActionError
from ioc.model import Alarm, Incident

_ALARM: Final = sql.SQL(", ").join(map(sql.Identifier, Alarm.__struct_fields__))
_NEW: Final = tuple(field for field in Alarm.__struct_fields__ if field != "id")
_MOVING: Final = (
    "state",
    "value",
    "changed",
    "returned",
    "acknowledged",
    "acknowledged_by",
    "shelved_until",
    "shelve_reason",
)
_INSERT: Final = sql.SQL(
    "INSERT INTO alarm ({}) VALUES ({}) ON CONFLICT (rule, device) WHERE state <> 'normal' DO NOTHING RETURNING id"
).format(sql.SQL(", ").join(map(sql.Identifier, _NEW)), sql.SQL(", ").join(map(sql.Placeholder, _NEW)))
_UPDATE: Final = sql.SQL("UPDATE alarm SET {} WHERE id = {}").format(
    sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(f), sql.Placeholder(f)) for f in _MOVING),
    sql.Placeholder("id"),
)

#: What the log calls an event.
LOGGED: Final[dict[Event, Kind]] = {
    "raise": "raised",
    "return": "returned",
    "acknowledge": "acknowledged",
    "shelve": "shelved",
    "unshelve": "unshelved",
    "suppress": "suppressed",
    "release": "released",
    "remove": "removed",
    "restore": "restored",
}


class OpenFile:
    """One incident under lock, until the end of the caller's transaction. Errors are psycopg's own.

    Attributes:
        changed: the alarms that were written, by id.
        closing: an operator closes it; it stays closed unless one of its alarms asks for somebody.
    """

    def __init__(self, connection: Connection, incident: int, now: datetime) -> None:
        self.id = incident
        self._connection = connection
        row = connection.execute(
            "SELECT state, opened, changed FROM incident WHERE id = %s FOR UPDATE", (incident,)
        ).fetchone()
        if row is None:
            raise ActionError(f"incident {incident}: there is none")
        self.state: str = row[0]
        self.opened: datetime = row[1]
        #: Two machines' clocks may differ; the order of the changes must not.
        self.now = max(now, row[2] + timedelta(microseconds=1))
        self.changed: dict[int, Alarm] = {}
        self.closing = False
        with connection.cursor(row_factory=class_row(Entry)) as cursor:
            self._last = cursor.execute(
                "SELECT * FROM incident_log WHERE incident = %s ORDER BY seq DESC LIMIT 1", (incident,)
            ).fetchone()
        self._written: list[Entry] = []

    @classmethod
    def new(cls, connection: Connection, cause: str, ward: str, priority: int, now: datetime) -> OpenFile:
        """Open an incident."""
        row = connection.execute(
            "INSERT INTO incident (cause, ward, priority, state, opened, changed) VALUES (%s, %s, %s, 'open', %s, %s)"
            " RETURNING id",
            (cause, ward, priority, now, now),
        ).fetchone()
        assert row is not None
        return cls(connection, row[0], now)

    def alarms(self, ids: Collection[int] | None = None) -> list[Alarm]:
        """Its alarms that are alive, all or some, as they are now; nobody else can change them any more."""
        with self._connection.cursor(row_factory=class_row(Alarm)) as cursor:
            return cursor.execute(
                sql.SQL(
                    "SELECT {} FROM alarm WHERE incident = %s AND state <> 'normal' AND (%s::bigint[] IS NULL OR id = ANY(%s))"
                    " ORDER BY id FOR UPDATE"
                ).format(_ALARM),
                (self.id, *(2 * (None if ids is None else list(ids),))),
            ).fetchall()

    def open(self, alarm: Alarm, details: Details) -> Alarm | None:
        """Store a new alarm (its id, incident and times are set here); None when one of its rule and device is alive."""
        row = msgspec.structs.replace(alarm, opened=self.now, changed=self.now, incident=self.id)
        values = {field: getattr(row, field) for field in _NEW}
        answer = self._connection.execute(_INSERT, values).fetchone()
        if answer is None:
            return None
        row = msgspec.structs.replace(row, id=answer[0])
        self.changed[row.id] = row
        self.write("detected", who="system", details=subject(row) | dict(details))
        return row

    def move(
        self,
        alarm: Alarm,
        event: Event,
        *,
        who: str,
        value: float | None = None,
        until: datetime | None = None,
        reason: str = "",
    ) -> Alarm | None:
        """Let an event happen to an alarm of this incident; None when it changes nothing. The caller writes the log."""
        before = occurrence_of(alarm)
        after = apply(before, event)
        if after == before and not (event == "shelve" and after.shelved and (until, reason) != _shelf(alarm)):
            return None
        row = msgspec.structs.replace(
            alarm,
            state=after.state,
            changed=self.now,
            value=alarm.value if value is None else value,
            returned=None if after.active else alarm.returned or self.now,
            **_acknowledgement(alarm, after, who, self.now),
            **_shelving(after, event, until, reason),
        )
        self._connection.execute(_UPDATE, {field: getattr(row, field) for field in (*_MOVING, "id")})
        self.changed[row.id] = row
        return row

    def write(self, kind: Kind, *, who: str, text: str = "", details: Details | None = None) -> Entry:
        """Add an entry to the log."""
        entry = follow(self._last, self.id, self.now, kind, who, text, details)
        self._last = entry
        self._written.append(entry)
        return entry

    @property
    def touched(self) -> bool:
        """Whether something was done to it."""
        return bool(self._written)

    def is_last(self, entry: Entry) -> bool:
        """Whether nothing was written since that entry."""
        return self._last is not None and self._last.seq == entry.seq

    def last(self, kind: Kind) -> Entry | None:
        """The newest stored entry of that kind."""
        with self._connection.cursor(row_factory=class_row(Entry)) as cursor:
            return cursor.execute(
                "SELECT * FROM incident_log WHERE incident = %s AND kind = %s ORDER BY seq DESC LIMIT 1",
                (self.id, kind),
            ).fetchone()

    def finish(self) -> Incident:
        """Let the incident's state follow from its alarms, store the log, and return the incident as it is now."""
        rows = self._connection.execute(
            "SELECT state, count(*), min(priority), count(*) FILTER (WHERE returned IS NULL) FROM alarm"
            " WHERE incident = %s GROUP BY state",
            (self.id,),
        ).fetchall()
        was = self.state
        state = incident_state([row[0] for row in rows], closed=self.closing or was == "closed")
        if state != was:
            if state == "cleared":
                self.write("cleared", who="system")
            elif was in ("cleared", "closed") and state != "closed":
                self.write("reopened", who="system")
        self._flush()
        row = self._connection.execute(
            "UPDATE incident SET state = %(state)s, changed = %(now)s, priority = coalesce(least(priority, %(worst)s), priority),"
            " closed = CASE WHEN %(state)s <> 'closed' THEN NULL ELSE coalesce(closed, %(now)s) END WHERE id = %(id)s"
            " RETURNING id, cause, ward, priority, state, opened, changed, closed",
            {"state": state, "now": self.now, "worst": min((r[2] for r in rows), default=None), "id": self.id},
        ).fetchone()
        assert row is not None
        self.state = state
        return Incident(
            **dict(zip(("id", "cause", "ward", "priority", "state", "opened", "changed", "closed"), row, strict=True)),
            alarms=sum(r[1] for r in rows),
            active=sum(r[3] for r in rows),
        )

    def _flush(self) -> None:
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO incident_log (incident, seq, time, kind, who, text, details, previous, hash)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (e.incident, e.seq, e.time, e.kind, e.who, e.text, Jsonb(e.details), e.previous, e.hash)
                    for e in self._written
                ],
            )
        self._written.clear()


def subject(alarm: Alarm) -> dict[str, Any]:
    """The alarm as the log names it."""
    return {"alarm": alarm.id, "rule": alarm.rule, "device": alarm.device}


def _shelf(alarm: Alarm) -> tuple[datetime | None, str]:
    return alarm.shelved_until, alarm.shelve_reason


def _acknowledgement(alarm: Alarm, after: Occurrence, who: str, now: datetime) -> dict[str, Any]:
    if not after.acknowledged:
        return {"acknowledged": None, "acknowledged_by": ""}
    if alarm.acknowledged is not None:
        return {}
    return {"acknowledged": now, "acknowledged_by": who}


def _shelving(after: Occurrence, event: Event, until: datetime | None, reason: str) -> dict[str, Any]:
    if not after.shelved:
        return {"shelved_until": None, "shelve_reason": ""}
    if event != "shelve":
        return {}
    return {"shelved_until": until, "shelve_reason": reason}
