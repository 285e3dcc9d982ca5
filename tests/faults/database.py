"""A TimescaleDB that a test may crash, restart and starve."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from typing import Any

import psycopg

from ioc.db.migrate import migrate
from ioc.db.pool import connect
from ioc.stack.embedded import CLONE
from ioc.stack.home import Home
from ioc.stack.postgres import Cluster, find_programs
from ioc.stack.process import Child
from tests.fix_ingest import eventually
from tests.fix_stack import Database, own_port


class DatabaseServer:
    """A server of its own; port and data stay over its restarts."""

    def __init__(self, home: Home) -> None:
        home.make()
        self._cluster = Cluster(home, find_programs(home, Home(CLONE / ".ioc")), shared_buffers="64MB")
        self._cluster.create()
        self.user = self._cluster.user
        self.port = own_port()
        self.admin_url = self._cluster.admin_url(self.port)
        self.child: Child = self._cluster.start(self.port)

    def start(self) -> None:
        """Start it again."""
        self.child = self._cluster.start(self.port)

    def stop(self) -> None:
        """Stop it in order: transactions end in an error."""
        self.child.stop()

    def crash(self) -> None:
        """As `pg_ctl stop -m immediate`: every process ends at once, and the next start replays the log."""
        self.child.process.send_signal(signal.SIGQUIT)
        self.child.process.wait(30)

    def kill_backend(self, pid: int) -> None:
        """SIGKILL one backend, and wait until the server has ended all others, replayed its log and serves again."""
        with closing(psycopg.connect(self.admin_url, autocommit=True)) as witness:
            os.kill(pid, signal.SIGKILL)
            eventually(lambda: not _answers(witness))
        eventually(self._serves)

    def _serves(self) -> bool:
        try:
            return bool(self.admin("SELECT true"))
        except psycopg.OperationalError:
            return False

    def admin(self, *statements: str) -> list[Any]:
        """Run statements as superuser; the rows of the last."""
        rows: list[Any] = []
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            for statement in statements:
                cursor = connection.execute(statement)
                rows = cursor.fetchall() if cursor.description else []
        return rows

    def make_database(self, name: str, *, options: str = "") -> Database:
        """A fresh, migrated database that belongs to the services' role."""
        self.admin(f"CREATE DATABASE {name} OWNER ioc {options}")
        url = self._cluster.url(self.port).rpartition("/")[0] + f"/{name}"
        with connect(url, name="test-migrate") as connection:
            migrate(connection)
        return Database(url)

    def drop_database(self, db: Database) -> None:
        """Drop one, whoever uses it."""
        self.admin(f"DROP DATABASE {db.url.rpartition('/')[2]} WITH (FORCE)")


def _answers(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("SELECT true")
    except psycopg.OperationalError:
        return False
    return True
