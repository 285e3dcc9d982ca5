"""The picture for the wall: boxes in the colour of their class, and the same boxes as JSON.

OpenCV's letters have no diacritics, so a box carries a two-letter mark at most; the page writes the words.
"""

from __future__ import annotations

from typing import Final

import cv2
import msgspec
import numpy as np

from vision.boxes import Image
from vision.picture import encode_jpeg
from vision.privacy import blur, regions
from vision.scene import Scene

#: Pictures wider are shrunk for the wall.
SNAPSHOT_WIDTH: Final = 960
#: Colour (BGR) and mark of a class. The colours are Okabe and Ito's, told apart with any colour vision.
STYLE: Final[dict[str, tuple[tuple[int, int, int], str]]] = {
    "motorbike": ((66, 228, 240), "XM"),
    "car": ((233, 180, 86), "OT"),
    "bus": ((115, 158, 0), "XB"),
    "truck": ((0, 94, 213), "XT"),
    "person": ((167, 121, 204), "NG"),
    "bicycle": ((0, 159, 230), "XD"),
}
_PLAIN: Final = ((255, 255, 255), "")
#: Boxes lower than this have no room for a mark.
_MARK_HEIGHT: Final = 36


def boxes_json(scene: Scene) -> bytes:
    """The boxes as pages read them: a list of `[label, confidence, x1, y1, x2, y2]`, in shares of the picture."""
    return msgspec.json.encode(
        [
            (d.label, round(d.confidence, 3), round(d.x1, 4), round(d.y1, 4), round(d.x2, 4), round(d.y2, 4))
            for d in scene.detections
        ]
    )


def annotate(image: Image, scene: Scene, *, clear: bool = False) -> bytes:
    """Draw the boxes on a picture of at most 960 pixels' width; returns it as JPEG.

    Args:
        image: BGR; not changed.
        scene: what was seen on it.
        clear: heads and number plates in the boxes are not hidden.
    """
    height, width = image.shape[:2]
    if width > SNAPSHOT_WIDTH:
        height, width = max(1, round(height * SNAPSHOT_WIDTH / width)), SNAPSHOT_WIDTH
        canvas = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    else:
        canvas = image.copy()
    if not clear:
        blur(canvas, regions(scene.detections, height, width))
    for one in reversed(scene.detections):  # the surest on top
        colour, mark = STYLE.get(one.label, _PLAIN)
        left, top = round(one.x1 * width), round(one.y1 * height)
        right, bottom = round(one.x2 * width), round(one.y2 * height)
        cv2.rectangle(canvas, (left, top), (right, bottom), colour, 2 if bottom - top >= _MARK_HEIGHT else 1)
        if mark and bottom - top >= _MARK_HEIGHT:
            cv2.rectangle(canvas, (left, top), (left + 19, top + 12), colour, cv2.FILLED)
            cv2.putText(canvas, mark, (left + 2, top + 10), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    return encode_jpeg(canvas)
