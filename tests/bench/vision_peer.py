"""Ultralytics as its users run it, in a process of its own: frames a second of `predict` or of `track`, from JPEG bytes.

    python -m tests.bench.vision_peer FOLDER THREADS SECONDS    asked on standard input for "predict" or "track"

The same weights (`.pt`, in torch), the same frames at the same size, the same number of threads. Tracking has one
tracker for each camera, as ultralytics asks: a list of frames would share one. Nothing is stored.
"""

from __future__ import annotations

import math
import sys
import time
import types
from pathlib import Path

import cv2
import numpy as np

from vision.engine.openvino import GRID
from vision.manifest import OWN_WEIGHTS, read_manifest
from vision.train import load_ultralytics


def main() -> None:
    """Load, say so, then answer."""
    folder, threads, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    jpegs = [np.frombuffer(path.read_bytes(), dtype=np.uint8) for path in sorted(folder.glob("*.jpg"))]
    ultralytics = load_ultralytics()
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)
    _without_lap()
    weights = str(next(OWN_WEIGHTS.glob("*.pt")))
    width = read_manifest(OWN_WEIGHTS).input.width
    image = _decode(jpegs[0])
    size = math.ceil(image.shape[0] * width / image.shape[1] / GRID) * GRID, width
    predictor = ultralytics.YOLO(weights)
    # One a camera; they are many, so a few cameras stand for all.
    trackers = [ultralytics.YOLO(weights) for _ in range(4)]

    def predict(number: int) -> None:
        predictor.predict(_decode(jpegs[number % len(jpegs)]), imgsz=size, verbose=False)

    def track(number: int) -> None:
        camera = number % len(trackers)
        trackers[camera].track(_decode(jpegs[camera]), imgsz=size, persist=True, verbose=False)

    steps = {"predict": predict, "track": track}
    for step in steps.values():
        for number in range(len(trackers)):
            step(number)
    print("ready", flush=True)
    for line in sys.stdin:
        step, done, began = steps[line.strip()], 0, time.monotonic()
        while time.monotonic() < began + seconds:
            step(done)
            done += 1
        print(done / (time.monotonic() - began), flush=True)


def _decode(jpeg: np.ndarray) -> np.ndarray:
    image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    assert image is not None
    return image


def _without_lap() -> None:
    """Without the package `lap`, have ultralytics use the assignment that it brings along."""
    try:
        import lap  # noqa: F401
    except ImportError:
        stand_in = types.ModuleType("lap")
        stand_in.__dict__["__version__"] = "0"
        sys.modules["lap"] = stand_in
        from ultralytics.trackers.utils import matching

        matching.linear_assignment.__defaults__ = (False,)


if __name__ == "__main__":
    main()
