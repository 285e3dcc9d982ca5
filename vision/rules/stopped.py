"""Stopped vehicle: one that stands in a zone for longer than it should."""

from __future__ import annotations

from typing import Final

import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import SETTLE_S, Look, Watching, depth, numbers

#: It still stands while its middle stays within so much of its size; boxes of what stands tremble by a tenth.
STIR: Final = 0.25
#: Looks that must agree, however long ago the first was.
LOOKS: Final = 3


class Stopped(Watching):
    """How many vehicles stand."""

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self._begun: float | None = None
        #: By number of track: since when it stands, where its middle was then (x, y), how often it was seen.
        self._rest: dict[int, tuple[float, float, float, int]] = {}
        self._standing: set[int] = set()

    def look(self, look: Look) -> None:
        """Take a frame in."""
        if self._begun is None:
            self._begun = look.time
        for number in look.tracks.ended:
            self._rest.pop(number, None)
            self._standing.discard(number)
        span = self.rule.setting("seconds")
        inside = self.chosen(look) & (depth(look.feet(), self.points(look)) >= 0)
        boxes = look.tracks.boxes * (look.aspect, 1.0, look.aspect, 1.0)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        size = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6), axis=1))
        for row, number in enumerate(numbers(look.tracks.ids)):
            x, y = float(middle[row, 0]), float(middle[row, 1])
            since, was_x, was_y, looks = self._rest.get(number, (look.time, x, y, 0))
            if not inside[row]:
                self._rest.pop(number, None)
                self._standing.discard(number)
            elif np.hypot(x - was_x, y - was_y) > STIR * size[row]:
                self._rest[number] = (look.time, x, y, 1)
                self._standing.discard(number)
            else:
                self._rest[number] = (since, was_x, was_y, looks + 1)
                if look.time - since >= span and looks + 1 >= LOOKS:
                    self._standing.add(number)
        # A vehicle that stood before we began may be stopping still, so we do not say that there is none.
        self.value = (
            float(len(self._standing)) if self._standing or look.time - self._begun >= span + SETTLE_S else None
        )
