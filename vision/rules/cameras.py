"""The cameras of one worker that have rules, each being watched."""

from __future__ import annotations

from collections.abc import Iterable

from vision.rulebook import Rulebook
from vision.rules.camera import CameraWatch, Outcome
from vision.scene import Scene


class Watchers:
    """One watch a camera. Threads may look at different cameras at once; the frames of one come one after another."""

    def __init__(self, url: str) -> None:
        self._rulebook = Rulebook(url)
        self._watches: dict[str, CameraWatch] = {}

    def look(self, scene: Scene, aspect: float) -> Outcome | None:
        """What follows from a frame by the rules of its camera; None when it has none, or the frame is not newer."""
        rules = self._rulebook.rules(scene.camera)
        if not rules:
            self._watches.pop(scene.camera, None)
            return None
        watch = self._watches.get(scene.camera)
        if watch is None:
            watch = self._watches[scene.camera] = CameraWatch(scene.camera)
        watch.follow(rules)
        return watch.look(scene, aspect)

    def lost(self, outcomes: Iterable[Outcome]) -> None:
        """These were not stored."""
        for outcome in outcomes:
            watch = self._watches.get(outcome.camera)
            if watch is not None:
                watch.lost()

    def close(self) -> None:
        """Give the connection back."""
        self._rulebook.close()
