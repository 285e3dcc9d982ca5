"""The detector that ships: its files, its manifest and that it sees."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from ioc.catalog import VISION_CLASSES
from tests.material import need
from vision.bicycles import blend, draw
from vision.engine.openvino import OpenVino
from vision.evaluate import evaluate_folder
from vision.manifest import OWN_WEIGHTS, load, read_manifest
from vision.training_set import ious

MOST_BYTES = 12_000_000


def test_weights_declared_and_small() -> None:
    """Every weights file beside the manifest is declared, is what was declared, and is small enough for a repository."""
    manifest = read_manifest(OWN_WEIGHTS)
    found = {path.name for path in OWN_WEIGHTS.iterdir() if path.suffix in {".pt", ".xml", ".bin"}}
    assert found == set(manifest.files)
    for name, declared in manifest.files.items():
        content = load(OWN_WEIGHTS, (Path(name).suffix,)).content[Path(name).suffix]
        assert len(content) == declared.bytes < MOST_BYTES


def test_weights_classes_have_labels() -> None:
    """The detector names what the catalogue has words for, in that order."""
    assert set(read_manifest(OWN_WEIGHTS).classes) <= set(VISION_CLASSES)


def test_weights_named_in_card() -> None:
    """The card states the SHA-256 of every file."""
    card = (OWN_WEIGHTS / "MODEL_CARD.md").read_text(encoding="utf-8")
    for name, declared in read_manifest(OWN_WEIGHTS).files.items():
        assert name in card
        assert declared.sha256 in card


@pytest.fixture(scope="module")
def detector() -> OpenVino:
    """The detector as the CPU engine runs it, down to the confidence that average precision needs."""
    return OpenVino(load(OWN_WEIGHTS, (".xml", ".bin")), confidence=0.001, threads=1)


def test_weights_see_nothing_in_grey(detector: OpenVino) -> None:
    """An empty picture has no object worth showing."""
    (found,) = detector.detect([np.full((720, 1280, 3), 114, dtype=np.uint8)])
    assert not (found[:, 4] >= 0.25).any()


def test_weights_know_bicycles(detector: OpenVino) -> None:
    """Of bicycles drawn into real footage most are found under their name: no street that it was trained on shows one."""
    video = cv2.VideoCapture(str(need("vtest.avi")))
    ok, frame = video.read()
    video.release()
    assert ok
    ground, found = cv2.resize(frame, (1280, 720), interpolation=cv2.INTER_AREA), 0
    for seed in range(100, 120):
        drawing, picture = draw(np.random.default_rng(seed), 150), ground.copy()
        blend(picture, drawing, (300, 500))
        (boxes,) = detector.detect([picture])
        height, width = drawing.shape[:2]
        named = boxes[(boxes[:, 5] == detector.classes.index("bicycle")) & (boxes[:, 4] >= 0.25), :4]
        found += bool((ious(named, np.array([[300, 500, 300 + width, 500 + height]])) >= 0.5).any())
    print(f"{found} of 20 bicycles")
    assert found >= 12


@pytest.mark.skipif(
    "IOC_TEST_STREET" not in os.environ, reason="IOC_TEST_STREET names no folder with images/ and labels/ of streets"
)
def test_weights_beat_coco_on_street(detector: OpenVino) -> None:
    """On labelled frames of Vietnamese streets the mean AP50 is well above what a COCO detector reaches, 0.35."""
    folder = Path(os.environ["IOC_TEST_STREET"])
    report = evaluate_folder(detector.detect, folder / "images", folder / "labels", detector.classes)
    assert (report.mean("ap50") or 0) > 0.45, report.table()
