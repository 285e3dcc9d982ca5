"""A client id that is this process's alone and the same after a restart: the broker keeps the session under it."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from ioc.settings import Settings


@contextmanager
def client_id(settings: Settings) -> Iterator[str]:
    """The id from the settings, else `ioc-ingest-<host>-<n>` with the lowest number no running ingest of this home holds.

    The number is held by a file lock, so that a killed process gives it back and its successor resumes its session.
    """
    if settings.ingest_client_id:
        yield settings.ingest_client_id
        return
    settings.home.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        with (settings.home / f"ingest-{number}.lock").open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield f"ioc-ingest-{socket.gethostname()}-{number}"
            return
