"""A process that hangs keeps its connection and with it its locks, for the kernel goes on answering: who waits ends it."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from ioc.db.pool import Connection

#: Whoever acts under a lock says something to the server every second or two. A server that has waited for so long for a client's
#: next word, or for it to read, waits for one that hangs; the same in the middle of a COPY or a transaction.
HUNG_S: Final = 60.0

_END: Final = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND (classid, objid, objsubid) = (%s::oid, %s::oid, %s)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    " AND wait_event_type = 'Client' AND clock_timestamp() - state_change > %s"
)


def end_hung_holder(connection: Connection, key: int | tuple[int, int]) -> bool:
    """End the connection that holds an advisory lock if its process hangs; whether it was so. The lock is free soon after.

    Args:
        connection: of the same role.
        key: as the lock was taken: one number below 2^32, or two.
    """
    place = (0, key, 1) if isinstance(key, int) else (*key, 2)
    return connection.execute(_END, (*place, timedelta(seconds=HUNG_S))).fetchone() is not None
