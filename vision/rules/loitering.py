"""Loitering: a person who stays in a zone for longer than one who passes or waits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import SETTLE_S, Look, Watching, numbers
from vision.rules.zone import Inside

#: A person who was lost inside is the one who is found there within this time and so many of their heights.
FOUND_S: Final = 3.0
FOUND_NEAR: Final = 1.0
#: Who is seen inside for less, from one loss to the next, may be anybody: one goes out by a door, and another comes in by it.
PART_S: Final = 10.0
#: A person who was lost is counted on for so long.
LOST_S: Final = 10.0


class _Person(msgspec.Struct):
    """A person inside.

    Attributes:
        since: when they came.
        begun: when they were first seen under this number.
        seen: when and, in heights of the picture, where they were seen last.
        long: for longer than they should be.
    """

    since: float
    begun: float
    seen: float
    x: float
    y: float
    long: bool = False


class Loitering(Watching):
    """How many people have stayed for longer than `seconds`."""

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self._inside = Inside()
        self._begun: float | None = None
        #: By number of track.
        self._people: dict[int, _Person] = {}

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
        span = self.rule.setting("seconds")
        for row in inside:
            x, y = float(feet[row, 0]), float(feet[row, 1])
            one = self._people.get(ids[row]) or self._found(look.time, x, y, float(heights[row]), here)
            one.seen, one.x, one.y = look.time, x, y
            one.long |= look.time - one.since >= span and look.time - one.begun >= min(span, PART_S)
            self._people[ids[row]] = one
        self._people = {number: one for number, one in self._people.items() if look.time - one.seen < LOST_S}
        staying = sum(one.long for one in self._people.values())
        self.value = float(staying) if staying or look.time - self._begun >= span + SETTLE_S else None

    def forget(self, ended: Sequence[int]) -> None:
        """While it rests it counts nobody on."""
        self._inside.forget(ended)
        for number in ended:
            self._people.pop(number, None)

    def _found(self, time: float, x: float, y: float, height: float, here: set[int]) -> _Person:
        """The person who is now seen under a new number."""
        near = [
            (float(np.hypot(x - one.x, y - one.y)), number)
            for number, one in self._people.items()
            if number not in here and time - one.seen <= FOUND_S and one.seen - one.begun >= PART_S
        ]
        if near and min(near)[0] <= FOUND_NEAR * height:
            known = self._people.pop(min(near)[1])
            return _Person(known.since, time, time, x, y, known.long)
        return _Person(time, time, time, x, y)
