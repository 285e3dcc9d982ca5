"""Stopped vehicle: one that stands in a zone for longer than it should."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from ioc.camera_rules import CameraRule
from vision.rules.base import SETTLE_S, Look, Watching, depth, numbers
from vision.rules.zone import BAND

#: It still stands while its middle and its foot stay within so much of its size; boxes of what stands tremble by a tenth.
STIR: Final = 0.25
#: Looks that must agree, however long ago the first was.
LOOKS: Final = 3
#: A place where one stood is kept for so long while others pass in front, or only a part of it is seen.
HIDDEN_S: Final = 60.0
#: One that is seen so many of its sizes from a place has left it; one that came from as far is another than stood there.
LEFT: Final = 1.0


class _Place(msgspec.Struct):
    """Where a vehicle stands, or stood when it was seen last; lengths in heights of the picture.

    Attributes:
        since, seen: when it was seen there first and last.
        looks: how often.
        long: for longer than it should.
    """

    x: float
    y: float
    foot: float
    size: float
    since: float
    seen: float
    looks: int = 0
    long: bool = False

    def away(self, x: float, y: float) -> float:
        """How far a middle is, in sizes."""
        return float(np.hypot(x - self.x, y - self.y)) / self.size

    def fits(self, x: float, y: float, foot: float) -> bool:
        """Whether a vehicle that is seen there stands here."""
        return self.away(x, y) <= STIR and abs(foot - self.foot) <= STIR * self.size


class Stopped(Watching):
    """How many vehicles stand."""

    def __init__(self, rule: CameraRule) -> None:
        super().__init__(rule)
        self._begun: float | None = None
        #: By number of track: where it was seen first.
        self._from: dict[int, tuple[float, float]] = {}
        #: By number of track, also of those that are not seen any more: its places, of which it stands in one.
        self._places: dict[int, list[_Place]] = {}

    def look(self, look: Look) -> None:
        """Take a frame in."""
        if self._begun is None:
            self._begun = look.time
        span = self.rule.setting("seconds")
        feet = look.feet()
        deep = depth(feet, self.points(look)) / np.maximum(look.heights(), 1e-6)
        boxes = look.tracks.boxes * (look.aspect, 1.0, look.aspect, 1.0)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        size = np.sqrt(np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6), axis=1))
        ids = numbers(look.tracks.ids)
        lost = list(self._places.keys() - set(ids))
        for row in np.flatnonzero(self.chosen(look)).tolist():
            number, x, y, foot = ids[row], float(middle[row, 0]), float(middle[row, 1]), float(feet[row, 1])
            begin = self._from.setdefault(number, (x, y))
            own = [place for place in self._places.pop(number, []) if place.away(x, y) <= LEFT]
            place = None
            # On the border it trembles in and out.
            if deep[row] > -BAND:
                own += self._found(lost, begin, x, y, foot)
                fitting = [place for place in own if place.fits(x, y, foot)]
                if fitting:
                    place = min(fitting, key=lambda one: one.since)
                elif deep[row] >= 0:
                    place = _Place(x, y, foot, float(size[row]), look.time, look.time)
                    own.append(place)
            if place is not None:
                place.seen = look.time
                place.looks += 1
                place.long = place.looks >= LOOKS and look.time - place.since >= span
                if place.looks == LOOKS:
                    self._taken(lost, x, y, foot)
            if own:
                self._places[number] = own
        for number in look.tracks.ended:
            self._from.pop(number, None)
        self._forget(look)
        standing = sum(any(place.long for place in places) for places in self._places.values())
        # A vehicle that stood before we began may be stopping still, so we do not say that there is none.
        self.value = float(standing) if standing or look.time - self._begun >= span + SETTLE_S else None

    def _found(self, lost: list[int], begin: tuple[float, float], x: float, y: float, foot: float) -> list[_Place]:
        """The places of one that was lost and is seen again under a new number: here, and it did not come from elsewhere."""
        for number in lost:
            places = self._places.get(number, [])
            if any(place.fits(x, y, foot) and place.away(*begin) <= LEFT for place in places):
                return self._places.pop(number)
        return []

    def _taken(self, lost: list[int], x: float, y: float, foot: float) -> None:
        """Another stands there now: who stood there has left."""
        for number in lost:
            if any(place.fits(x, y, foot) for place in self._places.get(number, [])):
                del self._places[number]

    def _forget(self, look: Look) -> None:
        """Forget the places of those that are gone for too long, or of which was never known that they stand."""
        for number, places in list(self._places.items()):
            least = LOOKS if number in look.tracks.ended else 0
            kept = [one for one in places if look.time - one.seen <= HIDDEN_S and one.looks >= least]
            if kept:
                self._places[number] = kept
            else:
                del self._places[number]
