"""Commands: requested by pages, sent by one ingest process, settled by what devices answer and measure.

Whoever writes commands takes one lock first, until the end of its transaction: they are few, and so are never waited for long.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg import sql
from psycopg.rows import class_row

from ioc.db.pool import Connection
from ioc.model import Answer, Command, Reading

#: Any number of our own.
_LOCK: Final = 0x7464_636D_64
#: Expired commands are looked for among so many newest ones.
_RECENT: Final = 10_000
_COLUMNS: Final = sql.SQL(", ").join(map(sql.Identifier, Command.__struct_fields__))
#: An expired command that the broker has may still be done, as long as no other followed it.
_LATE: Final = sql.SQL(
    "(state = 'expired' AND sent IS NOT NULL AND NOT EXISTS"
    " (SELECT FROM command AS newer WHERE newer.device = command.device AND newer.id > command.id))"
)
_SUPERSEDE: Final = sql.SQL(
    "UPDATE command SET state = 'expired', ended = %s, reason = 'superseded' WHERE device = ANY(%s) AND ended IS NULL"
    " RETURNING {}"
).format(_COLUMNS)
_REQUEST: Final = sql.SQL(
    "INSERT INTO command (device, level, who, requested) SELECT device, %s, %s, %s FROM unnest(%s::text[]) AS device"
    " RETURNING {}"
).format(_COLUMNS)
_ANSWER: Final = sql.SQL(
    "UPDATE command SET answered = %(received)s, sent = coalesce(sent, %(received)s),"
    " state = CASE WHEN %(ok)s THEN 'accepted' ELSE 'refused' END,"
    " ended = CASE WHEN %(ok)s THEN NULL ELSE %(received)s::timestamptz END,"
    " reason = CASE WHEN %(ok)s THEN '' ELSE %(detail)s END"
    " WHERE id = coalesce(%(order)s, (SELECT id FROM command WHERE device = %(device)s AND ended IS NULL AND handed))"
    " AND device = %(device)s AND answered IS NULL AND (state IN ('requested', 'sent') OR {}) RETURNING {}"
).format(_LATE, _COLUMNS)
#: No answer is coming. It may have been done all the same, so a reading may still show it.
_SILENCE: Final = sql.SQL(
    "UPDATE command SET state = 'expired', sent = coalesce(sent, %(received)s), ended = %(received)s, reason = %(detail)s"
    " WHERE id = %(order)s AND device = %(device)s AND state IN ('requested', 'sent') RETURNING {}"
).format(_COLUMNS)
_HANDED: Final = (
    "UPDATE command SET handed = true WHERE id = ANY(%s) AND state = 'requested' AND ended IS NULL RETURNING id"
)
_SENT: Final = sql.SQL(
    "UPDATE command SET sent = least(sent, one.time), state = CASE WHEN state = 'requested' THEN 'sent' ELSE state END,"
    " reason = CASE WHEN reason = 'unsent' THEN 'unanswered' ELSE reason END"
    " FROM unnest(%s::int8[], %s::timestamptz[]) AS one (order_id, time) WHERE id = one.order_id RETURNING {}"
).format(_COLUMNS)
_UNSENT: Final = sql.SQL(
    "UPDATE command SET state = one.state, reason = one.reason, ended = one.time"
    " FROM unnest(%s::int8[], %s::text[], %s::text[], %s::timestamptz[]) AS one (order_id, state, reason, time)"
    " WHERE id = one.order_id AND command.state = 'requested' RETURNING {}"
).format(sql.SQL(", ").join(sql.SQL("command.{}").format(sql.Identifier(f)) for f in Command.__struct_fields__))
_EXPIRE: Final = sql.SQL(
    "UPDATE command SET ended = %(now)s, reason = CASE state WHEN 'requested' THEN 'unsent' WHEN 'sent' THEN 'unanswered'"
    " ELSE 'unconfirmed' END, state = 'expired' WHERE ended IS NULL AND ("
    " (state = 'requested' AND requested <= %(send)s) OR (state = 'sent' AND sent <= %(send)s)"
    " OR (state = 'accepted' AND answered <= %(confirm)s)) RETURNING {}"
).format(_COLUMNS)
_CONFIRM: Final = sql.SQL(
    "UPDATE command SET state = 'confirmed', confirmed = one.time, ended = one.time, reason = ''"
    " FROM unnest(%s::int8[], %s::timestamptz[]) AS one (order_id, time)"
    " WHERE id = one.order_id AND (state IN ('sent', 'accepted') OR {}) RETURNING {}"
).format(_LATE, _COLUMNS)
_FRESH: Final = sql.SQL("SELECT {} FROM command WHERE state = 'requested' AND ended IS NULL ORDER BY id").format(
    _COLUMNS
)
_HOPED: Final = sql.SQL(
    "SELECT {} FROM command WHERE sent IS NOT NULL AND (ended IS NULL OR (ended > %s AND {}"
    " AND id > (SELECT max(id) FROM command) - {})) ORDER BY id"
).format(_COLUMNS, _LATE, sql.Literal(_RECENT))
_OF: Final = sql.SQL("SELECT {} FROM command WHERE device = %s ORDER BY id DESC LIMIT %s").format(_COLUMNS)
_BELOW: Final = sql.SQL(
    "SELECT {} FROM command JOIN device ON device.id = command.device WHERE device.parent = %s AND requested = ANY("
    " SELECT DISTINCT requested FROM command JOIN device ON device.id = command.device"
    " WHERE device.parent = %s ORDER BY requested DESC LIMIT %s) ORDER BY command.id"
).format(sql.SQL(", ").join(sql.SQL("command.{}").format(sql.Identifier(f)) for f in Command.__struct_fields__))


class Failure(NamedTuple):
    """A command that could not be sent: `expired` when its time was over, `failed` when it could not be said at all."""

    order: int
    state: str
    reason: str
    time: datetime


def request(connection: Connection, devices: Collection[str], level: float, who: str, now: datetime) -> list[Command]:
    """Write down what devices are to be told, and end what they were told before; returns both.

    Must run inside a transaction; the devices have been looked at.
    """
    _take_lock(connection)
    keys = sorted(devices)
    return _rows(connection, _SUPERSEDE, (now, keys)) + _rows(connection, _REQUEST, (level, who, now, keys))


def settle_answers(connection: Connection, answers: Sequence[Answer]) -> list[Command]:
    """Note what devices answered; each command is answered once. Returns the commands; must run inside a transaction."""
    if not answers:
        return []
    _take_lock(connection)
    changed = []
    for one in answers:
        values = {field: getattr(one, field) for field in Answer.__struct_fields__}
        changed += _rows(connection, _SILENCE if one.ok is None else _ANSWER, values)
    return changed


def to_send(connection: Connection) -> list[Command]:
    """Commands that wait to be sent, oldest first."""
    return _rows(connection, _FRESH, ())


def expired(connection: Connection, orders: Collection[int]) -> set[int]:
    """Those of them that are not to be done any more: a newer one came, or their time was over."""
    rows = connection.execute("SELECT id FROM command WHERE id = ANY(%s) AND state = 'expired'", (list(orders),))
    return {order for (order,) in rows}


def mark_handed(connection: Connection, orders: Collection[int]) -> set[int]:
    """They are about to be sent; returns those that still wait for it."""
    with connection.transaction():
        _take_lock(connection)
        return {order for (order,) in connection.execute(_HANDED, (list(orders),))}


def mark_sent(connection: Connection, sent: Iterable[tuple[int, datetime]]) -> list[Command]:
    """The broker has them."""
    rows = sorted(sent)
    with connection.transaction():
        _take_lock(connection)
        return _rows(connection, _SENT, ([order for order, _ in rows], [time for _, time in rows]))


def mark_unsent(connection: Connection, failures: Iterable[Failure]) -> list[Command]:
    """They could not be sent."""
    rows = sorted(failures)
    with connection.transaction():
        _take_lock(connection)
        return _rows(connection, _UNSENT, tuple(list(column) for column in zip(*rows, strict=True)))


def expire(connection: Connection, now: datetime, answer: timedelta, confirm: timedelta) -> list[Command]:
    """End what was not sent or answered within `answer`, and what no reading showed within `confirm` after its answer."""
    with connection.transaction():
        _take_lock(connection)
        return _rows(connection, _EXPIRE, {"now": now, "send": now - answer, "confirm": now - confirm})


def hoped_for(connection: Connection, since: datetime) -> list[tuple[Command, list[Reading]]]:
    """Commands that a reading may still show to be done, expired ones if they ended after `since`, with their lamps' latest."""
    commands = _rows(connection, _HOPED, (since,))
    latest: dict[str, list[Reading]] = {command.device: [] for command in commands}
    if latest:
        with connection.cursor(row_factory=class_row(Reading)) as cursor:
            for reading in cursor.execute(
                "SELECT time, device, measure, value, quality, received FROM latest"
                " WHERE device = ANY(%s) AND measure IN ('illuminanceLevel', 'powerState')",
                (list(latest),),
            ):
                latest[reading.device].append(reading)
    return [(command, latest[command.device]) for command in commands]


def mark_confirmed(connection: Connection, confirmed: Iterable[tuple[int, datetime]]) -> list[Command]:
    """Readings show that they were done."""
    rows = sorted(confirmed)
    with connection.transaction():
        _take_lock(connection)
        return _rows(connection, _CONFIRM, ([order for order, _ in rows], [time for _, time in rows]))


def commands_of(connection: Connection, device: str, most: int = 5) -> list[Command]:
    """The newest commands of one device, newest first."""
    return _rows(connection, _OF, (device, most))


def commands_below(connection: Connection, device: str, most: int = 3) -> list[Command]:
    """The commands of the newest requests to lamps directly below a device, by number."""
    return _rows(connection, _BELOW, (device, device, most))


def _take_lock(connection: Connection) -> None:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def _rows(connection: Connection, query: sql.Composed, values: Any) -> list[Command]:
    with connection.cursor(row_factory=class_row(Command)) as cursor:
        return cursor.execute(query, values).fetchall()
