"""Drawn bicycles in training pictures: where they are put, and which of them count."""

import cv2
import numpy as np
import pytest

from vision.bicycles import CLEAR, SKY, draw, with_bicycles
from vision.training_set import BICYCLE, CAR, Labels, areas, overlaps

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
