"""What tells a redelivered message from a new one where nothing in it does: its delivery.

A reading has its device's time, and storing it twice changes nothing. A message without a time, with one that is not believed, or
that goes to quarantine has no such key. The broker repeats packet id and content when it delivers a message again, and uses the
id for another message only after our acknowledgement; so the deliveries that were committed are kept, the last one of each packet
id. They are void once the broker has begun another session (`ingest.session`), or has come so far round with its packet ids that
it will use them for other messages next: ids that ascend, as Mosquitto's do, are taken for granted (RabbitMQ goes by order).

A message from the spool has two identities. Its place there tells whether it was committed before this process began to read the
segment again. Its packet id tells whether the broker has delivered it again because our acknowledgement came to nothing.

A broker that numbers its deliveries anew on every connection repeats their order (`ingest.order`).

What is replayed from quarantine has its entry there, which says whether it still waits (`ingest.replay`).
"""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Final

from ingest.batch import ID_SLICE, Batch
from ingest.message import Raw
from ingest.order import Delivered, Session, follow
from ioc.db.pool import Connection
from ioc.settings import MOST_INFLIGHT

#: Whose packet id, and which.
_Key = tuple[str, int]
_DIGEST_BYTES: Final = 16
#: The name of a client's last session is kept among its deliveries, where no packet has that id.
_SESSION: Final = -1
_MOST_IDS: Final = 65_535
#: What was noted of so many packet ids ahead is void: those that may be under way (`ingest_inflight`), and a
#: slice, within which nobody looks. As many at least lie behind, whose messages may come again.
_AHEAD: Final = MOST_INFLIGHT + ID_SLICE
#: So many messages of a session are remembered in their order: more than a broker hands out unacknowledged, and those whose
#: acknowledgement it takes but loses with its life.
_REMEMBERED: Final = 100_000


def settle_deliveries(connection: Connection, batch: Batch, *, in_order: bool) -> int:
    """Drop from the batch what was committed before, and note the rest as committed; returns how many messages were dropped.

    Must run inside the batch's transaction.

    Args:
        connection: in that transaction.
        batch: loses what was committed before.
        in_order: the broker repeats the order of its deliveries, not their packet ids.
    """
    repeated = 0
    if in_order:
        for client in sorted(batch.sessions):
            repeated += _settle_order(connection, batch, client)
    undated = [
        origin
        for origin in sorted(batch.undated)
        if batch.messages[origin][2]
        and origin not in batch.replays
        and not (in_order and batch.spooled(origin) is None)
    ]
    begun = _begun_anew(connection, batch) if batch.begun else {}
    passed = {} if in_order else batch.passed
    if not undated and not batch.marks and not begun and not passed:
        return repeated
    keys_of = {origin: (batch.source(origin), batch.messages[origin][2]) for origin in undated}
    marks = {origin: mark for origin in undated if (mark := batch.spooled(origin)) is not None}
    asked = {keys_of[origin] for origin in undated if batch.messages[origin][3]} | set(marks.values())
    known = _committed(connection, asked) if asked else {}
    fresh: dict[_Key, bytes] = {}
    #: Of sessions that have ended: nothing of them comes again behind this batch.
    ended = {key: known.pop(key) for key in list(known) if key[0] in begun}
    dropped = set()
    for origin, key in keys_of.items():
        mark = marks.get(origin)
        if mark in known:
            dropped.add(origin)
            continue
        content = digest(batch.messages[origin])
        if mark is not None:
            batch.marks[mark] = content
        is_over = key[0] in begun and origin < begun[key[0]][0]
        noted = (ended,) if is_over else (known, fresh)
        if batch.messages[origin][3] and any(deliveries.get(key) == content for deliveries in noted):
            dropped.add(origin)
        else:
            noted[-1][key] = content
    if dropped:
        batch.drop(dropped)
    for client in sorted(begun):
        connection.execute("DELETE FROM delivery WHERE client = %s AND mid > 0", [client])
    for client, mid in sorted(passed.items()):
        connection.execute(
            "DELETE FROM delivery WHERE client = %s AND mid > 0 AND (mid > %s AND mid <= %s OR mid <= %s)",
            (client, mid, mid + _AHEAD, mid + _AHEAD - _MOST_IDS),
        )
    fresh |= batch.marks | {(client, _SESSION): name for client, (_, name) in begun.items()}
    keys = sorted(fresh)
    connection.execute(
        "INSERT INTO delivery (client, mid, digest) SELECT * FROM unnest(%s::text[], %s::int8[], %s::bytea[])"
        " ON CONFLICT (client, mid) DO UPDATE SET digest = excluded.digest",
        ([client for client, _ in keys], [mid for _, mid in keys], [fresh[key] for key in keys]),
    )
    return repeated + len(dropped)


