"""One process at a time commits what comes to a client id: a lock in the database that ends with the connection that commits.

It marks every transaction, so that it can tell afterwards whether one came through whose answer was lost. The transaction's own
number does not tell: a server that crashed before it wrote that down gives it to another one.

A broker hands the session of a client id to whoever connected last. Two processes under one id would take it from each other
without end, and each would commit messages that the other one has in hand too. So the second one stands by, and takes over when
the first one is gone, or hangs (`ioc.db.hung`): then its connection is ended. When it wakes, the broker has closed its session,
what it had not committed fails, and it learns from the lock or the mark that another one has its messages.
"""

from __future__ import annotations

import secrets
import zlib
from datetime import datetime
from itertools import count
from typing import Final

import psycopg

from ioc.db.hung import end_hung_holder
from ioc.db.pool import Connection
from ioc.errors import StorageError

#: Any number of our own, beside which the lock's second number says which client id.
_LOCK: Final = 0x6963_6964
#: A process that has just ended is waited for.
_WAIT: Final = "SET LOCAL lock_timeout = '2s'"
_HOLDER: Final = (
    "SELECT pid, backend_start, host(client_addr) FROM pg_locks JOIN pg_stat_activity USING (pid)"
    " WHERE locktype = 'advisory' AND granted AND classid = %s::oid AND objid = %s::oid AND objsubid = 2"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_OURSELVES: Final = "SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"
_END: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_start = %s"


#: The last mark of a client id is kept among its deliveries, where no packet has the id 0; it begins with its process' signature.
_MARK: Final = (
    "INSERT INTO delivery (client, mid, digest) VALUES (%s, 0, %s)"
    " ON CONFLICT (client, mid) DO UPDATE SET digest = excluded.digest"
)
_MARKED: Final = "SELECT digest FROM delivery WHERE client = %s AND mid = 0"
_SIGNATURE_BYTES: Final = 8


class TakenError(StorageError):
    """Another process commits under this client id."""


class Claim:
    """Taken for one connection after the other; used by one thread at a time."""

    def __init__(self, client: str) -> None:
        self._client = client
        self._key = zlib.crc32(client.encode()) & 0x7FFF_FFFF
        self._signature = secrets.token_bytes(_SIGNATURE_BYTES)
        self._numbers = count()
        #: The server's process behind our last connection, and when it began: it may hold the lock still.
        self._last: tuple[int, datetime] | None = None

    def take(self, connection: Connection) -> None:
        """Take the lock for this connection. What is left on the server of the one before is ended.

        Raises:
            TakenError: another process has it, or had it since we had it last.
            StorageError: what is left of our last connection has it still.
            psycopg.Error: the server is away.
        """
        if self._last is not None:
            connection.execute(_END, self._last)
        try:
            with connection.transaction():
                connection.execute(_WAIT)
                connection.execute("SELECT pg_advisory_lock(%s, %s)", (_LOCK, self._key))
        except psycopg.errors.LockNotAvailable as error:
            holder = connection.execute(_HOLDER, (_LOCK, self._key)).fetchone()
            if holder is None or holder[:2] == self._last:
                raise StorageError("what is left of our last connection is being ended") from error
            if end_hung_holder(connection, (_LOCK, self._key)):
                raise TakenError(
                    f"another ingest runs as {self._client} and hangs: its connection was ended"
                ) from error
            raise TakenError(
                f"another ingest runs as {self._client} (from {holder[2] or 'this machine'}, since {holder[1]:%Y-%m-%d %H:%M}"
                " UTC); this one stands by: end one of them, or give each an ingest_client_id of its own"
            ) from error
        if self._last is None:
            connection.execute(*self.marking())
        elif (marked := self._marked(connection)) is not None and not marked.startswith(self._signature):
            raise TakenError(f"another ingest ran as {self._client} while we had no connection, and has our messages")
        row = connection.execute(_OURSELVES).fetchone()
        assert row is not None
        self._last = row[0], row[1]

    def marking(self) -> tuple[str, tuple[str, bytes]]:
        """The statement that marks what is being written as ours, and its values: the client id, and a mark not used before."""
        return _MARK, (self._client, self._signature + next(self._numbers).to_bytes(8))

    def came_through(self, connection: Connection, mark: bytes) -> bool:
        """Whether the last transaction, which was marked so, was committed; `connection` is one the lock was taken for since."""
        return self._marked(connection) == mark

    def _marked(self, connection: Connection) -> bytes | None:
        row = connection.execute(_MARKED, (self._client,)).fetchone()
        return None if row is None else bytes(row[0])
