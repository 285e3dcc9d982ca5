"""Measure a detector on any folder of pictures with YOLO labels: AP50, AP50-95, recall and precision.

The rules are COCO's: detections of a class are matched in order of confidence, each to the free label it overlaps
most, at IoU 0.50, 0.55 … 0.95; the precision envelope is read at 101 recalls; sizes are areas in pixels of the original
picture (small < 32², medium < 96², large), where labels of other sizes are ignored rather than missed. Two things
differ, both for crowds of motorbikes: a picture may have any number of detections (COCO keeps 100), and an area is that
of the box, as there is no outline.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import cv2
import msgspec
import numpy as np
import simplejpeg

from ioc.errors import DatasetError, ModelError
from vision.picture import MOST_PIXELS, decode_jpeg
from vision.training_set import areas, ious, read_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]
    Picture = NDArray[np.uint8]
    Detect = Callable[[list[Picture]], list[Floats]]

THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)
RECALLS: Floats = np.linspace(0, 1, 101)
SIZES: dict[str, tuple[float, float]] = {
    "all": (0, np.inf),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, np.inf),
}
SUFFIXES = (".jpg", ".jpeg", ".png")
BATCH = 8


class Sample(msgspec.Struct, frozen=True):
    """One picture's labels and detections.

    Attributes:
        boxes: Labelled boxes, (g, 4) ``x1 y1 x2 y2`` in pixels.
        classes: Their classes, (g,), numbered as the detector numbers its own.
        found: Detections, (n, 6) ``x1 y1 x2 y2 confidence class``.
    """

    boxes: Floats
    classes: NDArray[np.int64]
    found: Floats


class Score(msgspec.Struct, frozen=True):
    """How well one class is found at one size.

    Attributes:
        name: The class.
        size: ``all``, ``small``, ``medium`` or ``large``.
        labels: Labels of this class and size.
        ap50: Average precision at IoU 0.5, 0…1; None without labels.
        ap: Mean of the average precisions at IoU 0.50…0.95; None without labels.
        recall: Share of the labels found at the report's confidence and IoU 0.5; None without labels.
        precision: Share of those detections that are right; None where nothing was found.
    """

    name: str
    size: str
    labels: int
    ap50: float | None
    ap: float | None
    recall: float | None
    precision: float | None


class Report(msgspec.Struct, frozen=True):
    """The scores of a detector on a set of pictures; recall and precision hold at `confidence`."""

    scores: tuple[Score, ...]
    pictures: int
    confidence: float

    def score(self, name: str, size: str = "all") -> Score:
        """Return one class's score at one size."""
        return next(s for s in self.scores if (s.name, s.size) == (name, size))

    def mean(self, figure: str, size: str = "all") -> float | None:
        """Return the mean of ``ap50``, ``ap``, ``recall`` or ``precision`` over the classes that have labels."""
        values = [getattr(s, figure) for s in self.scores if s.size == size and s.labels]
        known = [0.0 if value is None else float(value) for value in values]
        return float(np.mean(known)) if known else None

    def table(self) -> str:
        """Return the report as aligned text: a line per class and one of means."""
        names = list(dict.fromkeys(s.name for s in self.scores))
        wide = max([9, *map(len, names)])
        head = ["labels", "AP50", "AP50-95", f"recall@{self.confidence:g}", f"precision@{self.confidence:g}"]
        head += ["AP small", "AP medium", "AP large"]
        lines = [f"{'class':<{wide}}  " + "  ".join(head)]

        def line(name: str, labels: int, figures: list[float | None]) -> str:
            cells = [str(labels), *("–" if f is None else f"{f:.3f}" for f in figures)]
            return f"{name:<{wide}}  " + "  ".join(c.rjust(len(h)) for c, h in zip(cells, head, strict=True))

        sizes = list(SIZES)[1:]
        for name in names:
            one = self.score(name)
            figures = [one.ap50, one.ap, one.recall, one.precision, *(self.score(name, s).ap for s in sizes)]
            lines.append(line(name, one.labels, figures))
        means = [self.mean(f) for f in ("ap50", "ap", "recall", "precision")] + [self.mean("ap", s) for s in sizes]
        lines.append(line("mean", sum(s.labels for s in self.scores if s.size == "all"), means))
        return "\n".join([f"{self.pictures} pictures", *lines])


