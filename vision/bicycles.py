"""Bicycles for the training set: no picture of the streets it is made of shows one, and the detector forgot them all.

They are drawn, where one counts only if the COCO teacher takes it for a bicycle, and cut with their riders out of the pictures
that are replayed, where it has seen them already. Pictures are (h, w, 3) uint8 BGR, cuttings (h, w, 4) uint8 BGRA whose colours
are weighed by their opacity, boxes ``x1 y1 x2 y2`` in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np

from vision.training_set import BICYCLE, PERSON, SAME_OBJECT, Labels, areas, ious, overlaps, sure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
SEEN = 0.5
"""Share of those tried that are cut out, where there are some."""
RIDDEN = 0.2
"""Share of a bicycle that a person covers from which he is its rider."""
AROUND = 0.08
"""How much of what is around it is cut out with a bicycle, as a share of its longer edge; it fades outwards."""
TINT = 0.12
"""By how much each colour of what was cut out is changed, up or down."""
_UNIT = 2
"""Pixels of the drawing's canvas for each of its units; wheels are some ninety units in radius."""
_WIDTH, _HEIGHT = 440, 300


class Cutting(NamedTuple):
    """Something to be put into a picture, and the labels of what it shows, in its own pixels."""

    picture: Picture
    labels: Labels


def with_bicycles(
    picture: Picture, labels: Labels, teacher: Teacher, rng: Generator, seen: Sequence[Cutting] = ()
) -> tuple[Picture, Labels] | None:
    """Put bicycles into a picture.

    Args:
        picture: Stays as it is.
        labels: What is labelled in it.
        teacher: Boxes, COCO ids and confidences of a picture.
        rng: Says where and which.
        seen: Real ones (`cut_out`); the others are drawn.

    Returns:
        A picture with the real ones, and those drawn that the teacher takes for bicycles, and the labels with theirs; None when
        there is none.
    """
    height, width = picture.shape[:2]
    put: list[tuple[Cutting, tuple[int, int], bool]] = []
    boxes = np.zeros((0, 4))
    for _ in range(TRIED):
        length = width * np.exp(rng.uniform(*np.log(LENGTHS)))
        is_real = bool(seen) and rng.random() < SEEN
        if is_real:
            cutting = _varied(seen[int(rng.integers(len(seen)))], rng, length)
        else:
            drawing = draw(rng, length)
            whole = np.array([[0, 0, drawing.shape[1], drawing.shape[0]]], dtype=np.float64)
            cutting = Cutting(drawing, Labels(whole, np.array([BICYCLE])))
        tall, wide = cutting.picture.shape[:2]
        top, room = round(height * SKY), height - tall
        if room <= top or wide >= width:
            continue
        left, top = int(rng.integers(0, width - wide)), int(rng.integers(top, room))
        box = np.array([[left, top, left + wide, top + tall]], dtype=np.float64)
        around = np.concatenate([labels.boxes, boxes])
        shared = overlaps(box, around)[0]
        if shared.sum() > CLEAR * areas(box)[0] or (shared > CLEAR * areas(around)).any():
            continue
        put.append((cutting, (left, top), is_real))
        boxes = np.concatenate([boxes, box])
    if not put:
        return None
    tried = picture.copy()
    for cutting, place, _ in put:
        blend(tried, cutting.picture, place)
    found, confidence = teacher(tried)
    sure, classes = sure_of(found, confidence)
    bicycles = sure[classes == BICYCLE]
    made, all_boxes, all_classes = picture.copy(), [labels.boxes], [labels.classes]
    for cutting, place, is_real in put:
        shown = cutting.labels.boxes + np.array([*place, *place])
        if is_real or (ious(shown, bicycles) >= SAME_OBJECT).any():
            blend(made, cutting.picture, place)
            all_boxes.append(shown)
            all_classes.append(cutting.labels.classes)
    if len(all_boxes) == 1:
        return None
    return made, Labels(np.concatenate(all_boxes), np.concatenate(all_classes))


def cut_out(picture: Picture, found: Labels, confidence: Boxes) -> list[Cutting]:
    """Cut the bicycles that are ridden out of a picture, each with its riders and a little of what is around them.

    Args:
        picture: Any.
        found: What the teacher sees in it.
        confidence: How sure it is of each, shape (n,).
    """
    boxes, classes = sure_of(found, confidence)
    bicycles, persons = boxes[classes == BICYCLE], boxes[classes == PERSON]
    height, width = picture.shape[:2]
    cuttings = []
    for bicycle in bicycles:
        riders = persons[overlaps(bicycle[None], persons)[0] > RIDDEN * areas(bicycle[None])]
        if not len(riders):
            continue
        shown = np.concatenate([bicycle[None], riders])
        margin = AROUND * max(bicycle[2] - bicycle[0], bicycle[3] - bicycle[1])
        left, top = np.maximum(0, shown[:, :2].min(axis=0) - margin).astype(int)
        right, bottom = np.minimum((width, height), np.ceil(shown[:, 2:].max(axis=0) + margin)).astype(int)
        opaque = np.zeros((bottom - top, right - left, 1), dtype=np.float32)
        inner = shown - np.array([left, top, left, top])
        for x1, y1, x2, y2 in inner.round().astype(int):
            opaque[max(0, y1) : y2, max(0, x1) : x2] = 1
        fade = max(1.0, margin / 2)
        opaque = cv2.GaussianBlur(opaque, (0, 0), fade)[..., None]
        colours = picture[top:bottom, left:right] * opaque
        cut = np.concatenate([colours, 255 * opaque], axis=2).round().astype(np.uint8)
        kinds = np.array([BICYCLE] + [PERSON] * len(riders), dtype=np.int64)
        cuttings.append(Cutting(cut, Labels(inner, kinds)))
    return cuttings


def _varied(cutting: Cutting, rng: Generator, length: float) -> Cutting:
    """A cutting whose bicycle is so long, mirrored or not, in other colours, as contrasty as it happens to be."""
    picture, labels = cutting
    bicycle = labels.boxes[0]
    scale = length / max(bicycle[2] - bicycle[0], bicycle[3] - bicycle[1])
    boxes = labels.boxes * scale
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA).astype(np.float64)
    small[..., :3] *= rng.uniform(1 - TINT, 1 + TINT, 3) * rng.uniform(0.7, 1.2)
    small[..., :3] = np.minimum(small[..., :3], small[..., 3:])
    if rng.random() < 0.5:
        small = small[:, ::-1]
        boxes = np.stack([small.shape[1] - boxes[:, 2], boxes[:, 1], small.shape[1] - boxes[:, 0], boxes[:, 3]], axis=1)
    return Cutting(small.astype(np.uint8), Labels(boxes, labels.classes))


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
    """Put a drawing or a cutting at left and top, as bright as the street around it."""
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
