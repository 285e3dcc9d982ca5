"""The detectors on a real picture: each engine alone, and one against the other."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ioc.errors import ModelError
from ioc.settings import Settings
from tests.vision.conftest import COCO_CLASSES, write_manifest
from vision.boxes import SAME_OBJECT, Boxes
from vision.engine import open_detector
from vision.engine import ultralytics as torch_engine
from vision.engine.detector import Detector
from vision.engine.openvino import GRID, MOST_SHAPES, OpenVino
from vision.manifest import MANIFEST, OWN_WEIGHTS, Model, load
from vision.picture import decode_jpeg


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


def found_in(other: Boxes, boxes: Boxes) -> float:
    """Share of the boxes that the other engine has too: same class, and one object by the rule of suppression."""
    hits = [any(row[5] == o[5] and overlap(row, o) > SAME_OBJECT for o in other) for row in boxes]
    return float(np.mean(hits)) if hits else 1.0


def test_openvino_real_picture_has_objects_inside_it(detector: Detector, street: bytes) -> None:
    """Boxes lie in the picture, the surest first, classes known."""
    image = decode_jpeg(street, detector.input_size)
    (boxes,) = detector.detect([image])
    height, width = image.shape[:2]
    assert len(boxes) >= 2
    assert boxes[0, 4] > 0.5
    assert (np.diff(boxes[:, 4]) <= 0).all()
    assert (boxes[:, [0, 1]] >= 0).all()
    assert (boxes[:, 2] <= width).all()
    assert (boxes[:, 3] <= height).all()
    assert boxes[:, 5].max() < len(detector.classes)


def test_openvino_batch_of_sizes_gives_each_picture_its_own_boxes(detector: Detector, street: bytes) -> None:
    """Pictures of other sizes in one call, from two threads at once, answer as they do alone."""
    image = decode_jpeg(street, detector.input_size)
    empty = np.full((240, 320, 3), 128, dtype=np.uint8)
    mirrored = np.ascontiguousarray(image[:, ::-1])
    alone = [detector.detect([one])[0] for one in (image, empty, mirrored)]
    answers: list[list[Boxes]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(detector.detect([image, empty, mirrored]))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(answers) == 2
    for answer in answers:
        for got, expected in zip(answer, alone, strict=True):
            assert np.allclose(got, expected, atol=0.01)
    assert detector.detect([]) == []


def test_openvino_wide_picture_needs_no_square(weights: Path, street: bytes) -> None:
    """Where the network lets its height be chosen, a wide picture is inferred without the grey, and finds the same."""
    opened = OpenVino(load(weights, (".xml", ".bin")), confidence=0.4, threads=1)
    photograph = cv2.resize(decode_jpeg(street, opened.input_size), (540, 720))
    wide = np.full((720, 1280, 3), 114, dtype=np.uint8)
    wide[:, 370:910] = photograph
    if opened.height_for(wide) == opened.input_size[0]:
        pytest.skip("these weights have one input size")
    _, width = opened.input_size
    assert width * 9 / 16 <= opened.height_for(wide) < width * 9 / 16 + GRID
    assert opened.height_for(np.ascontiguousarray(wide[:, :960])) > opened.height_for(wide)
    assert opened.height_for(np.ascontiguousarray(wide.transpose(1, 0, 2))) == opened.height_for(wide)
    (flat,) = opened.detect([wide])
    padded = np.full((1280, 1280, 3), 114, dtype=np.uint8)
    padded[280:1000] = wide
    (square,) = opened.detect([padded])
    square[:, [1, 3]] -= 280
    assert len(flat) >= 1
    assert found_in(square, flat[flat[:, 4] > 0.5]) >= 0.8
    assert found_in(flat, square[square[:, 4] > 0.5]) >= 0.8
    opened.close()


def test_openvino_many_proportions_compile_few_networks(weights: Path) -> None:
    """Pictures of any proportions are looked at; memory is bounded."""
    opened = OpenVino(load(weights, (".xml", ".bin")), confidence=0.4, threads=1)
    for height in range(100, 1000, 90):
        picture = np.full((height, 640, 3), 60, dtype=np.uint8)
        assert opened.detect([picture])[0].shape[1] == 6
    assert len(opened._queues) <= MOST_SHAPES
    opened.close()


def test_openvino_wrong_classes_are_refused(weights: Path, tmp_path: Path) -> None:
    """A manifest whose classes are not those of the network."""
    for path in weights.iterdir():
        if path.suffix in {".xml", ".bin"}:
            shutil.copyfile(path, tmp_path / path.name)
    write_manifest(tmp_path, ["motorbike", "car", "bus"])
    with pytest.raises(ModelError, match=r"expected \(1, 7, n\) for its 3 classes"):
        open_detector(Settings(vision_engine="openvino", vision_weights=tmp_path))


def test_openvino_damaged_network_is_a_model_error(tmp_path: Path) -> None:
    """Files that are declared as they are, and are no network."""
    (tmp_path / "net.xml").write_text("<net/>")
    (tmp_path / "net.bin").write_bytes(bytes(8))
    write_manifest(tmp_path, ["car"])
    with pytest.raises(ModelError, match=r"cannot load net\.xml"):
        open_detector(Settings(vision_engine="openvino", vision_weights=tmp_path))


@pytest.fixture(scope="module")
def torch_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="torch is not installed: the ultralytics engine is for machines with a GPU")
    pytest.importorskip("ultralytics")
    if (OWN_WEIGHTS / MANIFEST).is_file():
        return OWN_WEIGHTS
    source = Settings().data_dir / "models" / "yolo11n_coco.pt"
    if not source.is_file():
        pytest.skip(f"no {OWN_WEIGHTS / MANIFEST} and no {source}")
    folder = tmp_path_factory.mktemp("torch")
    shutil.copyfile(source, folder / source.name)
    write_manifest(folder, [COCO_CLASSES.get(number, f"coco-{number}") for number in range(80)])
    return folder


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_ultralytics_real_picture_agrees_with_openvino(
    torch_weights: Path, detector: Detector, street: bytes, tmp_path: Path
) -> None:
    """Both engines find the same objects; INT8 may differ in what is uncertain."""
    settings = Settings(vision_engine="ultralytics", vision_weights=torch_weights, home=tmp_path)
    other = open_detector(settings)
    image = decode_jpeg(street, detector.input_size)
    tall = np.ascontiguousarray(image[:, : image.shape[1] // 2])
    ours, theirs = detector.detect([image, tall]), other.detect([image, tall])
    for mine, its in zip(ours, theirs, strict=True):
        assert found_in(mine, its[its[:, 4] > 0.5]) >= 0.8
        assert found_in(its, mine[mine[:, 4] > 0.5]) >= 0.8
    assert other.name in {"ultralytics", "tensorrt"}
    assert other.classes == detector.classes
    other.close()


def test_tensorrt_engine_that_was_changed_is_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine with a GPU: the bytes whose SHA-256 was written when the engine was built, or none."""
    loaded: list[bytes] = []

    def backend(path: Path, **_: Any) -> Any:
        loaded.append(path.read_bytes())
        return SimpleNamespace(eval=lambda: None, batch=16)

    torch = SimpleNamespace(
        cuda=SimpleNamespace(is_available=lambda: True), device=lambda _: SimpleNamespace(type="cuda")
    )
    monkeypatch.setattr(torch_engine, "_import", lambda _: (torch, backend))
    model = Model("net.pt", "0" * 64, (64, 64), ("car",), {".pt": b"checkpoint"})

    def name() -> str:
        return torch_engine.Ultralytics(model, confidence=0.5, home=tmp_path).name

    assert name() == "ultralytics"
    engine = torch_engine.keep_engine(tmp_path, model, b"engine")
    assert engine == torch_engine.engine_file(tmp_path, model)
    assert name() == "tensorrt"
    assert loaded == [b"checkpoint", b"engine"]
    engine.write_bytes(b"another")
    with pytest.raises(ModelError, match="declared beside it is"):
        name()
    beside = engine.with_name(f"{engine.name}.sha256")
    for words in ("", "\xff"):
        beside.write_text(words)
        with pytest.raises(ModelError, match="build it anew"):
            name()
    beside.unlink()
    with pytest.raises(ModelError, match="cannot be verified"):
        name()
    assert len(loaded) == 2


