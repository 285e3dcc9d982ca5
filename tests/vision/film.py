"""Made-up scenes: objects that go their ways past a camera, at any frame rate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from ioc.camera_rules import CameraRule
from ioc.db.camera_flow import CameraFlow
from ioc.model import Detection
from vision.findings import merged
from vision.rules.camera import CameraWatch, Outcome
from vision.scene import Scene

ASPECT = 16 / 9
START = datetime(2026, 3, 2, 1, 0, tzinfo=UTC)

#: Where the middle of an object is at a time (in fractions of the picture), None while it is not seen.
Way = Callable[[float], tuple[float, float] | None]


def straight(x: float, y: float, dx: float = 0.0, dy: float = 0.0, *, begin: float = 0.0, end: float = 1e9) -> Way:
    """At (x, y) at `begin`, moving by (dx, dy) a second, until `end`."""
    return lambda time: (x + dx * (time - begin), y + dy * (time - begin)) if begin <= time < end else None


class Actor:
    """An object of a class and size (height by picture height, square on the screen) on its way."""

    def __init__(self, way: Way, label: str = "car", size: float = 0.1, confidence: float = 0.8) -> None:
        self.way, self.label, self.size, self.confidence = way, label, size, confidence

    def at(self, time: float) -> tuple[float, float, float, float] | None:
        """Its box, or None while it is not in the picture."""
        middle = self.way(time)
        if middle is None or not (0 <= middle[0] <= 1 and 0 <= middle[1] <= 1):
            return None
        half = self.size / 2
        x, y = middle
        return max(0.0, x - half / ASPECT), max(0.0, y - half), min(1.0, x + half / ASPECT), min(1.0, y + half)


def scene(time: float, actors: Iterable[Actor], camera: str = "cam-1") -> Scene:
    """What the detector would see of them, so many seconds after `START`."""
    at = START + timedelta(seconds=time)
    seen = [(actor, box) for actor in actors if (box := actor.at(time)) is not None]
    return Scene(
        camera,
        at,
        tuple(Detection(at, camera, seq, one.label, one.confidence, *box) for seq, (one, box) in enumerate(seen)),
    )


def show(watch: CameraWatch, actors: Sequence[Actor], times: Iterable[float], camera: str = "cam-1") -> list[Outcome]:
    """Film them and show it."""
    outcomes = [watch.look(scene(time, actors, camera), ASPECT) for time in times]
    return [outcome for outcome in outcomes if outcome is not None]


def every(seconds: float, until: float, begin: float = 0.0) -> list[float]:
    """Times of a steady camera."""
    return [begin + number * seconds for number in range(round((until - begin) / seconds))]


def watch_by(*rules: CameraRule, camera: str = "cam-1") -> CameraWatch:
    """A camera being watched by rules."""
    watch = CameraWatch(camera)
    watch.follow(rules)
    return watch


def counted(outcomes: Iterable[Outcome], rule: int) -> dict[str, CameraFlow]:
    """All that a rule counted, by label, whatever the minute."""
    flows = [flow for outcome in outcomes for flow in outcome.flows if flow.rule == rule]
    return {flow.label: flow for flow in merged([msgspec.structs.replace(flow, time=START) for flow in flows])}


def said(outcomes: Iterable[Outcome], measure: str) -> list[tuple[float, float]]:
    """(seconds since `START`, value) of a measure, each change of it."""
    found: list[tuple[float, float]] = []
    for outcome in outcomes:
        for reading in outcome.readings:
            if reading.measure == measure and (not found or found[-1][1] != reading.value):
                found.append(((reading.time - START).total_seconds(), reading.value))
    return found
