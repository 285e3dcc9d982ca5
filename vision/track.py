"""Which object of this frame is which of the last: one tracker per camera, its steps the real time between frames.

Two stages after ByteTrack (Zhang et al. 2022, arXiv:2110.06864): first what the detector is sure of, then what it is not, which
may carry a track on and never begins one. Motion is a Kalman filter of constant velocity for the box's centre and size, its noise
in parts of the object's own height, so that it holds for near and far objects and for any frame rate. Where boxes of an object no
longer overlap, because frames are far apart, the nearest box within its reach is taken; a vehicle is expected to go where others
went before it, and where it may be either of two boxes it is followed to neither, which is said.

Lengths are in heights of the picture.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: The detector is sure from here on; what it is less sure of may carry a track on.
SURE: Final = 0.4
#: Overlap (IoU) from which boxes of two classes are one object that the detector cannot tell.
SAME_OBJECT: Final = 0.7
#: Overlap of a track's expected box with a box that is less sure, or of another nature (a person, a vehicle).
OVERLAP: Final = 0.3
#: A track's own box is looked for this far beside its place, in its heights, plus `REACH_S` of it a second without a look.
REACH: Final = 0.3
REACH_S: Final = 1.5
#: A vehicle that was seen once may have gone so many of its sizes a second, where there is one box that it can be and no other
#: that is less than this much further.
FASTEST: Final = 16.0
CLEARLY: Final = 1.5
#: A new vehicle is expected to move as others did of late, in so many looks, within so many of its sizes, if they went one way:
#: if their mean velocity is more than this share of their mean speed.
WAYS: Final = 1000
ABOUT: Final = 3.0
AGREE: Final = 0.5
#: Neither is tried on frames that are further apart.
CLOSE_S: Final = 0.3
#: Overlap from which they are one whatever else speaks against it.
SURELY: Final = 0.5
#: An object's area changes by this factor at most between two looks.
GROWTH: Final = 2.5
#: A track that is not seen ends after so long; one that stood still is waited for longer, as others pass in front of it.
PATIENCE_S: Final = 1.5
STILL_PATIENCE_S: Final = 10.0
#: It stands still when its filter says that it moves less than so many of its heights a second.
STILL: Final = 0.1
#: Frames without it that a track outlives at any rate.
FRAMES: Final = 2.5
#: After so long without a frame nothing is the same. Cameras that send every ten seconds do so nearly.
LONGEST_GAP_S: Final = 12.0
#: Looks at an object before it is one.
LOOKS: Final = 2

#: Standard deviations in heights of the object: of a box that is seen, of a velocity that is not known yet (per second), and what
#: an acceleration adds to a velocity in a second. Those of the size follow slower.
_SEEN: Final = 0.05
_UNKNOWN: Final = np.array([1.5, 1.5, 0.3, 0.3])
_SWERVE: Final = np.array([0.8, 0.8, 0.2, 0.2])


class Tracks(NamedTuple):
    """The objects of one frame, each with the number it keeps as long as it is followed.

    Attributes:
        ids: unique for the tracker, ascending.
        labels: number of the class that most looks say it is, each by its confidence.
        boxes: (n, 4) x1 y1 x2 y2, smoothed, in fractions of the picture.
        feet: (n, 2) the middle of the box's lower side, where the object stands, in fractions of the picture.
        velocity: (n, 2) of the centre, in heights of the picture a second.
        sure: whether it was looked at often enough to be an object.
        ended: numbers that will not be seen again.
        doubts: (n, 2, 2) from where to where vehicles may have gone that were not followed: feet, in fractions of the picture.
    """

    ids: Ints
    labels: Ints
    boxes: Floats
    feet: Floats
    velocity: Floats
    sure: NDArray[np.bool_]
    ended: tuple[int, ...]
    doubts: Floats


class Tracker:
    """The tracks of one camera.

    >>> tracker = Tracker(classes=2)
    >>> [tracker.step(tick / 10, np.array([[0.1 + tick / 100, 0.1, 0.2, 0.3, 0.9, 1]]), 1.5).ids.tolist() for tick in range(3)]
    [[1], [1], [1]]
    """

    def __init__(self, *, classes: int, person: int = -1) -> None:
        """Begin without tracks.

        Args:
            classes: how many the detector tells apart.
            person: number of the class that is no vehicle, -1 = none.
        """
        self._person = person
        self._time: float | None = None
        self._interval = 0.0
        self._next = 1
        self._ids: Ints = np.empty(0, dtype=np.int64)
        self._mean: Floats = np.empty((0, 2, 4))  # place and velocity of cx, cy, width, height
        self._cov: Floats = np.empty((0, 3, 4))  # of the place, of both, of the velocity
        self._votes: Floats = np.empty((0, classes))
        self._looks: Ints = np.empty(0, dtype=np.int64)
        #: Looks until it is an object: one more where the second was far from the first.
        self._needs: Ints = np.empty(0, dtype=np.int64)
        self._seen: Floats = np.empty(0)
        #: Where vehicles were of late and how they moved, place and velocity.
        self._ways: Floats = np.empty((0, 2, 2))

    def step(self, time: float, boxes: NDArray[np.floating], aspect: float) -> Tracks | None:
        """Look at one frame.

        Args:
            time: when it was taken, in seconds.
            boxes: rows `x1 y1 x2 y2 confidence class`, in fractions of the picture; those that are none are left out.
            aspect: width of the picture by its height.

        Returns:
            The objects that are seen; None when the frame is not newer than the last, and changes nothing.
        """
        gap = np.inf if self._time is None else time - self._time
        if not gap > 0 or not np.isfinite(time):
            return None
        self._time = time
        ended: list[int] = []
        if gap > LONGEST_GAP_S:
            ended += self._ids.tolist()
            self._keep(np.zeros(len(self._ids), dtype=np.bool_))
            gap = 0.0
        # The rate is that of the last frames, and a lost frame alone does not halve it.
        self._interval = gap if self._interval == 0 else 0.8 * self._interval + 0.2 * gap
        found, votes = _objects(np.asarray(boxes, dtype=np.float64).reshape(-1, 6), aspect, self._votes.shape[1])
        self._predict(gap)
        pairs, doubts = self._pair(time, gap, found)
        self._update(time, found, votes, pairs)
        ended += self._end(time)
        self._begin(time, found, votes, pairs)
        return self._tracks(time, aspect, tuple(ended), doubts / (aspect, 1.0))

    # --- the filter ---

    def _predict(self, gap: float) -> None:
        noise = (_SWERVE * self._mean[:, 0, 3:]) ** 2
        place, both, velocity = self._cov[:, 0], self._cov[:, 1], self._cov[:, 2]
        self._mean[:, 0] += gap * self._mean[:, 1]
        # A size that is not seen stays positive.
        self._mean[:, 0, 2:] = np.maximum(self._mean[:, 0, 2:], 1e-4)
        self._cov[:, 0] = place + 2 * gap * both + gap**2 * velocity + noise * gap**3 / 3
        self._cov[:, 1] = both + gap * velocity + noise * gap**2 / 2
        self._cov[:, 2] = velocity + noise * gap

    def _update(self, time: float, found: Floats, votes: Floats, pairs: Ints) -> None:
        at, box = pairs[:, 0], pairs[:, 1]
        place, both, velocity = self._cov[at, 0], self._cov[at, 1], self._cov[at, 2]
        seen = place + (_SEEN * found[box, 3:4]) ** 2
        off = found[box, :4] - self._mean[at, 0]
        self._mean[at, 0] += place / seen * off
        self._mean[at, 1] += both / seen * off
        self._cov[at, 0] = place - place**2 / seen
        self._cov[at, 1] = both - place * both / seen
        self._cov[at, 2] = velocity - both**2 / seen
        self._votes[at] += votes[box]
        self._looks[at] += 1
        self._seen[at] = time

    # --- who is who ---

    def _pair(self, time: float, gap: float, found: Floats) -> tuple[Ints, Floats]:
        """(track, box) pairs, in three stages, and the ways of vehicles that are in doubt."""
        here = self._mean[:, 0]
        # How far an object may be from where it was expected grows with the time it was not looked at, not with what the filter
        # thinks of it. What was lost for longer must lie where it is expected.
        unseen = time - self._seen
        recent = unseen <= max(1.0, FRAMES * self._interval)
        size = np.sqrt(here[:, 2] * here[:, 3])
        reach = np.where(recent, size * (REACH + REACH_S * np.minimum(unseen, PATIENCE_S)), 0.0)
        at, box = _close(here, found[:, :4], reach)
        one, other = here[at], found[box]
        overlap = _overlap(one, other)
        away = np.hypot(one[:, 0] - other[:, 0], one[:, 1] - other[:, 1])
        near = np.clip(1 - away / np.maximum(reach[at], 1e-9), 0, 1)
        growth = one[:, 2] * one[:, 3] / np.maximum(other[:, 2] * other[:, 3], 1e-12)
        alike = (growth < GROWTH) & (growth > 1 / GROWTH)
        alike &= self._people()[at] == (other[:, 5] == self._person)
        likeness = np.where(alike, overlap + near, np.where(overlap >= SURELY, overlap, 0.0))
        sure = other[:, 4] >= SURE
        # A track of one look is a guess: it waits until those that are known have chosen.
        known = (self._looks >= self._needs)[at]
        pairs = _Pairs(len(here), len(found))
        for stage, among in ((known & sure, likeness), (sure, likeness), (~sure & (overlap >= OVERLAP), overlap)):
            pairs.match(at[stage], box[stage], among[stage])
        doubts = self._leap(gap, found, pairs)
        return np.array(pairs.made, dtype=np.int64).reshape(-1, 2), doubts

    def _leap(self, gap: float, found: Floats, pairs: _Pairs) -> Floats:
        """Pair vehicles that are guesses and may have outrun their reach, where it is clear to what; returns what is not."""
        close = gap <= FRAMES * CLOSE_S and self._interval <= CLOSE_S
        guess = (self._looks < self._needs) & pairs.track_free & ~self._people() & close
        new = (found[:, 4] >= SURE) & pairs.box_free & (found[:, 5] != self._person)
        at, box = np.flatnonzero(guess), np.flatnonzero(new)
        one, other = self._mean[at, 0], found[box, :4]
        away = np.hypot(one[:, None, 0] - other[:, 0], one[:, None, 1] - other[:, 1])
        growth = (one[:, 2] * one[:, 3])[:, None] / np.maximum(other[:, 2] * other[:, 3], 1e-12)
        reach = np.sqrt(one[:, 2] * one[:, 3])[:, None] * FASTEST * gap
        away[(away > reach) | (growth >= GROWTH) | (growth <= 1 / GROWTH)] = np.inf
        rival = np.minimum(_least_other(away), _least_other(away.T).T)
        clear = np.isfinite(away) & (self._looks[at] == 1)[:, None] & (rival >= CLEARLY * away)
        track, to = np.nonzero(clear)
        pairs.match(at[track], box[to], np.ones(len(track)))
        self._needs[at[track]] = LOOKS + 1
        track, to = np.nonzero(np.isfinite(away) & pairs.track_free[at][:, None] & pairs.box_free[box])
        one = one - gap * self._mean[at, 1]
        ways = np.stack([one[track], other[to]], axis=1)
        return ways[:, :, :2] + ways[:, :, 2:] * (0.0, 0.5)

    def _end(self, time: float) -> list[int]:
        """End the tracks that were not seen for too long; returns their numbers."""
        unseen = time - self._seen
        speed = np.hypot(self._mean[:, 1, 0], self._mean[:, 1, 1])
        still = (speed < STILL * self._mean[:, 0, 3]) & (self._looks > self._needs)
        patience = np.maximum(np.where(still, STILL_PATIENCE_S, PATIENCE_S), FRAMES * self._interval)
        known = self._looks >= self._needs
        # Whose motion is known by one leap is waited for as long as a frame may be lost.
        leapt = (self._looks >= LOOKS) & (unseen <= FRAMES * self._interval)
        stays = np.where(known, unseen <= patience, leapt | (unseen == 0))
        gone: list[int] = self._ids[~stays].tolist()
        self._keep(stays)
        return gone

    def _begin(self, time: float, found: Floats, votes: Floats, pairs: Ints) -> None:
        new = found[:, 4] >= SURE
        new[pairs[:, 1]] = False
        rows = np.flatnonzero(new)
        height = found[rows, 3:4]
        begun = np.stack([found[rows, :4], self._flow(time, found[rows])], axis=1)
        place = np.broadcast_to((_SEEN * height) ** 2, (len(rows), 4))
        self._mean = np.concatenate([self._mean, begun])
        cov = np.stack([place, np.zeros((len(rows), 4)), (_UNKNOWN * height) ** 2], axis=1)
        self._cov = np.concatenate([self._cov, cov])
        self._votes = np.concatenate([self._votes, votes[rows]])
        self._looks = np.concatenate([self._looks, np.ones(len(rows), dtype=np.int64)])
        self._needs = np.concatenate([self._needs, np.full(len(rows), LOOKS)])
        self._seen = np.concatenate([self._seen, np.full(len(rows), time)])
        self._ids = np.concatenate([self._ids, np.arange(self._next, self._next + len(rows))])
        self._next += len(rows)

    def _flow(self, time: float, new: Floats) -> Floats:
        """How vehicles that are new may move: as most that were followed about there of late; not at all where those disagree."""
        followed = (self._looks >= self._needs) & (self._seen == time) & ~self._people()
        self._ways = np.concatenate([self._ways, self._mean[followed][:, :, :2]])[-WAYS:]
        place, velocity = self._ways[:, 0], self._ways[:, 1]
        away = np.hypot(new[:, None, 0] - place[:, 0], new[:, None, 1] - place[:, 1])
        about = (away <= ABOUT * np.sqrt(new[:, 2] * new[:, 3])[:, None]) & (new[:, 5] != self._person)[:, None]
        number = np.maximum(about.sum(axis=1), 1)
        mean = about @ velocity / number[:, None]
        pace = about @ np.hypot(velocity[:, 0], velocity[:, 1]) / number
        straight = np.hypot(mean[:, 0], mean[:, 1])
        agree = (straight > AGREE * pace) & (self._interval <= CLOSE_S)
        return np.pad(mean * np.where(agree, pace / np.maximum(straight, 1e-9), 0.0)[:, None], ((0, 0), (0, 2)))

    def _people(self) -> NDArray[np.bool_]:
        """Which tracks are people."""
        return np.asarray(self._votes.argmax(axis=1) == self._person)

    def _keep(self, which: NDArray[np.bool_]) -> None:
        self._ids, self._mean, self._cov = self._ids[which], self._mean[which], self._cov[which]
        self._votes, self._looks, self._seen = self._votes[which], self._looks[which], self._seen[which]
        self._needs = self._needs[which]

    def _tracks(self, time: float, aspect: float, ended: tuple[int, ...], doubts: Floats) -> Tracks:
        rows = np.flatnonzero(self._seen == time)
        x, y, width, height = self._mean[rows, 0].T
        boxes = np.stack([(x - width / 2) / aspect, y - height / 2, (x + width / 2) / aspect, y + height / 2], axis=1)
        boxes = np.clip(boxes, 0, 1)
        return Tracks(
            self._ids[rows],
            self._votes[rows].argmax(axis=1) if len(rows) else np.empty(0, dtype=np.int64),
            boxes,
            np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1),
            self._mean[rows, 1, :2],
            self._looks[rows] >= self._needs[rows],
            ended,
            doubts,
        )


def _objects(boxes: Floats, aspect: float, classes: int) -> tuple[Floats, Floats]:
    """Boxes as rows `cx cy width height confidence class`, each object once, and what its boxes say of its class."""
    kind = boxes[:, 5]
    good = np.isfinite(boxes).all(axis=1) & (kind >= 0) & (kind < classes) & (np.abs(boxes[:, :4]) < 10).all(axis=1)
    good &= (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes = boxes[good]
    boxes = boxes[np.argsort(-boxes[:, 4], kind="stable")]
    x1, x2 = boxes[:, 0] * aspect, boxes[:, 2] * aspect
    y1, y2 = boxes[:, 1], boxes[:, 3]
    found = np.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, boxes[:, 4], boxes[:, 5]], axis=1)
    votes = np.zeros((len(found), classes))
    votes[np.arange(len(found)), found[:, 5].astype(np.int64)] = found[:, 4]
    stands = np.ones(len(found), dtype=np.bool_)
    over, under = _close(found[:, :4], found[:, :4], np.zeros(len(found)))
    two = (over < under) & (found[over, 5] != found[under, 5])
    over, under = over[two], under[two]
    same = _overlap(found[over], found[under]) > SAME_OBJECT
    for one, other in zip(over[same].tolist(), under[same].tolist(), strict=True):
        if stands[one] and stands[other]:
            stands[other] = False
            votes[one] += votes[other]
    return found[stands], votes[stands]


def _close(one: Floats, other: Floats, reach: Floats) -> tuple[Ints, Ints]:
    """Pairs that may touch, or lie within reach of the first; a crowd has few of all that there could be."""
    rows, columns, far = one.astype(np.float32), other.astype(np.float32), reach.astype(np.float32)[:, None]
    close: NDArray[np.bool_] = np.ones((len(one), len(other)), dtype=np.bool_)
    for axis in (0, 1):
        apart = rows[:, axis, None] - np.ascontiguousarray(columns[:, axis])
        touch = (rows[:, axis + 2, None] + np.ascontiguousarray(columns[:, axis + 2])) / 2
        np.abs(apart, out=apart)
        close &= apart < np.maximum(touch, far, out=touch)
    at, box = np.nonzero(close)
    return at, box


def _overlap(one: Floats, other: Floats) -> Floats:
    """Intersection over union, pair by pair, of boxes given by centre and size."""
    sides = [
        np.minimum(one[:, axis] + one[:, axis + 2] / 2, other[:, axis] + other[:, axis + 2] / 2)
        - np.maximum(one[:, axis] - one[:, axis + 2] / 2, other[:, axis] - other[:, axis + 2] / 2)
        for axis in (0, 1)
    ]
    shared = np.clip(sides[0], 0, None) * np.clip(sides[1], 0, None)
    both = one[:, 2] * one[:, 3] + other[:, 2] * other[:, 3] - shared
    return np.asarray(shared / np.maximum(both, 1e-12))


def _least_other(values: Floats) -> Floats:
    """Of each value the least of the others in its row, infinite without any."""
    least = np.partition(np.pad(values, ((0, 0), (0, 2)), constant_values=np.inf), 1, axis=1)
    return np.where(values == least[:, :1], least[:, 1:2], least[:, :1])


class _Pairs:
    """Tracks and boxes that belong together, the most alike first, each once."""

    def __init__(self, tracks: int, boxes: int) -> None:
        self.made: list[tuple[int, int]] = []
        self.track_free = np.ones(tracks, dtype=np.bool_)
        self.box_free = np.ones(boxes, dtype=np.bool_)

    def match(self, at: Ints, box: Ints, likeness: Floats) -> None:
        """Pair what is still free; 0 = never."""
        order = np.argsort(-likeness, kind="stable")[: int(np.count_nonzero(likeness > 0))]
        for track, found in zip(at[order].tolist(), box[order].tolist(), strict=True):
            if self.track_free[track] and self.box_free[found]:
                self.track_free[track] = self.box_free[found] = False
                self.made.append((track, found))
