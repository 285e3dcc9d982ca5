"""One process acts on a database, others of its kind stand by and take over: a lock that goes with the connection.

One that hangs loses its connection to whoever stands by (`ioc.db.hung`), and stands by itself when it wakes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final, Protocol

from ioc.connected import work_connected
from ioc.db.hung import end_hung_holder
from ioc.db.pool import Connection, translated
from ioc.live import Live
from ioc.service import Service

#: How often one that stands by tries to take over.
STANDBY_S: Final = 2.0


class Acting(Protocol):
    """Who acts."""

    def figures(self) -> dict[str, float]:
        """For the heartbeat."""

    def run(self) -> None:
        """Act until told to stop.

        Raises:
            StorageError: the connection, and with it the turn, is lost.
        """


def take_turns(service: Service, lock: int, begin: Callable[[Connection, Live], Acting]) -> None:
    """Act while it is our turn, stand by while it is not, until told to stop.

    Args:
        service: whose process this is.
        lock: a number of its own for this kind of service.
        begin: makes who acts, on the connection that holds the turn, in autocommit.
    """
    with closing(Live(service.settings.require("redis_url"))) as live:
        service.figures = _standing_by

        def turn(connection: Connection) -> None:
            if _wait_for_turn(service, connection, lock):
                acting = begin(connection, live)
                service.figures = acting.figures
                try:
                    acting.run()
                finally:
                    service.figures = _standing_by

        work_connected(service, turn)


def _wait_for_turn(service: Service, connection: Connection, lock: int) -> bool:
    """Stand by until the lock is ours. False = told to stop."""
    while not service.stopping.is_set():
        with translated():
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (lock,)).fetchone()
            if row is not None and row[0]:
                return True
            if end_hung_holder(connection, lock):
                service.log.warning("who had the turn hangs, and was ended")
        service.stopping.wait(STANDBY_S)
    return False


def _standing_by() -> dict[str, float]:
    return {"acting": 0}
