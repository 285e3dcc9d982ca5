"""The city as the pages know it: a fold of changes, first those read from TimescaleDB, then those of the change stream.

`CityState.fold` is deterministic, does no I/O, and may be given a change twice or late: an older fact never replaces a newer
one. `CityState.delta` says what is new since the delta before, in the shape that `assets/feed.js` reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ioc.catalog import FINDINGS, KINDS, PICTURED, own_period, period_of, speaks_of_events_alone
from ioc.model import (
    Alarm,
    AlarmsChanged,
    Change,
    CommandsChanged,
    Device,
    DevicesChanged,
    DeviceState,
    FrameArrived,
    Incident,
    MessagesRejected,
    Reading,
    ReadingsChanged,
    SceneSeen,
    StatesChanged,
)

#: Alarms are counted over this long against the operator's target (EEMUA 191).
RECENT_S: Final = 600.0
_GROW: Final = 1024


#: The columns of a device on the wire.
COLUMNS: Final = ("id", "kind", "name", "lat", "lon", "ward", "parent", "footage", "period", "pictured")


class Health(IntEnum):
    """How a device is, one digit on the wire. Missing is not offline: `SILENT` is our finding, `OFFLINE` the device's word."""

    UNKNOWN = 0
    ONLINE = 1
    LATE = 2
    SILENT = 3
    OFFLINE = 4
    MAINTENANCE = 5
    RETIRED = 6
    #: It lives, and what it shows cannot be trusted: our finding.
    UNTRUE = 7
    #: It speaks of events alone and has not for a while, which says nothing of whether it lives.
    QUIET = 8


#: An alarm that nobody was asked about does not count against the operator's target.
_NOT_ANNUNCIATED: Final = frozenset({"suppressed", "out_of_service"})
_DECLARED: Final = {
    "unknown": Health.UNKNOWN,
    "online": Health.ONLINE,
    "offline": Health.OFFLINE,
    "maintenance": Health.MAINTENANCE,
}


