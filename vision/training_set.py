"""The training set of the project's detector: split by time, labels completed by a teacher.

The street labels know four classes and miss much at a distance. Training on them alone would teach the detector that
pedestrians and unlabelled vehicles are background, so a larger-input teacher fills the gaps before training starts.
Boxes are float arrays of shape (n, 4), ``x1 y1 x2 y2`` in pixels; a labelled set is a pair of boxes and COCO class ids.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from ioc.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    Boxes = NDArray[np.float64]

STREET_TO_COCO = {0: 3, 1: 2, 2: 5, 3: 7}
"""Class of the street labels (motorbike, car, bus, truck) to COCO id: nothing in the COCO head is re-initialised."""

PERSON, BICYCLE, CAR, MOTORBIKE, BUS, TRUCK = 0, 1, 2, 3, 5, 7
CLASSES = {"motorbike": MOTORBIKE, "car": CAR, "bus": BUS, "truck": TRUCK, "person": PERSON, "bicycle": BICYCLE}
"""The project's classes in order, each with its COCO id."""

SIDE = 704
"""Width of the network's input in pixels, in training and on the street, chosen among five by measurement
(`vision/weights/MODEL_CARD.md`); a 16:9 picture is 416 high then."""

SAME_OBJECT = 0.3
"""IoU from which a teacher's box and a label are taken for one object; loose labels rule out anything stricter."""
INSIDE = 0.5
"""Share of a teacher's box covered by a label from which the label is taken to contain it (a rider on a motorbike)."""
SURE = {PERSON: 0.4, BICYCLE: 0.4, CAR: 0.5, MOTORBIKE: 0.5, BUS: 0.6, TRUCK: 0.6}
"""Confidence a teacher's box needs; vehicles need more, as a wrong one contradicts a person's labelling."""

_ROUNDED = 1e-3
"""How far shares in label files may lie outside 0…1: some are written with three digits."""


class Labels(msgspec.Struct, frozen=True):
    """Labelled boxes of one picture: `boxes` (n, 4) in pixels and `classes` (n,) as COCO ids."""

    boxes: Boxes
    classes: NDArray[np.int64]


def split_by_time(names: Iterable[str], *, train: float = 0.8, gap: int = 5) -> tuple[list[str], list[str]]:
    """Split ``<camera>_<number>.jpg`` names per camera: the first part trains, the last validates.

    Neighbouring frames are near-duplicates, so a random split measures memory; `gap` frames between the parts are
    left out.

    Args:
        names: File names whose last group of digits orders a camera's frames in time.
        train: Share of each camera's frames that trains.
        gap: Frames dropped between the parts.

    Returns:
        Names to train on and names to validate on, each in order of camera and time.

    Raises:
        DatasetError: A name has no number.
    """
    cameras: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        found = re.search(r"^(.*?)(\d+)(?=\.[^.]*$)", name)
        if found is None:
            raise DatasetError(f"{name!r} has no frame number; expected a name such as cam_01_00042.jpg")
        cameras[found[1]].append((int(found[2]), name))
    first: list[str] = []
    last: list[str] = []
    for camera in sorted(cameras):
        frames = [name for _, name in sorted(cameras[camera])]
        cut = round(len(frames) * train)
        first += frames[:cut]
        last += frames[cut + gap :]
    return first, last


