"""One camera being watched by its rules: tracks, what the rules count and find, and what of it is to be stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np

from ioc.camera_rules import PEOPLE_FPS, RESTS, RULE_KINDS, VEHICLES, VEHICLES_FPS, CameraRule
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
#: Frames of which objects are followed are no further apart than so many at the rate that it takes; between others something may
#: have been missed.
FOLLOWED_GAPS: Final = 2.5
#: What was counted is handed on so often, and whenever a minute ends.
HAND_ON_S: Final = 1.0
#: What is found is said again after this time, changed or not, so that it does not grow old.
SAY_AGAIN_S: Final = 30.0
#: A rule that failed is tried again, from its beginning, after this time.
TRY_AGAIN_S: Final = 30.0

Key = tuple[int, int]
"""Id and version of a rule."""


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
    """The rules of one camera at work. Frames come one after another; only `lost` may be called by another thread meanwhile.

    Attributes:
        faults: of the rules that failed and have not worked since: their last fault.
    """

    def __init__(self, camera: str) -> None:
        self.faults: dict[Key, Exception] = {}
        self._camera = camera
        self._rules: tuple[CameraRule, ...] = ()
        self._standing: Collection[str] = ()
        self._watching: dict[Key, Watching] = {}
        self._failed: dict[Key, float] = {}
        self._times: deque[float] = deque()
        #: Frames in a row that came after a hole.
        self._holes = 0
        self._handed_on = 0.0
        self._flows_of: datetime | None = None
        self._flows: dict[tuple[int, int, str], Flow] = {}
        self._begin()

    def _begin(self) -> None:
        """Begin anew: after a hole nothing that was seen before says anything of now."""
        self._tracker = Tracker(classes=len(LABELS), person=LABELS.index("person"))
        self._last: float | None = None
        #: By the rate that it takes: whether frames come often enough to follow objects.
        self._followed = dict.fromkeys((PEOPLE_FPS, VEHICLES_FPS), True)
        self._counted: set[int] = set()
        self._said: dict[str, tuple[float, float]] = {}
        self._found: dict[int, float] = {}
        self._watching = {}
        self._watch()

    def _watch(self) -> None:
        """Begin with the rules that are not followed yet, but for those that have failed."""
        for rule in self._rules:
            key = _key(rule)
            if key not in self._watching and key not in self._failed:
                ground = next((watch for watch in self._watching.values() if isinstance(watch, Ground)), None)
                try:
                    self._watching[key] = watching(rule, ground)
                except Exception as error:  # noqa: BLE001 - see `_fail`
                    self._fail(key, error)

    def _fail(self, key: Key, error: Exception) -> None:
        """Leave a rule out: a fault of ours in one must end neither the others nor the work on all cameras."""
        self.faults[key] = error
        self._failed[key] = self._last or 0.0
        self._watching.pop(key, None)

    def follow(self, rules: Sequence[CameraRule], standing: Collection[str] = ()) -> None:
        """Follow these rules from now on; those that did not change go on where they were.

        Args:
            rules: of the camera.
            standing: measures of which was said last, by us or a worker before us, that a rule finds something.
        """
        self._standing = standing
        # The ground first: others measure by it.
        ordered = tuple(sorted(rules, key=lambda rule: rule.kind != "ground"))
        if ordered == self._rules:
            return
        # A crowd's limit follows from the ground.
        fixed = [rule for rule in self._rules if rule.kind == "ground"] == [
            one for one in rules if one.kind == "ground"
        ]
        kept = {_key(rule) for rule in rules if fixed or rule.kind != "crowd"}
        self._rules = ordered
        self._watching = {key: watch for key, watch in self._watching.items() if key in kept}
        self._failed = {key: time for key, time in self._failed.items() if key in kept}
        self.faults = {key: error for key, error in self.faults.items() if key in kept}
        self._watch()

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
        hole = self._last is not None and time - self._last > LONGEST_GAP_S
        if hole:
            self._begin()
        tracks = self._tracker.step(time, _rows(scene.detections), aspect)
        if tracks is None:
            return None
        gap = 0.0 if self._last is None else time - self._last
        self._last = time
        fps = self._rate(time, hole)
        before, self._flows_of = self._flows_of, scene.time.replace(second=0, microsecond=0)
        ended: dict[tuple[int, int, str], Flow] = {}
        if before is not None and before != self._flows_of:
            ended, self._flows = self._flows, {}
        resting = self._take(Look(time, gap, False, aspect, tracks, {}))
        failing = {rule.id for rule in self._rules if _key(rule) not in self._watching}
        awake = {rule.id for rule in self._rules} - resting - failing
        flows = self._hand_on(before, ended, time, gap)
        readings, opened = self._say(time, scene.time, awake)
        watched = RulesWatched(
            self._camera,
            scene.time,
            fps,
            tuple(sorted(awake)),
            tuple(sorted(resting)),
            {rule.id: value for rule in self._rules if (value := self._value(rule)) is not None},
            tuple(sorted(failing)),
        )
        return Outcome(self._camera, scene.time, self._rules, flows, readings, opened, watched)

    def _rate(self, time: float, hole: bool) -> float:
        """Frames a second as they come; sets whether objects are followed."""
        self._times.append(time)
        # Rarer frames than the span holds have a rate as well.
        while len(self._times) > 2 and self._times[0] < time - RATE_S:
            self._times.popleft()
        fps = (len(self._times) - 1) / (time - self._times[0]) if len(self._times) > 1 else 0.0
        self._holes = self._holes + 1 if hole else 0
        if self._holes > 1:
            self._followed = dict.fromkeys(self._followed, False)
        elif not hole and len(self._times) > 1:
            # As it is shown: nothing rests for want of 2 while 2.0 come.
            self._followed = {
                rate: fps >= RESTS * rate if followed else round(fps, 1) >= rate
                for rate, followed in self._followed.items()
            }
        return round(fps, 2)

    def _take(self, look: Look) -> set[int]:
        """Show the frame to the rules; returns those that rest."""
        for key in [key for key, failed in self._failed.items() if look.time - failed >= TRY_AGAIN_S]:
            del self._failed[key]
        self._watch()
        resting: set[int] = set()
        people: set[int] = set()
        crossed: set[int] = set()
        for rule in self._rules:
            number, version = key = _key(rule)
            watch = self._watching.get(key)
            if watch is None:
                continue
            kind = RULE_KINDS[rule.kind]
            rate = kind.followed_fps(rule.classes)
            look = look._replace(followed=self._followed[rate])
            # After one hole all begins anew; after another nothing ever would come of it.
            rests = (kind.follows and not look.followed) or self._holes > 1
            try:
                if rests:
                    watch.value = None
                    watch.forget(look.tracks.ended)
                else:
                    watch.look(look)
            except Exception as error:  # noqa: BLE001 - see `_fail`
                self._fail(key, error)
                continue
            self.faults.pop(key, None)
            if rests:
                resting.add(number)
                continue
            if isinstance(watch, Ground):
                look = look._replace(kmh=watch.kmh)
            # Frames too far apart may have missed who came between them.
            if look.gap <= (FOLLOWED_GAPS / rate if kind.follows else LONGEST_GAP_S) and not watch.doubt:
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
        watch = self._watching.get(_key(rule))
        return None if watch is None else watch.value

    def _say(self, time: float, at: datetime, awake: set[int]) -> tuple[tuple[Reading, ...], tuple[Opened, ...]]:
        readings, opened = [], []
        self._found = {number: found for number, found in self._found.items() if number in awake}
        for kind, measure in FINDINGS.items():
            rules = [rule for rule in self._rules if rule.kind == kind and rule.id in awake]
            for rule in rules:
                found = self._value(rule) or 0.0
                if found > self._found.get(rule.id, 0.0):
                    opened.append(Opened(rule, measure))
                self._found[rule.id] = found
            value = _together(measure, [self._value(rule) for rule in rules])
            if not rules and measure in self._standing:
                # Nobody looks for it any more: what was found ends, or its alarm would stay for ever.
                value = 0.0
            if value is None:
                continue
            said = self._said.get(measure)
            new = any(one.measure == measure for one in opened)
            if said is None or said[0] != value or new or time - said[1] >= SAY_AGAIN_S:
                self._said[measure] = (value, time)
                readings.append(Reading(at, self._camera, measure, value, Quality.GOOD, datetime.now(UTC)))
        return tuple(readings), tuple(opened)


def _key(rule: CameraRule) -> Key:
    return rule.id, rule.version


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
