"""Bicycles in training pictures: where they are put, which of those drawn count, and how real ones are cut out."""

import cv2
import numpy as np
import pytest

from vision.bicycles import CLEAR, SKY, Cutting, cut_out, draw, with_bicycles
from vision.training_set import BICYCLE, CAR, PERSON, Labels, areas, overlaps

CAR_LABELLED = Labels(np.array([[400.0, 200.0, 1000.0, 680.0]]), np.array([CAR]))


def street() -> np.ndarray:
    return np.full((720, 1280, 3), 130, dtype=np.uint8)


class Teacher:
    """Sees what has been put into a street, from left to right; says "bicycle" of the first ones."""

    def __init__(self, taken: int, sure: float = 0.9) -> None:
        self.taken, self.sure = taken, sure
        self.seen = 0

    def __call__(self, picture: np.ndarray) -> tuple[Labels, np.ndarray]:
        """Boxes, classes and confidences."""
        changed = (np.abs(picture.astype(int) - street()).max(axis=2) > 20).astype(np.uint8)
        changed = cv2.dilate(changed, np.ones((9, 9), dtype=np.uint8))
        boxes = [
            [left, top, left + width, top + height]
            for left, top, width, height, area in cv2.connectedComponentsWithStats(changed)[2][1:]
            if area > 600
        ]
        self.seen = len(boxes)
        kept = np.array(sorted(boxes)[: self.taken], dtype=np.float64).reshape(-1, 4)
        return Labels(kept, np.full(len(kept), BICYCLE)), np.full(len(kept), self.sure)


@pytest.mark.parametrize("seed", range(12))
def test_drawing_fills_its_edges(seed: int) -> None:
    """Whatever its measures, a drawing is a bicycle's shape on nothing, cut to its edges."""
    drawing = draw(np.random.default_rng(seed), 400)
    height, width = drawing.shape[:2]
    assert 0.5 < width / height < 2.2
    seen = drawing[..., 3] > 20
    assert all(edge.any() for edge in (seen[0], seen[-1], seen[:, 0], seen[:, -1]))
    assert 0.08 < seen.mean() < 0.6


@pytest.mark.parametrize("seed", range(4))
def test_only_what_the_teacher_takes_for_one_is_put(seed: int) -> None:
    """The picture shows the bicycles that are labelled and no other, what was labelled stays, and is not hidden."""
    teacher = Teacher(taken=1)
    made = with_bicycles(street(), CAR_LABELLED, teacher, np.random.default_rng(seed))
    assert made is not None
    picture, labels = made
    assert teacher.seen
    assert labels.classes.tolist() == [CAR, BICYCLE]
    assert labels.boxes[0].tolist() == CAR_LABELLED.boxes[0].tolist()
    bicycles = labels.boxes[1:]
    assert (overlaps(bicycles, CAR_LABELLED.boxes).sum(axis=1) <= CLEAR * areas(bicycles)).all()
    assert bicycles[:, 1].min() >= int(720 * SKY)
    assert bicycles[:, 2].max() <= 1280
    assert bicycles[:, 3].max() <= 720
    changed = (picture != street()).any(axis=2)
    for left, top, right, bottom in bicycles.astype(int):
        assert changed[top:bottom, left:right].mean() > 0.1
        changed[top:bottom, left:right] = False
    assert not changed.any()


@pytest.mark.parametrize("teacher", [Teacher(taken=0), Teacher(taken=5, sure=0.39)])
def test_none_the_teacher_knows(teacher: Teacher) -> None:
    """Without one that it is sure of there is no picture."""
    assert with_bicycles(street(), CAR_LABELLED, teacher, np.random.default_rng(1)) is None
    assert teacher.seen