def overlaps(boxes: Boxes, others: Boxes) -> Boxes:
    """Return the areas of intersection, shape (len(boxes), len(others)), in square pixels."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    sides = np.clip(high - low, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1], dtype=np.float64)


def areas(boxes: Boxes) -> Boxes:
    """Return the areas of boxes, shape (n,), in square pixels."""
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]), dtype=np.float64)


def ious(boxes: Boxes, others: Boxes) -> Boxes:
    """Return how much boxes are the same, intersection over union, shape (len(boxes), len(others))."""
    shared = overlaps(boxes, others)
    return np.asarray(shared / (areas(boxes)[:, None] + areas(others)[None] - shared), dtype=np.float64)


def _known(boxes: Boxes, labels: Boxes) -> NDArray[np.bool_]:
    """Tell which boxes repeat a label or lie inside one."""
    if not len(boxes) or not len(labels):
        return np.zeros(len(boxes), dtype=bool)
    inside = overlaps(boxes, labels) / areas(boxes)[:, None]
    return np.asarray(((ious(boxes, labels) >= SAME_OBJECT) | (inside >= INSIDE)).any(axis=1))


def sure_of(teacher: Labels, confidence: Boxes) -> tuple[Boxes, NDArray[np.int64]]:
    """Return boxes and classes of those of `CLASSES` that a teacher is as sure of as `SURE` asks."""
    sure = np.array([c >= SURE.get(int(k), 2.0) for k, c in zip(teacher.classes, confidence, strict=True)], dtype=bool)
    return teacher.boxes[sure], teacher.classes[sure]


def complete(street: Labels, teacher: Labels, confidence: Boxes) -> Labels:
    """Add what a teacher is sure of and the street labels lack.

    Vehicles come first, so that the rider of an added motorbike is recognised as its rider: a street motorbike
    includes its rider, a COCO one does not, so an added one is widened to the persons who sit on it. Persons and
    bicycles inside a motorbike are dropped.

    Args:
        street: Labels drawn by people, classes already as COCO ids.
        teacher: Boxes of the COCO teacher on the same picture.
        confidence: The teacher's confidence per box, shape (n,).

    Returns:
        The street labels followed by the added ones.
    """
    boxes, classes = sure_of(teacher, confidence)
    soft = np.isin(classes, (PERSON, BICYCLE))
    persons = boxes[classes == PERSON]

    fresh = ~soft
    fresh[fresh] = ~_known(boxes[fresh], street.boxes)
    vehicles, kinds = boxes[fresh].copy(), classes[fresh]
    for index in np.flatnonzero(kinds == MOTORBIKE):
        vehicles[index] = with_riders(vehicles[index], persons)

    known = np.concatenate([street.boxes, vehicles])
    others = soft.copy()
    others[others] = ~_known(boxes[others], known)
    return Labels(
        boxes=np.concatenate([known, boxes[others]]),
        classes=np.concatenate([street.classes, kinds, classes[others]]),
    )


def with_riders(motorbike: Boxes, persons: Boxes) -> Boxes:
    """Widen one motorbike, shape (4,), to the persons of whom it covers a quarter or more."""
    if not len(persons):
        return motorbike
    share = overlaps(persons, motorbike[None])[:, 0] / areas(persons)
    together = np.concatenate([motorbike[None], persons[share >= 0.25]])
    return np.concatenate([together[:, :2].min(axis=0), together[:, 2:].max(axis=0)])


def read_labels(path: Path, width: int, height: int, classes: Container[int] | None = None) -> Labels:
    """Read a YOLO label file as pixels; no file means nothing there.

    Args:
        path: Lines of ``class x y w h``, centre and size as shares of the picture, and perhaps a confidence, which is not used.
        width: Of the picture, in pixels.
        height: Of the picture, in pixels.
        classes: The class numbers that there are; None where that is not known.

    Raises:
        DatasetError: It cannot be read, or a line is none of these: a polygon, pixels, a class that there is not.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read as a YOLO label file: {error}") from error
    found = [_label(line, f"{path}, line {n}", classes) for n, line in enumerate(lines, 1) if line.strip()]
    rows = np.array(found, dtype=np.float64).reshape(-1, 5)
    centre, half = rows[:, 1:3], rows[:, 3:5] / 2
    scale = np.array([width, height, width, height])
    return Labels(np.concatenate([centre - half, centre + half], axis=1) * scale, rows[:, 0].astype(np.int64))


def _label(line: str, where: str, classes: Container[int] | None) -> list[float]:
    """Class, centre and size of one line of a label file."""
    words = line.split()
    try:
        row = [float(word) for word in words]
    except ValueError:
        row = []
    if len(row) not in (5, 6) or not all(map(math.isfinite, row)):
        raise DatasetError(
            f"{where}: got {line[:80]!r}, expected five numbers, `class x y w h`, and perhaps a confidence"
        )
    kind, *centre, width, height = row[:5]
    if not kind.is_integer() or kind < 0 or (classes is not None and int(kind) not in classes):
        raise DatasetError(f"{where}: got class {words[0]}, expected the number of a class that there is")
    shares = [*centre, *row[5:]]
    if not all(-_ROUNDED <= x <= 1 + _ROUNDED for x in shares) or not all(
        0 < x <= 1 + _ROUNDED for x in (width, height)
    ):
        raise DatasetError(f"{where}: got {line[:80]!r}, expected shares of the picture, 0 to 1, and a size above 0")
    return row[:5]


def write_labels(path: Path, labels: Labels, width: int, height: int) -> None:
    """Write labels as a YOLO file, clipped to the picture."""
    scale = np.array([width, height, width, height])
    box = np.clip(labels.boxes / scale, 0, 1)
    rows = np.concatenate([(box[:, :2] + box[:, 2:]) / 2, box[:, 2:] - box[:, :2]], axis=1)
    path.write_text(
        "".join(
            f"{kind} " + " ".join(f"{v:.6f}" for v in row) + "\n"
            for kind, row in zip(labels.classes, rows, strict=True)
        )
    )
