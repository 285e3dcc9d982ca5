"""Holds ingest's transactions at a chosen place, from outside: by triggers that ask for a test's lock, and by a slow wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from enum import IntEnum
from typing import Any, Final

from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.process import IngestProcess
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually
from tests.fix_stack import Database
from tests.load import Load

#: The connections that ingest writes over.
BACKENDS: Final = "FROM pg_stat_activity WHERE application_name LIKE 'ioc-ingest%' AND datname = current_database()"

#: So many readings are a small batch however they come together (`ioc.db.readings.AT_ONCE`).
FEW: Final = 30


@contextmanager
def in_copy(process: IngestProcess, live: Live, wire: Proxy, db: Database, load: Load) -> Iterator[int]:
    """While inside, some rows of a batch have reached the server and some have not; gives the process id of the backend.

    The load must have a thousand messages that were not let out, and the process must reach its database through the wire.
    """
    wire.stall()
    load.go_on()
    process.wait_holding(live, 1000)
    wire.slow(8_000)
    # TimescaleDB's own COPY into a hypertable reports no progress; that it waits for more of its rows is seen here.
    query = f"SELECT pid {BACKENDS} AND state = 'active' AND query LIKE 'COPY %' AND wait_event = 'ClientRead'"
    with db.connect() as connection:
        (pid,) = eventually(lambda: connection.execute(query).fetchone())
    yield pid
    wire.heal()


def is_at_once(connection: Connection) -> bool:
    """Whether what ingest asked last is a small batch as one statement (`ioc.db.readings.store_at_once`)."""
    asked = connection.execute(f"SELECT query {BACKENDS}").fetchall()
    return bool(asked) and all(query.startswith("WITH beside0 AS (INSERT INTO delivery") for (query,) in asked)


class Place(IntEnum):
    """Where a transaction is held; the number is that of its lock."""

    #: Its rows are copied and inserted, and nobody sees them yet.
    BEFORE_COMMIT = 4711
    #: It has been told to commit, and will, also when its client is gone.
    IN_COMMIT = 4712


class Gates:
    """Gates at both places of one database, open until they are `closed`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        with db.connect() as connection:
            for place, trigger in _TRIGGERS.items():
                name = f"gate_{place.value}"
                connection.execute(
                    f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS"
                    f" $$ BEGIN PERFORM pg_advisory_xact_lock_shared({place.value}); RETURN NULL; END $$"
                )
                connection.execute(f"CREATE {trigger.format(name)} EXECUTE FUNCTION {name}()")

    @contextmanager
    def closed(self, place: Place) -> Iterator[None]:
        """While inside, every transaction of ingest that writes a latest value waits at the place."""
        with closing(self._db.connect()) as connection:  # the lock ends with the session, also when the server crashes
            connection.execute("SELECT pg_advisory_lock(%s)", [place])
            yield

    def wait_held(self) -> int:
        """Wait until a transaction is held; the process id of its backend."""
        # Who stands by waits for a lock of that sort too.
        query = f"SELECT pid {BACKENDS} AND wait_event = 'advisory' AND query NOT LIKE '%pg_advisory_lock%'"
        with self._db.connect() as connection:
            row: Any = eventually(lambda: connection.execute(query).fetchone())
        return int(row[0])


_TRIGGERS: Final = {
    Place.BEFORE_COMMIT: "TRIGGER {} AFTER INSERT ON latest FOR EACH STATEMENT",
    Place.IN_COMMIT: "CONSTRAINT TRIGGER {} AFTER INSERT OR UPDATE ON latest DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
}
