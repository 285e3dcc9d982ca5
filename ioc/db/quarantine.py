"""What lies in quarantine: found by reason, place, dialect and time, counted by the hour.

A place is the device a message is of, or its topic where no device is known. Counts come from `quarantine_hour`, which writers
keep exact, so that millions of messages are counted without being read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple

import msgspec
from psycopg.rows import class_row

from ioc.db.pool import Connection
from ioc.model import Rejected

HOUR: Final = timedelta(hours=1)
#: Places that a search for text goes on with; those with the most messages.
MOST_PLACES: Final = 500
#: Bytes of samples of one place, which are read whole.
SAMPLES_BYTES: Final = 1024 * 1024
#: Beginning of a payload that is read for a list.
_BEGINNING: Final = 160
#: Any number of our own, for who looks what lies here.
_LOCK: Final = 0x696F_6371
#: As in the index `quarantine_place`.
PLACE: Final = "(CASE WHEN client = '' THEN topic ELSE client END)"
#: Buckets begin at midnight of the city, whatever their length.
_ORIGIN: Final = "'2000-01-01 00:00:00+07'::timestamptz"
#: Without case and diacritics, as a search is typed; the twin of `dashboards.search.fold`.
_PLAIN: Final = (
    "CASE WHEN octet_length(place) = char_length(place) THEN lower(place) ELSE lower(translate(regexp_replace("
    "normalize(place, NFD), U&'[\\0300-\\036F]', '', 'g'), 'đĐ', 'dD')) END"
)

Outcome = Literal["", "replayed", "refused", "cut"]


class Wanted(msgspec.Struct, frozen=True):
    """Which messages.

    Attributes:
        since / until: when they were received; counts go by whole hours.
        reason / dialect: "" = any; the dialect "" of messages that no dialect knows is asked for as "-".
        words: each must occur in the place, without case and diacritics.
        devices: ids that also count as found, because their names have the words.
        replayed: those that have been stored by a replay, those that have not (False), or both (None).
    """

    since: datetime
    until: datetime
    reason: str = ""
    dialect: str = ""
    words: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    replayed: bool | None = False


class Held(msgspec.Struct, frozen=True):
    """A message in quarantine, with the beginning of its payload or as much as was kept of it.

    Attributes:
        kept: bytes of the payload that were kept.
        replay: number of the replay it waits for.
        outcome: of its last replay, "" before one.
        settled: when that was.
    """

    received: datetime
    id: int
    topic: str
    client: str
    dialect: str
    reason: str
    detail: str
    payload: bytes
    size: int
    kept: int
    replay: int | None
    outcome: Outcome
    settled: datetime | None

    @property
    def is_whole(self) -> bool:
        """Whether all of it was kept, so that it can be decoded again."""
        return self.size == self.kept


class Bar(NamedTuple):
    """Messages of one reason in one span of time."""

    time: datetime
    reason: str
    messages: int


class Key(NamedTuple):
    """What messages are counted by: the hour, and as `Wanted` asks for them."""

    bucket: datetime
    place: str
    dialect: str
    reason: str


def key_of(received: datetime, topic: str, client: str, dialect: str, reason: str) -> Key:
    """Where a message is counted."""
    return Key(received.replace(minute=0, second=0, microsecond=0), client or topic, dialect, reason)


def store_rejected(connection: Connection, rejected: Sequence[Rejected]) -> Counter[Key]:
    """Store rejected messages; must run inside a transaction. Returns what `count` is to be told at its end."""
    if rejected:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [msgspec.structs.astuple(one) for one in rejected],
            )
    return Counter(key_of(one.received, one.topic, one.client, one.dialect, one.reason) for one in rejected)


def kept_already(connection: Connection, rejected: Sequence[Rejected]) -> list[bool]:
    """Which of these messages lie here, or come before among them, word for word, for the same reason, and were not stored since.

    Must run inside the transaction that stores the others; nobody else looks until it ends.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    query = (
        f"SELECT EXISTS (SELECT FROM quarantine WHERE {PLACE} = p AND topic = t AND reason = r AND payload = b"  # noqa: S608
        " AND outcome <> 'replayed')"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::bytea[]) WITH ORDINALITY AS asked (p, t, r, b, at) ORDER BY at"
    )
    asked = [(one.client or one.topic, one.topic, one.reason, one.payload) for one in rejected]
    found = connection.execute(query, tuple(map(list, zip(*asked, strict=True))))
    first: dict[tuple[str, str, str, bytes], int] = {}
    return [
        lies_here or first.setdefault(one, at) < at
        for at, ((lies_here,), one) in enumerate(zip(found, asked, strict=True))
    ]


