"""The audit log: what people changed or ordered, in one append-only chain (`ioc.chain`) over everything.

Entries are numbered without gaps in the order of their commits: whoever remembers the last number it saw misses no change.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from ioc.chain import GENESIS, Fault, chained, instant
from ioc.db.pool import Connection
from ioc.service import utc_now

#: Any number of our own: one appends at a time, until its transaction ends.
_LOCK: Final = 0x7464_6175_64
#: Entries held in memory at once when the chain is verified.
_PAGE: Final = 5_000


class AuditEntry(msgspec.Struct, frozen=True):
    """One act of a person.

    Attributes:
        what: the act: `<noun>.<verb>`, such as `device.adopt`.
        subject: id of what it was done to.
        before / after: what it was and became, JSON; None where there was or is nothing.
        hash: covers everything else, `previous` included.
    """

    seq: int
    time: datetime
    who: str
    what: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    previous: bytes
    hash: bytes


_COLUMNS: Final = sql.SQL(", ").join(map(sql.Identifier, AuditEntry.__struct_fields__))
_LAST: Final = sql.SQL("SELECT {} FROM audit ORDER BY seq DESC LIMIT 1").format(_COLUMNS)
_AFTER: Final = sql.SQL("SELECT {} FROM audit WHERE seq > %s ORDER BY seq LIMIT %s").format(_COLUMNS)
_OF: Final = sql.SQL("SELECT {} FROM audit WHERE subject = %s AND what = ANY(%s) ORDER BY seq DESC LIMIT %s").format(
    _COLUMNS
)
_INSERT: Final = sql.SQL("INSERT INTO audit ({}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)").format(_COLUMNS)


def append(
    connection: Connection,
    who: str,
    what: str,
    subject: str,
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    now: datetime | None = None,
) -> AuditEntry:
    """Add an entry inside the transaction that does what it tells of, as the last thing in it: others wait for its end.

    Args:
        connection: inside a transaction at READ COMMITTED, which is the server's default.
        who: the person.
        what: see `AuditEntry`.
        subject: see `AuditEntry`.
        before: plain JSON, times as text.
        after: plain JSON, times as text.
        now: the time; None = now.

    Raises:
        ValueError: before or after holds NaN or an infinity.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    with connection.cursor(row_factory=class_row(AuditEntry)) as cursor:
        last = cursor.execute(_LAST).fetchone()
    seq, previous = (1, GENESIS) if last is None else (last.seq + 1, last.hash)
    entry = AuditEntry(seq, now or utc_now(), who, what, subject, before, after, previous, b"")
    entry = msgspec.structs.replace(entry, hash=_hash(entry))
    connection.execute(
        _INSERT,
        (
            entry.seq,
            entry.time,
            entry.who,
            entry.what,
            entry.subject,
            None if before is None else Jsonb(before),
            None if after is None else Jsonb(after),
            entry.previous,
            entry.hash,
        ),
    )
    return entry


def newest_entry(connection: Connection) -> int:
    """Number of the newest entry, 0 when there is none."""
    row = connection.execute("SELECT coalesce(max(seq), 0) FROM audit").fetchone()
    assert row is not None
    return int(row[0])


def entries_after(connection: Connection, seq: int, most: int = _PAGE) -> list[AuditEntry]:
    """What came after an entry, oldest first."""
    with connection.cursor(row_factory=class_row(AuditEntry)) as cursor:
        return cursor.execute(_AFTER, (seq, most)).fetchall()


def entries_of(connection: Connection, subject: str, what: Collection[str], most: int = 50) -> list[AuditEntry]:
    """The newest of such acts on one subject, newest first."""
    with connection.cursor(row_factory=class_row(AuditEntry)) as cursor:
        return cursor.execute(_OF, (subject, sorted(what), most)).fetchall()


def verify_audit(connection: Connection) -> Fault | None:
    """Check the whole chain; None when it is as it was written."""
    seq, previous = 0, GENESIS
    while page := entries_after(connection, seq):
        for entry in page:
            seq += 1
            if entry.seq != seq:
                return Fault(seq, f"has number {entry.seq}, expected {seq}: an entry is missing or was added")
            if entry.previous != previous:
                return Fault(seq, "does not follow the entry before it")
            if entry.hash != _hash(entry):
                return Fault(seq, "was changed after it was written")
            previous = entry.hash
    return None


def _hash(entry: AuditEntry) -> bytes:
    content = {
        "seq": entry.seq,
        "time": instant(entry.time),
        "who": entry.who,
        "what": entry.what,
        "subject": entry.subject,
        "before": entry.before,
        "after": entry.after,
    }
    return chained(content, entry.previous)
