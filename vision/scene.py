"""What was seen in one frame, and the records that follow from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from ioc.catalog import VISION_CLASSES
from ioc.model import CameraCount, Detection
from vision.boxes import Boxes


class Scene(msgspec.Struct, frozen=True):
    """One frame, looked at."""

    camera: str
    time: datetime
    detections: tuple[Detection, ...]

    def counts(self) -> dict[str, int]:
        """Objects by class, of the classes that were seen."""
        return dict(Counter(detection.label for detection in self.detections))


def make_scene(camera: str, time: datetime, boxes: Boxes, classes: Sequence[str], height: int, width: int) -> Scene:
    """Boxes in pixels of a picture as detections; classes that the catalogue does not have are left out."""
    shares = boxes[:, :4] / (width, height, width, height)
    known = [row for row, kind in enumerate(boxes[:, 5]) if classes[int(kind)] in VISION_CLASSES]
    detections = (
        Detection(
            time,
            camera,
            seq,
            classes[int(boxes[row, 5])],
            float(boxes[row, 4]),
            *(min(1.0, max(0.0, float(share))) for share in shares[row]),
        )
        for seq, row in enumerate(known)
    )
    return Scene(camera, time, tuple(detections))


def count_by_minute(scenes: Iterable[Scene]) -> list[CameraCount]:
    """What the scenes add to the counts: one row per camera, minute and class, also of classes that were not there.

    A class that is absent was looked for all the same; without its frames an average over the minute would lie.
    """
    rows: dict[tuple[datetime, str, str], tuple[int, int, int]] = {}
    for scene in scenes:
        minute = scene.time.replace(second=0, microsecond=0)
        counts = scene.counts()
        for label in VISION_CLASSES:
            key = (minute, scene.camera, label)
            frames, objects, most = rows.get(key, (0, 0, 0))
            seen = counts.get(label, 0)
            rows[key] = (frames + 1, objects + seen, max(most, seen))
    return [CameraCount(*key, *figures) for key, figures in rows.items()]


def newer_scenes(scenes: Iterable[Scene], stored: dict[str, datetime]) -> list[Scene]:
    """The scenes that are newer than what is stored of their camera, in order of time; each time once."""
    newest = dict(stored)
    fresh = []
    for scene in sorted(scenes, key=lambda scene: scene.time):
        before = newest.get(scene.camera)
        if before is None or scene.time > before:
            newest[scene.camera] = scene.time
            fresh.append(scene)
    return fresh
