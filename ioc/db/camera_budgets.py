"""The frame budgets that people give cameras: how many frames a second of each vision looks at, at most; checked and audited."""

from __future__ import annotations

from typing import Final

from ioc.db.audit import append
from ioc.db.devices import lock_device
from ioc.db.pool import Connection, translated
from ioc.errors import ActionError, FormError
from ioc.settings import LEAST_FPS
from ioc.topics import DEVICE_ID
from ioc.typed import typed_name

#: What the audit log calls it; its subject is the camera.
SET: Final = "camera_budget.set"
#: A budget lies between `LEAST_FPS` and this, frames a second.
MOST_FPS: Final = 60.0


def budgets(connection: Connection) -> dict[str, float]:
    """Frames a second of every camera that has a budget of its own.

    Raises:
        StorageError: TimescaleDB is away.
    """
    with translated():
        return dict(connection.execute("SELECT camera, fps FROM camera_budget").fetchall())


def set_budget(connection: Connection, camera: str, fps: float | None, seen: float | None, who: str) -> None:
    """Give a camera a budget, or with None the common one; `seen` is the one that whoever acts saw.

    Raises:
        FormError: `fps` is outside the limits, or the budget is no longer the one that was seen.
        ActionError: no name of who acts, or no such camera.
        StorageError: nothing was changed.
    """
    name = typed_name(who)
    if fps is not None and not LEAST_FPS <= fps <= MOST_FPS:
        raise FormError({"fps": "limits"})
    with translated(), connection.transaction():
        device = lock_device(connection, camera) if DEVICE_ID.fullmatch(camera) else None
        if device is None or device.kind != "camera" or device.status == "retired":
            raise ActionError(f"camera {camera}: there is none")
        row = connection.execute("DELETE FROM camera_budget WHERE camera = %s RETURNING fps", (camera,)).fetchone()
        before = None if row is None else row[0]
        if before != seen:
            raise FormError({"fps": "budget_changed"})
        if fps is not None:
            connection.execute("INSERT INTO camera_budget (camera, fps) VALUES (%s, %s)", (camera, fps))
        if fps != before:
            append(connection, name, SET, camera, before=_plain(before), after=_plain(fps))


def _plain(fps: float | None) -> dict[str, float] | None:
    return None if fps is None else {"fps": fps}
