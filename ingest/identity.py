"""A client id that is the same after a restart: the broker keeps the session under it."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ioc.settings import Settings

_LOCK: Final = re.compile(r"ingest-(\d+)\.lock")


class Identity(NamedTuple):
    """Who an ingest process is.

    Attributes:
        client: its MQTT client id.
        number: among the processes of this machine, from 1; the first one also reads what one process alone must read.
    """

    client: str
    number: int = 1


@contextmanager
def identity(settings: Settings, number: int) -> Iterator[Identity]:
    """A number, and the client id from the settings, else `ioc-ingest-<host>-<number>`.

    Processes may share it: which of them works is decided by `ingest.claim`. While what waits for the number is fetched, because
    nobody had it, it is waited for.

    Args:
        settings: the home holds the locks.
        number: among the processes of this home.
    """
    while True:
        with held(settings.home, number, alone=False) as is_ours:
            if is_ours:
                yield Identity(client_of(settings, number), number)
                return
        time.sleep(0.1)


def client_of(settings: Settings, number: int) -> str:
    """The client id of a number."""
    name = settings.ingest_client_id
    return f"{name}-{number}" if name and number > 1 else name or f"ioc-ingest-{socket.gethostname()}-{number}"


def numbers(home: Path) -> list[int]:
    """The numbers that processes of this home have had, in order."""
    return sorted(int(match[1]) for path in home.glob("*") if (match := _LOCK.fullmatch(path.name)))


@contextmanager
def held(home: Path, number: int, *, alone: bool) -> Iterator[bool]:
    """Hold a number while inside, as one of its processes, or `alone`; False when that cannot be."""
    home.mkdir(parents=True, exist_ok=True)
    path = lock_path(home, number)
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_NB | (fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        except BlockingIOError:
            yield False
        else:
            # Who held it before may have removed it.
            yield path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat())


def lock_path(home: Path, number: int) -> Path:
    """The file whose lock is the number."""
    return home / f"ingest-{number}.lock"
