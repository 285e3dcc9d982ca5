"""Scoring detections: average precision worked out by hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import DatasetError, ModelError
from vision.evaluate import Sample, average_precision, evaluate_folder, read_picture, score
from vision.picture import MOST_PIXELS, encode_jpeg

NAMES = {0: "motorbike", 1: "car"}


def make_sample(labels: list[list[float]], found: list[list[float]]) -> Sample:
    """Build a sample from labels ``x1 y1 x2 y2 class`` and detections ``x1 y1 x2 y2 confidence class``."""
    rows = np.array(labels, dtype=float).reshape(-1, 5)
    return Sample(rows[:, :4], rows[:, 4].astype(np.int64), np.array(found, dtype=float).reshape(-1, 6))


@pytest.mark.parametrize(
    ("right", "labels", "expected"),
    [
        ([], 3, 0.0),
        ([True, True], 2, 1.0),
        # Recall 1/2 at precision 1, then 2/2 at 2/3: recalls 0…0.50 read 1 (51 of them), 0.51…1 read 2/3 (50).
        ([True, False, True], 2, (51 + 50 * 2 / 3) / 101),
        # Never beyond recall 1/4, first hit second: recalls 0…0.25 read 1/2 (26 of them), the rest 0.
        ([False, True], 4, 26 * 0.5 / 101),
        # The envelope lifts the early dip: 1/2 at recall 1/3 becomes 2/3, as 2/3 is reached at recall 2/3.
        ([False, True, True], 3, 67 * (2 / 3) / 101),
        ([False, False], 1, 0.0),
    ],
)
def test_average_precision_by_hand(right: list[bool], labels: int, expected: float) -> None:
    """The 101-point figure equals the one worked out on paper."""
    assert average_precision(np.array(right, dtype=bool), labels) == pytest.approx(expected)


def test_score_perfect_detections() -> None:
    """Detections equal to the labels score one everywhere."""
    boxes = [[0, 0, 20, 20, 0], [100, 100, 150, 150, 0], [300, 300, 500, 500, 1]]
    found = [[*box[:4], 0.9, box[4]] for box in boxes]
    report = score([make_sample(boxes, found)], NAMES)
    for name in NAMES.values():
        one = report.score(name)
        assert (one.ap50, one.ap, one.recall, one.precision) == (1, 1, 1, 1)
    assert report.score("motorbike", "small").labels == 1
    assert report.score("motorbike", "medium").labels == 1
    assert report.score("car", "large").ap == 1


def test_score_loose_box() -> None:
    """A box of IoU 0.6 is right at the thresholds 0.50, 0.55 and 0.60 alone."""
    report = score([make_sample([[0, 0, 100, 100, 0]], [[0, 0, 100, 60, 0.8, 0]])], NAMES)
    one = report.score("motorbike")
    assert one.ap50 == 1
    assert one.ap == pytest.approx(0.3)


def test_score_label_found_twice() -> None:
    """The second detection of one object is wrong, however well it fits."""
    labels = [[0, 0, 100, 100, 0], [500, 0, 600, 100, 0]]
    found = [[0, 0, 100, 90, 0.9, 0], [0, 0, 100, 100, 0.8, 0], [500, 0, 600, 100, 0.7, 0]]
    one = score([make_sample(labels, found)], NAMES).score("motorbike")
    assert one.ap50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert one.recall == 1
    assert one.precision == pytest.approx(2 / 3)


def test_score_at_confidence() -> None:
    """Recall and precision count only what is shown; average precision counts all."""
    labels = [[0, 0, 100, 100, 0], [500, 0, 600, 100, 0]]
    found = [[0, 0, 100, 100, 0.9, 0], [500, 0, 600, 100, 0.1, 0]]
    one = score([make_sample(labels, found)], NAMES, confidence=0.25).score("motorbike")
    assert (one.ap50, one.recall, one.precision) == (1, 0.5, 1)


def test_score_other_sizes_ignored() -> None:
    """At one size, labels and detections of other sizes are neither missed nor wrong."""
    labels = [[0, 0, 20, 20, 0], [100, 100, 300, 300, 0]]
    found = [[100, 100, 300, 300, 0.9, 0], [600, 0, 900, 300, 0.8, 0], [0, 0, 20, 20, 0.7, 0]]
    report = score([make_sample(labels, found)], NAMES)
    assert report.score("motorbike", "small").ap50 == 1
    assert report.score("motorbike", "small").precision == 1
    assert report.score("motorbike", "large").precision == pytest.approx(0.5)
    assert report.score("motorbike").precision == pytest.approx(2 / 3)


def test_score_order_over_pictures() -> None:
    """Detections are ranked by confidence over all pictures, not picture by picture."""
    first = make_sample([[0, 0, 50, 50, 0]], [[0, 0, 50, 50, 0.5, 0]])
    second = make_sample([], [[0, 0, 50, 50, 0.9, 0]])
    assert score([first, second], NAMES).score("motorbike").ap50 == pytest.approx(0.5)


def test_score_class_without_labels() -> None:
    """A class that nobody labelled is unknown, and the mean leaves it out."""
    report = score([make_sample([[0, 0, 50, 50, 0]], [[0, 0, 50, 50, 0.5, 0], [9, 9, 60, 60, 0.9, 1]])], NAMES)
    assert report.score("car").ap50 is None
    assert report.mean("ap50") == 1
    assert "–" in report.table()


@given(
    boxes=st.lists(
        st.tuples(
            st.integers(0, 400), st.integers(0, 400), st.integers(1, 200), st.integers(1, 200), st.integers(0, 1)
        ),
        max_size=12,
    ),
    found=st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 400),
            st.integers(1, 200),
            st.integers(1, 200),
            st.floats(0, 1),
            st.integers(0, 1),
        ),
        max_size=12,
    ),
)
def test_score_bounds(boxes: list[tuple[int, ...]], found: list[tuple[float, ...]]) -> None:
    """Figures stay within 0…1, and looser matching never scores below stricter."""
    sample = make_sample(
        [[x, y, x + w, y + h, c] for x, y, w, h, c in boxes],
        [[x, y, x + w, y + h, p, c] for x, y, w, h, p, c in found],
    )
    for one in score([sample], NAMES).scores:
        if one.ap50 is None or one.ap is None or one.recall is None:
            assert one.labels == 0
            continue
        assert 0 <= one.ap <= 1
        assert 0 <= one.recall <= 1
        assert one.precision is None or 0 <= one.precision <= 1


@pytest.fixture
def street(tmp_path: Path) -> Path:
    """Two pictures, one with a label of class 7, one with none."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.zeros((100, 200, 3), dtype=np.uint8))
    (tmp_path / "labels" / "a.txt").write_text("7 0.5 0.5 0.5 0.4\n")
    return tmp_path