def test_open_detector_without_a_gpu_never_imports_torch(weights: Path) -> None:
    """On auto, a machine without an NVIDIA driver gets OpenVINO, and torch is not even looked into."""
    if Path("/dev/nvidiactl").exists():
        pytest.skip("this machine has an NVIDIA driver")
    script = (
        "import sys; from ioc.settings import Settings; from vision.engine import open_detector;"
        f"detector = open_detector(Settings(vision_weights={str(weights)!r}));"
        "print(detector.name, 'torch' in sys.modules, 'ultralytics' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["openvino", "False", "False"]


def test_openvino_has_several_requests_in_flight(weights: Path, street: bytes) -> None:
    """With two threads two pictures are inferred side by side, also those of one call: the queue is asynchronous."""
    opened = OpenVino(load(weights, (".xml", ".bin")), confidence=0.4, threads=2)
    assert opened.batch >= 2
    image = decode_jpeg(street, opened.input_size)
    opened.detect([image])
    running, answered = threading.Event(), threading.Event()
    most = 0

    def watch() -> None:
        nonlocal most
        running.set()
        while not answered.is_set():
            most = max(most, opened.batch - opened._running._value)
            time.sleep(0.0005)

    watcher = threading.Thread(target=watch)
    watcher.start()
    running.wait(60)
    assert len(opened.detect([image] * 12)) == 12
    answered.set()
    watcher.join()
    assert most == opened.batch
    assert opened._running._value == opened.batch
    opened.close()
