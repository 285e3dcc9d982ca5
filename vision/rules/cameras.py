"""The cameras of one worker that have rules, each being watched."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import structlog

from vision.figures import RULES_FAILED
from vision.rulebook import Rulebook
from vision.rules.camera import CameraWatch, Key, Outcome
from vision.scene import Scene

#: As in what is counted: rule 0 is the camera as a whole.
_WHOLE: Final[Key] = (0, 0)


class Watchers:
    """One watch a camera. Threads may look at different cameras at once; the frames of one come one after another."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self._watches: dict[str, CameraWatch] = {}
        #: By camera: its faults by rule; `_WHOLE` = a fault of no single rule.
        self._faults: dict[str, dict[Key, Exception]] = {}

    @property
    def fault(self) -> str:
        """What keeps rules from being followed, "" when nothing does."""
        faults = [
            f"{'' if key == _WHOLE else f'rule {key[0]} of '}{camera}: {error!r}"
            for camera, found in tuple(self._faults.items())
            for key, error in found.items()
        ]
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        return faults[0] + more if faults else ""

    def keep(self, cameras: Collection[str]) -> None:
        """Forget all others: another worker looks at them now, and what it counts would be counted again when they come back."""
        for camera in {*self._watches, *self._faults} - {*cameras}:
            self._watches.pop(camera, None)
            self._faults.pop(camera, None)

    def look(self, scene: Scene, aspect: float) -> Outcome | None:
        """What follows from a frame by the rules of its camera; None when it has none, or the frame is not newer."""
        camera = scene.camera
        # In this order: what stands must not be set against rules that are older, or not known yet.
        standing, rules = self._rulebook.standing(camera), self._rulebook.rules(camera)
        if not rules and not standing:
            self._watches.pop(camera, None)
            self._faults.pop(camera, None)
            return None
        watch = self._watches.get(camera)
        if watch is None:
            watch = self._watches[camera] = CameraWatch(camera)
        outcome = None
        faults: dict[Key, Exception] = {}
        try:
            watch.follow(rules, standing)
            outcome = watch.look(scene, aspect)
            faults = dict(watch.faults)
        except Exception as error:  # noqa: BLE001 - a fault of ours in one picture must not end the work on all, worker by worker
            self._watches.pop(camera, None)
            faults[_WHOLE] = error
        self._note(camera, faults)
        return outcome

    def _note(self, camera: str, faults: dict[Key, Exception]) -> None:
        """Count the faults that are new, and tell of each rule's first."""
        before = self._faults.get(camera, {})
        for key, error in faults.items():
            if before.get(key) is not error:
                RULES_FAILED.inc()
            if key not in before:
                structlog.get_logger().error("rules failed", camera=camera, rule=key[0], exc_info=error)
        if faults:
            self._faults[camera] = faults
        else:
            self._faults.pop(camera, None)

    def lost(self, outcomes: Iterable[Outcome]) -> None:
        """These were not stored."""
        for outcome in outcomes:
            watch = self._watches.get(outcome.camera)
            if watch is not None:
                watch.lost()