def average_precision(right: Flags, labels: int) -> float:
    """Return the 101-point average precision of detections in order of falling confidence.

    Args:
        right: Whether each detection is right, shape (n,), the surest first.
        labels: Number of labels there were to find, at least one.

    Returns:
        Average precision, 0…1.
    """
    if not len(right):
        return 0.0
    hits = np.cumsum(right)
    recall = hits / labels
    precision = hits / np.arange(1, len(right) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, RECALLS, side="left")
    reached = at < len(envelope)
    return float(np.where(reached, envelope[np.minimum(at, len(envelope) - 1)], 0.0).mean())


def match(labels: Floats, counted: Flags, found: Floats) -> tuple[Flags, Flags]:
    """Match the detections of one class in one picture at every IoU of `THRESHOLDS`.

    Args:
        labels: Boxes, shape (g, 4).
        counted: Labels that count, shape (g,); the others may be found without reward or blame.
        found: Boxes, shape (n, 4), the surest first.

    Returns:
        Two arrays of shape (10, n): right, and neither right nor wrong.
    """
    steps = len(THRESHOLDS)
    right, spared = np.zeros((steps, len(found)), dtype=bool), np.zeros((steps, len(found)), dtype=bool)
    if not len(labels) or not len(found):
        return right, spared
    iou = ious(found, labels)
    free = np.ones((steps, len(labels)), dtype=bool)
    rows = np.arange(steps)
    # IoU computed from pixels may fall a rounding error below the threshold it should meet.
    floor = THRESHOLDS[:, None] - 1e-9
    for index in np.flatnonzero(iou.max(axis=1) >= THRESHOLDS[0] - 1e-9):
        able = free & (iou[index][None] >= floor)
        # A label that counts is preferred to any that does not, as in COCO.
        rank = np.where(able, iou[index][None] + counted[None], -1.0)
        best = rank.argmax(axis=1)
        hit = rank[rows, best] >= 0
        right[:, index] = hit & counted[best]
        spared[:, index] = hit & ~counted[best]
        free[rows[hit], best[hit]] = False
    return right, spared


def score_class(samples: Sequence[Sample], kind: int, name: str, size: str, confidence: float) -> Score:
    """Score one class at one size over all pictures."""
    low, high = SIZES[size]
    total = 0
    rights, spares, sures = [], [], []
    for sample in samples:
        labels = sample.boxes[sample.classes == kind]
        found = sample.found[sample.found[:, 5] == kind]
        found = found[np.argsort(-found[:, 4], kind="stable")]
        area = areas(labels)
        counted = (area >= low) & (area < high)
        total += int(counted.sum())
        right, spared = match(labels, counted, found[:, :4])
        own = areas(found[:, :4])
        spares.append(spared | (~right & ((own < low) | (own >= high))[None]))
        rights.append(right)
        sures.append(found[:, 4])
    if not total:
        return Score(name, size, 0, None, None, None, None)
    sure = np.concatenate(sures)
    order = np.argsort(-sure, kind="stable")
    sure = sure[order]
    right = np.concatenate(rights, axis=1)[:, order]
    judged = ~np.concatenate(spares, axis=1)[:, order]
    precisions = [average_precision(r[j], total) for r, j in zip(right, judged, strict=True)]
    shown = judged[0] & (sure >= confidence)
    hits, said = int(right[0][shown].sum()), int(shown.sum())
    precision = hits / said if said else None
    return Score(name, size, total, precisions[0], float(np.mean(precisions)), hits / total, precision)


def score(samples: Sequence[Sample], class_names: Mapping[int, str], *, confidence: float = 0.25) -> Report:
    """Score detections against labels.

    Args:
        samples: One entry per picture.
        class_names: Name of each class number to report.
        confidence: Where recall and precision are read.

    Returns:
        A score per class and size.
    """
    scores = [
        score_class(samples, kind, name, size, confidence) for kind, name in class_names.items() for size in SIZES
    ]
    return Report(tuple(scores), len(samples), confidence)


