"""Connections to TimescaleDB."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from ioc.errors import StorageError

Connection = psycopg.Connection[tuple[Any, ...]]
Edition = Literal["apache", "community"]

#: A lock that outlasts this is a fault to survive, not to wait for; the caller tries again. A client that vanished without a word
#: must not keep its locks for the two hours that are the server's default.
_OPTIONS = (
    "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
    " -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 -c tcp_user_timeout=20000"
)


def connect(url: str, *, name: str = "ioc", timeout_s: int = 5) -> Connection:
    """Open one connection.

    Args:
        url: a PostgreSQL URL.
        name: shown in pg_stat_activity.
        timeout_s: for the connection alone.

    Raises:
        StorageError: the server cannot be reached or refuses us.
    """
    with translated():
        return psycopg.connect(
            url,
            connect_timeout=timeout_s,
            application_name=name,
            options=_OPTIONS,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=20_000,
        )


def hang_up(connection: Connection) -> None:
    """End a connection whose server gives no answer, from another thread: what waits for it fails.

    A server that is stopped, or a proxy that is, lets TCP acknowledge and says nothing: no time-out of the connection ends that.
    """
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


class Pool:
    """A few connections for readers that come in parallel (pages)."""

    def __init__(self, url: str, *, name: str, size: int = 4) -> None:
        self._pool: ConnectionPool[Connection] = ConnectionPool(
            url,
            min_size=1,
            max_size=size,
            open=False,
            timeout=5,
            check=ConnectionPool.check_connection,
            kwargs={"application_name": name, "options": _OPTIONS, "connect_timeout": 5, "autocommit": True},
        )
        self._pool.open()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Lend a connection in autocommit; use `with connection.transaction():` to write.

        Raises:
            StorageError: none could be had, or the server ended it.
        """
        with translated(), self._pool.connection() as connection:
            yield connection

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into `StorageError`."""
    try:
        yield
    except (psycopg.Error, PoolTimeout) as error:
        raise StorageError(f"TimescaleDB: {str(error).strip()}") from error


def edition(connection: Connection) -> Edition:
    """The edition of TimescaleDB this server runs: Debian's Apache one, or the community one."""
    row = connection.execute("SELECT current_setting('timescaledb.license', true)").fetchone()
    return "community" if row is not None and row[0] == "timescale" else "apache"
