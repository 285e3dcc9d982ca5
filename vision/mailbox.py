"""Which camera is looked at next: a mailbox of one per camera, the newest frame wins, every camera gets its turn.

Pure state: time is given, nothing waits here. Each notice offered ends exactly once: picked, or dropped with a reason.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

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
    """One camera: what waits, when it may be looked at next, when it last was, whether it is being looked at."""

    waiting: Notice | None = None
    due: float = 0.0
    served: float = 0.0
    touched: float = 0.0
    busy: bool = False


class Mailbox:
    """The notices that wait, at most one per camera.

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
            max_fps: frames a second a camera may be looked at, None = as many as come.
            stale_s: a notice that waited longer is dropped when its turn comes.
        """
        self._period = 1 / max_fps if max_fps else 0.0
        self._stale_s = stale_s
        self._boxes: dict[str, _Box] = {}
        self._swept = 0.0

    def offer(self, notice: Notice, now: float) -> Drop | None:
        """Put a notice in; returns the one it replaces."""
        box = self._boxes.setdefault(notice.camera, _Box())
        box.touched = now
        before, box.waiting = box.waiting, notice
        self._sweep(now)
        if before is None:
            return None
        return Drop(before, "skipped" if now < box.due else "overwritten")

    def ready(self, now: float) -> int:
        """How many cameras could be picked."""
        return sum(1 for box in self._boxes.values() if _may(box, now))

    def next_due(self) -> float | None:
        """When a waiting camera's turn comes at the earliest, None when nothing waits for time alone."""
        return min((box.due for box in self._boxes.values() if box.waiting and not box.busy), default=None)

    def pick(self, most: int, now: float) -> tuple[list[Notice], list[Drop]]:
        """Take up to `most` cameras, those not served for the longest time first; also returns what was too old.

        A picked camera is not picked again before `done`, so its frames are seen in order.
        """
        picked: list[Notice] = []
        stale: list[Drop] = []
        turn = sorted((box for box in self._boxes.values() if _may(box, now)), key=lambda box: box.served)
        for box in turn:
            if len(picked) == most:
                break
            notice, box.waiting = box.waiting, None
            if notice is None:
                continue
            if now - notice.arrived > self._stale_s:
                stale.append(Drop(notice, "stale"))
                continue
            picked.append(notice)
            box.busy = True
            box.served = now
            # In step with the budget rather than with the last look, by half a period at most: jitter costs no frames.
            box.due = max(box.due, now - self._period / 2) + self._period
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


def _may(box: _Box, now: float) -> bool:
    return box.waiting is not None and not box.busy and box.due <= now
