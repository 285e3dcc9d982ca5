"""Where every dialect ends: canonical telemetry, states, announcements and frames are checked and put into the batch.

A dialect knows a payload's format; what may be stored is decided here, once for all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, NoReturn, cast, get_args

import msgspec

from ingest.batch import Batch, Sighting
from ingest.clock import LANES, Clocks, PictureClocks, device_time
from ingest.jpeg import picture_size
from ingest.message import QUARANTINE, Block, Outgoing
from ingest.quarantine import kept, printable
from ioc.catalog import EVENTS, KINDS, MEASURES, measure_named
from ioc.errors import RejectedError
from ioc.model import Announcement, Answer, DeviceState, Discovery, Event, Frame, Quality, Reading, Rejected, State
from ioc.units import convert
from ioc.values import MEASURES_OF, RANGES_OF, number_of, said_number, shorten

STATES: Final = frozenset(get_args(State))
#: Faults of one message that are named in full; the rest are counted.
_NAMED: Final = 8
#: Readings that a message in quarantine may turn out to hold.
_MOST_HELD: Final = 1000
#: The parts of a second; adding one to a known second is twice as quick as making a time of its milliseconds.
_PARTS: Final = tuple(timedelta(milliseconds=part) for part in range(1000))
#: Values in one message, and characters of the name of one that somebody may still know.
_MOST_VALUES: Final = 1000
_LONGEST_NAME: Final = 200
#: Seconds known.
_MOST_SECONDS: Final = 100_000
#: Devices whose discovery is remembered, so that it is written only when it changes.
_MOST_MET: Final = 500_000


class Unknown(NamedTuple):
    """A value for which there is no measure, as its dialect told of it; `error` says so."""

    error: RejectedError
    device: str
    stamp: Any
    name: str
    raw: Any


class Intake:
    """Puts one message after another into the current batch; one thread at a time uses it.

    Attributes:
        batch: the batch being filled.
        kinds: kind of every device that has introduced itself. The decoder's own view: it runs ahead of the database by the
            announcements that are not committed yet.
        origin: place in the batch of the message in hand; who decodes sets it.
        noted: something was wrong with the message in hand, or not known.
        wanted: topic filters that dialects have asked for beyond their own (`listen`), and whether what is retained there is
            wanted; never changed in place, because another thread reads it.
        replayed: the message in hand lay in quarantine: what it measured is stored as of then, and how things stand now it does
            not say. What dialects remember of now it leaves as it is.
        flags: how the flags of each device stand (`ingest.flags`).
        pictures: the clocks of the cameras.
    """

    def __init__(self, kinds: Mapping[str, str], clocks: Clocks) -> None:
        self.batch = Batch()
        self.kinds: dict[str, str] = dict(kinds)
        self.origin = 0
        self.noted = False
        self.wanted: dict[str, bool] = {}
        self.replayed = False
        self.flags: dict[str, dict[str, bool]] = {}
        self.pictures = PictureClocks()
        self._met: dict[str, Discovery] = {}
        self._clocks = clocks
        self._received = datetime.min.replace(tzinfo=UTC)
        self._received_ms = self._earliest = self._latest = 0.0
        self._seconds: dict[int, datetime] = {}
        self._faults: dict[str, list[str]] = {}
        self._unknown: list[Unknown] = []
        #: The receive time that a message has alone, which message that is, and how many such times its readings took.
        self._own: tuple[int, datetime] = (-1, self._received)
        self._taken = 0

    def open(self, block: Block) -> int:
        """The messages that follow come from this block; returns the place of its first one."""
        self.origin = self.batch.open(block)
        self._received = block.received
        self.replayed = block.source == QUARANTINE
        self._received_ms = block.received.timestamp() * 1000
        self._earliest, self._latest = self._clocks.believed(self._received_ms)
        return self.origin

    def end(self, topic: str, client: str, dialect: str, *, too_large: bool = False) -> None:
        """The message is done: what was wrong with it goes to quarantine, one entry for each reason."""
        for unknown in self.take_unknown():
            self.fault(unknown.error)
        self.noted = False
        if not self._faults:
            return
        payload = self.batch.messages[self.origin][1]
        self.batch.undated.add(self.origin)
        received = self._own_time()
        if not self.replayed:  # room is left for what it may still hold
            self._clocks.keep_free(self._received, min(payload.count(b","), _MOST_HELD))
        for reason, details in self._faults.items():
            more = f" (and {len(details) - _NAMED} more)" if len(details) > _NAMED else ""
            self.batch.reject(
                self.origin,
                Rejected(
                    received=received,
                    topic=printable(topic),
                    client=printable(client),
                    dialect=dialect,
                    reason=reason,
                    detail=printable("; ".join(details[:_NAMED]) + more),
                    payload=kept(payload, topic, too_large=too_large),
                    size=len(payload),
                ),
            )
        self._faults = {}

    @property
    def has_unknown(self) -> bool:
        """Whether the message held values for which there is no measure."""
        return bool(self._unknown)

    def fault(self, error: RejectedError) -> None:
        """Something in the message is wrong; the rest of it goes on."""
        self.noted = True
        self._faults.setdefault(error.reason, []).append(error.detail)

    def take_unknown(self) -> list[Unknown]:
        """The values of the message for which there is no measure; who takes them answers for them."""
        unknown, self._unknown = self._unknown, []
        return unknown

    def telemetry(self, device: str, stamp: Any, values: Mapping[str, Any]) -> None:
        """Values a device measured at one time.

        Raises:
            RejectedError: `time`, or `size`. Faults of single values are kept, and the other values stored.
        """
        if len(values) > _MOST_VALUES:
            raise RejectedError("size", f"{len(values)} values, most is {_MOST_VALUES}")
        # Every message comes through here: the common case (an integer, a believable time, numbers in range) takes few calls.
        kind = self.kinds.get(device, "")
        if type(stamp) is int and self._earliest <= stamp <= self._latest:
            second, part = divmod(stamp, 1000)
            start = self._seconds.get(second)
            if start is None:
                start = self._second(second)
            time = start + _PARTS[part]
            self._sight(device, stamp)
        else:
            time = device_time(stamp)
            stamp_ms = time.timestamp() * 1000
            self._sight(device, stamp_ms)
            if not self._earliest <= stamp_ms <= self._latest:
                self._clock_off(device, kind, time, values)
                return
        received, batch, ranges = self._received, self.batch, RANGES_OF[kind]
        for key, raw in values.items():
            span = ranges.get(key)
            if span is not None and type(raw) is float and span[0] <= raw <= span[1]:
                value: float | None = raw
            else:
                value = self._checked(device, kind, stamp, key, raw)
            if value is not None:
                batch.readings.append(Reading(time, device, key, value, 0, received))
                batch.readings_of.append(self.origin)

    @property
    def received(self) -> datetime:
        """When the message in hand came."""
        return self._received

    @property
    def redelivered(self) -> bool:
        """Whether the message in hand may have been decoded before: by the broker's word, or because it is recalled."""
        return self.batch.messages[self.origin][3]

    def measured(self, device: str, stamp: Any, items: Iterable[tuple[str, Any, str]], *, spoke: bool = True) -> None:
        """Values as another dialect names them: (name, value, unit); unit "" = none stated.

        Names are looked up in the catalogue, numbers converted to its units. Without a time (`stamp` None) they are stored at
        their receive time, with a quality that says so, and say that the device lives, unless it is its network that `spoke`
        (False) of it.

        Raises:
            RejectedError: `time`, or `size`. Faults of single values are kept, and the other values stored.
        """
        values: dict[str, Any] = {}
        for number, (name, raw, unit) in enumerate(items):
            if number == _MOST_VALUES:
                raise RejectedError("size", f"more than {_MOST_VALUES} values")
            try:
                key, value = canonical(name, raw, unit)
            except RejectedError as error:
                self._refuse(error, device, stamp, name, raw)
            else:
                if key in values and values[key] != value:
                    self.fault(
                        RejectedError(
                            "value", f"{shorten(name)}: a second value of {key}, beside {shorten(values[key])}"
                        )
                    )
                    continue
                values[key] = value
        if not values:
            self._heard(device)
        elif stamp is not None:
            self.telemetry(device, stamp, values)
        else:
            self._heard(device)
            if spoke and not (self.redelivered or self.replayed):
                self.batch.seen[device].speaks = True
            kind = self.kinds.get(device, "")
            time = self._free_time()
            for key, raw in values.items():
                value = self._checked(device, kind, None, key, raw)
                if value is not None:
                    self.batch.readings.append(Reading(time, device, key, value, Quality.NO_TIME, self._received))
                    self.batch.readings_of.append(self.origin)
                    self.batch.undated.add(self.origin)

    def event(
        self,
        device: str,
        stamp: Any,
        kind: str,
        source: str,
        data: Mapping[str, Any],
        *,
        told: Any = None,
        spoke: bool = True,
    ) -> datetime:
        """Something happened at a device, once; returns the time it is stored under.

        What lasts is told of again with the same `stamp`, and stays one event with the newest `data`.

        Args:
            device: where.
            stamp: when it happened, None = the device states no time.
            kind: a key of `ioc.catalog.EVENTS`.
            source: tells it from others of the same kind at the same time.
            data: what the device says of it; scalars, or what JSON can hold.
            told: the device's time when it said so, where that is not when it happened: what its clock is judged by.
            spoke: False = its network speaks of it, which says nothing of whether the device itself lives.

        Raises:
            RejectedError: `time` or `value`.
        """
        if kind not in EVENTS:
            raise RejectedError("value", f"event: got {shorten(kind)}, expected one of {', '.join(EVENTS)}")
        happened = None if stamp is None else device_time(stamp)
        said = happened if told is None else device_time(told)
        time = self._received if happened is None else self._judged(happened)
        if happened and said and happened <= said == self._judged(said):
            time = happened  # however long ago: the clock that says so is right
        if spoke:
            if said is None:
                self._heard(device)
            else:
                self._sight(device, said.timestamp() * 1000)
        if time is self._received:
            self.batch.undated.add(self.origin)
        if stamp is None:  # of several that were read in one block none may take the place of another
            time = self._own_time()
        clean = {printable(str(key)): printable(item) if isinstance(item, str) else item for key, item in data.items()}
        self.batch.events.append(Event(time, device, kind, printable(source, 200), clean, self._received))
        self.batch.events_of.append(self.origin)
        return time

    def when(self, stamp: Any) -> datetime:
        """A device's time as it is stored of events: the receive time when it states none, or one that is too far off.

        Raises:
            RejectedError: `time`.
        """
        return self._received if stamp is None else self._judged(device_time(stamp))

    def registered(self, device: str, kind: str) -> None:
        """A person said what kind of device it is; "" = none, or out of service."""
        if kind:
            self.kinds[device] = kind
        else:
            self.kinds.pop(device, None)

    def answer(self, device: str, order: int | None, ok: bool | None, detail: str = "", *, spoke: bool = True) -> None:
        """A device says yes or no to a command.

        Args:
            device: whose command it is; one to another device is none of its.
            order: number of the command, None = the one that was sent to it last, if that is open.
            ok: None = it is certain that there will be no answer.
            detail: why not.
            spoke: False = its network speaks of it, which says nothing of whether the device itself lives.

        Raises:
            RejectedError: `value`, when the order is no number that a command can have.
        """
        if order is not None and not is_order(order):
            raise RejectedError("value", f"id: got {shorten(order)}, expected the number of a command")
        if spoke:
            self._heard(device)
        if order is None:
            if self.replayed:
                return  # meant for a command of that time
            # A redelivery must not answer the command that came after the one it was meant for.
            self.batch.undated.add(self.origin)
        self.batch.answers.append(Answer(device, order, ok, printable(detail, 200), self._received))
        self.batch.answers_of.append(self.origin)

    def discover(self, discovery: Discovery) -> None:
        """A device of another dialect was met; written when it is new or tells something new of itself."""
        key = discovery.device
        if self._met.get(key) == discovery:
            return
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met[key] = discovery
        if discovery.kind and key not in self.kinds:
            self.kinds[key] = discovery.kind
        self.batch.discovered[key] = msgspec.structs.replace(
            discovery,
            name=printable(discovery.name, 200),
            firmware=printable(discovery.firmware, 200),
            attrs={
                printable(name, 100): printable(value) if isinstance(value, str) else value
                for name, value in discovery.attrs.items()
            },
        )

    def remember(self, topic: str, payload: bytes | None) -> None:
        """Keep a message without which later ones cannot be understood, for the next process; None = it is void."""
        self.batch.context[topic] = payload

    def listen(self, topic: str, *, retained: bool = False) -> None:
        """Ask for a topic filter beyond the dialect's own, and for what is retained there if that is wanted."""
        self.wanted = {**self.wanted, topic: retained}

    def unlisten(self, topic: str) -> None:
        """A filter asked for before is no longer needed."""
        self.wanted = {name: retained for name, retained in self.wanted.items() if name != topic}

    def send(self, message: Outgoing) -> None:
        """Publish something in answer, once what is in hand is committed; what lay in quarantine is not answered any more."""
        if not self.replayed:
            self.batch.outgoing.append(message)

    def state(self, device: str, stamp: Any, state: Any, reason: str) -> None:
        """A device, or its last will, says how it is. A last will has no time (`stamp` None): it is true when it comes.

        Raises:
            RejectedError: `value`, `encoding` or `time`.
        """
        if not isinstance(state, str) or state not in STATES:
            raise RejectedError("value", f"state: got {shorten(state)}, expected one of {', '.join(sorted(STATES))}")
        if "\0" in reason:
            raise RejectedError("encoding", "reason: a string with a NUL")
        time = received = self._received
        if stamp is not None:
            time = self._believed(device, device_time(stamp))
        else:
            self._heard(device)
        if time is received:  # it has no time of its own that could tell it from its redelivery
            if self.replayed:
                refuse_of_then()
            self.batch.unstamped.add(len(self.batch.states))
            self.batch.undated.add(self.origin)
        self.batch.states.append(DeviceState(time, device, cast("State", state), printable(reason, 200), received))
        self.batch.states_of.append(self.origin)

    def announce(self, announcement: Announcement) -> None:
        """A device introduces itself.

        Raises:
            RejectedError: `value`, `range` or `encoding`.
        """
        if announcement.kind not in KINDS:
            raise RejectedError("value", f"kind: got {shorten(announcement.kind)}, expected one of {', '.join(KINDS)}")
        if (announcement.lat is None) != (announcement.lon is None):
            raise RejectedError("value", "lat and lon: expected both or neither")
        for name, degrees, most in (("lat", announcement.lat, 90), ("lon", announcement.lon, 180)):
            if degrees is not None and not -most <= degrees <= most:
                raise RejectedError("range", f"{name}: got {shorten(degrees)}, possible are -{most} to {most} degrees")
        texts = [announcement.name, announcement.parent, announcement.firmware, *announcement.attrs]
        texts += [value for value in announcement.attrs.values() if isinstance(value, str)]
        if any("\0" in text for text in texts):
            raise RejectedError("encoding", "a string with a NUL")
        if any(len(text) > 500 for text in texts) or len(announcement.attrs) > 50:
            raise RejectedError("value", "expected strings of 500 characters and 50 attrs at most")
        device = announcement.device
        self.kinds[device] = announcement.kind
        self.batch.announced[device] = announcement
        self.batch.announced_of[device] = self.origin

    def retire(self, device: str) -> None:
        """A device was taken out of service."""
        self.kinds.pop(device, None)
        self.batch.announced[device] = None
        self.batch.announced_of[device] = self.origin

    def frame(self, camera: str, stamp: Any, jpeg: bytes) -> None:
        """One picture of a camera; its time is judged by `PictureClocks`.

        Raises:
            RejectedError: `time`, `shape`, `size`, or `measure` when this kind of device sends no pictures.
        """
        kind = self.kinds.get(camera, "camera")
        if kind != "camera":
            raise RejectedError("measure", f"frame: {camera} is a {kind}, which sends no pictures")
        picture_size(jpeg)
        own = device_time(stamp)
        self._sight(camera, own.timestamp() * 1000)
        time = self.pictures.taken(camera, own, self._received, datetime.fromtimestamp(self._earliest / 1000, UTC))
        newest = self.batch.frames.get(camera)
        if newest is None or newest.time < time:
            self.batch.frames[camera] = Frame(camera, time, jpeg)

    def take(self) -> Batch:
        """The batch as it is; the next message begins a new one."""
        batch, self.batch = self.batch, Batch()
        self._own = (-1, self._received)
        return batch

    def _clock_off(self, device: str, kind: str, time: datetime, values: Mapping[str, Any]) -> None:
        """Values with a time that is not believed are stored at their receive time; the device's own stays their identity."""
        free = self._free_time()
        for key, raw in values.items():
            value = self._checked(device, kind, time.timestamp() * 1000, key, raw)
            if value is not None:
                reading = Reading(free, device, key, value, Quality.CLOCK_OFF, self._received)
                self.batch.clock_off.append((reading, time))
                self.batch.clock_off_of.append(self.origin)
                self.batch.undated.add(self.origin)

    def _free_time(self) -> datetime:
        """A receive time for readings that is this message's alone, the next one at each call.

        A message that comes from quarantine gets those it got before, so that what of it was stored then is not stored again. So
        nothing but readings may take one: of events it may then not tell those that it told before.
        """
        own, taken = self._own_time(), self._taken
        self._taken += 1
        if not taken:
            return own
        return own + timedelta(microseconds=taken * LANES) if self.replayed else self._clocks.free_time(self._received)

    def _own_time(self) -> datetime:
        """The first of those times, by which the message is known in quarantine, and at which its events are that state none."""
        if self._own[0] != self.origin:
            self._own = self.origin, self._received if self.replayed else self._clocks.free_time(self._received)
            self._taken = 0
        return self._own[1]

    def _refuse(self, error: RejectedError, device: str, stamp: Any, name: str, raw: Any) -> None:
        """A value is wrong; when it is that there is no measure for it, somebody may still know one."""
        if error.reason == "measure" and len(name) <= _LONGEST_NAME:
            self.noted = True
            self._unknown.append(Unknown(error, device, stamp, name, raw))
        else:
            self.fault(error)

    def _checked(self, device: str, kind: str, stamp: Any, key: str, raw: Any) -> float | None:
        """The value of a measure; None when something is wrong, which is noted."""
        measure = MEASURES_OF[kind].get(key)
        if measure is None and self.redelivered:
            # When it came first its device may have been of a kind that reports this.
            measure = MEASURES_OF[""].get(key)
        try:
            if measure is None:
                _refuse_measure(kind, key)
            return number_of(measure, raw)
        except RejectedError as error:
            self._refuse(error, device, stamp, key, raw)
            return None

    def _believed(self, device: str, time: datetime) -> datetime:
        """The device's time, or the receive time when that is too far off; notes that it was heard of."""
        self._sight(device, time.timestamp() * 1000)
        return self._judged(time)

    def _second(self, second: int) -> datetime:
        if len(self._seconds) >= _MOST_SECONDS:
            self._seconds.clear()
        start = self._seconds[second] = datetime.fromtimestamp(second, UTC)
        return start

    def _judged(self, time: datetime) -> datetime:
        return time if self._earliest <= time.timestamp() * 1000 <= self._latest else self._received

    def _heard(self, device: str) -> None:
        """Note that the device was heard of, without a time of its own."""
        sighting = self.batch.seen.setdefault(device, Sighting(self._received, self._received))
        if not self.replayed:
            sighting.received = self._received

    def _sight(self, device: str, stamp_ms: float) -> None:
        """Note that the device was heard of, and its clock."""
        sighting = self.batch.seen.get(device)
        if sighting is None:
            sighting = self.batch.seen[device] = Sighting(self._received, self._received)
        if self.replayed:  # that was then, and says nothing of now
            return
        sighting.received = self._received
        if stamp_ms > sighting.stamp_ms:
            sighting.stamp_ms = stamp_ms
            sighting.ahead_ms = stamp_ms - self._received_ms
            sighting.stamp_received = self._received


