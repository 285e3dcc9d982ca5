"""Counting line: objects that go over it, by direction and class, each once a crossing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import LABELS, Look, Watching, numbers
from vision.track import Floats

#: An object is beyond the line when it stands so many of its heights behind it: a box that trembles on the line crosses nothing.
BAND: Final = 0.1


class Crossings:
    """Who goes over a line.

    An object crosses when it was beyond the line on one side and is beyond it on the other, and the straight way between both
    goes over the line itself, not past its end.
    """

    def __init__(self, band: float) -> None:
        self._band = band
        self._beyond: dict[int, tuple[bool, float, float]] = {}

    def step(self, look: Look, line: Floats, rows: list[int]) -> list[tuple[int, bool]]:
        """(row, forward) of the objects that have crossed; forward is from the left of the line to its right.

        Args:
            look: the frame.
            line: (2, 2) in heights of the picture.
            rows: of the objects that count.
        """
        self.forget(look.tracks.ended)
        along = line[1] - line[0]
        length = float(np.hypot(*along))
        to = look.feet() - line[0]
        # Down the screen is y, so this is positive to the right of whoever goes along the line.
        right = ((along[0] * to[:, 1] - along[1] * to[:, 0]) / length).tolist()
        far = ((to @ along) / length).tolist()
        band = (self._band * look.heights()).tolist()
        ids = numbers(look.tracks.ids)
        crossed = []
        for row in rows:
            side, place = right[row], far[row]
            if abs(side) < band[row]:
                continue
            before = self._beyond.get(ids[row])
            self._beyond[ids[row]] = (side > 0, side, place)
            if before is not None and before[0] != (side > 0):
                share = before[1] / (before[1] - side)
                if 0 <= before[2] + share * (place - before[2]) <= length:
                    crossed.append((row, side > 0))
        return crossed

    def forget(self, ended: Sequence[int]) -> None:
        """Who will not be seen again crosses nothing."""
        for number in ended:
            self._beyond.pop(number, None)


class Line(Watching):
    """A counting line.

    Attributes:
        crossed: rows of the objects that crossed on the last frame.
    """

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self.crossed: list[int] = []
        self._crossings = Crossings(BAND)

    def look(self, look: Look) -> None:
        """Count who crossed."""
        rows: list[int] = np.flatnonzero(self.chosen(look) & look.tracks.sure).tolist()
        crossed = self._crossings.step(look, self.points(look), rows)
        for row, forward in crossed:
            flow = self.flow(LABELS[look.tracks.labels[row]])
            if forward:
                flow.forward += 1
            else:
                flow.back += 1
        self.crossed = [row for row, _ in crossed]

    def forget(self, ended: Sequence[int]) -> None:
        """Forget their sides."""
        self._crossings.forget(ended)
