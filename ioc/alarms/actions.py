"""What an operator does to alarms and incidents. Each returns the changes to publish, [] when nothing was left to do.

Each action is one transaction under the locks of its incidents' rows; doing the same again, or two operators doing it at once,
leaves one entry in the log. The engine learns of it through the change stream like everybody else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any, Final

from ioc.alarms.ledger import OpenFile
from ioc.alarms.log import Kind
from ioc.db.pool import Connection, translated
from ioc.errors import ActionError
from ioc.model import Alarm, AlarmsChanged, Change
from ioc.service import utc_now
from ioc.typed import typed_name, typed_text

#: What is put aside for longer than a shift is forgotten.
SHELVE_AT_MOST: Final = timedelta(hours=12)


def acknowledge(
    connection: Connection,
    who: str,
    *,
    alarms: Collection[int] = (),
    incident: int | None = None,
    now: datetime | None = None,
) -> list[Change]:
    """Acknowledge alarms, or every alarm of an incident.

    Raises:
        ActionError: no such alarm or incident, or no name.
        StorageError: nothing was changed.
    """

    def act(file: OpenFile, rows: list[Alarm]) -> None:
        moved = [row for alarm in rows if (row := file.move(alarm, "acknowledge", who=typed_name(who)))]
        if moved:
            opened = min(row.opened for row in moved)
            details = {"alarms": [row.id for row in moved], "after_s": round((file.now - opened).total_seconds(), 1)}
            file.write("acknowledged", who=typed_name(who), details=details)

    return _each(connection, alarms, incident, act, now)


def shelve(
    connection: Connection,
    alarms: Collection[int],
    until: datetime,
    reason: str,
    who: str,
    *,
    now: datetime | None = None,
) -> list[Change]:
    """Put alarms aside until a time; they come back by themselves.

    Raises:
        ActionError: no reason, a time that is over or more than `SHELVE_AT_MOST` ahead, no such alarm.
        StorageError: nothing was changed.
    """
    ahead = until - (now or utc_now())
    if not timedelta(0) < ahead <= SHELVE_AT_MOST:
        raise ActionError(f"shelve until {until.isoformat()}: expected a time within the next {SHELVE_AT_MOST}")
    text = typed_text(reason, "a reason")

    def act(file: OpenFile, rows: list[Alarm]) -> None:
        moved = [row for a in rows if (row := file.move(a, "shelve", who=typed_name(who), until=until, reason=text))]
        if moved:
            file.write(
                "shelved",
                who=typed_name(who),
                text=text,
                details={"alarms": [row.id for row in moved], "until": until.isoformat()},
            )

    return _each(connection, alarms, None, act, now)


def unshelve(connection: Connection, alarms: Collection[int], who: str, *, now: datetime | None = None) -> list[Change]:
    """Take alarms back from the shelf.

    Raises:
        ActionError: no such alarm.
        StorageError: nothing was changed.
    """

    def act(file: OpenFile, rows: list[Alarm]) -> None:
        moved = [row for alarm in rows if (row := file.move(alarm, "unshelve", who=typed_name(who)))]
        if moved:
            file.write("unshelved", who=typed_name(who), details={"alarms": [row.id for row in moved]})

    return _each(connection, alarms, None, act, now)


def note(connection: Connection, incident: int, text: str, who: str, *, now: datetime | None = None) -> list[Change]:
    """Add a note to an incident's log.

    Raises:
        ActionError: no text, no such incident.
        StorageError: nothing was changed.
    """
    return _say(connection, incident, "note", typed_text(text, "a text"), who, now)


def assign(connection: Connection, incident: int, to: str, who: str, *, now: datetime | None = None) -> list[Change]:
    """Give an incident to a person or a unit.

    Raises:
        ActionError: nobody named, no such incident.
        StorageError: nothing was changed.
    """
    return _say(connection, incident, "assigned", typed_text(to, "whom to assign it to"), who, now)


def dispatch(
    connection: Connection, incident: int, unit: str, who: str, *, now: datetime | None = None
) -> list[Change]:
    """Record that a unit was sent out.

    Raises:
        ActionError: nobody named, no such incident.
        StorageError: nothing was changed.
    """
    return _say(connection, incident, "dispatched", typed_text(unit, "who was sent"), who, now)


def close(
    connection: Connection, incident: int, who: str, *, reason: str = "", now: datetime | None = None
) -> list[Change]:
    """Close an incident that is cleared; with a reason also one that is not, which acknowledges what is left of it.

    Raises:
        ActionError: it is not cleared and no reason is given, no such incident.
        StorageError: nothing was changed.
    """

    def act(file: OpenFile, rows: list[Alarm]) -> None:
        if file.state == "closed":
            return
        if file.state != "cleared" and not reason.strip():
            raise ActionError(
                f"incident {file.id} is {file.state} with {len(rows)} alarms alive: wait until it is cleared, or give a reason"
            )
        moved = [row for alarm in rows if (row := file.move(alarm, "acknowledge", who=typed_name(who)))]
        details: dict[str, Any] = {"forced": True, "alarms": [row.id for row in moved]} if rows else {}
        file.write("closed", who=typed_name(who), text=typed_text(reason) if reason.strip() else "", details=details)
        file.closing = True

    return _each(connection, (), incident, act, now)


def _each(
    connection: Connection,
    alarms: Collection[int],
    incident: int | None,
    act: Callable[[OpenFile, list[Alarm]], None],
    now: datetime | None,
) -> list[Change]:
    """Do it to each incident, all in one transaction; returns what was changed, [] when nothing was."""
    with translated(), connection.transaction():
        found = _incidents_of(connection, alarms, incident)
        # By number, as the engine locks them.
        files = [(OpenFile(connection, number, now or utc_now()), found[number]) for number in sorted(found)]
        for file, ids in files:
            act(file, file.alarms(ids))
        touched = [file for file, _ in files if file.touched]
        incidents = [file.finish() for file in touched]
        rows = [row for file in touched for row in file.changed.values()]
    return [AlarmsChanged(alarms=rows, incidents=incidents)] if incidents else []


def _incidents_of(connection: Connection, alarms: Collection[int], incident: int | None) -> dict[int, list[int] | None]:
    if incident is not None:
        return {incident: None}
    rows = connection.execute(
        "SELECT incident, id FROM alarm WHERE id = ANY(%s) ORDER BY 1, 2", (list(alarms),)
    ).fetchall()
    missing = set(alarms) - {row[1] for row in rows}
    if missing:
        raise ActionError(f"alarms {sorted(missing)}: there are none")
    found: defaultdict[int, list[int]] = defaultdict(list)
    for number, alarm in rows:
        found[number].append(alarm)
    return dict(found)


def _say(connection: Connection, incident: int, kind: Kind, text: str, who: str, now: datetime | None) -> list[Change]:
    def act(file: OpenFile, rows: list[Alarm]) -> None:
        del rows
        said = file.last(kind)
        repeated = said is not None and (said.who, said.text) == (typed_name(who), text)
        # Assigning to whom it is assigned changes nothing; the same note may be true again, but not twice in a row.
        if not (repeated and said is not None and (kind == "assigned" or file.is_last(said))):
            file.write(kind, who=typed_name(who), text=text)

    return _each(connection, (), incident, act, now)
