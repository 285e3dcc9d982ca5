"""What pages ask of ingest, by way of the database: one thread, with a connection of its own.

A page writes its wish into a table and calls (`ioc.db.errands`); services share nothing but the broker and the stores. Each
errand looks whether there is anything for it to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

import psycopg

from ioc.db.errands import CHANNEL
from ioc.db.pool import Connection, connect, translated
from ioc.errors import StorageError
from ioc.service import Service, backoff

#: Errands look this often although nobody called: what is due, and what was called while nobody listened.
_LOOK_S: Final = 1.0

#: Looks for work and does it; the connection is in autocommit.
Errand = Callable[[Connection], None]


class Errands:
    """Runs in a thread of its own until the service stops."""

    def __init__(self, service: Service, errands: Sequence[Errand]) -> None:
        self._service = service
        self._errands = errands

    def run(self) -> None:
        """Do errands; connect again when the database went away."""
        waits = backoff()
        stopping = self._service.stopping
        while not stopping.is_set():
            try:
                with closing(connect(self._service.settings.require("database_url"), name="ioc-errands")) as connection:
                    connection.autocommit = True
                    with translated():
                        connection.execute(f"LISTEN {CHANNEL}".encode())
                        self._service.recover("errands")
                        waits = backoff()
                        while not stopping.is_set():
                            for errand in self._errands:
                                errand(connection)
                            for _ in connection.notifies(timeout=_LOOK_S, stop_after=1):
                                pass
            except (StorageError, psycopg.Error) as error:
                self._service.degrade("errands", error)
                stopping.wait(next(waits))
