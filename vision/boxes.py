"""Pictures to the network's input and its output back to boxes: letterbox, decoding, non-maximum suppression.

Boxes are rows `x1 y1 x2 y2 confidence class`, float32, in pixels, the surest first.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]

#: Grey that the network was trained to see around a picture.
PADDING: Final = 114
#: Overlap (IoU) from which two boxes of one class are one object.
SAME_OBJECT: Final = 0.6
#: Boxes kept of one picture: a swarm of motorbikes at a red light is several hundred.
MOST_BOXES: Final = 500
#: Candidates that suppression looks at; its time grows with their square.
MOST_CANDIDATES: Final = 2000


class Fit(NamedTuple):
    """How a picture lies in the network's input: `input = picture * scale + offset`, in x and y."""

    scale_x: float
    scale_y: float
    left: int
    top: int
    width: int
    height: int

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes of the input as boxes of the picture, clipped to it; those with nothing left in it are gone."""
        scale = np.array([self.scale_x, self.scale_y] * 2, dtype=np.float32)
        offset = np.array([self.left, self.top] * 2, dtype=np.float32)
        most = np.array([self.width, self.height] * 2, dtype=np.float32)
        result = boxes.copy()
        result[:, :4] = np.clip((boxes[:, :4] - offset) / scale, 0, most)
        inside = (result[:, 2] > result[:, 0]) & (result[:, 3] > result[:, 1])
        return np.ascontiguousarray(result[inside])


def letterbox(image: Image, out: Image, upright: int = 0) -> Fit:
    """Scale a picture into `out`, keeping its proportions, centred on grey.

    Args:
        image: BGR, (height, width, 3).
        out: the input of the network, (height, width, 3); overwritten.
        upright: height that one which is taller than wide is brought to, 0 = all there is (`vision.manifest.Input`).
    """
    height, width = image.shape[:2]
    out_height, out_width = out.shape[:2]
    most_height = min(out_height, upright) if upright and height > width else out_height
    ratio = min(out_width / width, most_height / height)
    new_width = min(out_width, max(1, round(width * ratio)))
    new_height = min(most_height, max(1, round(height * ratio)))
    left, top = (out_width - new_width) // 2, (out_height - new_height) // 2
    out[:top] = PADDING
    out[top + new_height :] = PADDING
    out[top : top + new_height, :left] = PADDING
    out[top : top + new_height, left + new_width :] = PADDING
    target = out[top : top + new_height, left : left + new_width]
    if (new_width, new_height) == (width, height):
        target[:] = image
    else:
        # Shrinking far with two-by-two samples skips pixels, and with them distant motorbikes.
        how = cv2.INTER_AREA if ratio < 0.4 else cv2.INTER_LINEAR
        target[:] = cv2.resize(image, (new_width, new_height), interpolation=how)
    return Fit(new_width / width, new_height / height, left, top, width, height)


def decode(raw: NDArray[np.float32], confidence: float, *, every_class: bool = False) -> Boxes:
    """Turn one picture's raw output into boxes of the input, suppressed class by class.

    Args:
        raw: (4 + classes, candidates): centre x, centre y, width, height in pixels, then a score per class.
        confidence: candidates that are not surer are dropped.
        every_class: a candidate is a box of each class it is sure enough of, not of its likeliest alone.
    """
    scores = raw[4:]
    if every_class:
        kind, keep = np.nonzero(scores > confidence)
    else:
        keep = np.flatnonzero(scores.max(axis=0) > confidence)
        kind = scores[:, keep].argmax(axis=0)
    best = scores[kind, keep]
    if len(keep) > MOST_CANDIDATES:
        surest = np.argpartition(-best, MOST_CANDIDATES)[:MOST_CANDIDATES]
        kind, keep, best = kind[surest], keep[surest], best[surest]
    centre_x, centre_y, width, height = raw[:4, keep]
    boxes = np.stack(
        [
            centre_x - width / 2,
            centre_y - height / 2,
            centre_x + width / 2,
            centre_y + height / 2,
            best,
            kind,
        ],
        axis=1,
    ).astype(np.float32)
    return suppress(boxes)


def suppress(boxes: Boxes, same: float = SAME_OBJECT, most: int = MOST_BOXES) -> Boxes:
    """Keep, class by class, the surest of boxes that overlap by more than `same`; at most `most`, the surest first.

    Greedy suppression without its loop: a box falls when a surer box that itself stands overlaps it. Asking all boxes at
    once until the answer no longer changes ends at the same set, in as many rounds as the longest chain of such falls.
    """
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    over, under = np.nonzero(np.triu(_overlap(boxes) > same, 1))
    rivals = boxes[over, 5] == boxes[under, 5]
    over, under = over[rivals], under[rivals]
    stands = np.ones(len(boxes), dtype=np.bool_)
    while True:
        after = np.bincount(under[stands[over]], minlength=len(boxes)) == 0
        if np.array_equal(after, stands):
            return np.ascontiguousarray(boxes[stands][:most])
        stands = after


def _overlap(boxes: Boxes) -> Boxes:
    """Intersection over union of every pair, (n, n)."""
    x1, y1, x2, y2 = boxes[:, :4].T
    width = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    height = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    shared = np.clip(width, 0, None) * np.clip(height, 0, None)
    area = (x2 - x1) * (y2 - y1)
    both = area[:, None] + area - shared
    return np.asarray(np.divide(shared, both, out=np.zeros_like(shared), where=both > 0), dtype=np.float32)
