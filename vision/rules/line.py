"""Counting line: objects that go over it, by direction and class, each once a crossing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ioc.camera_rules import VEHICLES, CameraRule
from vision.rules.base import LABELS, Look, Watching, numbers
from vision.track import Floats

#: An object has crossed when it stands so many of its heights behind the line: a box that trembles on the line crosses nothing.
BAND: Final = 0.25
#: … and it comes from the side on which it stood so many of its heights before it: many are first seen close to the line.
NEAR: Final = 0.1
#: A minute in which a vehicle may have crossed unseen counts as so much less watched: too little to be whole.
DOUBT_S: Final = 7.0


class Crossings:
    """Who goes over a line.

    An object crosses when it stood before the line on one side and is beyond it on the other, and the straight way between both
    goes over the line itself, not past its end. It may have been there before it was known for an object; it crosses when it is.

    Attributes:
        doubt: on the last frame something may have crossed that could not be followed.
    """

    def __init__(self, near: float, band: float) -> None:
        self._near, self._band = near, band
        self.doubt = False
        self._beyond: dict[int, tuple[bool, float, float]] = {}
        #: Who would have crossed, if it is an object.
        self._waiting: set[int] = set()

    def step(self, look: Look, line: Floats, rows: list[int]) -> list[tuple[int, bool]]:
        """(row, forward) of the objects that have crossed; forward is from the left of the line to its right.

        Args:
            look: the frame.
            line: (2, 2) in heights of the picture.
            rows: of the objects that count.
        """
        along = line[1] - line[0]
        length = float(np.hypot(*along))

        def seen(points: Floats) -> Floats:
            """How far to the right of the line and how far along it."""
            to = points - line[0]
            # Down the screen is y, so this is positive to the right of whoever goes along the line.
            return np.array([along[0] * to[:, 1] - along[1] * to[:, 0], to @ along]) / length

        (one, one_far), (other, other_far) = (seen(look.tracks.doubts[:, end] * (look.aspect, 1.0)) for end in (0, 1))
        over = one_far + one / np.where(one == other, 1.0, one - other) * (other_far - one_far)
        self.doubt = bool(((one > 0) != (other > 0))[(over >= 0) & (over <= length)].any())
        self.doubt |= not self._waiting.isdisjoint(look.tracks.ended)
        self.forget(look.tracks.ended)
        right, far = seen(look.feet()).tolist()
        heights = look.heights()
        near, band = (self._near * heights).tolist(), (self._band * heights).tolist()
        ids = numbers(look.tracks.ids)
        crossed = []
        for row in rows:
            side, place = right[row], far[row]
            before = self._beyond.get(ids[row])
            turned = before is not None and before[0] != (side > 0)
            if abs(side) < (band if turned else near)[row]:
                continue
            if turned and not look.tracks.sure[row]:
                self._waiting.add(ids[row])
                continue
            self._waiting.discard(ids[row])
            self._beyond[ids[row]] = (side > 0, side, place)
            if before is not None and turned:
                share = before[1] / (before[1] - side)
                if 0 <= before[2] + share * (place - before[2]) <= length:
                    crossed.append((row, side > 0))
        return crossed

    def forget(self, ended: Sequence[int]) -> None:
        """Who will not be seen again crosses nothing."""
        for number in ended:
            self._beyond.pop(number, None)
            self._waiting.discard(number)


class Line(Watching):
    """A counting line.

    Attributes:
        crossed: rows of the objects that crossed on the last frame.
    """

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self.crossed: list[int] = []
        self._crossings = Crossings(NEAR, BAND)
        self._vehicles = not set(VEHICLES).isdisjoint(rule.looks_at())
        #: The last minute that was.
        self._doubted = -1.0

    def look(self, look: Look) -> None:
        """Count who crossed."""
        rows: list[int] = np.flatnonzero(self.chosen(look)).tolist()
        crossed = self._crossings.step(look, self.points(look), rows)
        for row, forward in crossed:
            flow = self.flow(LABELS[look.tracks.labels[row]])
            if forward:
                flow.forward += 1
            else:
                flow.back += 1
        self.crossed = [row for row, _ in crossed]
        minute = look.time // 60
        if self._crossings.doubt and self._vehicles and minute != self._doubted:
            self._doubted = minute
            self.flow("").watched_s -= DOUBT_S

    def forget(self, ended: Sequence[int]) -> None:
        """Forget their sides."""
        self._crossings.forget(ended)
