"""The training set: split by time and completed by a teacher."""

from pathlib import Path

import numpy as np
import pytest

from ioc.errors import DatasetError
from vision.training_set import (
    BICYCLE,
    CAR,
    MOTORBIKE,
    PERSON,
    Labels,
    complete,
    read_labels,
    split_by_time,
    write_labels,
)


def make_labels(*rows: tuple[float, float, float, float, int]) -> Labels:
    """Build labels from ``x1 y1 x2 y2 class`` rows."""
    table = np.array(rows, dtype=float).reshape(-1, 5)
    return Labels(table[:, :4], table[:, 4].astype(np.int64))


def test_split_by_time_per_camera() -> None:
    """Every camera gives its early frames to training and, after a gap, its late ones to validation."""
    names = [f"cam_{c}_{n:05d}.jpg" for c in ("a", "b") for n in range(10)]
    train, held = split_by_time(reversed(names), train=0.6, gap=2)
    assert train == [f"cam_{c}_{n:05d}.jpg" for c in ("a", "b") for n in range(6)]
    assert held == [f"cam_{c}_{n:05d}.jpg" for c in ("a", "b") for n in (8, 9)]


def test_split_by_time_orders_numbers() -> None:
    """Frame 10 follows frame 9 even where the numbers are not padded."""
    assert split_by_time(["c_10.jpg", "c_9.jpg"], train=0.5, gap=0) == (["c_9.jpg"], ["c_10.jpg"])


def test_split_by_time_without_number() -> None:
    """A name that has no place in time is refused."""
    with pytest.raises(DatasetError, match="frame number"):
        split_by_time(["bus.jpg"])


def test_complete_keeps_street_labels() -> None:
    """A teacher's box on a labelled object changes nothing, whatever class it claims."""
    street = make_labels((100, 100, 200, 200, MOTORBIKE))
    teacher = make_labels((105, 100, 200, 195, CAR), (120, 100, 160, 160, PERSON), (110, 150, 190, 200, BICYCLE))
    merged = complete(street, teacher, np.array([0.9, 0.9, 0.9]))
    np.testing.assert_array_equal(merged.boxes, street.boxes)


def test_complete_adds_what_is_missing() -> None:
    """Objects nobody labelled are added when the teacher is sure, and left out when it is not."""
    street = make_labels((100, 100, 200, 200, MOTORBIKE))
    teacher = make_labels((400, 0, 420, 60, PERSON), (500, 0, 600, 60, CAR), (700, 0, 800, 60, CAR))
    merged = complete(street, teacher, np.array([0.5, 0.6, 0.4]))
    assert merged.classes.tolist() == [MOTORBIKE, CAR, PERSON]


def test_complete_joins_rider_and_motorbike() -> None:
    """An added motorbike takes in its rider, who is then no pedestrian."""
    teacher = make_labels((100, 150, 200, 220, MOTORBIKE), (120, 90, 180, 200, PERSON))
    merged = complete(make_labels(), teacher, np.array([0.9, 0.9]))
    assert merged.classes.tolist() == [MOTORBIKE]
    assert merged.boxes.tolist() == [[100, 90, 200, 220]]


def test_labels_written_and_read_back(tmp_path) -> None:
    """A label file gives back the boxes that were written, clipped to the picture."""
    labels = make_labels((-10, 20, 100, 200, CAR), (600, 300, 640, 360, PERSON))
    write_labels(tmp_path / "a.txt", labels, 640, 360)
    back = read_labels(tmp_path / "a.txt", 640, 360)
    np.testing.assert_allclose(back.boxes, [[0, 20, 100, 200], [600, 300, 640, 360]], atol=1e-3)
    assert back.classes.tolist() == [CAR, PERSON]


def test_labels_of_missing_file(tmp_path) -> None:
    """A picture without a label file has nothing on it."""
    assert read_labels(tmp_path / "none.txt", 640, 360).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "line",
    [
        "0 0.5",
        "0.5 0.5 0.1 0.1",
        "car 0.5 0.5 0.1 0.1",
        "0 0.1 0.1 0.2 0.1 0.2 0.2",
        "0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2",
        "0 nan 0.5 0.1 0.1",
        "0 0.5 0.5 inf 0.1",
        "0 0.5 0.5 -0.1 0.1",
        "0 0.5 0.5 0 0.1",
        "0 320 180 64 36",
        "0 1.2 0.5 0.1 0.1",
        "0 0.5 0.5 0.1 0.1 7",
        "1.7 0.5 0.5 0.1 0.1",
        "-1 0.5 0.5 0.1 0.1",
        "nan 0.5 0.5 0.1 0.1",
        "99 0.5 0.5 0.1 0.1",
    ],
)
def test_labels_that_are_none_are_named_with_their_line(tmp_path: Path, line: str) -> None:
    """Words, a polygon, five lines of four numbers, pixels, no size, a class that there is not: none becomes a box."""
    path = tmp_path / "a.txt"
    path.write_text("0 0.5 0.5 0.1 0.1\n\n" + f"{line}\n" * 5)
    with pytest.raises(DatasetError, match=r"a\.txt, line 3: got"):
        read_labels(path, 640, 360, range(6))


def test_labels_rounded_and_with_confidence_are_read(tmp_path: Path) -> None:
    """As ultralytics saves what it found, and boxes at the edge with three digits."""
    path = tmp_path / "a.txt"
    path.write_text("1 0.5 0.5 1.0005 1 0.25\n2.0 1.0005 -0.0005 0.1 0.1\n")
    found = read_labels(path, 1000, 100)
    assert found.classes.tolist() == [1, 2]
    np.testing.assert_allclose(found.boxes[0], [-0.25, 0, 1000.25, 100])


def test_labels_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder under the file's name, and bytes that are no text, are not taken for an empty street."""
    (tmp_path / "a.txt").mkdir()
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe0")
    for name in ("a.txt", "b.txt"):
        with pytest.raises(DatasetError, match=rf"{name} cannot be read"):
            read_labels(tmp_path / name, 640, 360)
