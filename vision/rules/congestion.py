"""Congestion: much of a zone is covered by vehicles, and they are slow."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import Held, Look, Watching, depth, numbers

#: The zone is divided into a grid of so many cells across the picture.
CELLS: Final = 160
#: The share covered and the speed are smoothed over so many seconds.
SMOOTH_S: Final = 10.0
#: Where no ground is known, vehicles are slow that move less than so many of their heights a second.
SLOW: Final = 0.25
#: It is over when no more than this share of the occupancy is left, or speed is higher by it.
OVER: Final = 0.8


class Congestion(Watching):
    """Whether traffic is congested; its flow counts the share covered times seconds. At low frame rates speed is not judged."""

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self._mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] | None = None
        self._covered: float | None = None
        self._slow: float | None = None
        self._held = Held(on_s=rule.setting("seconds"), off_s=rule.setting("seconds"))

    def look(self, look: Look) -> None:
        """Take a frame in."""
        share = 1 - math.exp(-look.gap / SMOOTH_S)
        covered = self.covered(look)
        self.flow("").seconds += covered * look.gap
        self._covered = covered if self._covered is None else self._covered + share * (covered - self._covered)
        slow = self._how_slow(look)
        if slow is not None:
            self._slow = slow if self._slow is None else self._slow + share * (slow - self._slow)
        ease = OVER if self.value else 1.0
        crawls = not look.followed or self._slow is None or self._slow < 1 / ease
        state = self._held.step(look.time, self._covered >= self.rule.setting("occupancy") * ease and crawls)
        self.value = None if state is None else float(state)

    def covered(self, look: Look) -> float:
        """Share of the zone that boxes of vehicles cover."""
        rows = max(1, round(CELLS / look.aspect))
        if self._mask is None or self._mask.shape[0] != rows:
            corners = np.round(self._points * (CELLS - 1, rows - 1)).astype(np.int32)
            self._mask = np.zeros((rows, CELLS), dtype=np.uint8)
            cv2.fillPoly(self._mask, [corners], 1)
        taken = np.zeros_like(self._mask)
        boxes = np.round(look.tracks.boxes[self.chosen(look)] * (CELLS, rows, CELLS, rows)).astype(np.int64)
        for x1, y1, x2, y2 in boxes.tolist():
            taken[y1:y2, x1:x2] = 1
        return float((taken & self._mask).sum() / self._mask.sum())

    def _how_slow(self, look: Look) -> float | None:
        """Mean speed of the vehicles in the zone against what is slow; None without any."""
        rows = np.flatnonzero(self.chosen(look) & look.tracks.sure & (depth(look.feet(), self.points(look)) >= 0))
        if not len(rows):
            return None
        kmh = [look.kmh[number] for number in numbers(look.tracks.ids[rows]) if number in look.kmh]
        if kmh:
            return float(np.mean(kmh)) / self.rule.setting("speed")
        speed = np.hypot(*look.tracks.velocity[rows].T) / np.maximum(look.heights()[rows], 1e-6)
        return float(speed.mean()) / SLOW
