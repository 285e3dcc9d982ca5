"""What the vision tests share: weights, a detector, a real picture.

weights    session  folder of verified weights: the project's own, else the COCO model of the data folder
detector   session  the OpenVINO detector on them
street     session  a real photograph with vehicles or people in it, as JPEG bytes
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ioc.settings import Settings
from tests.vision.photograph import photographs
from vision.engine import open_detector
from vision.engine.detector import Detector
from vision.manifest import MANIFEST, OWN_WEIGHTS

COCO = "models/yolo11n_coco_int8_openvino_model"
#: Names of the COCO classes we know under our own; the others get a number.
COCO_CLASSES = {0: "person", 1: "bicycle", 2: "car", 3: "motorbike", 5: "bus", 7: "truck"}


def write_manifest(folder: Path, classes: list[str], size: int = 640) -> None:
    """Declare the files of a folder as they are."""
    files = {
        path.name: {
            "format": path.suffix[1:],
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST
    }
    manifest = {"name": "test", "classes": classes, "input": {"height": size, "width": size}, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (OWN_WEIGHTS / MANIFEST).is_file():
        return OWN_WEIGHTS
    source = Settings().data_dir / COCO
    if not source.is_dir():
        pytest.skip(f"no {OWN_WEIGHTS / MANIFEST} and no {source}")
    folder = tmp_path_factory.mktemp("weights")
    for path in source.glob("yolo11n.*"):
        shutil.copyfile(path, folder / path.name)
    write_manifest(folder, [COCO_CLASSES.get(number, f"coco-{number}") for number in range(80)])
    return folder


@pytest.fixture(scope="session")
def detector(weights: Path) -> Iterator[Detector]:
    opened = open_detector(Settings(vision_engine="openvino", vision_weights=weights))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def street() -> bytes:
    found = photographs()
    if not found:
        pytest.skip("no photograph: neither .ioc/media/bus.jpg, nor ultralytics' assets, nor the data folder")
    return found[0].read_bytes()
