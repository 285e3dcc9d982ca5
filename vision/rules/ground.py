"""The ground: from the picture to metres, and the speed of what moves over it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from ioc.camera_rules import VEHICLES, CameraRule, Point, area
from vision.rules.base import LABELS, Look, Watching, depth, numbers
from vision.track import Floats

#: A speed is that over so many seconds: shorter, and the trembling of boxes is most of it.
SPAN_S: Final = 1.0
#: … and over no less than this.
LEAST_S: Final = 0.45
#: Faster is no vehicle, but two that were taken for one.
FASTEST_KMH: Final = 200.0


class Ground(Watching):
    """Four points of a rectangle on the ground; what lies on one plane with it can be measured.

    Attributes:
        kmh: speeds of the objects inside on the last frame, by number of track.
    """

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        width, length = rule.setting("width"), rule.setting("length")
        corners = np.array([(0, 0), (width, 0), (width, length), (0, length)], dtype=np.float32)
        self._plane = np.asarray(
            cv2.getPerspectiveTransform(np.array(rule.points, dtype=np.float32), corners), dtype=np.float64
        )
        # Whatever the matrix' own sign, points of the ground are in front of the camera, those beyond the horizon are not.
        self._plane /= self._plane[2, :2] @ np.mean(rule.points, axis=0) + self._plane[2, 2]
        self._way: dict[int, deque[tuple[float, float, float]]] = {}
        self._vehicles = np.array([label in VEHICLES for label in LABELS])
        self.kmh: dict[int, float] = {}

    def metres(self, points: Floats) -> Floats:
        """(n, 2) points in fractions of the picture as metres from the first corner; NaN beyond the horizon."""
        on = np.column_stack([points, np.ones(len(points))]) @ self._plane.T
        return np.asarray(np.where(on[:, 2:] > 1e-6, on[:, :2] / np.where(on[:, 2:] > 1e-6, on[:, 2:], 1.0), np.nan))

    def square_metres(self, points: tuple[Point, ...]) -> float | None:
        """Area of a zone on the ground; None where it reaches to the horizon."""
        corners = self.metres(np.array(points))
        if not np.isfinite(corners).all():
            return None
        return abs(area(tuple((float(x), float(y)) for x, y in corners)))

    def look(self, look: Look) -> None:
        """Measure the speeds of what stands and moves on the ground; vehicles count."""
        self.forget(look.tracks.ended)
        points = self.points(look)
        on = depth(look.feet(), points) >= 0
        self.doubt = bool((depth(look.tracks.doubts[:, 0] * (look.aspect, 1.0), points) >= 0).any())
        metres = self.metres(look.tracks.feet)
        vehicle = self._vehicles[look.tracks.labels] if len(look.tracks.ids) else np.zeros(0, dtype=np.bool_)
        self.kmh = {}
        for row, number in enumerate(numbers(look.tracks.ids)):
            if not on[row] or not np.isfinite(metres[row]).all():
                self._way.pop(number, None)
                continue
            way = self._way.setdefault(number, deque())
            x, y = float(metres[row, 0]), float(metres[row, 1])
            way.append((look.time, x, y))
            while len(way) > 2 and look.time - way[1][0] >= SPAN_S:
                way.popleft()
            since, from_x, from_y = way[0]
            if look.time - since < LEAST_S:
                continue
            kmh = float(np.hypot(x - from_x, y - from_y)) / (look.time - since) * 3.6
            if kmh > FASTEST_KMH:
                continue
            self.kmh[number] = kmh
            if vehicle[row]:
                flow = self.flow(LABELS[look.tracks.labels[row]])
                flow.seconds += look.gap
                flow.metres += kmh / 3.6 * look.gap

    def forget(self, ended: Sequence[int]) -> None:
        """Forget their ways."""
        for number in ended:
            self._way.pop(number, None)