def _settle_order(connection: Connection, batch: Batch, client: str) -> int:
    """The same for the messages that one session handed over."""
    row = connection.execute(
        "INSERT INTO delivery_session (client) VALUES (%s) ON CONFLICT (client) DO UPDATE SET client = excluded.client"
        " RETURNING connection, ends, place",
        [client],
    ).fetchone()
    assert row is not None
    before = Session(*row)
    origins: list[int] = []
    connections = []
    for generation, group in batch.handed_over(client):
        origins += group
        messages = [
            Delivered(digest(batch.messages[origin]), batch.messages[origin][3], origin not in batch.undated)
            for origin in group
        ]
        connections.append((generation, messages))
    after, known, fresh = follow(before, partial(_remembered, connection, client), connections)
    dropped = {origin for origin, was in zip(origins, known, strict=True) if was} & batch.undated
    if dropped:
        batch.drop(dropped)
    if fresh:
        connection.execute("INSERT INTO delivery_order VALUES (%s, %s, %s)", (client, before.ends, b"".join(fresh)))
        connection.execute(
            "DELETE FROM delivery_order WHERE client = %s AND at < %s", (client, after.ends - _REMEMBERED)
        )
    connection.execute(
        "UPDATE delivery_session SET connection = %s, ends = %s, place = %s WHERE client = %s", (*after, client)
    )
    return len(dropped)


def _remembered(connection: Connection, client: str) -> tuple[int, list[bytes]]:
    """The number of the first message of a session that is remembered, and the digests from there on."""
    rows = connection.execute(
        "SELECT at, digests FROM delivery_order WHERE client = %s ORDER BY at", [client]
    ).fetchall()
    whole = b"".join(digests for _, digests in rows)
    return rows[0][0] if rows else 0, [whole[at : at + _DIGEST_BYTES] for at in range(0, len(whole), _DIGEST_BYTES)]


def forget_spooled(connection: Connection, marked: str) -> None:
    """A spool is empty, whose marks begin so: nothing of it will come again."""
    connection.execute("DELETE FROM delivery WHERE starts_with(client, %s)", [marked])


def digest(message: Raw) -> bytes:
    """What two deliveries of one message share."""
    topic, payload, _, _ = message
    whole = hashlib.blake2b(len(topic).to_bytes(4), digest_size=_DIGEST_BYTES)
    whole.update(topic)
    whole.update(payload)
    return whole.digest()


def _begun_anew(connection: Connection, batch: Batch) -> dict[str, tuple[int, bytes]]:
    """The sessions that the broker has begun with this batch, less those that a process before has noted already."""
    noted = _committed(connection, {(client, _SESSION) for client in batch.begun})
    return {client: one for client, one in batch.begun.items() if noted.get((client, _SESSION)) != one[1]}


def _committed(connection: Connection, keys: set[_Key]) -> dict[_Key, bytes]:
    rows = connection.execute(
        "SELECT client, mid, digest FROM delivery JOIN unnest(%s::text[], %s::int8[]) AS asked (client, mid) USING (client, mid)",
        ([client for client, _ in keys], [mid for _, mid in keys]),
    )
    return {(client, mid): bytes(content) for client, mid, content in rows}
