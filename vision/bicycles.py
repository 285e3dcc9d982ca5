"""Bicycles for the training set, drawn: no picture of the streets it is made of shows one, and the detector forgot them all.

A drawing counts only where the COCO teacher takes it for a bicycle. Pictures are (h, w, 3) uint8 BGR, drawings (h, w, 4)
uint8 BGRA, boxes ``x1 y1 x2 y2`` in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vision.training_set import BICYCLE, SAME_OBJECT, SURE, Labels, areas, ious, overlaps

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]
    Picture = NDArray[np.uint8]
    Teacher = Callable[[Picture], tuple[Labels, Boxes]]

TRIED = 5
"""Bicycles tried in one picture; about half are taken for one."""
LENGTHS = (0.035, 0.16)
"""How long they are, as shares of the picture's width."""
SKY = 0.15
"""Share of the picture's height, from the top, where none is put."""
CLEAR = 0.1
"""Share of a labelled object that a bicycle may hide, and of a bicycle that may lie on others."""
SOFT = 0.6
"""Pixels by which it is blurred, as a camera blurs what it sees."""
_UNIT = 2
"""Pixels of the drawing's canvas for each of its units; wheels are some ninety units in radius."""
_WIDTH, _HEIGHT = 440, 300


def with_bicycles(picture: Picture, labels: Labels, teacher: Teacher, rng: Generator) -> tuple[Picture, Labels] | None:
    """Put drawn bicycles into a picture.

    Args:
        picture: Stays as it is.
        labels: What is labelled in it.
        teacher: Boxes, COCO ids and confidences of a picture.
        rng: Says where and which.

    Returns:
        A picture with those that the teacher takes for bicycles, and the labels with theirs; None when there is none.
    """
    height, width = picture.shape[:2]
    put: list[tuple[Picture, tuple[int, int]]] = []
    boxes = np.zeros((0, 4))
    for _ in range(TRIED):
        drawing = draw(rng, width * np.exp(rng.uniform(*np.log(LENGTHS))))
        tall, wide = drawing.shape[:2]
        top, room = round(height * SKY), height - tall
        if room <= top or wide >= width:
            continue
        left, top = int(rng.integers(0, width - wide)), int(rng.integers(top, room))
        box = np.array([[left, top, left + wide, top + tall]], dtype=np.float64)
        around = np.concatenate([labels.boxes, boxes])
        shared = overlaps(box, around)[0]
        if shared.sum() > CLEAR * areas(box)[0] or (shared > CLEAR * areas(around)).any():
            continue
        put.append((drawing, (left, top)))
        boxes = np.concatenate([boxes, box])
    if not put:
        return None
    tried = picture.copy()
    for drawing, place in put:
        blend(tried, drawing, place)
    found, confidence = teacher(tried)
    bicycles = found.boxes[(found.classes == BICYCLE) & (confidence >= SURE[BICYCLE])]
    taken = np.flatnonzero((ious(boxes, bicycles) >= SAME_OBJECT).any(axis=1))
    if not len(taken):
        return None
    made = picture.copy()
    for index in taken:
        blend(made, *put[index])
    classes = np.concatenate([labels.classes, np.full(len(taken), BICYCLE, dtype=np.int64)])
    return made, Labels(np.concatenate([labels.boxes, boxes[taken]]), classes)


