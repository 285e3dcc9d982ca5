"""Real footage that a machine may have, and what the detector sees on it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import cv2

from tests.vision.film import START
from vision.engine.detector import Detector
from vision.scene import Scene, make_scene


class Film(NamedTuple):
    """A video, looked at: its frames as scenes, so many a second, and the width of its pictures by their height."""

    scenes: list[Scene]
    fps: float
    aspect: float


def look(detector: Detector, path: Path, *, every: int = 1) -> Film:
    """Look at each `every`th frame of a video."""
    video = cv2.VideoCapture(str(path))
    fps = video.get(cv2.CAP_PROP_FPS)
    scenes: list[Scene] = []
    number = 0
    while True:
        good, image = video.read()
        if not good:
            break
        if number % every == 0:
            height, width = image.shape[:2]
            (boxes,) = detector.detect([image])
            at = START + timedelta(seconds=number / fps)
            scenes.append(make_scene(path.name, at, boxes, detector.classes, height, width))
        number += 1
    video.release()
    return Film(scenes, fps / every, width / height)
