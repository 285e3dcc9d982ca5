"""Training: the pictures it is given and the learning rate it follows."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from vision.train import RISE, learning_rate_factor, prepare, replayed, widened
from vision.training_set import CLASSES, PERSON, Labels

PERSON_TAUGHT = (Labels(np.array([[0.0, 0.0, 8.0, 16.0]]), np.array([PERSON])), np.array([0.9]))
"""What the teacher of these tests sees on every picture: one person in the corner."""

NUMBERS = {name: str(number) for number, name in enumerate(CLASSES)}


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Ten frames of one camera and thirty of another, each with a labelled car (street class 1)."""
    data = tmp_path / "street"
    for folder in ("images", "labels"):
        (data / folder).mkdir(parents=True)
    for camera, frames in (("cam_a", 10), ("cam_b", 30)):
        for number in range(frames):
            cv2.imwrite(str(data / "images" / f"{camera}_{number:03d}.jpg"), np.zeros((36, 64, 3), dtype=np.uint8))
            (data / "labels" / f"{camera}_{number:03d}.txt").write_text("1 0.5 0.5 0.25 0.25\n")
    return data


def test_prepare_completes_training_labels_only(street: Path, tmp_path: Path) -> None:
    """The teacher adds to what is trained on; what validates keeps the street labels alone; classes are the project's."""
    prepare(street, [], lambda picture: PERSON_TAUGHT, tmp_path / "set")
    first = (tmp_path / "set/labels/train/cam_b_000.txt").read_text().splitlines()
    assert [line.split()[0] for line in first] == [NUMBERS["car"], NUMBERS["person"]]
    last = (tmp_path / "set/labels/val/cam_b_029.txt").read_text().splitlines()
    assert [line.split()[0] for line in last] == [NUMBERS["car"]]


def test_prepare_lists_small_camera_twice(street: Path, tmp_path: Path) -> None:
    """A camera with few frames is seen as often as it can be without drowning in its repetition."""
    prepare(street, [], lambda picture: PERSON_TAUGHT, tmp_path / "set")
    listed = [Path(line).stem for line in (tmp_path / "set/train.txt").read_text().splitlines()]
    assert listed.count("cam_a_000") == 2
    assert listed.count("cam_b_000") == 1
    assert not {name for name in listed if name.startswith("cam_a")} & {"cam_a_008", "cam_a_009"}


def test_prepare_lists_buses_once_more(street: Path, tmp_path: Path) -> None:
    """A frame with a bus is listed once more than its neighbours."""
    (street / "labels" / "cam_b_003.txt").write_text("2 0.5 0.5 0.25 0.25\n")
    prepare(street, [], lambda picture: PERSON_TAUGHT, tmp_path / "set")
    listed = [Path(line).stem for line in (tmp_path / "set/train.txt").read_text().splitlines()]
    assert (listed.count("cam_b_002"), listed.count("cam_b_003")) == (1, 2)


def test_prepare_replays_as_wide_as_streets(street: Path, tmp_path: Path) -> None:
    """A replayed picture gets the streets' proportions and keeps its boxes and, of its classes, the project's."""
    cv2.imwrite(str(tmp_path / "tall.png"), np.full((36, 32, 3), 200, dtype=np.uint8))
    taught = Labels(np.array([[0.0, 0.0, 8.0, 18.0], [0.0, 0.0, 9.0, 9.0]]), np.array([PERSON, 16]))
    prepare(street, [tmp_path / "tall.png"], lambda picture: (taught, np.array([0.9, 0.9])), tmp_path / "set")
    assert cv2.imread(str(tmp_path / "set/images/train/tall.jpg")).shape == (36, 64, 3)
    lines = (tmp_path / "set/labels/train/tall.txt").read_text().split()
    assert lines[0] == NUMBERS["person"]
    assert [float(x) for x in lines[1:]] == pytest.approx([4 / 64, 9 / 36, 8 / 64, 18 / 36])


def test_widened_leaves_wide_pictures() -> None:
    """Only a picture narrower than 16:9 is padded, on its right."""
    wide = np.full((36, 80, 3), 7, dtype=np.uint8)
    assert widened(wide).shape == wide.shape
    assert (widened(wide[:, :32])[:, :32] == 7).all()
    assert (widened(wide[:, :32])[:, 32:] == 114).all()


def test_replayed_pictures_and_videos(tmp_path: Path) -> None:
    """A picture is replayed whole, a video every fortieth frame."""
    cv2.imwrite(str(tmp_path / "bus.png"), np.zeros((36, 64, 3), dtype=np.uint8))
    video = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 36))
    for _ in range(81):
        video.write(np.zeros((36, 64, 3), dtype=np.uint8))
    video.release()
    names = [name for name, _ in replayed([tmp_path / "bus.png", tmp_path / "clip.avi"])]
    assert names == ["bus", "clip_00000", "clip_00040", "clip_00080"]


def test_learning_rate_rises_and_ends_at_nothing() -> None:
    """It starts low, reaches its peak after the rise, and falls to zero at the end and beyond."""
    assert learning_rate_factor(0, 0) == pytest.approx(1 / RISE)
    assert learning_rate_factor(RISE, 0) == 1
    assert learning_rate_factor(RISE * 9, 0.5) == pytest.approx(0.5)
    assert learning_rate_factor(RISE * 9, 1.0) == pytest.approx(0)
    assert learning_rate_factor(RISE * 9, 1.2) == pytest.approx(0)