def is_order(raw: Any) -> bool:
    """Whether it can be the number of a command."""
    return type(raw) is int and 0 < raw < 2**63


def canonical(name: str, raw: Any, unit: str) -> tuple[str, Any]:
    """The catalogue's measure and value of what another system calls `name` and states in `unit` ("" = none).

    Raises:
        RejectedError: `measure` or `unit`; the value itself is checked later, with the kind of its device.
    """
    known = measure_named(name)
    if known is None:
        raise RejectedError("measure", f"{shorten(name)}: not in the catalogue, under no name")
    measure, meant = known
    if isinstance(raw, str):
        text = raw.strip()
        if measure.states:
            return measure.key, next((state for state in measure.states if state.casefold() == text.casefold()), raw)
        said = said_number(text)
        raw = raw if said is None else said
    if isinstance(raw, int | float) and not isinstance(raw, bool) and not measure.states:
        try:
            return measure.key, convert(float(raw), unit or meant, measure.unit, molar_mass=measure.molar_mass)
        except OverflowError:
            return measure.key, raw
    return measure.key, raw


def refuse_of_then() -> NoReturn:
    """Say why what lay in quarantine and says how things stand is not taken."""
    raise RejectedError("time", "it says how things stood when it came, which may hold no more")


def _refuse_measure(kind: str, key: str) -> NoReturn:
    """Say why a measure is none of this kind's."""
    if "\0" in key:
        raise RejectedError("encoding", f"measure {shorten(key)}: a NUL")
    if key in MEASURES:
        raise RejectedError("measure", f"{key}: not reported by a {kind}")
    raise RejectedError("measure", f"{shorten(key)}: not in the catalogue")