def count(connection: Connection, messages: Counter[Key], replayed: Counter[Key] | None = None) -> None:
    """Add to the counts of messages and of replayed ones; must run inside their transaction, once in it."""
    settled = replayed or Counter()
    # In order, so that writers cannot deadlock.
    keys = sorted(key for key in messages.keys() | settled.keys() if messages[key] or settled[key])
    if keys:
        connection.execute(
            "INSERT INTO quarantine_hour AS known (bucket, place, dialect, reason, messages, replayed) SELECT * FROM"
            " unnest(%s::timestamptz[], %s::text[], %s::text[], %s::text[], %s::int8[], %s::int8[])"
            " ON CONFLICT (bucket, place, dialect, reason) DO UPDATE SET messages = known.messages + excluded.messages,"
            " replayed = known.replayed + excluded.replayed",
            (
                *map(list, zip(*keys, strict=True)),
                [messages[key] for key in keys],
                [settled[key] for key in keys],
            ),
        )


def places(connection: Connection, wanted: Wanted, most: int = MOST_PLACES) -> list[tuple[str, int]]:
    """The places with the most messages, and how many."""
    where, values = _hours(wanted, places=None)
    if wanted.words:
        where += f" AND (place = ANY(%(devices)s) OR ({_PLAIN}) LIKE ALL(%(words)s))"
        values |= {"devices": list(wanted.devices), "words": [f"%{_literal(word)}%" for word in wanted.words]}
    query = (
        f"SELECT place, sum({_counted(wanted)})::bigint AS messages FROM quarantine_hour WHERE {where} GROUP BY place"  # noqa: S608
        f" HAVING sum({_counted(wanted)}) > 0 ORDER BY messages DESC, place LIMIT %(most)s"
    )
    return connection.execute(query.encode(), values | {"most": most}).fetchall()


def bars(connection: Connection, wanted: Wanted, step: timedelta, found: Sequence[str] | None) -> list[Bar]:
    """Messages by reason and span of time, of every reason, whichever is asked for.

    Args:
        connection: to TimescaleDB.
        wanted: what is asked for.
        step: whole hours, or less: then the messages themselves are counted.
        found: the places of the words, None when no words are searched for.
    """
    if step >= HOUR:
        where, values = _hours(msgspec.structs.replace(wanted, reason=""), places=found)
        query = (
            f"SELECT time_bucket(%(step)s, bucket, {_ORIGIN}) AS time, reason, sum({_counted(wanted)})::bigint AS messages"  # noqa: S608
            f" FROM quarantine_hour WHERE {where} GROUP BY 1, 2 HAVING sum({_counted(wanted)}) > 0 ORDER BY 1, 2"
        )
    else:
        where, values = condition(msgspec.structs.replace(wanted, reason=""), places=found)
        query = (
            f"SELECT time_bucket(%(step)s, received, {_ORIGIN}) AS time, reason, count(*) FROM quarantine"  # noqa: S608
            f" WHERE {where} GROUP BY 1, 2 ORDER BY 1, 2"
        )
    return [Bar(*row) for row in connection.execute(query.encode(), values | {"step": step})]


def dialects(connection: Connection, wanted: Wanted) -> list[str]:
    """The dialects that have messages in that span."""
    rows = connection.execute(
        "SELECT DISTINCT dialect FROM quarantine_hour WHERE bucket >= %s AND bucket < %s ORDER BY dialect",
        (wanted.since, wanted.until),
    )
    return [name for (name,) in rows]


def page(
    connection: Connection,
    wanted: Wanted,
    found: Sequence[str] | None,
    *,
    after: tuple[datetime, int] | None = None,
    most: int = 100,
) -> list[Held]:
    """Messages, newest first.

    Args:
        connection: to TimescaleDB.
        wanted: what is asked for.
        found: see `bars`.
        after: go on below this one.
        most: so many at most.
    """
    until = wanted.until if after is None else min(wanted.until, after[0] + timedelta(microseconds=1))
    since = _enough_since(connection, msgspec.structs.replace(wanted, until=until), found, most)
    where, values = condition(msgspec.structs.replace(wanted, since=since, until=until), places=found)
    if after is not None:
        where += " AND (received, id) < (%(received)s, %(id)s)"
        values |= {"received": after[0], "id": after[1]}
    query = f"{_HELD_BEGINNING} WHERE {where} ORDER BY received DESC, id DESC LIMIT %(most)s"
    return _held(connection, query, values | {"most": most})


