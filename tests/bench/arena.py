"""Where contenders meet: one stack, one broker, one server with a database for each, and a look at it from outside."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from ioc.db.pool import Connection, connect
from ioc.errors import StorageError
from ioc.stack.embedded import Stack
from ioc.stack.home import Home
from ioc.stack.process import Child

#: What takes longer than this on the way to a measurement has failed.
PATIENCE_S = 60.0


class Arena:
    """A running stack whose server notes the moment of every commit.

    Attributes:
        folder: the stack's temporary folder.
        port: the broker's, on loopback.
    """

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._stack = stack
        self._connections: dict[str, Connection] = {}
        self.folder = folder
        self.urls = stack.urls
        self.port = urlsplit(stack.urls.mqtt_url).port or 1883

    def make_database(self, name: str) -> str:
        """Create a database with TimescaleDB in it, owned by the services' role; returns its URL."""
        with closing(connect(self.urls.database_url)) as connection:
            connection.autocommit = True
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = self.urls.database_url.rpartition("/")[0] + f"/{name}"
        self.ask(url, "CREATE EXTENSION IF NOT EXISTS timescaledb")
        return url

    def ask(self, url: str, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on a connection that is kept, opening it anew when the server was away; returns its rows."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._ask(url, query, parameters)
            except (psycopg.OperationalError, StorageError):
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def _ask(self, url: str, query: str, parameters: Sequence[object]) -> list[tuple[Any, ...]]:
        connection = self._connections.get(url)
        if connection is None or connection.closed:
            connection = self._connections[url] = connect(url, name="bench")
            connection.autocommit = True
        cursor = connection.execute(query.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []

    def crash_database(self, seconds: float) -> None:
        """End the server as a crash would (`pg_ctl stop -m immediate`), and start it again after a while."""
        server = self._server()
        server.process.send_signal(signal.SIGQUIT)
        began = time.monotonic()
        server.process.wait(PATIENCE_S)
        time.sleep(max(0.0, began + seconds - time.monotonic()))
        self._revive()

    def settle(self) -> None:
        """Write what is still to be written, so that nobody pays for what the one before left behind."""
        with psycopg.connect(self._stack.admin_url, autocommit=True) as admin:
            admin.execute("CHECKPOINT")
        os.sync()

    def restart_database(self) -> None:
        """End the server in order and start it again."""
        self._server().stop()
        self._revive()

    def server_pid(self) -> int:
        """Process id of the database server."""
        return self._server().pid

    def broker_pid(self) -> int:
        """Process id of the broker."""
        return self._child("mosquitto").pid

    def _server(self) -> Child:
        return self._child("postgres")

    def _child(self, name: str) -> Child:
        return next(child for child in self._stack.children if child.name == name)

    def _revive(self) -> None:
        wait_until(self._alive, "the database server is back")

    def _alive(self) -> bool:
        self._stack.revive()
        return self._server().alive()

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()


@contextmanager
def open_arena() -> Iterator[Arena]:
    """The whole stack in a temporary folder, with commit times kept."""
    with ExitStack() as stay:
        folder = Path(stay.enter_context(tempfile.TemporaryDirectory(prefix="ioc-bench-", dir="/tmp")))
        folder.chmod(0o755)
        stack = stay.enter_context(Stack(Home.at(folder)))
        with psycopg.connect(stack.admin_url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        arena = Arena(stack, folder)
        stay.callback(arena.close)
        arena.restart_database()
        yield arena


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of ours, so that a contender gets those it is given alone."""
    return {key: value for key, value in os.environ.items() if not key.startswith("IOC_")} | more


def wait_until(check: Callable[[], object], what: str, patience_s: float = PATIENCE_S) -> None:
    """Wait until something is so.

    Raises:
        TimeoutError: it is not.
    """
    until = time.monotonic() + patience_s
    while not check():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {patience_s:.0f} s in vain until {what}")
        time.sleep(0.05)
