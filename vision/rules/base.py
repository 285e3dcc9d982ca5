"""What every rule is given and what it says; pure, time is that of the frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ioc.camera_rules import CameraRule
from ioc.catalog import VISION_CLASSES
from ioc.db.camera_flow import Flow
from vision.track import Floats, Ints, Tracks

LABELS: Final = tuple(VISION_CLASSES)
#: An object that was there when we began is known this much later at the latest.
SETTLE_S: Final = 2.0


class Look(NamedTuple):
    """One frame, tracked.

    Attributes:
        time: of the frame, in seconds.
        gap: seconds since the last frame; 0 = there was none that this one can be set against.
        followed: frames come often enough to follow what the rule looks at from one to the next.
        aspect: width of the picture by its height.
        kmh: by number of track: speed over the ground, of those that have been on it for long enough.
    """

    time: float
    gap: float
    followed: bool
    aspect: float
    tracks: Tracks
    kmh: dict[int, float]

    def feet(self) -> Floats:
        """(n, 2): where objects stand, in heights of the picture."""
        return self.tracks.feet * (self.aspect, 1.0)

    def heights(self) -> Floats:
        """(n,): heights of the objects, in heights of the picture."""
        return self.tracks.boxes[:, 3] - self.tracks.boxes[:, 1]


class Watching:
    """One rule being followed.

    Attributes:
        value: what it finds now, None = it finds nothing and has not watched for long enough to say that there is nothing.
        flows: what it counted since they were last taken, by label.
        doubt: of vehicles that could not be followed some may be missing from what it counts now.
    """

    def __init__(self, rule: CameraRule) -> None:
        self.rule = rule
        self.value: float | None = None
        self.flows: dict[str, Flow] = {}
        self.doubt = False
        self._classes = np.array([label in rule.looks_at() for label in LABELS])
        self._points = np.array(rule.points)

    def look(self, look: Look) -> None:
        """Take a frame in."""
        raise NotImplementedError

    def forget(self, ended: Sequence[int]) -> None:
        """These objects will not be seen again; told of while the rule rests, for then it takes no frame in."""

    def flow(self, label: str) -> Flow:
        """Where to count a class."""
        return self.flows.setdefault(label, Flow())

    def chosen(self, look: Look) -> NDArray[np.bool_]:
        """Which objects the rule looks at."""
        return np.asarray(self._classes[look.tracks.labels])

    def points(self, look: Look) -> Floats:
        """The rule's points in heights of the picture."""
        return self._points * (look.aspect, 1.0)


class Held:
    """A condition that counts when it has held for a while, and is over when it has been gone for a while.

    >>> held = Held(on_s=2.0, off_s=1.0)
    >>> [held.step(time, true) for time, true in ((0, True), (1, True), (2, True), (2.5, False), (3, True))]
    [None, None, True, True, True]
    >>> [held.step(time, true) for time, true in ((4, False), (5, False), (6, True), (7, False))]
    [True, False, False, False]
    """

    def __init__(self, *, on_s: float, off_s: float) -> None:
        self._on_s, self._off_s = on_s, off_s
        self._state: bool | None = None
        self._begun: float | None = None
        self._since: float | None = None

    def step(self, time: float, true: bool) -> bool | None:
        """Whether it counts; None while too little is known to say that it does not."""
        if self._begun is None:
            self._begun = time
        if true == bool(self._state):
            self._since = None
        else:
            self._since = time if self._since is None else self._since
            if time - self._since >= (self._on_s if true else self._off_s):
                self._state, self._since = true, None
        if self._state is None and not true and time - self._begun >= self._on_s:
            self._state = False
        return self._state


def depth(points: Floats, polygon: Floats) -> Floats:
    """How far points lie inside a polygon, negative outside.

    Args:
        points: (n, 2).
        polygon: (k, 2), in the same unit.
    """
    start, end = polygon, np.roll(polygon, -1, axis=0)
    side = end - start
    to = points[:, None] - start
    length = np.maximum((side**2).sum(axis=1), 1e-18)
    along = np.clip((to * side).sum(axis=2) / length, 0, 1)
    away = np.hypot(*np.moveaxis(to - along[..., None] * side, 2, 0)).min(axis=1)
    # A ray to the right of the point meets the sides of what it is inside of an odd number of times.
    above = (start[:, 1] > points[:, None, 1]) != (end[:, 1] > points[:, None, 1])
    rise = np.where(np.abs(side[:, 1]) < 1e-18, 1.0, side[:, 1])
    meets = start[:, 0] + (points[:, None, 1] - start[:, 1]) / rise * side[:, 0]
    inside = (above & (points[:, None, 0] < meets)).sum(axis=1) % 2 == 1
    return np.asarray(np.where(inside, away, -away))


def numbers(ids: Ints) -> list[int]:
    """Numbers of tracks."""
    found: list[int] = ids.tolist()
    return found