def draw(rng: Generator, length: float) -> Picture:
    """Draw one from the side or obliquely, of its own measures and colours, cut to its edges.

    Args:
        rng: Says which.
        length: Of the longer edge in pixels.
    """
    # Points are complex numbers, in units of the canvas.
    canvas = np.zeros((_HEIGHT * _UNIT, _WIDTH * _UNIT, 4), dtype=np.uint8)
    dark, metal = _colour(rng, 0, 70), (*[int(rng.integers(90, 220))] * 3, 255)
    paint = _colour(rng, 0, 70) if rng.random() < 0.4 else _colour(rng, 0, 256)

    def line(start: complex, end: complex, colour: Any, thick: float) -> None:
        cv2.line(canvas, _point(start), _point(end), colour, max(1, round(thick * _UNIT)), cv2.LINE_AA)

    def circle(centre: complex, radius: float, colour: Any, thick: float) -> None:
        cv2.circle(canvas, _point(centre), round(radius * _UNIT), colour, round(thick * _UNIT), cv2.LINE_AA)

    radius = rng.uniform(78, 98)
    rear = 110 + (_HEIGHT - radius - 12) * 1j
    front = rear + rng.uniform(210, 240)
    for hub in (rear, front):
        for turn in np.linspace(0, 2 * np.pi, rng.integers(10, 20), endpoint=False):
            line(hub, hub + 0.95 * radius * np.exp(1j * turn), metal, 0.8)
        circle(hub, radius, dark, rng.uniform(5, 10))
        circle(hub, 0.92 * radius, metal, 2)
        circle(hub, 7, dark, 6)
    crank = rear + rng.uniform(85, 110) + rng.uniform(0, 10) * 1j
    seat = crank - rng.uniform(25, 45) - rng.uniform(100, 130) * 1j
    head = front - rng.uniform(35, 55) - rng.uniform(100, 130) * 1j
    tube = rng.uniform(5, 9)
    if rng.random() < 0.7:  # the others are stepped through
        line(seat + 5 + 15j, head, paint, tube)
    frame = ((crank, head + 5 + 22j), (crank, seat), (rear, crank), (rear, seat + 6 + 20j), (head, front))
    for start, end in frame:
        line(start, end, paint, tube)
    stem = head - rng.uniform(0, 12) - rng.uniform(15, 35) * 1j
    line(head, stem, metal, 5)
    line(stem, stem + rng.uniform(-35, 30) - rng.uniform(0, 10) * 1j, dark, 6)
    line(seat - 24 - 8j, seat + 20 - 8j, dark, 14)
    circle(crank, rng.uniform(15, 22), metal, 3)
    reach = 32 * np.exp(1j * rng.uniform(0, 2 * np.pi))
    for pedal in (crank + reach, crank - reach):
        line(crank, pedal, dark, 4)
        line(pedal - 9, pedal + 9, dark, 5)
    if rng.random() < 0.5:  # mudguards
        size = round((radius + 8) * _UNIT)
        for hub in (rear, front):
            cv2.ellipse(canvas, _point(hub), (size, size), 0, 190, 330, paint, 4 * _UNIT, cv2.LINE_AA)
    if rng.random() < 0.4:  # a carrier
        line(seat - 20 + 30j, seat - 100 + 30j, metal, 4)
        line(seat - 90 + 30j, rear, metal, 3)
    if rng.random() < 0.3:  # a basket
        cv2.rectangle(canvas, _point(stem + 10 + 5j), _point(stem + 60 + 45j), metal, -1, cv2.LINE_AA)
    seen = _turned(canvas, rng)
    rows, columns = np.nonzero(seen[..., 3] > 20)
    cut = seen[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    scale = length / max(cut.shape[:2])
    small = cv2.resize(
        cut[:, ::-1] if rng.random() < 0.5 else cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.GaussianBlur(small, (3, 3), SOFT), dtype=np.uint8)


def _turned(canvas: Picture, rng: Generator) -> Picture:
    """The drawing seen obliquely: shorter, one end nearer, the ground aslant."""
    height, width = canvas.shape[:2]
    narrow, nearer, slant = width * rng.uniform(0.45, 1), height * rng.uniform(-0.12, 0.12), height * 0.12
    left, right = max(0.0, nearer), max(0.0, -nearer)
    lower = rng.uniform(-slant, slant)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    moved = np.array(
        [[0, left], [narrow, right], [narrow, height - right + lower], [0, height - left]], dtype=np.float32
    )
    matrix = cv2.getPerspectiveTransform(corners, moved)
    return np.asarray(
        cv2.warpPerspective(canvas, matrix, (int(narrow) + 2, int(height + slant) + 2), flags=cv2.INTER_AREA),
        dtype=np.uint8,
    )


def blend(picture: Picture, drawing: Picture, place: tuple[int, int]) -> None:
    """Put a drawing at left and top, as bright as the street around it. Its colours are weighed by its opacity already."""
    left, top = place
    height, width = drawing.shape[:2]
    ground = picture[top : top + height, left : left + width]
    opaque = drawing[..., 3:].astype(np.float64) / 255
    light = 0.35 + 0.65 * ground.mean() / 160
    ground[:] = np.clip(ground * (1 - opaque) + drawing[..., :3] * light, 0, 255)


def _colour(rng: Generator, least: int, most: int) -> tuple[int, int, int, int]:
    blue, green, red = (int(one) for one in rng.integers(least, most, 3))
    return blue, green, red, 255


def _point(place: complex) -> tuple[int, int]:
    return round(place.real * _UNIT), round(place.imag * _UNIT)