def one(connection: Connection, received: datetime, key: int) -> Held | None:
    """One message with all that was kept of it."""
    found = _held(connection, f"{_HELD_WHOLE} WHERE received = %(r)s AND id = %(i)s", {"r": received, "i": key})
    return found[0] if found else None


def samples(connection: Connection, place: str, since: datetime, most: int) -> list[Held]:
    """The newest messages of a place, each once however many reasons it has, with all that was kept of them.

    Of large ones they are fewer: the last of them goes over `SAMPLES_BYTES`.
    """
    newest = f"{_HELD_WHOLE} WHERE {PLACE} = %(p)s AND received >= %(s)s ORDER BY received DESC, id DESC LIMIT %(n)s"
    some = f"SELECT DISTINCT ON (received) * FROM ({newest}) AS newest ORDER BY received DESC, id"  # noqa: S608
    query = (
        f"SELECT {', '.join(Held.__struct_fields__)} FROM (SELECT *, sum(kept) OVER (ORDER BY received DESC) AS bytes"  # noqa: S608
        f" FROM ({some}) AS found) AS summed WHERE bytes - kept < %(b)s ORDER BY received DESC"
    )
    return _held(connection, query, {"p": place, "s": since, "n": most, "b": SAMPLES_BYTES})


def samples_of_topics(connection: Connection, topics: Sequence[str], since: datetime, most: int) -> list[Held]:
    """The same of several topics that no device is known of, the newest of all."""
    found = [held for topic in topics for held in samples(connection, topic, since, most)]
    return sorted(found, key=lambda held: (held.received, held.id), reverse=True)[:most]


_COLUMNS: Final = "received, id, topic, client, dialect, reason, detail, {payload} AS payload, size"
_REST: Final = "octet_length(payload) AS kept, replay, outcome, settled FROM quarantine"
_HELD_BEGINNING: Final = f"SELECT {_COLUMNS.format(payload=f'substr(payload, 1, {_BEGINNING})')}, {_REST}"
_HELD_WHOLE: Final = f"SELECT {_COLUMNS.format(payload='payload')}, {_REST}"


def _held(connection: Connection, query: str, values: dict[str, Any]) -> list[Held]:
    with connection.cursor(row_factory=class_row(Held)) as cursor:
        return cursor.execute(query.encode(), values).fetchall()


def _counted(wanted: Wanted) -> str:
    return {False: "messages - replayed", True: "replayed", None: "messages"}[wanted.replayed]


def _hours(wanted: Wanted, places: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
    """A condition on `quarantine_hour`."""
    where, values = ["bucket >= %(since)s AND bucket < %(until)s"], {"since": wanted.since, "until": wanted.until}
    return _and_more(where, values, wanted, "place", places)


def condition(wanted: Wanted, places: Sequence[str] | None) -> tuple[str, dict[str, Any]]:
    """A condition on `quarantine`; only what is asked for stands in it, so that an index can serve it."""
    where, values = ["received >= %(since)s AND received < %(until)s"], {"since": wanted.since, "until": wanted.until}
    if wanted.replayed is not None:
        where.append("outcome = 'replayed'" if wanted.replayed else "outcome <> 'replayed'")
    return _and_more(where, values, wanted, PLACE, places)


def _and_more(
    where: list[str], values: dict[str, Any], wanted: Wanted, place: str, places: Sequence[str] | None
) -> tuple[str, dict[str, Any]]:
    if wanted.reason:
        where.append("reason = %(reason)s")
        values["reason"] = wanted.reason
    if wanted.dialect:
        where.append("dialect = %(dialect)s")
        values["dialect"] = wanted.dialect.removeprefix("-")
    if places is not None:
        where.append(f"{place} = ANY(%(places)s)")
        values["places"] = list(places)
    return " AND ".join(where), values


def _enough_since(connection: Connection, wanted: Wanted, found: Sequence[str] | None, most: int) -> datetime:
    """The hour from which on there are enough messages, so that a list of the newest need not look at the rest."""
    where, values = _hours(wanted, places=found)
    query = (
        f"SELECT bucket, sum({_counted(wanted)})::bigint FROM quarantine_hour WHERE {where} GROUP BY bucket"  # noqa: S608
        " ORDER BY bucket DESC"
    )
    enough = 0
    hours: list[tuple[datetime, int]] = connection.execute(query.encode(), values).fetchall()
    for bucket, messages in hours:
        # Of the newest hour an unknown part lies above where the list goes on.
        enough += messages if bucket + HOUR <= wanted.until else 0
        if enough >= most:
            return max(bucket, wanted.since)
    return wanted.since


def _literal(word: str) -> str:
    """A word as LIKE matches it, its own wildcards taken literally."""
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
