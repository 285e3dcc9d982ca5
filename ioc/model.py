"""The nouns that flow: frozen structs shared by every service.

Times are timezone-aware UTC `datetime`s. Coordinates are WGS 84 degrees. Boxes are fractions of the picture, 0–1.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import msgspec


class Quality:
    """What is known against a stored value; small integers, stored as they are."""

    GOOD: Final = 0
    #: The device's clock was too far off: stored at its receive time, the device's own time kept in `reading_clock_off`.
    CLOCK_OFF: Final = 1
    #: Keyed in by a person.
    MANUAL: Final = 2
    #: The device states no time: stored at its receive time.
    NO_TIME: Final = 3


#: Why a message was quarantined; stable keys for grouping.
REASONS: Final = (
    "topic",  # not the native grammar, or a channel that devices may not publish to
    "encoding",  # not UTF-8, or holds a NUL
    "json",  # not JSON, or nested too deep
    "shape",  # JSON of another shape
    "time",  # no device time, or one that is no time
    "measure",  # unknown measure, or one its kind of device does not report
    "value",  # not a number or a known state; NaN, infinite
    "range",  # outside what is physically possible
    "unit",  # in a unit that cannot become the catalogue's
    "device",  # topic and payload name different devices, or the device is not known
    "size",  # larger than the limit
    "storage",  # TimescaleDB refused this row alone
    "mapping",  # a mapping listens to its topic, and does not say yet what its values are
)

#: `late` and `unknown` are derived from ages; devices send the others.
State = Literal["online", "offline", "maintenance"]


class Reading(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One value of one measure of one device. It holds no containers, so the garbage collector need not look at millions."""

    time: datetime
    device: str
    measure: str
    value: float
    quality: int
    received: datetime


class DeviceState(msgspec.Struct, frozen=True, array_like=True):
    """What a device, or its last will, says of itself."""

    time: datetime
    device: str
    state: State
    reason: str
    received: datetime


class Announcement(msgspec.Struct, frozen=True):
    """A device introduces itself."""

    device: str
    kind: str
    name: str
    lat: float | None = None
    lon: float | None = None
    parent: str = ""
    firmware: str = ""
    attrs: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    dialect: str = "native"


class Discovery(msgspec.Struct, frozen=True):
    """A device of another dialect was seen, with what the dialect tells of it.

    It is registered as new and waits for a person to give it a place, a name and a kind; what a person has said is never
    overwritten.

    Attributes:
        name: what it is called there, as far as it is known.
        kind: a guess, "" when there is none.
        attrs: what its dialect needs to speak to it again (`ingest.dialects`), and what a technician may want to know.
    """

    device: str
    dialect: str
    name: str
    kind: str = ""
    parent: str = ""
    firmware: str = ""
    attrs: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)


class Event(msgspec.Struct, frozen=True):
    """Something happened at a device, once.

    Attributes:
        kind: a key of `ioc.catalog.EVENTS`.
        source: what tells this event from others of its device at the same time (its id there, or what it is about).
        data: what the device told of it; JSON.
    """

    time: datetime
    device: str
    kind: str
    source: str
    data: dict[str, Any]
    received: datetime


class Device(msgspec.Struct, frozen=True):
    """A device as registered. `ward` is the code of the 2025 ward it stands in, "" when outside or unplaced."""

    id: str
    kind: str
    name: str
    lat: float | None
    lon: float | None
    ward: str
    parent: str
    dialect: str
    firmware: str
    attrs: dict[str, str | int | float | bool | None]
    status: Literal["new", "active", "maintenance", "retired"]
    state: Literal["online", "offline", "maintenance", "unknown"]
    state_time: datetime | None
    state_reason: str
    last_seen: datetime | None
    clock_skew_s: float | None


