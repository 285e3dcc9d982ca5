"""A technician says of a moved camera that it shows what it shall show: its view is learnt anew."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from ioc.db.audit import append
from ioc.db.camera_truth import next_lesson
from ioc.db.devices import lock_device
from ioc.db.pool import Connection, translated
from ioc.errors import ActionError
from ioc.model import Change, DevicesChanged
from ioc.topics import DEVICE_ID
from ioc.typed import typed_name

#: What the audit log calls it.
ACCEPT_VIEW: Final = "camera.accept_view"


def accept_view(connection: Connection, who: str, camera: str, *, now: datetime | None = None) -> list[Change]:
    """What the camera shows now is its view; the watcher learns it from the next minutes and says `ok` meanwhile.

    Raises:
        ActionError: no name, no such camera.
        StorageError: nothing was changed.
    """
    name = typed_name(who)
    with translated(), connection.transaction():
        device = lock_device(connection, camera) if DEVICE_ID.fullmatch(camera) else None
        if device is None or device.kind != "camera":
            raise ActionError(f"camera {camera}: there is none")
        lesson = next_lesson(connection, camera)
        append(connection, name, ACCEPT_VIEW, camera, after={"lesson": lesson}, now=now)
    return [DevicesChanged([device])]
