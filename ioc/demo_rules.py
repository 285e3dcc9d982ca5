"""What is drawn on the cameras of the demo, so that they show what rules do: declared here by footage, drawn as a person draws.

Footage is shown by any camera point, so a camera's rules follow from what it says it shows. They are drawn once: where anybody
has ever drawn, changed or removed something, the camera is theirs.
"""

from __future__ import annotations

from typing import Final

import msgspec

from ioc.camera_rules import CameraRule, Point
from ioc.connected import work_connected
from ioc.db.camera_rules import ACTS, add, history
from ioc.db.devices import lock_device
from ioc.db.pool import Connection, translated
from ioc.service import Service, run

#: Who drew, in the audit log.
WHO: Final = "Bản demo"
#: How often it is looked for cameras that are new.
EVERY_S: Final = 5.0

_COURT: Final[tuple[Point, ...]] = (
    (0.0, 0.33),
    (0.55, 0.36),
    (0.8, 0.2),
    (0.92, 0.2),
    (0.93, 0.36),
    (1.0, 0.5),
    (1.0, 0.86),
    (0.62, 0.64),
    (0.4, 0.53),
    (0.0, 0.46),
)
_WALK: Final[tuple[Point, ...]] = ((0.0, 0.34), (0.3, 0.36), (0.3, 0.51), (0.0, 0.47))
_DRIVE: Final[tuple[Point, ...]] = ((0.93, 0.31), (1.0, 0.5), (1.0, 0.85), (0.62, 0.47), (0.72, 0.33))

#: By `footage_source` of a camera; without camera.
DRAWN: Final[dict[str, tuple[CameraRule, ...]]] = {
    # vtest.avi: people cross a forecourt; on its right a drive leads to a yard, where a van and a car are parked.
    "OpenCV sample data (Debian opencv-doc)": (
        CameraRule(0, "", "line", "Qua sân", ((0.32, 0.33), (0.32, 0.62)), ("person",)),
        CameraRule(0, "", "zone", "Lối đi bộ", _WALK, ("person",)),
        CameraRule(0, "", "crowd", "Đông người trên sân", _COURT, settings={"people": 8}),
        CameraRule(0, "", "stopped", "Cấm dừng trên lối xe", _DRIVE),
    ),
}

_NOT_DRAWN: Final = (
    "SELECT id, attrs ->> 'footage_source' FROM device WHERE kind = 'camera' AND status <> 'retired'"
    " AND attrs ->> 'footage_source' = ANY(%s)"
    " AND NOT EXISTS (SELECT FROM audit WHERE subject = device.id AND what = ANY(%s)) ORDER BY id"
)


def draw(connection: Connection) -> list[str]:
    """Draw on the cameras of which the footage is known and on which nobody has drawn; returns them.

    Raises:
        StorageError: TimescaleDB is away; what was drawn by then stays, each camera whole.
    """
    with translated():
        found = connection.execute(_NOT_DRAWN, (list(DRAWN), list(ACTS))).fetchall()
    return [camera for camera, source in found if _draw(connection, camera, DRAWN[source])]


def _draw(connection: Connection, camera: str, rules: tuple[CameraRule, ...]) -> bool:
    with translated(), connection.transaction():
        # Whoever draws holds the camera, so nobody has begun between this look and our first line.
        lock_device(connection, camera)
        if history(connection, camera, 1):
            return False
        for rule in rules:
            add(connection, msgspec.structs.replace(rule, camera=camera), WHO)
    return True


def main() -> None:
    """Draw until told to stop, as cameras come."""
    with Service("demo-rules") as service:

        def keep_drawing(connection: Connection) -> None:
            while not service.stopping.is_set():
                for camera in draw(connection):
                    service.log.info("drawn", camera=camera)
                service.stopping.wait(EVERY_S)

        work_connected(service, keep_drawing)


if __name__ == "__main__":
    run(main)
