"""Ingest as it is started in service."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing

from ioc.db.migrate import migrate
from ioc.db.pool import connect
from ioc.stack.process import Child, start
from tests.bench.arena import Arena, environment
from tests.bench.contenders.contender import Contender, Store


class Ours(Contender):
    """`python -m ingest`, with the schema of the migrations.

    Args:
        arguments: what is added to the command line.
    """

    key = "ours"
    title = "ingest (this project)"

    def __init__(self, arguments: Sequence[str] = ()) -> None:
        self._arguments = arguments

    def prepare(self, arena: Arena) -> None:
        """Bring the schema up."""
        self._arena = arena
        with closing(connect(arena.urls.database_url)) as connection:
            migrate(connection)
        self._environment = environment(**arena.urls.environment(), IOC_HOME=str(arena.folder), IOC_LOG_LEVEL="warning")

    def start(self) -> Child:
        """Start the service."""
        return start(
            "ingest",
            [sys.executable, "-m", "ingest", *self._arguments],
            log=self._arena.folder / "log" / "ingest.log",
            environment=self._environment,
        )

    def root(self, values: int) -> str:
        """All of it comes on the native topics."""
        return "ioc"

    def store(self, values: int) -> Store:
        """One row a value."""
        return Store(self._arena.urls.database_url, rows=values)
