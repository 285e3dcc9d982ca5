"""Pictures of what rules find on a frame, to be stored with it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

import cv2
import msgspec

from ioc.db.evidence_pictures import EvidencePicture
from ioc.errors import ModelError
from ioc.service import Service
from vision.boxes import Image
from vision.figures import STEP
from vision.privacy import Privacy
from vision.rules.camera import Outcome
from vision.scene import Scene

#: Of one camera and measure no more often: what goes on is seen on the first, and each costs some tenths of a second of a core.
_EVERY: Final = timedelta(seconds=10)


class Shot(msgspec.Struct, frozen=True):
    """A frame on which rules found something: what was found, its pixels, what was seen, and the frame as it came."""

    outcome: Outcome
    image: Image
    scene: Scene
    jpeg: bytes


class Evidence:
    """Makes the pictures; one that cannot be made is left out and told of, since what was found must be stored all the same."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._privacy: Privacy | None = None
        self._kept: dict[tuple[str, str], datetime] = {}

    def pictures(self, shots: Iterable[Shot]) -> list[EvidencePicture]:
        """The pictures of what was found on these frames, with everybody on them hidden."""
        made = []
        for shot in shots:
            names: dict[str, list[str]] = defaultdict(list)
            for opened in shot.outcome.opened:
                names[opened.measure].append(opened.rule.name)
            for measure, rules in names.items():
                key = (shot.scene.camera, measure)
                before = self._kept.get(key)
                if before is not None and timedelta(0) <= shot.scene.time - before < _EVERY:
                    continue
                picture = self._picture(shot, measure, ", ".join(name for name in rules if name))
                if picture is not None:
                    self._kept[key] = shot.scene.time
                    made.append(picture)
        return made

    def lost(self, pictures: Sequence[EvidencePicture]) -> None:
        """These were not stored: what they show is found again, and is worth a picture again."""
        for picture in pictures:
            self._kept.pop((picture.camera, picture.measure), None)

    def _picture(self, shot: Shot, measure: str, rule: str) -> EvidencePicture | None:
        started = time.monotonic()
        try:
            if self._privacy is None:
                self._privacy = Privacy(self._service.settings)
            picture = self._privacy.keep_evidence(
                shot.scene.camera, shot.scene.time, measure, rule, shot.image, shot.scene, shot.jpeg
            )
        except (ModelError, ValueError, ArithmeticError, cv2.error) as error:
            self._service.degrade("evidence", f"no picture of what was found is kept: {error}")
            return None
        self._service.recover("evidence")
        STEP.labels("evidence").observe(time.monotonic() - started)
        return picture
