"""What tells a redelivered message from a new one where nothing in it does: its delivery.

A reading has its device's time, and storing it twice changes nothing. A message without a time, or one that goes to quarantine,
has no such key. The broker repeats packet id and content when it delivers a message again, and uses the id for another message
only after our acknowledgement; so the deliveries that were committed are kept, the last one of each packet id.

A message from the spool has two identities. Its place there tells whether it was committed before this process began to read the
segment again. Its packet id tells whether the broker has delivered it again because our acknowledgement came to nothing.

What is replayed from quarantine has its entry there, which says whether it still waits (`ingest.replay`).
"""

from __future__ import annotations

import hashlib

from ingest.batch import Batch
from ingest.message import Raw
from ioc.db.pool import Connection

#: Whose packet id, and which.
_Key = tuple[str, int]


def settle_deliveries(connection: Connection, batch: Batch) -> int:
    """Drop from the batch what was committed before, and note the rest as committed; returns how many messages were dropped.

    Must run inside the batch's transaction.
    """
    undated = [origin for origin in sorted(batch.undated) if batch.messages[origin][2] and origin not in batch.replays]
    if not undated and not batch.marks:
        return 0
    keys_of = {origin: (batch.source(origin), batch.messages[origin][2]) for origin in undated}
    marks = {origin: mark for origin in undated if (mark := batch.spooled(origin)) is not None}
    asked = {keys_of[origin] for origin in undated if batch.messages[origin][3]} | set(marks.values())
    known = _committed(connection, asked) if asked else {}
    fresh: dict[_Key, bytes] = {}
    dropped = set()
    for origin, key in keys_of.items():
        mark = marks.get(origin)
        if mark in known:
            dropped.add(origin)
            continue
        content = digest(batch.messages[origin])
        if mark is not None:
            batch.marks[mark] = content
        if batch.messages[origin][3] and content in (known.get(key), fresh.get(key)):
            dropped.add(origin)
        else:
            fresh[key] = content
    if dropped:
        batch.drop(dropped)
    fresh |= batch.marks
    keys = sorted(fresh)
    connection.execute(
        "INSERT INTO delivery (client, mid, digest) SELECT * FROM unnest(%s::text[], %s::int8[], %s::bytea[])"
        " ON CONFLICT (client, mid) DO UPDATE SET digest = excluded.digest",
        ([client for client, _ in keys], [mid for _, mid in keys], [fresh[key] for key in keys]),
    )
    return len(dropped)


def forget_spooled(connection: Connection, marked: str) -> None:
    """A spool is empty, whose marks begin so: nothing of it will come again."""
    connection.execute("DELETE FROM delivery WHERE starts_with(client, %s)", [marked])


def digest(message: Raw) -> bytes:
    """What two deliveries of one message share."""
    topic, payload, _, _ = message
    whole = hashlib.blake2b(len(topic).to_bytes(4), digest_size=16)
    whole.update(topic)
    whole.update(payload)
    return whole.digest()


def _committed(connection: Connection, keys: set[_Key]) -> dict[_Key, bytes]:
    rows = connection.execute(
        "SELECT client, mid, digest FROM delivery JOIN unnest(%s::text[], %s::int8[]) AS asked (client, mid) USING (client, mid)",
        ([client for client, _ in keys], [mid for _, mid in keys]),
    )
    return {(client, mid): bytes(content) for client, mid, content in rows}
