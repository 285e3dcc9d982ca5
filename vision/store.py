"""Scenes to TimescaleDB: detections and counts in one transaction, each frame once."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

from psycopg import sql

from ioc.db.copy import CAMERA_COUNT, DETECTION, stage, store
from ioc.db.pool import Connection, connect, edition, hang_up, translated
from ioc.db.readings import begin_writing, newest_of, store_readings
from ioc.errors import StorageError
from ioc.model import Reading
from ioc.service import backoff
from vision.scene import Scene, count_by_minute, newer_scenes

#: A worker that stands still in a transaction holds the rows of its cameras, which are another's when its lease is over.
_STANDS_STILL = "SET idle_in_transaction_session_timeout = '3s'"
_SEEN = "SELECT camera, time FROM camera_seen WHERE camera = ANY(%s) ORDER BY camera FOR UPDATE"
#: A camera's first frame: a row to hold, so that two workers do not both take it for new.
_FIRST = (
    "INSERT INTO camera_seen (camera, time) SELECT camera, 'epoch' FROM unnest(%s::text[]) AS camera ORDER BY camera"
    " ON CONFLICT DO NOTHING"
)
_NOW_SEEN = (
    "UPDATE camera_seen SET time = fresh.time FROM unnest(%s::text[], %s::timestamptz[]) AS fresh (camera, time)"
    " WHERE camera_seen.camera = fresh.camera"
)
_ADD_COUNTS = sql.SQL(
    "INSERT INTO camera_count (time, camera, label, frames, objects, most)"
    " SELECT time, camera, label, frames, objects, most FROM {}"
    " ON CONFLICT (camera, label, time) DO UPDATE SET frames = camera_count.frames + excluded.frames,"
    " objects = camera_count.objects + excluded.objects, most = greatest(camera_count.most, excluded.most)"
)


class Also(Protocol):
    """What else is stored with the scenes that are new, in their transaction."""

    def __call__(self, connection: Connection, fresh: Sequence[Scene], before: Mapping[str, datetime]) -> list[Reading]:
        """Store it, and return the readings that are to be stored.

        Args:
            connection: in the transaction; it may be rolled back and the whole tried again.
            fresh: the scenes that are new, in order of time.
            before: by camera: time of the newest scene that was stored before them.
        """
        ...


def write_scenes(connection: Connection, scenes: Sequence[Scene], also: Also | None = None) -> list[Scene]:
    """Store scenes and what they add to the counts, in one transaction.

    The newest stored time of each camera is held while we write, so a frame that is handed in again, after a crash or by
    another worker, adds nothing, even when nothing was seen on it.

    Returns:
        The scenes that were new, in order of time.

    Raises:
        StorageError: nothing was stored, or the connection was lost at the commit; handing in again is harmless.
    """
    cameras = sorted({scene.camera for scene in scenes})
    with translated():
        on = edition(connection) if also is not None else None
    with translated(), connection.transaction():
        watermark = begin_writing(connection, on) if on is not None else None
        seen: dict[str, datetime] = dict(connection.execute(_SEEN, (cameras,)).fetchall())
        if len(seen) < len(cameras):
            connection.execute(_FIRST, ([camera for camera in cameras if camera not in seen],))
            seen = dict(connection.execute(_SEEN, (cameras,)).fetchall())
        fresh = newer_scenes(scenes, seen)
        if fresh:
            newest = {scene.camera: scene.time for scene in fresh}
            connection.execute(_NOW_SEEN, (list(newest), list(newest.values())))
            store(connection, DETECTION, [one for scene in fresh for one in scene.detections])
            connection.execute(_ADD_COUNTS.format(stage(connection, CAMERA_COUNT, count_by_minute(fresh))))
        if fresh and also is not None and watermark is not None:
            readings = also(connection, fresh, seen)
            store_readings(connection, readings, watermark, newest_of(readings))
    return fresh


#: A write without an answer is given up after so long: later than one that waits for a lock, which the server ends.
ANSWER_S: Final = 12.0
#: A write waits so long for a server that just ended the connection.
_AT_ONCE_S = 0.5


class Store:
    """A connection that comes back by itself, while the caller goes on without.

    `write` waits half a second at most for a server that is away: a thread of our own tries again, with growing pauses.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Connection | None = None
        self._why = "not connected yet"
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pauses = backoff()
        self._lost_at_once = False
        self._asked_at: float | None = None
        self._connect_soon(0.0)

    @property
    def missing(self) -> str | None:
        """Why nothing can be stored now, None when it can."""
        return self._why if self._connection is None else None

    def look(self) -> None:
        """Hang up on a server that gives no answer; called from another thread than the writer's, every second or so."""
        asked_at, connection = self._asked_at, self._connection
        if asked_at is not None and connection is not None and time.monotonic() - asked_at > ANSWER_S:
            hang_up(connection)

    def write(self, scenes: Sequence[Scene], also: Also | None = None) -> list[Scene]:
        """Store scenes; see `write_scenes`.

        Raises:
            StorageError: TimescaleDB is away or refuses; they are not stored.
        """
        try:
            return self._write(scenes, also)
        except StorageError:
            # The server may have been restarted since the last frame; then it is there at once.
            if not (self._lost_at_once and self.wait(_AT_ONCE_S)):
                raise
        return self._write(scenes, also)

    def _write(self, scenes: Sequence[Scene], also: Also | None) -> list[Scene]:
        self._lost_at_once = False
        connection = self._connection
        if connection is None:
            raise StorageError(self._why)
        self._asked_at = time.monotonic()
        try:
            fresh = write_scenes(connection, scenes, also)
        except StorageError as error:
            self._why = str(error)
            self._connection = None
            self._lost_at_once = connection.broken
            connection.close()
            self._connect_soon(0.0 if self._lost_at_once else next(self._pauses))
            raise
        finally:
            self._asked_at = None
        self._pauses = backoff()
        return fresh

    def wait(self, seconds: float) -> bool:
        """Wait until the server is there, at most so long; returns whether it is."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)
        return self._connection is not None

    def close(self) -> None:
        """Give the connection back."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _connect_soon(self, pause: float) -> None:
        self._thread = threading.Thread(target=self._keep_trying, args=(pause,), name="timescaledb", daemon=True)
        self._thread.start()

    def _keep_trying(self, pause: float) -> None:
        while not self._stopping.wait(pause):
            try:
                connection = self._open()
            except StorageError as error:
                self._why = str(error)
                pause = next(self._pauses)
            else:
                self._connection = connection
                return

    def _open(self) -> Connection:
        """A connection to a server that has our tables; one without must not look usable."""
        connection = connect(self._url, name="vision")
        connection.autocommit = True
        try:
            with translated():
                connection.execute(_STANDS_STILL)
                connection.execute("SELECT FROM camera_seen LIMIT 1")
        except StorageError:
            connection.close()
            raise
        return connection
