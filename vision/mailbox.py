"""Which camera is looked at next: a mailbox of one per camera, the newest frame wins, every camera gets its turn.

A camera is looked at no more often than its budget. When there is more than can be looked at, turns go by start-time fair
queueing (Goyal, Vin, Cheng 1996): each look puts a camera's next turn off by the inverse of its budget, so that cameras with
frames to spare are looked at in proportion to their budgets. Of those that are no more than one look ahead of the last, who has
nothing to spare comes first, in order, then the newest frame: nobody loses by it for long, and what is found is found on fresh
pictures. A camera that has been silent is owed no more than one look.

Pure state: time is given, nothing waits here. Each notice offered ends exactly once: picked, or dropped with a reason.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from ioc.db.camera_budgets import MOST_FPS

#: Why a frame was not looked at. `overwritten`: a newer one came before its turn, the worker is behind. `skipped`: a newer
#: one came while the camera had spent its frames a second. `stale`: it waited too long. `gone`: no longer in Redis.
#: `broken`: not a picture. `late`: a newer frame of the camera is already stored. `failed`: the detector failed.
Reason = Literal["overwritten", "skipped", "stale", "gone", "broken", "late", "failed"]

#: A camera silent for this long is forgotten.
FORGET_S: Final = 600.0


class Notice(msgspec.Struct, frozen=True):
    """Word that a camera has a new frame.

    Attributes:
        entry: the id of the word in the work queue.
        arrived: when the frame reached Redis, on the caller's steady clock, in seconds.
    """

    camera: str
    entry: str
    arrived: float


class Drop(msgspec.Struct, frozen=True):
    """A notice that will not be looked at."""

    notice: Notice
    reason: Reason


class _Box(msgspec.Struct):
    """One camera.

    Attributes:
        turn: its place among the others, in the common virtual time: who has the least is the last.
        looked: when it was last looked at, as the budget counts it.
        overwritten: a frame was, since then.
        behind: one was, since the look before: more comes than can be looked at.
    """

    waiting: Notice | None = None
    turn: float = 0.0
    looked: float = -math.inf
    touched: float = 0.0
    busy: bool = False
    overwritten: bool = False
    behind: bool = False


class Mailbox:
    """The notices that wait, at most one per camera.

    Attributes:
        budgets: frames a second of the cameras that have a budget of their own; may be replaced at any time.

    >>> box = Mailbox(max_fps=2.0, stale_s=1.0)
    >>> box.offer(Notice("cam-1", "1-0", 100.0), now=100.0)
    >>> box.offer(Notice("cam-1", "2-0", 100.2), now=100.2).reason
    'overwritten'
    >>> [notice.entry for notice in box.pick(4, now=100.3)[0]]
    ['2-0']
    """

    def __init__(self, *, max_fps: float | None, stale_s: float) -> None:
        """Start empty.

        Args:
            max_fps: frames a second a camera without a budget of its own may be looked at, None = as many as come; such a camera
                counts as one with the largest budget there is.
            stale_s: a notice that waited longer is dropped when its turn comes.
        """
        self.budgets: Mapping[str, float] = {}
        self._max_fps = max_fps
        self._stale_s = stale_s
        self._boxes: dict[str, _Box] = {}
        #: The last one's turn when cameras were picked: the common time.
        self._turn = 0.0
        self._swept = 0.0

    def budget(self, camera: str) -> float | None:
        """Frames a second that a camera may be looked at, None = as many as come."""
        return self.budgets.get(camera, self._max_fps)

    def offer(self, notice: Notice, now: float) -> Drop | None:
        """Put a notice in; returns the one it replaces."""
        box = self._boxes.setdefault(notice.camera, _Box())
        box.touched = now
        before, box.waiting = box.waiting, notice
        self._sweep(now)
        if before is None:
            box.turn = max(box.turn, self._turn - self._look(notice.camera))
            return None
        if now < self._due(box, notice):
            return Drop(before, "skipped")
        box.behind = box.overwritten = True
        return Drop(before, "overwritten")

    def ready(self, now: float) -> int:
        """How many cameras could be picked."""
        return sum(1 for _, _, due in self._waiting() if due <= now)

    def next_due(self) -> float | None:
        """When a waiting camera's turn comes at the earliest, None when nothing waits for time alone."""
        return min((due for _, _, due in self._waiting()), default=None)

    def pick(self, most: int, now: float) -> tuple[list[Notice], list[Drop]]:
        """Take up to `most` cameras, those whose turn is near first; also returns what was too old.

        A picked camera is not picked again before `done`, so its frames are seen in order.
        """
        picked: list[Notice] = []
        stale: list[Drop] = []
        may = [(box, notice) for box, notice, due in self._waiting() if due <= now]
        last = min((box.turn for box in self._boxes.values() if box.busy or box.waiting), default=0.0)
        self._turn = max(self._turn, last)

        def order(one: tuple[_Box, Notice]) -> tuple[float, bool, float]:
            box, notice = one
            ahead = max(0.0, box.turn - last - self._look(notice.camera))
            return ahead, box.behind, -notice.arrived if box.behind else notice.arrived

        for box, notice in sorted(may, key=order):
            if len(picked) == most:
                break
            box.waiting = None
            box.behind, box.overwritten = box.overwritten, False
            if now - notice.arrived > self._stale_s:
                stale.append(Drop(notice, "stale"))
                continue
            picked.append(notice)
            box.busy = True
            box.turn += self._look(notice.camera)
            # In step with the budget rather than with the last look, by half a period at most: jitter costs no frames.
            box.looked = max(self._due(box, notice), now - self._period(notice) / 2)
        return picked, stale

    def done(self, camera: str) -> None:
        """The camera may be picked again."""
        if camera in self._boxes:
            self._boxes[camera].busy = False

    def _sweep(self, now: float) -> None:
        if now - self._swept > FORGET_S / 10:
            self._swept = now
            self._boxes = {
                camera: box
                for camera, box in self._boxes.items()
                if box.busy or box.waiting or now - box.touched < FORGET_S
            }

    def _waiting(self) -> list[tuple[_Box, Notice, float]]:
        """What waits and is not busy, and when it may be looked at."""
        return [
            (box, box.waiting, self._due(box, box.waiting))
            for box in self._boxes.values()
            if box.waiting is not None and not box.busy
        ]

    def _look(self, camera: str) -> float:
        """What one look takes of the common time."""
        return 1 / (self.budget(camera) or MOST_FPS)

    def _due(self, box: _Box, notice: Notice) -> float:
        return box.looked + self._period(notice)

    def _period(self, notice: Notice) -> float:
        fps = self.budget(notice.camera)
        return 1 / fps if fps else 0.0
