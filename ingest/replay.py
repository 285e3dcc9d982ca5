"""Messages that lie in quarantine, decoded again with today's dialects and mappings, each exactly once.

The entry in quarantine says whether its message still waits. It is locked before anything of the message is written, and settled
in the same transaction: whoever comes second, another process or this one after a crash, finds nothing waiting. What of a
message was stored when it first came has the same time now (`Intake`), so it is not stored again. Of now it says nothing: what
dialects remember stays as it is, flags tell of no change, and what says how things stand is refused (`Route.of_now`).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from ingest.batch import Batch
from ingest.inbox import Inbox
from ingest.message import QUARANTINE, Block
from ingest.quarantine import printable
from ioc.db.pool import Connection
from ioc.db.quarantine import Key, key_of
from ioc.db.replay import Row, Settled, end_empty, lock, settle, waiting
from ioc.model import Rejected

#: Any number of our own: one process feeds, the others stand by.
_LOCK: Final = 0x7464_7270
#: Messages in hand at once; the rest waits in the database.
_IN_HAND: Final = 1000
_CHUNK: Final = 500
_CHUNK_BYTES: Final = 8 * 1024 * 1024


class Replays:
    """The errand that feeds waiting messages to the decoder, as if they came from the broker again."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._in_hand: set[int] = set()
        self._guard = threading.Lock()

    def __call__(self, connection: Connection) -> None:
        """Feed some, when there is room."""
        with self._guard:
            in_hand = set(self._in_hand)
        if len(in_hand) + _CHUNK > _IN_HAND or not self._inbox.has_room:
            return
        messages = waiting(connection, in_hand, _CHUNK, _CHUNK_BYTES)
        if not messages:
            end_empty(connection)
            return
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if row is None or not row[0]:
            return
        # The lock is this session's, however often it is taken, and free when the session ends.
        with self._guard:
            self._in_hand |= {message.id for message in messages}
        for message in messages:
            raw = (message.topic.encode(), message.payload, message.id, True)
            self._inbox.put(Block(0, message.received, [raw], len(message.payload), QUARANTINE))

    def done(self, keys: Iterable[int]) -> None:
        """These were committed; called from the committing thread."""
        with self._guard:
            self._in_hand.difference_update(keys)


def lock_replays(connection: Connection, batch: Batch) -> list[Row]:
    """The entries of the messages that come from quarantine, locked; those that wait no more are dropped from the batch.

    Must run inside the batch's transaction, before anything of it is written.
    """
    if not batch.replays:
        return []
    entries = lock(connection, {received for received, _ in batch.replays.values()})
    due = {(row.received, row.id) for row in entries if row.replay is not None}
    gone = {origin for origin, key in batch.replays.items() if key not in due}
    if gone:
        batch.drop(gone)
    return entries


def settle_replays(connection: Connection, batch: Batch, entries: Sequence[Row]) -> tuple[Counter[Key], Counter[Key]]:
    """Settle the messages that come from quarantine; returns changes of the counts of messages and of replayed ones."""
    messages: Counter[Key] = Counter()
    replayed: Counter[Key] = Counter()
    by_message: dict[tuple[datetime, str], list[Row]] = {}
    where = {(row.received, row.id): (row.received, row.topic) for row in entries}
    for row in entries:
        by_message.setdefault((row.received, row.topic), []).append(row)
    settled: list[Settled] = []
    for origin, key in batch.replays.items():
        rows = by_message[where[key]]
        changes = {one.row.id: one for one in settled_rows(rows, key[1], batch.again.get(origin, ()))}
        settled += changes.values()
        by_message[where[key]] = [changes[row.id].row_after if row.id in changes else row for row in rows]
    for change in settled:
        row = change.row
        before = key_of(row.received, row.topic, row.client, row.dialect, row.reason)
        after = key_of(row.received, row.topic, change.client, change.dialect, change.reason)
        messages[before] -= 1
        messages[after] += 1
        replayed[after] += change.outcome == "replayed"
    settle(connection, settled)
    return messages, replayed


def settled_rows(rows: Sequence[Row], fed: int, again: Sequence[Rejected]) -> list[Settled]:
    """What becomes of the entries of one message that was decoded again; pure.

    A message has an entry for each reason. The reason of an entry that is not given any more is gone, and with it the entry's
    cause; a reason that is new goes to the entry that was fed.

    Args:
        rows: the message's entries.
        fed: the id of the one that was decoded; when it waits no more, another one's decoding settled all of them.
        again: what is wrong with the message now.
    """
    if not any(row.id == fed and row.replay is not None for row in rows):
        return []
    now = {one.reason: one for one in again}
    known = {row.reason for row in rows if row.outcome != "replayed"}
    new = [one for one in again if one.reason not in known]
    settled = []
    for row in rows:
        said = [now[row.reason]] if row.reason in now else []
        if row.id == fed:
            said += new
        elif new or row.outcome == "replayed" or (said and row.replay is None):
            continue
        if said:
            details = [said[0].detail, *(f"{one.reason}: {one.detail}" for one in said[1:])]
            first = said[0]
            detail = printable("; ".join(details))
            settled.append(Settled(row, "refused", first.client, first.dialect, first.reason, detail))
        else:
            settled.append(Settled(row, "replayed", row.client, row.dialect, row.reason, None))
    return settled
