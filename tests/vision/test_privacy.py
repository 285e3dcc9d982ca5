"""What is hidden cannot be told any more, and nothing else is touched: on real photographs, real footage and any sizes at all."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ioc.db.evidence_pictures import MOST_BYTES, MOST_ORIGINAL_BYTES, about
from ioc.errors import ModelError, SealError
from ioc.model import Detection
from ioc.sealing import MasterKey
from ioc.settings import Settings
from tests.material import need
from vision.boxes import Boxes, Image
from vision.engine.detector import Detector
from vision.faces import Faces
from vision.picture import decode_jpeg, encode_jpeg
from vision.privacy import EVIDENCE_WIDTH, HEAD_CELLS, LEAST_CELL, PLATE_CELLS, Privacy, Region, blur, regions
from vision.scene import Scene, make_scene

WHEN = datetime(2026, 3, 1, 8, 0, 0, 250_000, tzinfo=UTC)
SEALING = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#: Sizes of the network's input that an onlooker tries: another size finds other faces.
ONLOOKER = (640 * 384, 960 * 544, 1280 * 736)


def photograph(name: str) -> Image:
    return np.asarray(cv2.imread(str(need(name))), dtype=np.uint8)


def frames_of_video(*numbers: int) -> Iterator[Image]:
    video = cv2.VideoCapture(str(need("vtest.avi")))
    for number in numbers:
        video.set(cv2.CAP_PROP_POS_FRAMES, number)
        _, frame = video.read()
        yield np.asarray(frame, dtype=np.uint8)
    video.release()


@pytest.fixture(scope="module")
def privacy() -> Privacy:
    return Privacy(Settings())


@pytest.fixture(scope="module")
def onlooker() -> Faces:
    """Somebody who looks for faces."""
    return Faces(confidence=0.3)


def faces(onlooker: Faces, image: Image) -> list[Boxes]:
    return [onlooker.find(image, pixels) for pixels in ONLOOKER]


def seen(detector: Detector, image: Image) -> Scene:
    (boxes,) = detector.detect([image])
    return make_scene("cam-1", WHEN, boxes, detector.classes, image.shape[0], image.shape[1])


def box(label: str, x1: float, y1: float, x2: float, y2: float) -> Detection:
    return Detection(WHEN, "cam-1", 0, label, 0.9, x1, y1, x2, y2)


# --- faces ---


@pytest.mark.parametrize("name", ["bus.jpg", "zidane.jpg"])
def test_hide_faces_of_a_photograph_are_found_before_and_not_after(
    name: str, privacy: Privacy, onlooker: Faces, detector: Detector
) -> None:
    """With the detector's boxes and without: the network that finds faces covers for a person whom nobody boxed."""
    image = photograph(name)
    assert all(len(found) >= 2 for found in faces(onlooker, image))
    for detections in (seen(detector, image).detections, ()):
        hidden = image.copy()
        privacy.hide(hidden, detections)
        assert [len(found) for found in faces(onlooker, hidden)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("name", "persons"),
    [
        ("bus.jpg", [(0.06, 0.36, 0.3, 0.84), (0.27, 0.37, 0.43, 0.8), (0.82, 0.35, 1.0, 0.82)]),
        ("zidane.jpg", [(0.58, 0.06, 0.9, 1.0), (0.1, 0.27, 0.88, 1.0)]),
    ],
)
def test_blur_boxes_alone_hide_the_faces_of_those_in_them(
    name: str, persons: list[tuple[float, float, float, float]], onlooker: Faces
) -> None:
    """Where a person is boxed the head is hidden without the network: of those who stand, and of those seen from the waist up.

    The boxes were drawn by hand.
    """
    image = photograph(name)
    boxed = [box("person", *corners) for corners in persons]
    for found in faces(onlooker, image):
        assert [face for face in found if any(_holds(person, face) for person in boxed)]
    blur(image, regions(boxed, *image.shape[:2]))
    assert [len(found) for found in faces(onlooker, image)] == [0, 0, 0]


