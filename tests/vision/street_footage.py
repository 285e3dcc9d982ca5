"""Real footage that a machine may have, and honest ways to spoil it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vision.boxes import Image
from vision.picture import encode_jpeg

Spoil = Callable[[Image], Image]

# As in the watcher: on small pictures threads only wait for each other.
cv2.setNumThreads(1)


@cache
def pictures(file: Path) -> list[Image]:
    """A picture of a video every two seconds, at half its size: there are many to be spoilt."""
    return [
        np.asarray(cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        for number, picture in enumerate(read(file))
        if number % round(2 * frames_a_second(file)) == 0
    ]


def frames_a_second(file: Path) -> float:
    capture = cv2.VideoCapture(str(file))
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return fps


def read(file: Path) -> Iterator[Image]:
    """Every picture of a video."""
    capture = cv2.VideoCapture(str(file))
    while capture.grab():
        _, picture = capture.retrieve()
        yield np.asarray(picture, dtype=np.uint8)
    capture.release()


def to_and_fro(found: list[Any]) -> Iterator[Any]:
    """The pictures for ever, without a cut: forwards, backwards."""
    while True:
        yield from found
        yield from found[-2:0:-1]


def jpeg(picture: Image, quality: int = 80) -> bytes:
    return encode_jpeg(picture, quality)


def warped(*, right: float = 0.0, down: float = 0.0, turn: float = 0.0, zoom: float = 1.0) -> Spoil:
    """The camera was pushed: shifts as shares of the picture, turn in degrees."""

    def spoil(picture: Image) -> Image:
        height, width = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom)
        matrix[:, 2] += (right * width, down * height)
        return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)

    return spoil


def blurred(sigma: float) -> Spoil:
    return lambda picture: np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def exposed(gain: float, noise: float = 0.0, seed: int = 1) -> Spoil:
    """Brighter or darker, with the noise of a sensor at each pixel, anew in each picture."""
    dice = np.random.default_rng(seed)

    def spoil(picture: Image) -> Image:
        light = picture.astype(np.float32) * gain
        return np.clip(light + dice.normal(0, noise, picture.shape) if noise else light, 0, 255).astype(np.uint8)

    return spoil


def lamplit(dusk: float, seed: int = 1) -> Spoil:
    """The daylight goes (0 = all there, 1 = gone), pools of light under lamps and the noise of the sensor come."""
    dice = np.random.default_rng(seed)

    def spoil(picture: Image) -> Image:
        height, width = picture.shape[:2]
        y, x = np.mgrid[0:height, 0:width] / width
        pools = sum(
            np.exp(-((x - at) ** 2 + (y - down * height / width) ** 2) / (2 * 0.06**2))
            for at, down in ((0.15, 0.35), (0.45, 0.55), (0.8, 0.3), (0.7, 0.8))
        )
        light = 1 - dusk + dusk * (0.06 + 1.2 * pools)
        noisy = picture * light[..., None] + dice.normal(0, 3 * dusk, picture.shape)
        return np.clip(noisy, 0, 255).astype(np.uint8)

    return spoil


def rained_on(drops: int, seed: int = 2) -> Spoil:
    """Streaks that fall, and the grey of the air behind them."""
    dice = np.random.default_rng(seed)

    def spoil(picture: Image) -> Image:
        height, width = picture.shape[:2]
        streaks = np.zeros((height, width), np.float32)
        for x, y, length in zip(
            dice.integers(0, width, drops), dice.integers(0, height, drops), dice.integers(10, 30, drops), strict=True
        ):
            cv2.line(streaks, (int(x), int(y)), (int(x + length / 5), int(y + length)), 120, 1)
        air = picture.astype(np.float32) * 0.75 + 30
        return np.clip(air + cv2.GaussianBlur(streaks, (3, 3), 0)[..., None], 0, 255).astype(np.uint8)

    return spoil


def with_clock(picture: Image, seconds: float) -> Image:
    """The time burned into the upper left, as recorders do."""
    shown = picture.copy()
    text = f"2026-11-25 21:{int(seconds) // 60 % 60:02d}:{int(seconds) % 60:02d}"
    cv2.putText(shown, text, (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1)
    return shown


def with_bus(picture: Image, left: float, wide: float = 0.6) -> Image:
    """A bus, as shares of the width, over most of the height; its windows and stripes have edges of their own."""
    shown = picture.copy()
    height, width = shown.shape[:2]
    begin, end = max(0, round(left * width)), min(width, round((left + wide) * width))
    if begin >= end:
        return shown
    top, bottom = round(0.2 * height), round(0.9 * height)
    shown[top:bottom, begin:end] = (40, 140, 60)
    for window in range(begin, end, width // 12):
        cv2.rectangle(shown, (window + 3, top + 10), (min(end, window + width // 14), top + 60), (200, 210, 215), -1)
    cv2.rectangle(shown, (begin, bottom - 30), (end, bottom - 20), (20, 20, 180), -1)
    return shown