class CityState:
    """Devices, alarms, incidents and scenes as of the last change folded.

    Devices keep their number for the life of this object, so that a delta can name them by it.
    """

    def __init__(self) -> None:
        self.devices: list[Device] = []
        self.number: dict[str, int] = {}
        self.alarms: dict[int, Alarm] = {}
        self.incidents: dict[int, Incident] = {}
        self.scenes: dict[str, SceneSeen] = {}
        self.frames: dict[str, datetime] = {}
        #: Openings of the last ten minutes: alarm → epoch seconds.
        self.openings: dict[int, float] = {}
        self.rejected = 0
        #: Numbers of devices that say of themselves that they are simulated.
        self.simulated: set[int] = set()
        #: When the newest reading was received, epoch seconds; 0 = none yet.
        self.newest = 0.0
        #: What the pages know of places and names, a list a column, so that a snapshot of 100,000 devices is at hand.
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._headline: list[str] = []
        #: By number: our newest finding says that it cannot be trusted.
        self._untrue: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        #: By number: it speaks of events alone.
        self._eventful: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._declared: npt.NDArray[np.int8] = np.zeros(0, np.int8)
        self._sent: npt.NDArray[np.int8] = np.zeros(0, np.int8)
        self._seen: npt.NDArray[np.float64] = np.zeros(0)
        self._period: npt.NDArray[np.float64] = np.zeros(0)
        self._value: npt.NDArray[np.float64] = np.zeros(0)
        self._value_time: npt.NDArray[np.float64] = np.zeros(0)
        self._state_time: npt.NDArray[np.float64] = np.zeros(0)
        self._new_devices: set[int] = set()
        self._new_values: set[int] = set()
        self._new_alarms: dict[int, Alarm] = {}
        self._new_incidents: dict[int, Incident] = {}
        self._new_scenes: set[str] = set()
        #: Devices of whose commands something is new; what it is, pages ask for themselves.
        self._commanded: set[int] = set()

    def fold(self, change: Change) -> None:
        """Take one committed fact."""
        match change:
            case ReadingsChanged():
                for reading in change.readings:
                    self._fold_reading(reading)
            case StatesChanged():
                for state in change.states:
                    self._fold_state(state)
            case DevicesChanged():
                for device in change.devices:
                    self._fold_device(device)
            case AlarmsChanged():
                self._fold_alarms(change.alarms, change.incidents)
            case FrameArrived():
                if change.camera not in self.frames or self.frames[change.camera] < change.time:
                    self.frames[change.camera] = change.time
                    self._saw(change.camera, change.time)
            case SceneSeen():
                known = self.scenes.get(change.camera)
                if known is None or known.time < change.time:
                    self.scenes[change.camera] = change
                    self._new_scenes.add(change.camera)
                    self._saw(change.camera, change.time)
            case CommandsChanged():
                self._commanded |= {self.number[one.device] for one in change.commands if one.device in self.number}
            case MessagesRejected():
                self.rejected += sum(change.reasons.values())

    def keep_only(self, alarms: Iterable[int], incidents: Iterable[int]) -> None:
        """Drop alarms and incidents that are alive here and not in TimescaleDB: their end was missed."""
        for gone in self.alarms.keys() - set(alarms):
            self._new_alarms[gone] = _with_state(self.alarms.pop(gone), "normal")
        for ended in self.incidents.keys() - set(incidents):
            self._new_incidents[ended] = _with_state(self.incidents.pop(ended), "closed")

    def health(self, now: float) -> npt.NDArray[np.int8]:
        """Every device's `Health` at that epoch second, by number."""
        count = len(self.devices)
        declared, seen, period = self._declared[:count], self._seen[:count], self._period[:count]
        age = now - seen
        heard = np.where(age > 5 * period, Health.SILENT, np.where(age > 2 * period, Health.LATE, Health.ONLINE))
        heard = np.where(self._eventful[:count] & (heard != Health.ONLINE), Health.QUIET, heard)
        live = np.where(seen == 0, Health.UNKNOWN, heard)
        trusted = (live == Health.ONLINE) | (live == Health.LATE) | (live == Health.QUIET)
        live = np.where(self._untrue[:count] & trusted, Health.UNTRUE, live)
        return np.where(declared >= Health.OFFLINE, declared, live).astype(np.int8)

    def health_of(self, device: str, now: float) -> Health:
        """One device's health; `UNKNOWN` when there is no such device."""
        at = self.number.get(device)
        return Health.UNKNOWN if at is None else Health(int(self.health(now)[at]))

    def recent_openings(self, now: float) -> int:
        """Alarms opened in the last ten minutes."""
        self.openings = {alarm: opened for alarm, opened in self.openings.items() if opened > now - RECENT_S}
        return len(self.openings)

    def delta(self, now: float) -> dict[str, Any]:
        """What changed since the delta before; {} when nothing did."""
        found: dict[str, Any] = {}
        count = len(self.devices)
        health = self.health(now)
        changed = set(np.flatnonzero(health != self._sent[:count]).tolist()) | self._new_values
        self._sent[:count] = health
        if self._new_devices:
            found["devices"] = [
                (at, *(column[at] for column in self._columns.values())) for at in sorted(self._new_devices)
            ]
        if changed:
            found["d"] = [(at, int(health[at]), *self._figure(at)) for at in sorted(changed)]
        if self._new_alarms:
            found["alarms"] = [self._alarm_row(alarm) for alarm in self._new_alarms.values()]
        if self._new_incidents:
            found["incidents"] = [_incident_row(incident) for incident in self._new_incidents.values()]
        if self._new_scenes:
            found["scenes"] = {camera: _scene_row(self.scenes[camera]) for camera in sorted(self._new_scenes)}
        if self._commanded:
            found["commands"] = sorted(self._commanded)
        self._new_devices, self._new_values, self._new_scenes, self._commanded = set(), set(), set(), set()
        self._new_alarms, self._new_incidents = {}, {}
        return found

    def whole(self, now: float) -> dict[str, Any]:
        """Everything, for a page that comes new or has missed deltas; column by column, since there may be 100,000 devices."""
        count = len(self.devices)
        return {
            "columns": self._columns,
            "health": "".join(map(str, self.health(now).tolist())),
            "value": [None if value != value else round(value, 3) for value in self._value[:count].tolist()],
            "time": [0 if value != value else int(value) for value in self._value_time[:count].tolist()],
            "alarms": [self._alarm_row(alarm) for alarm in self.alarms.values()],
            "incidents": [_incident_row(incident) for incident in self.incidents.values()],
            "scenes": {camera: _scene_row(scene) for camera, scene in self.scenes.items()},
        }

    # --- folding one kind of fact ---

    def _fold_reading(self, reading: Reading) -> None:
        at = self.number.get(reading.device)
        received = reading.received.timestamp()
        finding = reading.measure in FINDINGS
        if not finding:
            self.newest = max(self.newest, received)
        if at is None:
            return
        time = reading.time.timestamp()
        if not finding:
            self._seen[at] = max(self._seen[at], received)
        elif reading.measure == self._headline[at] and time >= self._value_time[at]:
            self._untrue[at] = reading.value != 0
        if reading.measure == self._headline[at] and time > self._value_time[at]:
            # A lamp that says each minute what it said before is news to nobody; a figure that is shown carries its age.
            if self._value[at] != reading.value or self.devices[at].kind != "streetlight":
                self._new_values.add(at)
            self._value[at], self._value_time[at] = reading.value, time

    def _fold_state(self, state: DeviceState) -> None:
        at = self.number.get(state.device)
        if at is None or state.time.timestamp() < self._state_time[at]:
            return
        self._state_time[at] = state.time.timestamp()
        if self._declared[at] != Health.RETIRED:
            self._declared[at] = _DECLARED[state.state]
        if state.state == "online":
            self._seen[at] = max(self._seen[at], state.received.timestamp())

    def _fold_device(self, device: Device) -> None:
        at = self.number.get(device.id)
        if at is None:
            at = self.number[device.id] = len(self.devices)
            self.devices.append(device)
            self._headline.append("")
            for column in self._columns.values():
                column.append(None)
            self._room_for(at + 1)
            self._value[at] = np.nan
            self._sent[at] = -1
        for column, told in zip(self._columns.values(), _row(device), strict=True):
            if column[at] != told:
                column[at] = told
                self._new_devices.add(at)
        self.devices[at] = device
        (self.simulated.add if device.attrs.get("simulated") is True else self.simulated.discard)(at)
        row = KINDS.get(device.kind)
        self._headline[at] = row.headline if row else ""
        self._period[at] = period_of(device.kind, device.attrs)
        self._eventful[at] = speaks_of_events_alone(device.dialect, device.attrs)
        if device.last_seen is not None:
            self._seen[at] = max(self._seen[at], device.last_seen.timestamp())
        since = device.state_time.timestamp() if device.state_time is not None else 0.0
        if device.status == "retired":
            self._declared[at] = Health.RETIRED
        elif device.status == "maintenance":
            self._declared[at] = Health.MAINTENANCE
        elif since >= self._state_time[at] or self._declared[at] == Health.RETIRED:
            self._declared[at], self._state_time[at] = _DECLARED[device.state], since

    def _fold_alarms(self, alarms: list[Alarm], incidents: list[Incident]) -> None:
        for alarm in alarms:
            known = self.alarms.get(alarm.id)
            if known == alarm or (known is not None and known.changed > alarm.changed):
                continue
            self._new_alarms[alarm.id] = alarm
            if alarm.state == "normal":
                self.alarms.pop(alarm.id, None)
            else:
                self.alarms[alarm.id] = alarm
            if alarm.state in _NOT_ANNUNCIATED:
                self.openings.pop(alarm.id, None)
            else:
                self.openings[alarm.id] = alarm.opened.timestamp()
        for incident in incidents:
            before = self.incidents.get(incident.id)
            if before == incident or (before is not None and before.changed > incident.changed):
                continue
            self._new_incidents[incident.id] = incident
            if incident.state == "closed":
                self.incidents.pop(incident.id, None)
            else:
                self.incidents[incident.id] = incident

    # --- small parts ---

    def _saw(self, camera: str, time: datetime) -> None:
        at = self.number.get(camera)
        if at is not None:
            self._seen[at] = max(self._seen[at], time.timestamp())

    def _figure(self, at: int) -> tuple[float | None, int]:
        """A device's headline value and its epoch second; None, 0 when it has none."""
        value = float(self._value[at])
        return (None, 0) if value != value else (round(value, 3), int(self._value_time[at]))

    def _alarm_row(self, alarm: Alarm) -> tuple[Any, ...]:
        return (
            alarm.id,
            alarm.incident,
            alarm.rule,
            alarm.device,
            alarm.measure,
            alarm.ward,
            alarm.cause,
            alarm.priority,
            alarm.state,
            alarm.value,
            alarm.limit,
            int(alarm.opened.timestamp()),
            alarm.acknowledged_by,
        )

    def _room_for(self, count: int) -> None:
        have = len(self._seen)
        if count <= have:
            return
        more = max(_GROW, have)
        self._declared = np.concatenate([self._declared, np.zeros(more, np.int8)])
        self._untrue = np.concatenate([self._untrue, np.zeros(more, np.bool_)])
        self._eventful = np.concatenate([self._eventful, np.zeros(more, np.bool_)])
        self._sent = np.concatenate([self._sent, np.full(more, -1, np.int8)])
        for name in ("_seen", "_period", "_value", "_value_time", "_state_time"):
            setattr(self, name, np.concatenate([getattr(self, name), np.zeros(more)]))


def _with_state(row: Any, state: str) -> Any:
    return type(row)(**{field: getattr(row, field) for field in row.__struct_fields__} | {"state": state})


def _row(device: Device) -> tuple[Any, ...]:
    """The columns of one device."""
    lat = None if device.lat is None else round(device.lat, 6)
    lon = None if device.lon is None else round(device.lon, 6)
    footage = str(device.attrs.get("footage") or "")
    period = own_period(device.attrs)
    pictured = int(device.dialect in PICTURED)
    return (device.id, device.kind, device.name, lat, lon, device.ward, device.parent, footage, period, pictured)


def _incident_row(incident: Incident) -> tuple[Any, ...]:
    opened = int(incident.opened.timestamp())
    return (
        incident.id,
        incident.cause,
        incident.ward,
        incident.priority,
        incident.state,
        opened,
        incident.alarms,
        incident.active,
    )


def _scene_row(scene: SceneSeen) -> tuple[Any, ...]:
    return (round(scene.time.timestamp(), 3), scene.counts, round(scene.inferred_ms, 1), round(scene.latency_ms, 1))
