"""Quarantine: what could not become records is kept with its reason, so that it can be looked at and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ioc.db.pool import Connection
from ioc.model import Rejected

#: Bytes of a payload that are kept.
MOST_KEPT: Final = 65_536
_MOST_TEXT: Final = 500


def printable(text: str, most: int = _MOST_TEXT) -> str:
    """Text that PostgreSQL takes: no NUL, no half surrogate pairs, not too long."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\\0")
    return text if len(text) <= most else text[: most - 1] + "…"


def store_rejected(connection: Connection, rejected: Sequence[Rejected]) -> None:
    """Store rejected messages; must run inside a transaction."""
    if rejected:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                [msgspec.structs.astuple(one) for one in rejected],
            )
