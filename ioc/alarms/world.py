"""What the alarm engine knows of the city, and what follows from it: the difference between what holds and what is alarmed.

Everything is level-triggered: decisions come from comparing the conditions with the alarms that are alive, so a lost message,
a crash or a second look leads to the same end. No clock, no I/O: the engine passes the time in.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from ioc.alarms import rule as rules
from ioc.alarms.machine import Event
from ioc.alarms.rule import Pace, Presence, Track
from ioc.alarms.watch import CUTTING, LOSS, LOSSES, OF_FINDINGS, OFFLINE, OUTRANKED, RULED, WATCHES
from ioc.catalog import MEASURES, RULES, Measure, Rule, period_of, speaks_of_events_alone
from ioc.model import Alarm, Device, DeviceState, Reading

Key = tuple[str, str]
"""Rule and device."""

#: A chain of parents longer than this is a mistake in the register, possibly a circle.
_MOST_PARENTS: Final = 8
_NEVER: Final = Presence()
_NOTHING: Final = Track()


class Decision(NamedTuple):
    """What is to be done about one rule on one device.

    Attributes:
        event: for the state machine; `raise` opens an occurrence where none is alive.
        suppressed: an occurrence that opens is suppressed from the start.
        value: the value that decided, in the measure's unit.
        at: the device's time of that value.
    """

    rule: str
    device: str
    event: Event
    why: str = ""
    suppressed: bool = False
    value: float | None = None
    at: datetime | None = None


#: What ends an occurrence whatever its state is.
_END: Final[tuple[Event, ...]] = ("return", "unshelve", "acknowledge")


class World:
    """The engine's knowledge. Feed it with what happens, then ask for `decisions` and tell it what was `settled`."""

    def __init__(self) -> None:
        self.devices: dict[str, Device] = {}
        self.alive: dict[Key, Alarm] = {}
        #: Since when silence means something; None while nobody would hear a device.
        self.listening_since: datetime | None = None
        self._presence: dict[str, Presence] = {}
        self._tracks: dict[Key, Track] = {}
        self._paces: dict[str, Pace] = {}
        self._alive_of: dict[str, set[str]] = defaultdict(set)
        self._children: dict[str, set[str]] = defaultdict(set)
        self._dirty: set[str] = set()
        self._due: list[tuple[datetime, str]] = []
        self._next_look: dict[str, datetime] = {}

    # --- what happens ---

    def device(self, device: Device) -> None:
        """A device was announced, edited or retired."""
        old = self.devices.get(device.id)
        if old is not None and old.parent != device.parent:
            self._children[old.parent].discard(device.id)
        if device.parent:
            self._children[device.parent].add(device.id)
        self.devices[device.id] = device
        if device.state != "unknown" and device.state_time is not None:
            self._state(device.id, device.state, device.state_time, device.state_time)
        if old is None or old.status != device.status or old.parent != device.parent or old.kind != device.kind:
            self._touch(device.id)
            self._dirty |= self._below(device.id)

    def reading(self, reading: Reading) -> None:
        """A reading was stored."""
        at = rules.reading_time(reading)
        measure = MEASURES.get(reading.measure)
        if measure is None or not measure.finding:
            self._spoke(reading.device, self._presence.get(reading.device, _NEVER), at, reading.received)
        if measure is None:
            return
        pace = self._paces.get(reading.device)
        if rules.is_history(measure, at, reading.received):
            pace = rules.keep_pace(pace, measure, at, reading.received)
            self._paces[reading.device] = pace
            at = rules.present_time(pace, measure, at, reading.received)
        elif pace is not None and reading.received - at < pace.lag / 2:
            del self._paces[reading.device]  # its clock is well, so what came late was history
        for rule in RULED.get(reading.measure, ()):
            key = (rule.key, reading.device)
            before = self._tracks.get(key, _NOTHING)
            after = rules.observe(rule, measure, before, at, reading.value, reading.received)
            if after is not before:
                self._tracks[key] = after
                if after.raised != before.raised or after.since != before.since:
                    self._touch(reading.device)

    def replay(self, reading: Reading) -> None:
        """A past reading, for tracks that were made to `forget`; what led to the alarm that is alive is told by it."""
        at, measure = rules.reading_time(reading), MEASURES[reading.measure]
        for rule in RULED.get(reading.measure, ()):
            key = (rule.key, reading.device)
            alarm = self.alive.get(key)
            track = self._tracks.get(key, _NOTHING)
            after = rules.observe(rule, measure, track, at, reading.value, reading.received)
            if alarm is not None and reading.received <= (alarm.returned or alarm.opened):
                after = msgspec.structs.replace(after, raised=track.raised, since=None)
            self._tracks[key] = after
            self._touch(reading.device)

    def frame(self, camera: str, time: datetime, received: datetime) -> None:
        """A camera picture arrived."""
        self._spoke(camera, self._presence.get(camera, _NEVER), time, received)

    def state(self, state: DeviceState) -> None:
        """A device, or its last will, said how it is."""
        self._state(state.device, state.state, state.time, state.received)

    def presumed_online(self, device: str) -> None:
        """The records show that the device was there once."""
        presence = self._presence.get(device, _NEVER)
        if not presence.been_online:
            self._presence[device] = msgspec.structs.replace(presence, been_online=True)
            self._touch(device)

    def heard(self, device: str, received: datetime) -> None:
        """The register says that the device was heard then."""
        presence = self._presence.get(device, _NEVER)
        if presence.heard is None or presence.heard < received:
            self._presence[device] = msgspec.structs.replace(presence, heard=received)
            self._touch(device)

    def alarm(self, alarm: Alarm) -> None:
        """An alarm was stored, by us or by an operator; an older copy than ours changes nothing."""
        key = (alarm.rule, alarm.device)
        known = self.alive.get(key)
        if known is not None and (alarm.id, alarm.changed) < (known.id, known.changed):
            return
        if alarm.state == "normal":
            if known is not None and known.id == alarm.id:
                del self.alive[key]
                self._alive_of[alarm.device].discard(alarm.rule)
        else:
            self.alive[key] = alarm
            self._alive_of[alarm.device].add(alarm.rule)
        self._touch(alarm.device)

    def remember(self, alarms: Iterable[Alarm]) -> None:
        """Take over the alarms that are alive in the database: at start, and after a time without messages."""
        fresh = list(alarms)
        kept = {(alarm.rule, alarm.device): alarm.id for alarm in fresh}
        for key in [key for key, alarm in self.alive.items() if kept.get(key) != alarm.id]:
            del self.alive[key]
            self._alive_of[key[1]].discard(key[0])
            self._touch(key[1])
        for alarm in fresh:
            self.alarm(alarm)
            if (alarm.rule, alarm.device) not in self._tracks:
                self._restart(alarm.rule, alarm.device)

    def listen(self, since: datetime | None) -> None:
        """From when on silence means something; None: what is silent now stays so, nothing else falls silent."""
        if since != self.listening_since:
            self.listening_since = since
            for device in self._presence:
                self._touch(device)

    # --- what follows ---

    def decisions(self, now: datetime) -> list[Decision]:
        """What is to be done, parents before their children. Ask again after `alarm` told the outcome: then it is []."""
        while self._due and self._due[0][0] <= now:
            time, device = heapq.heappop(self._due)
            if self._next_look.get(device) == time:
                del self._next_look[device]
                self._touch(device)
        affected = set(self._dirty)
        for device in self._dirty:
            cut = self._cuts(device)
            self._move_on(device, now)
            if self._cuts(device) != cut:
                affected |= self._below(device)
        self._dirty.clear()
        ordered = sorted(affected, key=lambda device: (sum(1 for _ in self._ancestors(device)), device))
        return [decision for device in ordered for decision in self._judge(device, now)]

    def again(self, devices: Iterable[str]) -> None:
        """Look at these devices again: what was decided for them could not be stored."""
        for device in devices:
            self._touch(device)

    def pending(self) -> list[Key]:
        """Rules whose delay runs or whose alarm is alive: those whose past matters at a restart."""
        return [key for key, track in self._tracks.items() if track.since is not None or key in self.alive]

    def forget(self, keys: Iterable[Key]) -> None:
        """Start the tracks of these keys anew from their alarm, before their past readings are fed in again."""
        for rule, device in keys:
            self._restart(rule, device)

    # --- inside ---

    def _touch(self, device: str) -> None:
        self._dirty.add(device)

    def _restart(self, rule: str, device: str) -> None:
        alarm = self.alive.get((rule, device))
        row = RULES.get(rule)
        raised = alarm is not None and alarm.returned is None
        # Silence is over once something came after it began.
        at = alarm.opened if raised and alarm is not None and row is not None and row[0].kind == "silent" else None
        self._tracks[rule, device] = Track(raised=raised, at=at)
        self._touch(device)

    def _spoke(self, device: str, before: Presence, at: datetime, received: datetime) -> None:
        self._presence[device] = rules.heard_reading(before, at, received)
        if not before.been_online or before.state == "offline" or self._alive_of.get(device):
            self._touch(device)

    def _kind(self, device: str) -> str:
        row = self.devices.get(device)
        return "" if row is None else row.kind

    def _state(self, device: str, state: str, at: datetime, received: datetime) -> None:
        before = self._presence.get(device, _NEVER)
        after = rules.heard_state(before, state, at, received)
        if after is not before:
            self._presence[device] = after
            self._touch(device)
            if "maintenance" in (before.state, after.state):
                self._dirty |= self._below(device)

    def _below(self, device: str) -> set[str]:
        """Every device below this one, however far."""
        found: set[str] = set()
        level = set(self._children.get(device, ()))
        while level:
            found |= level
            level = {child for parent in level for child in self._children.get(parent, ())} - found
        return found

    def _ancestors(self, device: str) -> Iterator[str]:
        for _ in range(_MOST_PARENTS):
            row = self.devices.get(device)
            if row is None or not row.parent:
                return
            device = row.parent
            yield device

    def _in_service(self, device: str) -> bool:
        row = self.devices.get(device)
        return (
            row is not None
            and row.status != "maintenance"
            and self._presence.get(device, _NEVER).state != "maintenance"
        )

    def _raised(self, rule: str, device: str) -> bool:
        track = self._tracks.get((rule, device))
        return track is not None and track.raised

    def _cuts(self, device: str) -> bool:
        """Whether what lies below the device is lost because of it."""
        row = self.devices.get(device)
        if row is None or row.status == "retired":
            return False
        if not self._in_service(device):
            return True
        return any(self._raised(rule, device) for rule in CUTTING.get(self._kind(device), ()))

    def _move_on(self, device: str, now: datetime) -> None:
        """Let time pass for one device, and note when to look again."""
        row = self.devices.get(device)
        if row is None or row.kind not in WATCHES:
            return
        presence = self._presence.get(device, _NEVER)
        looks: list[datetime] = []
        for rule, measure in WATCHES[row.kind]:
            key = (rule.key, device)
            track = self._tracks.get(key, _NOTHING)
            if measure is not None:
                after = rules.lapse(rule, measure, track, now)
                due = rules.lapses_at(rule, measure, after)
            else:
                after, due = self._move_presence(rule, row, track, presence, now)
            if after is not track:
                self._tracks[key] = after
            if due is not None and due > now:
                looks.append(due)
            alarm = self.alive.get(key)
            if alarm is not None and alarm.shelved_until is not None:
                looks.append(alarm.shelved_until)
        soonest = min(looks, default=None)
        known = self._next_look.get(device)
        if soonest is not None and (known is None or soonest < known):
            self._next_look[device] = soonest
            heapq.heappush(self._due, (soonest, device))

    def _move_presence(
        self, rule: Rule, row: Device, track: Track, presence: Presence, now: datetime
    ) -> tuple[Track, datetime | None]:
        """The track of `silent` or `offline`, and when to look again."""
        if self.listening_since is None:
            return track, None
        if rule.kind == "silent":
            if speaks_of_events_alone(row.dialect, row.attrs):
                return Track(), None
            due = rules.silent_at(rule, period_of(row.kind, row.attrs), presence, self.listening_since)
            if track.raised:
                # It ends with a word of the device, not with us beginning to listen again.
                spoken = track.at is not None and presence.heard is not None and presence.heard > track.at
                return (Track() if spoken else track), due
        else:
            due = rules.offline_at(rule, presence, self.listening_since)
            if track.raised:
                # Only a sign of life ends it; a restart of ours does not.
                return (Track() if due is None else track), None
        if due is not None and now >= due:
            return Track(raised=True, at=due), None
        return track, due

    def _judge(self, device: str, now: datetime) -> Iterator[Decision]:
        """Compare what holds for one device with its alarms."""
        row = self.devices.get(device)
        # A new device has no place and no name that anybody could go to: it alarms once somebody has adopted it.
        serves = row is not None and row.status not in ("retired", "new")
        watched = WATCHES.get(row.kind, ()) if row is not None and serves else ()
        for rule, measure in watched:
            yield from self._judge_rule(rule, measure, device, now)
        known = {watch.rule.key for watch in watched}
        for key in sorted(self._alive_of.get(device, set()) - known):
            why = "retired" if key in RULES else "rule removed"
            for event in _END:
                yield Decision(key, device, event, why)

    def _judge_rule(self, rule: Rule, measure: Measure | None, device: str, now: datetime) -> Iterator[Decision]:
        track = self._tracks.get((rule.key, device), _NOTHING)
        alarm = self.alive.get((rule.key, device))
        in_service = self._in_service(device)
        why = self._suppressed_by(rule, device)
        value = track.value if measure is not None and track.at is not None else None
        if alarm is None:
            if track.raised and in_service and self._is_present(track, measure, now):
                yield Decision(rule.key, device, "raise", why, bool(why), value, track.at)
            return
        if alarm.shelved_until is not None and alarm.shelved_until <= now:
            yield Decision(rule.key, device, "unshelve", "time is up")
        active = alarm.returned is None
        # The end comes before the end of its suppression, so that what was hidden ends unseen.
        if active and not track.raised:
            yield Decision(rule.key, device, "return", "", False, value, track.at)
        elif not active and track.raised:
            yield Decision(rule.key, device, "raise", "", False, value, track.at)
        if not track.raised:
            return
        if in_service != (alarm.state != "out_of_service"):
            yield Decision(rule.key, device, "restore" if in_service else "remove", "maintenance")
        if in_service and bool(why) != (alarm.state == "suppressed"):
            yield Decision(rule.key, device, "suppress" if why else "release", why)

    def _suppressed_by(self, rule: Rule, device: str) -> str:
        """What explains the rule's condition: another rule's key or a parent's id, "" if nothing."""
        for louder in OUTRANKED.get(rule.key, ()):
            if self._raised(louder, device):
                return louder
        if rule.key in OF_FINDINGS:
            # A camera that is lost as a whole has no picture either.
            for loss in LOSSES[self._kind(device)]:
                if self._raised(loss, device):
                    return loss
        if rule.kind in LOSS:
            if rule.kind == "silent":
                for offline in OFFLINE[self._kind(device)]:
                    if self._raised(offline.key, device):
                        return offline.key
            for parent in self._ancestors(device):
                if parent != device and self._cuts(parent):
                    return parent
        return ""

    @staticmethod
    def _is_present(track: Track, measure: Measure | None, now: datetime) -> bool:
        """Whether the value says something about now; an old one opens nothing."""
        return measure is None or (track.at is not None and not rules.is_history(measure, track.at, now))
