"""Wrong way: vehicles that go over a line from its right to its left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import LABELS, Look, Watching
from vision.rules.line import Crossings

#: Half a vehicle on each side: who stops on the line, and is now half hidden, has not turned back.
BAND: Final = 0.5


class WrongWay(Watching):
    """How many vehicles went the wrong way in the last `seconds`."""

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self._crossings = Crossings(BAND, BAND)
        self._wrong: list[float] = []
        self._begun: float | None = None

    def look(self, look: Look) -> None:
        """Take a frame in; each that goes wrong counts as `back`."""
        if self._begun is None:
            self._begun = look.time
        rows: list[int] = np.flatnonzero(self.chosen(look)).tolist()
        for row, forward in self._crossings.step(look, self.points(look), rows):
            flow = self.flow(LABELS[look.tracks.labels[row]])
            if forward:
                flow.forward += 1
            else:
                flow.back += 1
                self._wrong.append(look.time)
        span = self.rule.setting("seconds")
        self._wrong = [time for time in self._wrong if look.time - time < span]
        # What the worker before us saw stands for that long, so we do not say that there is nothing.
        self.value = float(len(self._wrong)) if self._wrong or look.time - self._begun >= span else None

    def forget(self, ended: Sequence[int]) -> None:
        """Forget their sides."""
        self._crossings.forget(ended)
