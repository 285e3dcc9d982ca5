"""One camera being watched by its rules: tracks, what the rules count and find, and what of it is to be stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np

from ioc.camera_rules import FOLLOWED_FPS, RULE_KINDS, VEHICLES, CameraRule
from ioc.db.camera_flow import CameraFlow, Flow
from ioc.model import Detection, Quality, Reading, RulesWatched
from vision.rules import watching
from vision.rules.base import LABELS, Look, Watching
from vision.rules.ground import Ground
from vision.rules.line import Line
from vision.rules.zone import Zone
from vision.scene import Scene
from vision.track import LONGEST_GAP_S, Tracker, Tracks

#: The measure of the camera that a kind of rule finds.
FINDINGS: Final = {kind.key: kind.measure for kind in RULE_KINDS.values() if kind.measure}
_STATES: Final = frozenset({"congested", "crowded"})
#: The frame rate is that of so many seconds.
RATE_S: Final = 10.0
#: Just below the rate at which rules rest they go on, so that they do not come and go with it.
RATE_SLACK: Final = 0.9
#: Frames of which objects are followed are no further apart than this; between others something may have been missed.
FOLLOWED_GAP_S: Final = 1.0
#: What was counted is handed on so often, and whenever a minute ends.
HAND_ON_S: Final = 1.0
#: What is found is said again after this time, changed or not, so that it does not grow old.
SAY_AGAIN_S: Final = 30.0


class Opened(msgspec.Struct, frozen=True):
    """A rule has found something (more) on this frame."""

    rule: CameraRule
    measure: str


class Outcome(msgspec.Struct, frozen=True):
    """What follows from one frame; stored with its scene or not at all.

    Attributes:
        rules: those that were followed.
        flows: what was counted since the last that were handed on.
        readings: what is found, where it changed or was not said for a while.
        opened: what was found on this frame.
        watched: how the rules are.
    """

    camera: str
    time: datetime
    rules: tuple[CameraRule, ...]
    flows: tuple[CameraFlow, ...]
    readings: tuple[Reading, ...]
    opened: tuple[Opened, ...]
    watched: RulesWatched


class CameraWatch:
    """The rules of one camera at work. Frames come one after another; only `lost` may be called by another thread meanwhile."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._rules: tuple[CameraRule, ...] = ()
        self._watching: dict[tuple[int, int], Watching] = {}
        self._handed_on = 0.0
        self._flows_of: datetime | None = None
        self._flows: dict[tuple[int, int, str], Flow] = {}
        self._begin()

    def _begin(self) -> None:
        """Begin anew: after a hole nothing that was seen before says anything of now."""
        self._tracker = Tracker(classes=len(LABELS), person=LABELS.index("person"))
        self._times: deque[float] = deque()
        self._last: float | None = None
        self._followed = True
        self._counted: set[int] = set()
        self._said: dict[str, tuple[float, float]] = {}
        self._found: dict[int, float] = {}
        ground = next((rule for rule in self._rules if rule.kind == "ground"), None)
        self._ground = Ground(ground) if ground is not None else None
        self._watching = {(rule.id, rule.version): self._watch(rule) for rule in self._rules}

    def _watch(self, rule: CameraRule) -> Watching:
        return self._ground if rule.kind == "ground" and self._ground is not None else watching(rule, self._ground)

    def follow(self, rules: Sequence[CameraRule]) -> None:
        """Follow these rules from now on; those that did not change go on where they were."""
        if tuple(rules) == self._rules:
            return
        before, self._rules = self._watching, tuple(rules)
        ground = next((rule for rule in rules if rule.kind == "ground"), None)
        kept = before.get((ground.id, ground.version)) if ground is not None else None
        measured_otherwise = kept is not self._ground
        if ground is None:
            self._ground = None
        else:
            self._ground = kept if isinstance(kept, Ground) else Ground(ground)
        self._watching = {}
        for rule in self._rules:
            key = (rule.id, rule.version)
            # A crowd's limit follows from the ground.
            known = None if rule.kind == "crowd" and measured_otherwise else before.get(key)
            self._watching[key] = known if known is not None else self._watch(rule)
        ids = {rule.id for rule in rules}
        self._found = {number: value for number, value in self._found.items() if number in ids}

    def lost(self) -> None:
        """What was handed on last was not stored: say everything again."""
        self._said = {}
        self._found = {}

    def look(self, scene: Scene, aspect: float) -> Outcome | None:
        """Look at a frame; None when it is not newer than the last.

        Args:
            scene: what the detector saw.
            aspect: width of the picture by its height.
        """
        time = scene.time.timestamp()
        if self._last is not None and time - self._last > LONGEST_GAP_S:
            self._begin()
        tracks = self._tracker.step(time, _rows(scene.detections), aspect)
        if tracks is None:
            return None
        gap = 0.0 if self._last is None else time - self._last
        self._last = time
        fps = self._rate(time)
        before, self._flows_of = self._flows_of, scene.time.replace(second=0, microsecond=0)
        ended: dict[tuple[int, int, str], Flow] = {}
        if before is not None and before != self._flows_of:
            ended, self._flows = self._flows, {}
        resting = self._take(Look(time, gap, self._followed, aspect, tracks, {}))
        flows = self._hand_on(before, ended, time, gap)
        readings, opened = self._say(time, scene.time, {rule.id for rule in self._rules} - resting)
        watched = RulesWatched(
            self._camera,
            scene.time,
            fps,
            tuple(rule.id for rule in self._rules if rule.id not in resting),
            tuple(sorted(resting)),
            {rule.id: value for rule in self._rules if (value := self._value(rule)) is not None},
        )
        return Outcome(self._camera, scene.time, self._rules, flows, readings, opened, watched)

    def _rate(self, time: float) -> float:
        """Frames a second as they come; sets whether objects are followed."""
        self._times.append(time)
        while self._times[0] < time - RATE_S:
            self._times.popleft()
        span = time - self._times[0]
        if len(self._times) < 3:
            # Too few to tell; a gap that is too long is not counted as watched anyway.
            return 0.0 if span == 0 else round((len(self._times) - 1) / span, 2)
        fps = (len(self._times) - 1) / span
        self._followed = fps >= FOLLOWED_FPS * RATE_SLACK
        return round(fps, 2)

    def _take(self, look: Look) -> set[int]:
        """Show the frame to the rules; returns those that rest."""
        resting = set()
        if self._ground is not None and look.followed:
            self._ground.look(look)
            look = look._replace(kmh=self._ground.kmh)
        people: set[int] = set()
        crossed: set[int] = set()
        for (number, version), watch in self._watching.items():
            followed = RULE_KINDS[watch.rule.kind].least_fps > 0
            if followed and not look.followed:
                resting.add(number)
                watch.value = None
                watch.forget(look.tracks.ended)
                continue
            if watch is not self._ground:
                watch.look(look)
            # Frames too far apart may have missed who came between them.
            if look.gap <= (FOLLOWED_GAP_S if followed else LONGEST_GAP_S):
                self._flow(number, version, "").watched_s += look.gap
            for label, flow in watch.flows.items():
                self._flow(number, version, label).add(flow)
            watch.flows = {}
            if isinstance(watch, Line):
                crossed |= set(watch.crossed)
            if isinstance(watch, Zone) and "person" in watch.rule.looks_at():
                people |= watch.inside
        self._count_once(look, crossed, people)
        return resting

    def _count_once(self, look: Look, crossed: set[int], people: set[int]) -> None:
        """What is counted for the camera as a whole, each object once whatever rules it meets."""
        self._counted -= set(look.tracks.ended)
        for row in crossed:
            number, label = int(look.tracks.ids[row]), LABELS[look.tracks.labels[row]]
            if label in VEHICLES and number not in self._counted:
                self._counted.add(number)
                self._flow(0, 0, label).forward += 1
        seen = people & _of_class(look.tracks, "person")
        if seen:
            flow = self._flow(0, 0, "person")
            flow.seconds += len(seen) * look.gap
            flow.most = max(flow.most, len(seen))

    def _flow(self, rule: int, version: int, label: str) -> Flow:
        return self._flows.setdefault((rule, version, label), Flow())

    def _hand_on(
        self, before: datetime | None, ended: dict[tuple[int, int, str], Flow], time: float, gap: float
    ) -> tuple[CameraFlow, ...]:
        """What was counted, when a minute has ended or it is time; `ended` is what was counted in the minute `before`."""
        minute = self._flows_of
        if before is not None and before != minute and minute is not None:
            # The time since the last frame lies in both minutes.
            share = (minute.timestamp() - (time - gap)) / gap if gap else 0.0
            for key, flow in self._flows.items():
                ended.setdefault(key, Flow()).add(flow.part(share))
        elif before is None or time - self._handed_on < HAND_ON_S:
            return ()
        else:
            ended, self._flows = self._flows, {}
        self._handed_on = time
        return tuple(
            CameraFlow(
                time=before,
                camera=self._camera,
                rule=rule,
                version=version,
                label=label,
                **msgspec.structs.asdict(flow),
            )
            for (rule, version, label), flow in ended.items()
        )

    # --- what is found ---

    def _value(self, rule: CameraRule) -> float | None:
        return self._watching[rule.id, rule.version].value

    def _say(self, time: float, at: datetime, awake: set[int]) -> tuple[tuple[Reading, ...], tuple[Opened, ...]]:
        readings, opened = [], []
        for kind, measure in FINDINGS.items():
            rules = [rule for rule in self._rules if rule.kind == kind and rule.id in awake]
            for rule in rules:
                found = self._value(rule) or 0.0
                if found > self._found.get(rule.id, 0.0):
                    opened.append(Opened(rule, measure))
                self._found[rule.id] = found
            value = _together(measure, [self._value(rule) for rule in rules])
            if value is None:
                continue
            said = self._said.get(measure)
            new = any(one.measure == measure for one in opened)
            if said is None or said[0] != value or new or time - said[1] >= SAY_AGAIN_S:
                self._said[measure] = (value, time)
                readings.append(Reading(at, self._camera, measure, value, Quality.GOOD, datetime.now(UTC)))
        return tuple(readings), tuple(opened)


def _together(measure: str, values: Sequence[float | None]) -> float | None:
    """What several rules find together; None where none is sure that there is nothing."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    found = max(known) if measure in _STATES else sum(known)
    # One rule does not know yet: that there is something can be said, that there is nothing cannot.
    return found if found or len(known) == len(values) else None


def _rows(detections: Sequence[Detection]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.array(
        [(one.x1, one.y1, one.x2, one.y2, one.confidence, LABELS.index(one.label)) for one in detections]
    ).reshape(-1, 6)


def _of_class(tracks: Tracks, label: str) -> set[int]:
    return set(map(int, tracks.ids[tracks.labels == LABELS.index(label)]))