def test_evaluate_folder_maps_classes(street: Path) -> None:
    """Label classes are renamed to the detector's, and shares of the picture become pixels."""

    def detect(pictures: list[np.ndarray]) -> list[np.ndarray]:
        return [np.array([[50, 30, 150, 70, 0.9, 3]]), np.zeros((0, 6))]

    report = evaluate_folder(detect, street / "images", street / "labels", {3: "truck"}, {7: 3})
    assert report.pictures == 2
    assert report.score("truck").ap == 1
    assert "truck" in report.table()


def test_evaluate_folder_without_pictures(tmp_path: Path) -> None:
    """An empty folder is an error that says what was looked for."""
    with pytest.raises(DatasetError, match=r"\.jpg"):
        evaluate_folder(lambda pictures: [], tmp_path, tmp_path, ["car"])


def test_evaluate_folder_wrong_shape(street: Path) -> None:
    """A detector that answers another shape is named as the fault."""
    with pytest.raises(ModelError, match=r"expected \(n, 6\)"):
        evaluate_folder(
            lambda pictures: [np.zeros((1, 5)) for _ in pictures],
            street / "images",
            street / "labels",
            ["car"],
            class_map={7: 0},
        )


def nothing(pictures: list[np.ndarray]) -> list[np.ndarray]:
    """A detector that finds nothing."""
    return [np.zeros((0, 6)) for _ in pictures]


