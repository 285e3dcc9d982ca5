"""The one interface of detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from vision.boxes import Boxes, Image


class Detector(Protocol):
    """Finds objects in pictures. May be called by several threads at once, and is faster for it.

    Attributes:
        name: the runtime, such as "openvino".
        device: where it runs, such as "CPU" or "cuda:0".
        input_size: (height, width) that pictures are scaled to, in pixels.
        classes: label of each class number.
        weights: what tells these weights from others: the beginning of their SHA-256, or their name on another machine.
        every_class: set it where average precision is measured: what is found is then a box of each class it may be of, as in the
            evaluations of COCO and ultralytics; on a street it is one thing, of its likeliest class.
        batch: pictures it works on side by side; with more in one call some only wait, and grow old.
    """

    name: str
    device: str
    input_size: tuple[int, int]
    classes: tuple[str, ...]
    weights: str
    every_class: bool
    batch: int

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """Boxes of each picture, in its own pixels, the surest first.

        Args:
            images: BGR, uint8, (height, width, 3); sizes may differ.

        Returns:
            One (n, 6) array a picture: `x1 y1 x2 y2 confidence class`.

        Raises:
            ModelError: the runtime failed.
        """
        ...

    def close(self) -> None:
        """Give memory and threads back."""
        ...
