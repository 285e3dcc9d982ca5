"""Faces and number plates made unrecognisable, before a picture is stored or shown.

Where they are is told twice: by the detector's boxes (the head end of a person, the end of a vehicle that bears the plate; both
generous, because nobody has looked there) and by a network that finds faces, also where no box is. A region is averaged to a
few cells and these are blurred into each other: what was finer than a cell is in no pixel any more, so nothing undoes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import cv2
import numpy as np

from ioc.db.evidence_pictures import MOST_BYTES, MOST_ORIGINAL_BYTES, EvidencePicture, SeenBox, about, master_key
from ioc.model import Detection
from ioc.settings import Settings
from vision.boxes import Image
from vision.faces import Faces
from vision.picture import decode_jpeg, encode_within
from vision.scene import Scene

#: Pictures that prove something are kept no wider: enough to see what happened, too little to tell who from far away.
EVIDENCE_WIDTH: Final = 1280
#: A head is averaged to so many cells along its longer side (of four a network still says "a face"), …
HEAD_CELLS: Final = 3
#: … and the end of a vehicle to so many along its longer side: a plate, a third of a car's width at most, to less than three.
PLATE_CELLS: Final = 8
#: Sides of a cell are no smaller, however small the region: what is that small is hidden whole.
LEAST_CELL: Final = 6


class Region(NamedTuple):
    """A part of a picture in shares of its sides, and how many cells are left along its longer side."""

    x1: float
    y1: float
    x2: float
    y2: float
    cells: int


class Part(NamedTuple):
    """A part of a box, in shares of the box; it may reach beyond it."""

    x1: float
    y1: float
    x2: float
    y2: float
    cells: int


#: Where heads and plates are in the box of a class. A box of a motorbike holds its riders. Of a vehicle the end that is nearer
#: to the camera is the lower one, and it is the one whose plate can be read. Drivers sit behind the upper half of a car.
PARTS: Final[dict[str, tuple[Part, ...]]] = {
    "motorbike": (Part(-0.1, -0.08, 1.1, 0.42, HEAD_CELLS), Part(0.1, 0.45, 0.9, 0.95, HEAD_CELLS)),
    "bicycle": (Part(-0.1, -0.3, 1.1, 0.3, HEAD_CELLS),),
    "car": (Part(-0.03, 0.45, 1.03, 1.03, PLATE_CELLS),),
    "bus": (Part(-0.03, 0.55, 1.03, 1.03, PLATE_CELLS),),
    "truck": (Part(-0.03, 0.45, 1.03, 1.03, PLATE_CELLS),),
}
#: Of a standing person the head is the uppermost seventh, of one who sits or is seen in part more: as much as the box is wide.
_HEAD_OF_HEIGHT: Final = 0.3
_HEAD_OF_WIDTH: Final = 0.95


def regions(detections: Iterable[Detection], height: int, width: int) -> list[Region]:
    """Where the boxes of a picture say that heads and plates are.

    Args:
        detections: what was seen on it.
        height: of the picture in pixels.
        width: of the picture in pixels.
    """
    found = []
    for one in detections:
        parts = (_head(one, height, width),) if one.label == "person" else PARTS.get(one.label, ())
        across, down = one.x2 - one.x1, one.y2 - one.y1
        found += [
            Region(
                one.x1 + part.x1 * across,
                one.y1 + part.y1 * down,
                one.x1 + part.x2 * across,
                one.y1 + part.y2 * down,
                part.cells,
            )
            for part in parts
        ]
    return found


def _head(person: Detection, height: int, width: int) -> Part:
    tall, wide = (person.y2 - person.y1) * height, (person.x2 - person.x1) * width
    share = min(1.0, max(_HEAD_OF_HEIGHT, _HEAD_OF_WIDTH * wide / tall if tall > 0 else 1.0))
    return Part(-0.1, -0.06, 1.1, share, HEAD_CELLS)


def blur(image: Image, hidden: Sequence[Region]) -> None:
    """Make regions of a picture unrecognisable, in place; every other pixel stays as it is.

    Args:
        image: BGR, (height, width, 3).
        hidden: regions; what of them lies outside the picture is left out.
    """
    height, width = image.shape[:2]
    for region in hidden:
        left, right = max(0, int(region.x1 * width)), min(width, int(np.ceil(region.x2 * width)))
        top, bottom = max(0, int(region.y1 * height)), min(height, int(np.ceil(region.y2 * height)))
        if region.x2 <= region.x1 or region.y2 <= region.y1 or right <= left or bottom <= top:
            continue
        # Regions are hidden one after another in the same picture: averages of averages tell less, not more.
        part = image[top:bottom, left:right]
        cell = max(LEAST_CELL, max(part.shape[:2]) / region.cells)
        cells = max(1, round((right - left) / cell)), max(1, round((bottom - top) / cell))
        few = cv2.resize(part, cells, interpolation=cv2.INTER_AREA)
        part[:] = cv2.resize(few, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)


class Privacy:
    """What hides people in pictures, and seals the originals where that is configured."""

    def __init__(self, settings: Settings) -> None:
        """Load what finds faces, and the master key if there is one.

        Raises:
            ModelError: the weights are missing or changed.
        """
        self._faces = Faces()
        self._key = master_key(settings)

    def hide(self, image: Image, detections: Iterable[Detection]) -> None:
        """Hide heads, plates and every face that is found, in place."""
        height, width = image.shape[:2]
        # Faces are looked for before anything is hidden: a face that is half hidden is not found any more.
        faces = [Region(x1, y1, x2, y2, HEAD_CELLS) for x1, y1, x2, y2 in self._faces.find(image).tolist()]
        blur(image, regions(detections, height, width) + faces)

    def keep_evidence(
        self,
        camera: str,
        time: datetime,
        measure: str,
        rule: str,
        image: Image,
        scene: Scene,
        jpeg: bytes = b"",
    ) -> EvidencePicture:
        """What `ioc.db.evidence_pictures.keep_pictures` stores, in the transaction that stores the reading it proves.

        Args:
            camera: its id.
            time: of the reading.
            measure: of the reading.
            rule: the rule's name, as people call it.
            image: BGR, as it was looked at; not changed.
            scene: what was seen on it.
            jpeg: the frame as it came, which has more pixels; it is what is sealed where originals are kept.
        """
        picture = _at_most(
            decode_jpeg(jpeg, (EVIDENCE_WIDTH, EVIDENCE_WIDTH)) if jpeg else image.copy(), EVIDENCE_WIDTH
        )
        self.hide(picture, scene.detections)
        height, width = picture.shape[:2]
        original = None
        if self._key is not None and 0 < len(jpeg) <= MOST_ORIGINAL_BYTES:
            original = self._key.seal(jpeg, about(camera, measure, time))
        boxes = tuple(
            SeenBox(d.label, round(d.confidence, 3), *(round(v, 4) for v in (d.x1, d.y1, d.x2, d.y2)))
            for d in scene.detections
        )
        return EvidencePicture(
            camera, measure, time, rule, width, height, boxes, encode_within(picture, MOST_BYTES), original
        )


def _at_most(image: Image, width: int) -> Image:
    """The picture, made smaller where it is wider."""
    if image.shape[1] <= width:
        return image
    size = width, max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