def evaluate_folder(
    detect: Detect,
    images: Path,
    labels: Path,
    class_names: Sequence[str] | Mapping[int, str],
    class_map: Mapping[int, int] | None = None,
    *,
    label_classes: int | None = None,
    confidence: float = 0.25,
) -> Report:
    """Run a detector over a folder of pictures and score it against YOLO label files of the same stems.

    Args:
        detect: From a list of BGR uint8 pictures to one (n, 6) array each: ``x1 y1 x2 y2 confidence class``, pixels of
            the picture. Let it report down to a confidence of 0.001, or average precision comes out too low.
        images: Folder of ``.jpg``, ``.jpeg`` or ``.png`` files.
        labels: Folder of ``.txt`` files; a picture without one has nothing on it.
        class_names: Names by the detector's class numbers; classes without labels show as unknown.
        class_map: Class number in the label files to the detector's; without it they are the same. Labels of classes
            that it leaves out are not used.
        label_classes: How many classes the label files number, from 0; with a `class_map` and without this, any number.
        confidence: Where recall and precision are read.

    Returns:
        The report; print `Report.table()`.

    Raises:
        DatasetError: There are no pictures, none has a label file, or a picture or a label file cannot be read.
        ModelError: The detector answered with arrays of another shape.
    """
    names = dict(class_names) if isinstance(class_names, Mapping) else dict(enumerate(class_names))
    paths = sorted(path for path in images.glob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DatasetError(f"{images} holds no {', '.join(SUFFIXES)} files; give the folder of the pictures")
    if not any((labels / f"{path.stem}.txt").exists() for path in paths):
        raise DatasetError(
            f"{labels} has a label file for none of the {len(paths)} pictures in {images}, expected {paths[0].stem}.txt for"
            f" {paths[0].name} and so on"
        )
    known_classes: Container[int] | None = range(label_classes) if label_classes else None if class_map else names
    samples: list[Sample] = []
    for start in range(0, len(paths), BATCH):
        chosen = paths[start : start + BATCH]
        pictures = [read_picture(path) for path in chosen]
        labelled = [
            read_labels(labels / f"{path.stem}.txt", picture.shape[1], picture.shape[0], known_classes)
            for path, picture in zip(chosen, pictures, strict=True)
        ]
        answers = detect(pictures)
        if len(answers) != len(pictures):
            raise ModelError(f"the detector answered {len(answers)} arrays for {len(pictures)} pictures")
        for path, known, answer in zip(chosen, labelled, answers, strict=True):
            found = np.asarray(answer, dtype=np.float64)
            if found.ndim != 2 or found.shape[1] != 6:
                raise ModelError(f"the detector answered shape {found.shape} for {path.name}, expected (n, 6)")
            renamed = np.array([(class_map or {}).get(int(c), -1 if class_map else int(c)) for c in known.classes])
            samples.append(Sample(known.boxes, renamed.astype(np.int64), found))
    return score(samples, names, confidence=confidence)


def read_picture(path: Path) -> Picture:
    """Read a picture as uint8 BGR (height, width, 3).

    Raises:
        DatasetError: It is not a picture that OpenCV reads, is cut short or damaged, or has more than `MOST_PIXELS`.
    """
    if not path.is_file():
        raise DatasetError(f"{path} is not a file")
    try:
        content = path.read_bytes()
        if content.startswith(b"\xff\xd8"):
            _refuse_large(path, *simplejpeg.decode_jpeg_header(content)[:2])
            # OpenCV makes the lost half of a JPEG grey; the worker's decoder, here at an eighth, refuses it. The pixels are
            # OpenCV's all the same, for it turns a photograph as its EXIF says, and as whoever labelled it saw it.
            decode_jpeg(content, (1, 1))
        elif content.startswith(b"\x89PNG"):
            _refuse_large(path, int.from_bytes(content[20:24]), int.from_bytes(content[16:20]))
        picture = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    except (OSError, ValueError, cv2.error) as error:
        raise DatasetError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if picture is None:
        raise DatasetError(f"{path} is not a picture that OpenCV reads; replace or remove it")
    # Other formats tell their size only here; OpenCV itself takes 2^30 pixels at most.
    _refuse_large(path, *picture.shape[:2])
    return np.asarray(picture, dtype=np.uint8)


def _refuse_large(path: Path, height: int, width: int) -> None:
    if height * width > MOST_PIXELS:
        raise DatasetError(f"{path} has {width}x{height} pixels, expected at most {MOST_PIXELS}")