def test_hide_pedestrians_of_real_footage_have_no_face_afterwards(
    privacy: Privacy, onlooker: Faces, detector: Detector
) -> None:
    """People on a campus, sixty pixels tall: what can be found of their faces before is not there after."""
    before = after = 0
    for frame in frames_of_video(300, 500, 700):
        hidden = frame.copy()
        privacy.hide(hidden, seen(detector, frame).detections)
        before += sum(len(onlooker.find(frame, pixels)) for pixels in ONLOOKER)
        after += sum(len(onlooker.find(hidden, pixels)) for pixels in ONLOOKER)
    assert before >= 8
    assert after == 0


def test_faces_weights_that_were_changed_are_refused(tmp_path: Path) -> None:
    """A network that does not find faces would hide nothing, and nobody would notice."""
    with pytest.raises(ModelError, match="cannot be read"):
        Faces(tmp_path / "none.onnx")
    changed = tmp_path / "changed.onnx"
    changed.write_bytes(b"another network")
    with pytest.raises(ModelError, match="SHA-256"):
        Faces(changed)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (7, 5), (31, 33), (2160, 3840)])
def test_faces_pictures_of_any_shape_are_looked_at(size: tuple[int, int], onlooker: Faces) -> None:
    """A camera may send anything; no shape breaks the look, and grey has no face."""
    assert len(onlooker.find(np.full((*size, 3), 114, dtype=np.uint8))) == 0


# --- number plates ---


LETTERS = "0123456789ABCDEFGHKLMNPSTUVXYZ"


def _letter(character: str, height: int) -> Image:
    """A character as the plate has it, white on black, tight."""
    scale = height / 22
    (width, tall), base = cv2.getTextSize(character, cv2.FONT_HERSHEY_SIMPLEX, scale, max(1, round(scale * 2)))
    canvas = np.zeros((tall + base + 4, width + 4, 3), dtype=np.uint8)
    cv2.putText(
        canvas,
        character,
        (2, tall + 2),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (255, 255, 255),
        max(1, round(scale * 2)),
        cv2.LINE_AA,
    )
    return canvas


def read_plate(picture: Image, spots: list[tuple[int, int, int, int]], letters: dict[str, Image]) -> str:
    """What stands at each spot: the character that correlates best, whatever brightness and contrast are left of it."""
    text = ""
    for left, top, right, bottom in spots:
        grey = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_BGR2GRAY).astype(np.float32)
        best = {}
        for character, shape in letters.items():
            wanted = 255 - cv2.cvtColor(shape, cv2.COLOR_BGR2GRAY)
            wanted = cv2.resize(wanted, (right - left, bottom - top)).astype(np.float32)
            best[character] = float(cv2.matchTemplate(grey, wanted, cv2.TM_CCOEFF_NORMED)[0, 0])
        text += max(best, key=lambda character: best[character])
    return text


