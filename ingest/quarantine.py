"""Quarantine: what could not become records is kept with its reason, so that it can be looked at and replayed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from ioc.db.pool import Connection
from ioc.model import Rejected

#: Bytes of a payload that are kept.
MOST_KEPT: Final = 65_536
_MOST_TEXT: Final = 500


def printable(text: str, most: int = _MOST_TEXT) -> str:
    """Text that PostgreSQL takes: no NUL, no half surrogate pairs, not too long."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\\0")
    return text if len(text) <= most else text[: most - 1] + "…"


def digest(rejected: Rejected) -> bytes:
    """What makes two rejected messages the same one, however often it is delivered."""
    parts = (rejected.topic.encode(), rejected.reason.encode(), rejected.detail.encode(), rejected.payload)
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8))
        whole.update(part)
    return whole.digest()


def store_rejected(connection: Connection, rejected: Sequence[Rejected]) -> int:
    """Store rejected messages; a redelivered one that came within the last hour is not stored again. Returns how many.

    Must run inside a transaction.
    """
    if not rejected:
        return 0
    fresh: dict[bytes, Rejected] = {}
    rows = []
    for one in rejected:
        key = digest(one)
        if one.redelivered and key in fresh:
            continue
        fresh[key] = one
        rows.append((one, key))
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size, digest)"
            " SELECT %(received)s, %(topic)s, %(client)s, %(dialect)s, %(reason)s, %(detail)s, %(payload)s, %(size)s,"
            " %(digest)s WHERE NOT (%(redelivered)s AND EXISTS (SELECT FROM quarantine WHERE digest = %(digest)s"
            " AND received > %(received)s - INTERVAL '1 hour'))",
            [
                {
                    "received": one.received,
                    "topic": one.topic,
                    "client": one.client,
                    "dialect": one.dialect,
                    "reason": one.reason,
                    "detail": one.detail,
                    "payload": one.payload,
                    "size": one.size,
                    "digest": key,
                    "redelivered": one.redelivered,
                }
                for one, key in rows
            ],
        )
        return max(cursor.rowcount, 0)