#: What has become of a command: `requested` by a person, `sent` (the broker has it), `accepted` or `refused` by the device,
#: `confirmed` by what the device measures, `expired` on the way, `failed` because it could not be said at all.
CommandState = Literal["requested", "sent", "accepted", "confirmed", "refused", "expired", "failed"]


class Command(msgspec.Struct, frozen=True):
    """What a lamp was told, and what became of it.

    Attributes:
        level: the target: 0 off, 1 full, between them dimmed.
        sent: when the broker was handed it, once it has acknowledged that.
        answered: when the device said yes or no.
        confirmed: when a reading came that shows the target.
        ended: when nothing more was expected of it; None while it is open.
        reason: why it ended otherwise: one of `ioc.commands.REASONS`, else the words of the device, the dialect or the broker.
    """

    id: int
    device: str
    level: float
    who: str
    requested: datetime
    sent: datetime | None
    answered: datetime | None
    confirmed: datetime | None
    ended: datetime | None
    state: CommandState
    reason: str


class Answer(msgspec.Struct, frozen=True):
    """What a device says to a command.

    Attributes:
        order: the command's number, None when its dialect names none: then it is the one that was sent last, if that is open.
        ok: it will do it; None = its network says that there is no answer from it.
        detail: why not, in its own words, or one of `ioc.commands.REASONS`.
    """

    device: str
    order: int | None
    ok: bool | None
    detail: str
    received: datetime


class Frame(msgspec.Struct, frozen=True):
    """One camera picture, as JPEG bytes."""

    camera: str
    time: datetime
    jpeg: bytes


#: What a frame goes through in vision, in order; the time of each is counted from the end of the one before. `received`: from
#: the device's time into Redis. `batched`: waiting for its turn. `inferred`: fetched, decoded, looked at. `event`: tracked, and
#: put to the rules. `committed`: stored. `total` is from `received` to `committed`.
STAGES: Final = ("received", "batched", "inferred", "event", "committed", "total")


class StageTime(msgspec.Struct, frozen=True, array_like=True):
    """How long a camera's frames were in one stage: median and 95th percentile, milliseconds."""

    p50_ms: float
    p95_ms: float


class CameraFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How vision copes with one camera, over the last ten seconds; gone when nobody looks at it.

    Attributes:
        time: when they were taken.
        worker: who looks at the camera, as in the heartbeats.
        seen: the device's time of the newest frame that was looked at, None before the first; the picture's age counts from it.
        frames_s: frames a second that were looked at.
        arrived_s: frames a second that came.
        budget: frames a second that are looked at, at most; None = as many as come.
        drops: frames not looked at, by reason (`vision.mailbox.Reason`).
        stages: by name, those of `STAGES` that were passed.
        rules_off: the camera's rules that are not run, by id, each with the reason.
        reconnects: how often its capture had to connect again since it started; None = the camera speaks for itself.
    """

    camera: str
    time: datetime
    worker: str
    seen: datetime | None
    frames_s: float
    arrived_s: float
    budget: float | None = None
    drops: dict[str, int] = msgspec.field(default_factory=dict)
    stages: dict[str, StageTime] = msgspec.field(default_factory=dict)
    rules_off: dict[str, str] = msgspec.field(default_factory=dict)
    reconnects: int | None = None


class Detection(msgspec.Struct, frozen=True, array_like=True):
    """One object in one frame; `seq` numbers the objects of a frame from 0."""

    time: datetime
    camera: str
    seq: int
    label: str
    confidence: float
    x1: float
    y1: float
    x2: float
    y2: float


class CameraCount(msgspec.Struct, frozen=True, array_like=True):
    """What one camera saw of one class in one minute: frames looked at, objects summed over them, most in one frame."""

    time: datetime
    camera: str
    label: str
    frames: int
    objects: int
    most: int


class RulesWatched(msgspec.Struct, frozen=True):
    """How the rules of a camera are, as of one frame.

    Attributes:
        fps: measured frames a second that are looked at.
        watching: ids of the rules that are followed.
        resting: ids of those that are not, because frames come too rarely for what they say to be true.
        values: by id: what a rule finds now; a rule that does not know yet is absent.
        failing: ids of those that a fault of the program keeps from being followed.
    """

    camera: str
    time: datetime
    fps: float
    watching: tuple[int, ...]
    resting: tuple[int, ...]
    values: dict[int, float]
    failing: tuple[int, ...] = ()


class Rejected(msgspec.Struct, frozen=True):
    """A message in quarantine. `client` is who sent it, as far as the topic or the broker tells; "" = unknown."""

    received: datetime
    topic: str
    client: str
    dialect: str
    reason: str
    detail: str
    payload: bytes
    size: int


#: ISA-18.2. All but `normal` are alive.
AlarmState = Literal[
    "unacknowledged", "acknowledged", "returned_unacknowledged", "normal", "shelved", "suppressed", "out_of_service"
]


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm occurrence, from opening to normal.

    Attributes:
        value: the value that opened it, or raised it again; that of its return is in the log.
        returned: since when its condition is gone, None while it holds.
        acknowledged: when somebody said so, None before.
    """

    id: int
    rule: str
    device: str
    measure: str
    ward: str
    cause: str
    priority: int
    state: AlarmState
    value: float | None
    limit: float | None
    opened: datetime
    changed: datetime
    incident: int
    returned: datetime | None = None
    acknowledged: datetime | None = None
    acknowledged_by: str = ""
    shelved_until: datetime | None = None
    shelve_reason: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Alarms of one cause in one ward that overlap in time."""

    id: int
    cause: str
    ward: str
    priority: int
    state: Literal["open", "acknowledged", "cleared", "closed"]
    opened: datetime
    changed: datetime
    closed: datetime | None
    alarms: int
    active: int


# --- what the change stream carries; each is one committed fact -------------------------------------------------------


class ReadingsChanged(msgspec.Struct, frozen=True, tag="readings"):
    """The newest reading per (device, measure) of one committed batch."""

    readings: list[Reading]


class StatesChanged(msgspec.Struct, frozen=True, tag="states"):
    """Device states of one committed batch."""

    states: list[DeviceState]


class DevicesChanged(msgspec.Struct, frozen=True, tag="devices"):
    """Devices that were announced, edited or retired."""

    devices: list[Device]


class AlarmsChanged(msgspec.Struct, frozen=True, tag="alarms"):
    """Alarms and incidents after one change; the whole rows."""

    alarms: list[Alarm]
    incidents: list[Incident]


class FrameArrived(msgspec.Struct, frozen=True, tag="frame"):
    """A new frame of a camera lies in Redis."""

    camera: str
    time: datetime


class SceneSeen(msgspec.Struct, frozen=True, tag="scene"):
    """Vision has looked at a frame; counts by class, and what it took."""

    camera: str
    time: datetime
    counts: dict[str, int]
    inferred_ms: float
    latency_ms: float


class MessagesRejected(msgspec.Struct, frozen=True, tag="rejected"):
    """Messages of one batch went to quarantine; how many by reason."""

    reasons: dict[str, int]


class CommandsChanged(msgspec.Struct, frozen=True, tag="commands"):
    """Commands after one change; the whole rows."""

    commands: list[Command]


Change = (
    ReadingsChanged
    | StatesChanged
    | DevicesChanged
    | AlarmsChanged
    | FrameArrived
    | SceneSeen
    | MessagesRejected
    | CommandsChanged
)


class Heartbeat(msgspec.Struct, frozen=True):
    """A service saying that it lives and how it is.

    Attributes:
        state: `degraded` works with something missing, named in `reason`.
        figures: a few numbers worth showing (messages/s, queue length, frames/s).
    """

    service: str
    instance: str
    time: datetime
    state: Literal["ok", "degraded"]
    reason: str = ""
    figures: dict[str, float] = msgspec.field(default_factory=dict)
