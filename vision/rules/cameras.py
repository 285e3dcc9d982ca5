"""The cameras of one worker that have rules, each being watched."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from vision.rulebook import Rulebook
from vision.rules.camera import CameraWatch, Outcome
from vision.scene import Scene


class Watchers:
    """One watch a camera. Threads may look at different cameras at once; the frames of one come one after another."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self._watches: dict[str, CameraWatch] = {}
        #: Cameras of which a fault was told.
        self._failed: set[str] = set()

    def look(self, scene: Scene, aspect: float) -> Outcome | None:
        """What follows from a frame by the rules of its camera; None when it has none, or the frame is not newer."""
        rules = self._rulebook.rules(scene.camera)
        if not rules:
            self._watches.pop(scene.camera, None)
            return None
        watch = self._watches.get(scene.camera)
        if watch is None:
            watch = self._watches[scene.camera] = CameraWatch(scene.camera)
        try:
            watch.follow(rules)
            return watch.look(scene, aspect)
        except Exception:  # noqa: BLE001 - a fault of ours in one picture must not end the work on all, worker by worker
            if scene.camera not in self._failed:
                self._failed.add(scene.camera)
                structlog.get_logger().exception("rules failed", camera=scene.camera)
            del self._watches[scene.camera]
            return None

    def lost(self, outcomes: Iterable[Outcome]) -> None:
        """These were not stored."""
        for outcome in outcomes:
            watch = self._watches.get(outcome.camera)
            if watch is not None:
                watch.lost()