def test_evaluate_folder_without_labels(street: Path, tmp_path: Path) -> None:
    """A folder that has a label file for no picture is the wrong one, not an empty street."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c.txt").write_text("0 0.5 0.5 0.5 0.4\n")
    with pytest.raises(DatasetError, match=r"label file for none of the 2 pictures.* expected a\.txt for a\.png"):
        evaluate_folder(nothing, street / "images", tmp_path / "other", ["car"])


@pytest.mark.parametrize(
    ("names", "class_map", "label_classes", "good"),
    [
        (["car"] * 8, None, None, True),
        (["car"], None, None, False),
        (["car"], {0: 0}, None, True),
        (["car"], {0: 0}, 8, True),
        (["car"], {0: 0}, 7, False),
    ],
)
def test_evaluate_folder_class_out_of_range(
    street: Path, names: list[str], class_map: dict[int, int] | None, label_classes: int | None, good: bool
) -> None:
    """Class 7 is one of eight, of the detector's own or of those the label files name; else it is an error."""

    def evaluate() -> object:
        folders = street / "images", street / "labels"
        return evaluate_folder(nothing, *folders, names, class_map, label_classes=label_classes)

    if good:
        assert evaluate()
    else:
        with pytest.raises(DatasetError, match=r"a\.txt, line 1: got class 7"):
            evaluate()


def test_read_picture_cut_short_is_refused(tmp_path: Path) -> None:
    """Half a JPEG or PNG is not shown as a whole one, wherever it was cut."""
    noise = np.random.default_rng(1).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    (tmp_path / "whole.jpg").write_bytes(encode_jpeg(noise))
    cv2.imwrite(str(tmp_path / "whole.png"), noise)
    for suffix in ("jpg", "png"):
        content = (tmp_path / f"whole.{suffix}").read_bytes()
        assert read_picture(tmp_path / f"whole.{suffix}").shape == noise.shape
        for cut in (0, 3, 20, len(content) // 2, len(content) - 200):
            path = tmp_path / f"cut_{cut}.{suffix}"
            path.write_bytes(content[:cut])
            with pytest.raises(DatasetError, match=f"cut_{cut}"):
                read_picture(path)


def test_read_picture_turns_a_photograph_as_its_exif_says(tmp_path: Path) -> None:
    """Labels are drawn on the picture as people see it."""
    jpeg = encode_jpeg(np.zeros((48, 64, 3), dtype=np.uint8))
    # TIFF, big-endian, one entry: orientation (0x0112), a SHORT, 6: turn right. https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    assert read_picture(tmp_path / "a.jpg").shape == (64, 48, 3)


def test_read_picture_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred bytes that claim to be 20,000 x 20,000 pixels; of other formats a picture that is too large."""
    huge = (20_000).to_bytes(2, "big") * 2
    jpeg = bytearray(encode_jpeg(np.zeros((48, 64, 3), dtype=np.uint8)))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = huge
    (tmp_path / "bomb.jpg").write_bytes(jpeg)
    png = bytearray(cv2.imencode(".png", np.zeros((48, 64, 3), dtype=np.uint8))[1].tobytes())
    png[16:24] = (20_000).to_bytes(4, "big") * 2
    (tmp_path / "bomb.png").write_bytes(png)
    with monkeypatch.context() as patched:
        patched.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
        for name in ("bomb.jpg", "bomb.png"):
            with pytest.raises(DatasetError, match=f"{name} has 20000x20000 pixels, expected at most {MOST_PIXELS}"):
                read_picture(tmp_path / name)
    cv2.imwrite(str(tmp_path / "a.bmp"), np.zeros((48, 64, 3), dtype=np.uint8))
    monkeypatch.setattr("vision.evaluate.MOST_PIXELS", 48 * 64 - 1)
    with pytest.raises(DatasetError, match="64x48 pixels"):
        read_picture(tmp_path / "a.bmp")
