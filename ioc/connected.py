"""A service's work on a connection to TimescaleDB, on another one when it was away."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from ioc.db.pool import Connection, connect
from ioc.errors import StorageError
from ioc.service import Service, backoff

#: Who worked for so long was well; the next one need not wait.
_LASTED_S: Final = 10.0


def work_connected(service: Service, work: Callable[[Connection], None]) -> None:
    """Do a service's work until it is told to stop; says that TimescaleDB is away while it is.

    Args:
        service: whose process this is.
        work: gets a connection in autocommit; returns when told to stop, raises StorageError when the connection is lost.
    """
    waits = backoff()
    while not service.stopping.is_set():
        began = time.monotonic()
        try:
            with connect(service.settings.require("database_url"), name=f"ioc-{service.name}") as connection:
                connection.autocommit = True
                service.recover("timescaledb")
                work(connection)
        except StorageError as error:
            service.degrade("timescaledb", error)
            if time.monotonic() - began > _LASTED_S:
                waits = backoff()
            service.stopping.wait(next(waits))