def test_small_objects_stay_visible() -> None:
    """Among many motorbikes no farther than a bicycle is long, none is hidden by more than a tenth of it."""
    left, top = (grid.ravel() for grid in np.meshgrid(np.arange(20.0, 1250, 90), np.arange(110.0, 700, 90)))
    many = Labels(np.stack([left, top, left + 16, top + 16], axis=1), np.full(left.size, CAR))
    put = 0
    for seed in range(12):
        made = with_bicycles(street(), many, Teacher(taken=1), np.random.default_rng(seed))
        if made is not None:
            bicycles = made[1].boxes[left.size :]
            assert (overlaps(bicycles, many.boxes) <= CLEAR * areas(many.boxes)).all()
            put += 1
    assert put


def test_no_room() -> None:
    """A street full of labels has no place for one."""
    full = Labels(np.array([[0.0, 0.0, 1280.0, 720.0]]), np.array([CAR]))
    assert with_bicycles(street(), full, Teacher(taken=5), np.random.default_rng(1)) is None


RIDDEN = Labels(np.array([[300.0, 250, 340, 350], [280, 150, 360, 320]]), np.array([BICYCLE, PERSON]))
PARKED = Labels(np.array([[500.0, 250, 600, 320]]), np.array([BICYCLE]))
SURE_OF_BOTH = np.array([0.9, 0.9])


def rider() -> Cutting:
    """One in a street of his own, the bicycle red, he himself green."""
    picture = street()
    for colour, box in zip([(60, 200, 60), (60, 60, 200)], RIDDEN.boxes[::-1].astype(int), strict=True):
        picture[box[1] : box[3], box[0] : box[2]] = colour
    (cutting,) = cut_out(picture, RIDDEN, SURE_OF_BOTH)
    return cutting


def test_cut_out_with_its_rider() -> None:
    """What is labelled is opaque and as it was, what is around it fades; the labels are of the cutting."""
    cutting = rider()
    assert cutting.labels.classes.tolist() == [BICYCLE, PERSON]
    moved = cutting.labels.boxes - RIDDEN.boxes
    assert np.ptp(moved[:, ::2]) == np.ptp(moved[:, 1::2]) == 0
    left, top, right, bottom = cutting.labels.boxes[0].astype(int)
    assert cutting.picture[(top + bottom) // 2, (left + right) // 2].tolist() == [60, 60, 200, 255]
    edges = np.concatenate([cutting.picture[0, :, 3], cutting.picture[:, 0, 3], cutting.picture[-1, :, 3]])
    assert edges.max() < 40
    assert (cutting.picture[..., :3] <= np.maximum(cutting.picture[..., 3:], 1)).all()


@pytest.mark.parametrize(
    ("found", "sure"),
    [
        (PARKED, [0.9]),
        (RIDDEN, [0.39, 0.9]),
        (Labels(RIDDEN.boxes[:1], RIDDEN.classes[:1]), [0.9]),
        (RIDDEN, [0.9, 0.2]),
    ],
)
def test_not_cut_out(found: Labels, sure: list[float]) -> None:
    """One that nobody rides, or of which the teacher is not sure, or not of its rider, is left where it is."""
    assert cut_out(street(), found, np.array(sure)) == []


def test_real_ones_count_whatever_the_teacher_says() -> None:
    """It has seen them where they were; each keeps its rider, on it as before, mirrored or not."""
    put = 0
    for seed in range(6):
        made = with_bicycles(street(), CAR_LABELLED, Teacher(taken=0), np.random.default_rng(seed), [rider()])
        if made is None:  # none but drawn ones were tried
            continue
        picture, labels = made
        classes = labels.classes[1:]
        assert classes.tolist() == [BICYCLE, PERSON] * (len(classes) // 2)
        for bicycle, person in zip(labels.boxes[1::2], labels.boxes[2::2], strict=True):
            x, y = ((bicycle[:2] + bicycle[2:]) / 2).astype(int)
            assert picture[y, x, 2] > 1.5 * picture[y, x, 1]
            x, y = int((person[0] + person[2]) / 2), int(person[1] + 0.2 * (person[3] - person[1]))
            assert picture[y, x, 1] > 1.5 * picture[y, x, 2]
            put += 1
    assert put
