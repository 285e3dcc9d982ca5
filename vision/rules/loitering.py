"""Loitering: a person who stays in a zone for longer than one who passes or waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import SETTLE_S, Look, Watching, numbers
from vision.rules.zone import Inside

#: A person who was lost inside is the one who is found there within this time and so many of their heights.
FOUND_S: Final = 3.0
FOUND_NEAR: Final = 1.0
#: A person who was lost is counted on for so long.
LOST_S: Final = 10.0


class Loitering(Watching):
    """How many people have stayed for longer than `seconds`."""

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self._inside = Inside()
        self._begun: float | None = None
        #: By number of track: since when that person is inside, when and where they were seen last.
        self._people: dict[int, tuple[float, float, float, float]] = {}

    def look(self, look: Look) -> None:
        """Take a frame in."""
        if self._begun is None:
            self._begun = look.time
        rows: list[int] = np.flatnonzero(self.chosen(look) & look.tracks.sure).tolist()
        inside = self._inside.step(look, self.points(look), rows)
        feet, heights, ids = look.feet(), look.heights(), numbers(look.tracks.ids)
        for row, _, _ in self._inside.left:
            self._people.pop(ids[row], None)
        here = {ids[row] for row in inside}
        for row in inside:
            x, y = float(feet[row, 0]), float(feet[row, 1])
            known = self._people.get(ids[row])
            since = known[0] if known is not None else self._found(look.time, x, y, float(heights[row]), here)
            self._people[ids[row]] = (since, look.time, x, y)
        self._people = {one: seen for one, seen in self._people.items() if look.time - seen[1] < LOST_S}
        span = self.rule.setting("seconds")
        staying = sum(1 for since, seen, _, _ in self._people.values() if seen - since >= span)
        self.value = float(staying) if staying or look.time - self._begun >= span + SETTLE_S else None

    def forget(self, ended: Sequence[int]) -> None:
        """While it rests it counts nobody on."""
        self._inside.forget(ended)
        for number in ended:
            self._people.pop(number, None)

    def _found(self, time: float, x: float, y: float, height: float, here: set[int]) -> float:
        """Since when the person is inside who is now seen under a new number."""
        near = [
            (float(np.hypot(x - was_x, y - was_y)), number)
            for number, (_, seen, was_x, was_y) in self._people.items()
            if number not in here and time - seen <= FOUND_S
        ]
        if near and min(near)[0] <= FOUND_NEAR * height:
            return self._people.pop(min(near)[1])[0]
        return time
