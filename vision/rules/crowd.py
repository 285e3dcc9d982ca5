"""Crowd: more people in a zone, or closer together, than should be."""

from __future__ import annotations

import math
from typing import Final

from ioc.camera_rules import CameraRule
from vision.rules.base import Held, Look
from vision.rules.ground import Ground
from vision.rules.zone import Zone

#: The number of people is smoothed over so many seconds: the detector misses some of a crowd on each frame.
SMOOTH_S: Final = 5.0
#: It is over when no more than this share of the limit is left.
OVER: Final = 0.8


class Crowd(Zone):
    """Whether there is a crowd; counts as a zone does."""

    def __init__(self, rule: CameraRule, ground: Ground | None) -> None:
        super().__init__(rule)
        self._area = ground.square_metres(rule.points) if ground is not None else None
        self._people: float | None = None
        self._held = Held(on_s=rule.setting("seconds"), off_s=rule.setting("seconds"))

    def look(self, look: Look) -> None:
        """Take a frame in."""
        super().look(look)
        seen = float(len(self.inside))
        share = 1 - math.exp(-look.gap / SMOOTH_S)
        self._people = seen if self._people is None else self._people + share * (seen - self._people)
        limit = self.rule.setting("people")
        if self._area is not None:
            limit = min(limit, self.rule.setting("density") * self._area)
        state = self._held.step(look.time, math.floor(self._people + 0.5) >= limit * (OVER if self.value else 1))
        self.value = None if state is None else float(state)
