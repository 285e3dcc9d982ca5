"""A client id that is this process's alone and the same after a restart: the broker keeps the session under it."""

from __future__ import annotations

import fcntl
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from ioc.errors import IocError
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
def identity(settings: Settings, number: int | None = None) -> Iterator[Identity]:
    """This process's number, and the client id from the settings, else `ioc-ingest-<host>-<number>`.

    The number is held by a file lock, so that a killed process gives it back and its successor resumes its session.

    Args:
        settings: the home holds the locks.
        number: the number to take; None = the lowest that no running ingest of this home holds.

    Raises:
        IocError: another process holds that number.
    """
    for wanted in count(1) if number is None else (number,):
        with held(settings.home, wanted) as is_ours:
            if is_ours:
                yield Identity(client_of(settings, wanted), wanted)
                return
    raise IocError(f"another ingest process of {settings.home} is number {number}: stop it first")


def client_of(settings: Settings, number: int) -> str:
    """The client id of a number."""
    name = settings.ingest_client_id
    return f"{name}-{number}" if name and number > 1 else name or f"ioc-ingest-{socket.gethostname()}-{number}"


def numbers(home: Path) -> list[int]:
    """The numbers that processes of this home have had, in order."""
    return sorted(int(match[1]) for path in home.iterdir() if (match := _LOCK.fullmatch(path.name)))


@contextmanager
def held(home: Path, number: int) -> Iterator[bool]:
    """Hold a number while inside; False when another process holds it."""
    home.mkdir(parents=True, exist_ok=True)
    path = lock_path(home, number)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def lock_path(home: Path, number: int) -> Path:
    """The file whose lock is the number."""
    return home / f"ingest-{number}.lock"
