"""Replays: what people ask to be decoded again, and how that goes.

A message that waits carries the number of its replay. Ingest decodes it with today's dialects and mappings and settles it in the
transaction that stores what it said, so that it is replayed once, whatever process dies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from psycopg.rows import class_row

from ioc.db.audit import append
from ioc.db.mappings import CALL_INGEST
from ioc.db.pool import Connection
from ioc.db.quarantine import Outcome, Wanted, condition
from ioc.errors import ActionError
from ioc.service import utc_now
from ioc.typed import typed_name

#: Messages that one request marks at most; then one asks again.
MOST: Final = 100_000
#: Of these not everything was kept: the payload, or a topic with bytes that are no text or that is too long (`printable`).
_CUT: Final = "(size <> octet_length(payload) OR char_length(topic) >= 500 OR strpos(topic, U&'\\FFFD') > 0)"


class Replay(msgspec.Struct, frozen=True):
    """One request.

    Attributes:
        total: messages it marked; what is neither replayed, refused, cut nor stopped still waits.
        stopped: messages that were waiting when somebody stopped it.
    """

    id: int
    who: str
    asked: datetime
    total: int
    replayed: int
    refused: int
    cut: int
    stopped: int
    ended: datetime | None

    @property
    def waiting(self) -> int:
        """Messages that are still to be decoded."""
        return self.total - self.replayed - self.refused - self.cut - self.stopped


class Waiting(NamedTuple):
    """A message that waits, as ingest decodes it."""

    received: datetime
    id: int
    topic: str
    payload: bytes


class Row(NamedTuple):
    """An entry of quarantine; a message has one for each reason, all with the same receive time."""

    received: datetime
    id: int
    topic: str
    client: str
    dialect: str
    reason: str
    replay: int | None
    outcome: Outcome


class Settled(NamedTuple):
    """What became of an entry: its outcome, and what is said of it now; detail None = as before."""

    row: Row
    outcome: Outcome
    client: str
    dialect: str
    reason: str
    detail: str | None

    @property
    def row_after(self) -> Row:
        """The entry as it is now."""
        return Row(*self.row[:3], self.client, self.dialect, self.reason, None, self.outcome)


# --- asked for by people ---------------------------------------------------------------------------------------------------


def ask(
    connection: Connection, who: str, what: Wanted | Sequence[tuple[datetime, int]], found: Sequence[str] | None
) -> Replay:
    """Mark messages to be decoded again, the oldest first, `MOST` at most.

    Args:
        connection: to TimescaleDB.
        who: the person.
        what: a filter, or messages by receive time and id.
        found: the places of the filter's words, None when no words are searched for.

    Raises:
        ActionError: nothing is there that could be.
    """
    who = typed_name(who)
    if isinstance(what, Wanted):
        where, values = condition(what, found)
    else:
        times, ids = [time for time, _ in what], [key for _, key in what]
        values = {"times": times, "ids": ids, "least": min(times, default=None), "most": max(times, default=None)}
        where = (
            "received BETWEEN %(least)s AND %(most)s AND (received, id) IN"
            " (SELECT * FROM unnest(%(times)s::timestamptz[], %(ids)s::int8[]))"
        )
    with connection.transaction():
        replay = _one(
            connection, "INSERT INTO replay (who, asked, total) VALUES (%s, %s, 0) RETURNING *", (who, utc_now())
        )
        rows = connection.execute(
            (
                f"WITH chosen AS (SELECT received, id, {_CUT} AS cut FROM quarantine WHERE {where} AND replay IS NULL"  # noqa: S608
                " AND outcome IN ('', 'refused') ORDER BY received, id LIMIT %(limit)s FOR UPDATE),"
                " marked AS (UPDATE quarantine AS one SET replay = CASE WHEN chosen.cut THEN NULL ELSE %(replay)s END,"
                " outcome = CASE WHEN chosen.cut THEN 'cut' ELSE one.outcome END,"
                " settled = CASE WHEN chosen.cut THEN now() ELSE one.settled END"
                " FROM chosen WHERE one.received = chosen.received AND one.id = chosen.id RETURNING chosen.cut)"
                " SELECT cut, count(*) FROM marked GROUP BY cut"
            ).encode(),
            values | {"limit": MOST, "replay": replay.id},
        )
        marked = {bool(cut): int(number) for cut, number in rows}
        cut, total = marked.get(True, 0), sum(marked.values())
        if not total:
            raise ActionError("nothing there can be replayed: it waits already, was replayed, or was not kept whole")
        replay = _one(
            connection,
            "UPDATE replay SET total = %s, cut = %s, ended = CASE WHEN %s THEN now() END WHERE id = %s RETURNING *",
            (total, cut, total == cut, replay.id),
        )
        asked = msgspec.to_builtins(what) if isinstance(what, Wanted) else {"messages": len(what)}
        append(connection, who, "quarantine.replay", str(replay.id), after={"what": asked, "total": total, "cut": cut})
        connection.execute(CALL_INGEST)
    return replay


def stop(connection: Connection, who: str, key: int) -> Replay:
    """Have the messages of a replay that still wait lie where they are.

    Raises:
        ActionError: there is none, or it has ended.
    """
    who = typed_name(who)
    with connection.transaction():
        left = connection.execute("UPDATE quarantine SET replay = NULL WHERE replay = %s", (key,)).rowcount
        found = _all(
            connection,
            "UPDATE replay SET stopped = stopped + %s, ended = now() WHERE id = %s AND ended IS NULL RETURNING *",
            (left, key),
        )
        if not found:
            raise ActionError(f"replay {key} is not running")
        append(connection, who, "quarantine.stop", str(key), after={"stopped": left})
    return found[0]


def newest(connection: Connection, most: int = 5) -> list[Replay]:
    """The last replays, the newest first."""
    return _all(connection, "SELECT * FROM replay ORDER BY id DESC LIMIT %s", (most,))


# --- carried out by ingest -------------------------------------------------------------------------------------------------


def waiting(connection: Connection, besides: Collection[int], most: int, most_bytes: int) -> list[Waiting]:
    """Messages that wait, the oldest of the first request first, besides those in hand; the last of them goes over the bytes."""
    rows = connection.execute(
        "WITH next AS (SELECT * FROM quarantine WHERE replay IS NOT NULL AND NOT id = ANY(%s)"
        " ORDER BY replay, received, id LIMIT %s),"
        " summed AS (SELECT *, sum(octet_length(payload)) OVER (ORDER BY replay, received, id) AS bytes FROM next)"
        " SELECT received, id, topic, payload FROM summed WHERE bytes - octet_length(payload) < %s"
        " ORDER BY replay, received, id",
        (list(besides), most, most_bytes),
    )
    return [Waiting(received, key, topic, bytes(payload)) for received, key, topic, payload in rows]


def lock(connection: Connection, times: Collection[datetime]) -> list[Row]:
    """All entries received at these times, which nobody else changes until the transaction ends."""
    if not times:
        return []
    rows = connection.execute(
        "SELECT received, id, topic, client, dialect, reason, replay, outcome FROM quarantine"
        " WHERE received BETWEEN %s AND %s AND received = ANY(%s) ORDER BY received, id FOR UPDATE",
        (min(times), max(times), sorted(times)),
    )
    return [Row(*row) for row in rows]


def settle(connection: Connection, settled: Sequence[Settled]) -> None:
    """Write down what became of entries, and end the replays that have none left; in the transaction that locked them."""
    if not settled:
        return
    rows = [one.row for one in settled]
    connection.execute(
        "UPDATE quarantine AS one SET replay = NULL, settled = now(), outcome = new.outcome, client = new.client,"
        " dialect = new.dialect, reason = new.reason, detail = coalesce(new.detail, one.detail) FROM"
        " unnest(%s::timestamptz[], %s::int8[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
        " AS new (received, id, outcome, client, dialect, reason, detail)"
        " WHERE one.received BETWEEN %s AND %s AND one.received = new.received AND one.id = new.id",
        (
            [row.received for row in rows],
            [row.id for row in rows],
            *map(list, zip(*(one[1:] for one in settled), strict=True)),
            min(row.received for row in rows),
            max(row.received for row in rows),
        ),
    )
    asked: Counter[tuple[int, Outcome]] = Counter()
    for one in settled:
        if one.row.replay is not None:
            asked[one.row.replay, one.outcome] += 1
    if asked:
        _tell(connection, sorted({key for key, _ in asked}), asked)


def end_empty(connection: Connection) -> None:
    """End replays whose last messages went with their age, not by being decoded."""
    connection.execute(
        "UPDATE replay SET ended = now(), stopped = total - replayed - refused - cut WHERE ended IS NULL"
        " AND NOT EXISTS (SELECT FROM quarantine WHERE quarantine.replay = replay.id)"
    )


def _tell(connection: Connection, keys: Sequence[int], asked: Counter[tuple[int, Outcome]]) -> None:
    connection.execute(
        "UPDATE replay SET replayed = replay.replayed + new.replayed, refused = replay.refused + new.refused,"
        " ended = CASE WHEN NOT EXISTS (SELECT FROM quarantine WHERE quarantine.replay = replay.id) THEN now() END"
        " FROM unnest(%s::int8[], %s::int8[], %s::int8[]) AS new (id, replayed, refused) WHERE replay.id = new.id",
        (list(keys), [asked[key, "replayed"] for key in keys], [asked[key, "refused"] for key in keys]),
    )
    connection.execute(CALL_INGEST)


def _one(connection: Connection, query: str, values: Iterable[Any]) -> Replay:
    (replay,) = _all(connection, query, values)
    return replay


def _all(connection: Connection, query: str, values: Iterable[Any]) -> list[Replay]:
    with connection.cursor(row_factory=class_row(Replay)) as cursor:
        return cursor.execute(query.encode(), tuple(values)).fetchall()