def car_with_plate(text: str, width: int) -> tuple[Image, Detection, list[tuple[int, int, int, int]]]:
    """A car of so many pixels' width, its plate a third of it and low at its end; and where the characters stand."""
    height = round(width * 0.8)
    image = np.full((height * 2, width * 2, 3), (90, 110, 100), dtype=np.uint8)
    left, top = width // 2, height // 2
    cv2.rectangle(image, (left, top), (left + width, top + height), (60, 40, 160), cv2.FILLED)
    shapes = [_letter(character, width // 22) for character in text]
    plate_width, plate_height = sum(s.shape[1] for s in shapes) + 8, max(s.shape[0] for s in shapes) + 8
    x, y = left + (width - plate_width) // 2, top + round(height * 0.75)
    cv2.rectangle(image, (x, y), (x + plate_width, y + plate_height), (255, 255, 255), cv2.FILLED)
    x, y = x + 4, y + 4
    spots = []
    for shape in shapes:
        tall, wide = shape.shape[:2]
        image[y : y + tall, x : x + wide] = 255 - shape
        spots.append((x, y, x + wide, y + tall))
        x += wide
    at = box("car", 0.25, 0.25, 0.75, 0.75)
    return image, at, spots


@pytest.mark.parametrize("width", [160, 320, 640, 1200])
def test_blur_plate_is_read_before_and_not_after(width: int) -> None:
    """Near or far: each character is told by its shape before; after, no more than a guess would tell."""
    text = "59F123456"
    letters = {character: _letter(character, width // 22) for character in LETTERS}
    image, car, spots = car_with_plate(text, width)
    assert read_plate(image, spots, letters) == text
    blur(image, regions([car], *image.shape[:2]))
    read = read_plate(image, spots, letters)
    assert sum(a == b for a, b in zip(read, text, strict=True)) <= 2
    # Two cars with other plates look the same but for a shade.
    other, _, _ = car_with_plate("51K987410", width)
    blur(other, regions([car], *other.shape[:2]))
    assert np.abs(other.astype(int) - image.astype(int)).max() <= 24


def test_regions_plate_of_a_motorbike_and_the_heads_on_it_are_covered() -> None:
    """Two riders' heads at the top of the box, the plate below the middle; between them the machine can be told."""
    found = regions([box("motorbike", 0.4, 0.2, 0.6, 0.8)], 720, 1280)
    assert any(r.y1 <= 0.2 and r.y2 >= 0.44 and r.x1 <= 0.4 and r.x2 >= 0.6 for r in found)
    assert any(r.y1 <= 0.5 and r.y2 >= 0.76 and r.x1 <= 0.43 and r.x2 >= 0.57 for r in found)


# --- irreversible, and nothing else ---


sides = st.integers(1, 90)
shares = st.floats(-0.5, 1.5, allow_nan=False)


@given(
    npst.arrays(np.uint8, st.tuples(sides, sides, st.just(3))),
    st.lists(st.tuples(shares, shares, shares, shares, st.sampled_from([HEAD_CELLS, PLATE_CELLS])), max_size=4),
)
def test_blur_any_picture_only_the_regions_change(image: Image, given_: list[tuple[float, ...]]) -> None:
    """Whatever size, wherever the regions lie: no error, and each pixel outside of them is the one that was there."""
    hidden = image.copy()
    wanted = [Region(x1, y1, x2, y2, int(cells)) for x1, y1, x2, y2, cells in given_]
    blur(hidden, wanted)
    height, width = image.shape[:2]
    outside = np.ones((height, width), dtype=bool)
    for r in wanted:
        if r.x2 > r.x1 and r.y2 > r.y1:
            outside[
                max(0, int(r.y1 * height)) : max(0, int(np.ceil(r.y2 * height))),
                max(0, int(r.x1 * width)) : max(0, int(np.ceil(r.x2 * width))),
            ] = False
    assert (hidden[outside] == image[outside]).all()


@hypothesis_settings(max_examples=40)
@given(st.integers(6, 120), st.integers(6, 120), st.integers(0, 2**32 - 1))
def test_blur_what_is_left_is_what_a_few_cells_hold(height: int, width: int, seed: int) -> None:
    """No more is left than one average a cell: the region can be rebuilt, to a rounding, from at most that many colours."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    whole = Region(0, 0, 1, 1, HEAD_CELLS)
    blur(image, [whole])
    cell = max(LEAST_CELL, max(height, width) / HEAD_CELLS)
    cells = max(1, round(width / cell)), max(1, round(height / cell))
    assert cells[0] <= HEAD_CELLS
    assert cells[1] <= HEAD_CELLS
    # A bilinear surface over so few points has no more independent rows and columns than points; what else there is comes of
    # rounding to whole numbers, by half a step each.
    for channel in cv2.split(image):
        singular = np.linalg.svd(channel.astype(float), compute_uv=False)
        assert float((singular[min(cells) :] ** 2).sum()) <= 0.25 * height * width


def test_blur_small_region_is_one_colour() -> None:
    """A head of a few pixels is not left as it is because its cells would fit into it."""
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    blur(image, [Region(0.25, 0.25, 0.4, 0.4, HEAD_CELLS)])
    assert len(np.unique(image[10:16, 10:16].reshape(-1, 3), axis=0)) == 1


# --- what is kept ---


def test_keep_evidence_picture_is_blurred_bounded_and_told(
    privacy: Privacy, detector: Detector, onlooker: Faces
) -> None:
    """The frame's own pixels rather than the shrunk ones, no wider than allowed, no face, the boxes beside it."""
    image = photograph("zidane.jpg")
    large = np.asarray(cv2.resize(image, (2560, 1440)), dtype=np.uint8)
    jpeg = encode_jpeg(large, 95)
    small = decode_jpeg(jpeg, (384, 640))
    scene = seen(detector, small)
    kept = privacy.keep_evidence("cam-1", WHEN, "crowd", "Đám đông", small, scene, jpeg)
    assert (kept.camera, kept.measure, kept.time, kept.rule) == ("cam-1", "crowd", WHEN, "Đám đông")
    assert (kept.width, kept.height) == (EVIDENCE_WIDTH, 720)
    assert len(kept.jpeg) <= MOST_BYTES
    assert [b.label for b in kept.boxes] == [d.label for d in scene.detections]
    assert kept.original is None
    shown = decode_jpeg(kept.jpeg, (720, 1280))
    assert shown.shape == (720, 1280, 3)
    assert [len(found) for found in faces(onlooker, shown)] == [0, 0, 0]


def test_keep_evidence_leaves_the_picture_it_is_given(privacy: Privacy, detector: Detector) -> None:
    """The same pixels go to the wall afterwards."""
    image = photograph("bus.jpg")
    before = image.copy()
    kept = privacy.keep_evidence("cam-1", WHEN, "crowd", "", image, seen(detector, image))
    assert (image == before).all()
    assert (kept.width, kept.height) == (810, 1080)


def test_keep_evidence_noise_of_any_size_fits(privacy: Privacy) -> None:
    """Noise does not compress; it is made coarser and smaller until it fits."""
    noise = np.random.default_rng(2).integers(0, 256, (1080, 1920, 3), dtype=np.uint8)
    kept = privacy.keep_evidence("cam-1", WHEN, "crowd", "", noise, Scene("cam-1", WHEN, ()))
    assert len(kept.jpeg) <= MOST_BYTES


def test_keep_evidence_original_is_sealed_as_the_picture_of_this_moment() -> None:
    """With a master key the frame is kept as it came, and opens with that key, as that picture, alone."""
    settings = Settings(evidence_master_key=SEALING)
    image = photograph("bus.jpg")
    jpeg = encode_jpeg(image)
    kept = Privacy(settings).keep_evidence("cam-1", WHEN, "crowd", "", image, Scene("cam-1", WHEN, ()), jpeg)
    assert kept.original is not None
    assert jpeg[100:200] not in kept.original.sealed
    key = MasterKey.of(settings)
    assert key is not None
    assert key.open(kept.original, about("cam-1", "crowd", WHEN)) == jpeg
    with pytest.raises(SealError):
        key.open(kept.original, about("cam-2", "crowd", WHEN))
    with pytest.raises(SealError, match="master key"):
        MasterKey(bytes(32)).open(kept.original, about("cam-1", "crowd", WHEN))


def test_keep_evidence_original_that_is_too_large_is_not_kept() -> None:
    """The blurred picture is kept all the same."""
    small = encode_jpeg(np.full((64, 64, 3), 90, dtype=np.uint8))
    # A JPEG may carry anything after its end.
    jpeg = small + bytes(MOST_ORIGINAL_BYTES)
    kept = Privacy(Settings(evidence_master_key=SEALING)).keep_evidence(
        "cam-1", WHEN, "crowd", "", decode_jpeg(small, (64, 64)), Scene("cam-1", WHEN, ()), jpeg
    )
    assert kept.original is None
    assert kept.jpeg


def _holds(person: Detection, face: Boxes) -> bool:
    x, y = (face[0] + face[2]) / 2, (face[1] + face[3]) / 2
    return bool(person.x1 <= x <= person.x2 and person.y1 <= y <= person.y2)
