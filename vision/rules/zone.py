"""Counting zone: how many are inside, who comes and goes, how long they stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import LABELS, Look, Watching, depth, numbers

#: Who is inside is outside when it stands so many of its heights beyond the border: a box that trembles comes and goes once.
BAND: Final = 0.1


class Inside:
    """Which objects stand inside a zone.

    Attributes:
        since: by number of track: when it was first seen inside, and whether it was seen outside before.
        came / left: rows of those that came in over the border on the last frame, and went out with the seconds they stayed.
    """

    def __init__(self) -> None:
        self.since: dict[int, tuple[float, bool]] = {}
        self.came: list[int] = []
        self.left: list[tuple[int, float, bool]] = []
        self._outside: set[int] = set()

    def step(self, look: Look, zone: np.ndarray[tuple[int, ...], np.dtype[np.float64]], rows: list[int]) -> list[int]:
        """The rows of `rows` that are inside now.

        Args:
            look: the frame.
            zone: (k, 2) in heights of the picture.
            rows: of the objects that count.
        """
        self.forget(look.tracks.ended)
        deep = depth(look.feet(), zone)
        band = BAND * look.heights()
        ids = numbers(look.tracks.ids)
        self.came, self.left = [], []
        inside = []
        for row in rows:
            number = ids[row]
            known = self.since.get(number)
            if deep[row] >= 0 or (known is not None and deep[row] > -band[row]):
                inside.append(row)
                if known is None:
                    came = number in self._outside
                    self._outside.discard(number)
                    self.since[number] = (look.time, came)
                    if came:
                        self.came.append(row)
            else:
                self._outside.add(number)
                if known is not None:
                    del self.since[number]
                    self.left.append((row, look.time - known[0], known[1]))
        return inside

    def forget(self, ended: Sequence[int]) -> None:
        """Who will not be seen again is neither inside nor outside."""
        for number in ended:
            self.since.pop(number, None)
            self._outside.discard(number)


class Zone(Watching):
    """A counting zone; its flow counts object-seconds inside, and where objects are followed who came, went and stayed.

    Attributes:
        inside: numbers of the tracks that are inside.
    """

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self.inside: set[int] = set()
        self._inside = Inside()

    def look(self, look: Look) -> None:
        """Count who is inside."""
        rows: list[int] = np.flatnonzero(self.chosen(look)).tolist()
        inside = self._inside.step(look, self.points(look), rows)
        kinds = [LABELS[look.tracks.labels[row]] for row in inside]
        self.inside = {int(look.tracks.ids[row]) for row in inside}
        self.flow("").most = max(self.flow("").most, len(inside))
        for label in set(kinds):
            flow = self.flow(label)
            flow.seconds += kinds.count(label) * look.gap
            flow.most = max(flow.most, kinds.count(label))
        if not look.followed:
            return
        for row in self._inside.came:
            self.flow(LABELS[look.tracks.labels[row]]).forward += 1
        for row, stayed, came in self._inside.left:
            flow = self.flow(LABELS[look.tracks.labels[row]])
            flow.back += 1
            if came:
                flow.stays += 1
                flow.stayed_s += stayed
