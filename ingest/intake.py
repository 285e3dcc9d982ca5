"""Where every dialect ends: canonical telemetry, states, announcements and frames are checked and put into the batch.

A dialect knows a payload's format; what may be stored is decided here, once for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NoReturn, get_args

from ingest.batch import Batch, Sighting
from ingest.clock import Clocks, device_time
from ingest.jpeg import picture_size
from ingest.message import Message
from ingest.quarantine import MOST_KEPT, printable
from ingest.values import MEASURES_OF, number_of, shorten
from ioc.catalog import KINDS, MEASURES, Measure
from ioc.errors import RejectedError
from ioc.model import Announcement, DeviceState, Frame, Quality, Reading, Rejected, State

STATES: Final = frozenset(get_args(State))
#: Data older than this says nothing about whether its device lives now.
FRESH: Final = timedelta(seconds=60)
#: Faults of one message that are named in full; the rest are counted.
_NAMED: Final = 8


class Intake:
    """Puts one message after another into the current batch; one thread uses it.

    Attributes:
        batch: the batch being filled.
        kinds: kind of every device that has introduced itself. The decoder's own view: it runs ahead of the database by the
            announcements that are not committed yet.
    """

    def __init__(self, kinds: Mapping[str, str], clocks: Clocks) -> None:
        self.batch = Batch()
        self.kinds: dict[str, str] = dict(kinds)
        self._clocks = clocks
        self._message = Message(b"", b"", 0, False, datetime.min.replace(tzinfo=UTC))
        self._origin = 0
        self._faults: dict[str, list[str]] = {}

    def begin(self, message: Message) -> None:
        """All that follows comes from this message."""
        self._message = message
        self._origin = len(self.batch.messages)
        self.batch.messages.append(message)

    def end(self, topic: str, client: str, dialect: str) -> None:
        """The message is done: what was wrong with it goes to quarantine, one entry for each reason."""
        message = self._message
        for reason, details in self._faults.items():
            more = f" (and {len(details) - _NAMED} more)" if len(details) > _NAMED else ""
            self.batch.rejected.append(
                Rejected(
                    received=message.received,
                    topic=printable(topic),
                    client=printable(client),
                    dialect=dialect,
                    reason=reason,
                    detail=printable("; ".join(details[:_NAMED]) + more),
                    payload=message.payload[:MOST_KEPT],
                    size=len(message.payload),
                    redelivered=message.redelivered,
                )
            )
        self._faults = {}

    @property
    def is_faulty(self) -> bool:
        """Whether something was wrong with the message."""
        return bool(self._faults)

    def fault(self, error: RejectedError) -> None:
        """Something in the message is wrong; the rest of it goes on."""
        self._faults.setdefault(error.reason, []).append(error.detail)

    def telemetry(self, device: str, stamp: Any, values: Mapping[str, Any]) -> None:
        """Values a device measured at one time.

        Raises:
            RejectedError: `time`. Faults of single values are kept, and the other values stored.
        """
        time = device_time(stamp)
        received = self._message.received
        batch, origin = self.batch, self._origin
        sighting = self._sight(device, time)
        known = MEASURES_OF[self.kinds.get(device, "")]
        if self._clocks.is_off(time, received):
            for key, raw in values.items():
                value = self._checked(known, device, key, raw)
                if value is not None:
                    free = self._clocks.free_time(device, key, received)
                    reading = Reading(free, device, key, value, Quality.CLOCK_OFF, received)
                    batch.clock_off.append((reading, time))
                    batch.clock_off_of.append(origin)
            return
        if received - time < FRESH:
            self._lives(sighting, min(time, received))
        readings, origins = batch.readings, batch.readings_of
        for key, raw in values.items():
            measure = known.get(key)
            # The common case first, without a call: a number in range.
            if measure is not None and type(raw) is float and not measure.states:
                least, most = measure.range
                if least <= raw <= most:
                    readings.append(Reading(time, device, key, raw, 0, received))
                    origins.append(origin)
                    continue
            value = self._checked(known, device, key, raw)
            if value is not None:
                readings.append(Reading(time, device, key, value, 0, received))
                origins.append(origin)

    def state(self, device: str, stamp: Any, state: Any, reason: str) -> None:
        """A device, or its last will, says how it is. A last will has no time (`stamp` None): it is true when it comes.

        Raises:
            RejectedError: `value`, `encoding` or `time`.
        """
        if state not in STATES:
            raise RejectedError("value", f"state: got {shorten(state)}, expected one of {', '.join(sorted(STATES))}")
        if "\0" in reason:
            raise RejectedError("encoding", "reason: a string with a NUL")
        received = self._message.received
        time = received
        if stamp is not None:
            time = device_time(stamp)
            self._sight(device, time)
            if self._clocks.is_off(time, received):
                time = received
        else:
            self.batch.unstamped[len(self.batch.states)] = self._message.redelivered
            self.batch.sighting(device, received)
        self.batch.states.append(DeviceState(time, device, state, printable(reason, 200), received))
        self.batch.states_of.append(self._origin)

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
        self.batch.announced_of[device] = self._origin

    def retire(self, device: str) -> None:
        """A device was taken out of service."""
        self.kinds.pop(device, None)
        self.batch.announced[device] = None
        self.batch.announced_of[device] = self._origin

    def frame(self, camera: str, stamp: Any, jpeg: bytes) -> None:
        """One picture of a camera. A camera with a wrong clock is believed no further than our own.

        Raises:
            RejectedError: `time`, `shape`, `size`, or `measure` when this kind of device sends no pictures.
        """
        kind = self.kinds.get(camera, "camera")
        if kind != "camera":
            raise RejectedError("measure", f"frame: {camera} is a {kind}, which sends no pictures")
        picture_size(jpeg)
        time = device_time(stamp)
        received = self._message.received
        sighting = self._sight(camera, time)
        if self._clocks.is_off(time, received):
            time = received
        if received - time < FRESH:
            self._lives(sighting, min(time, received))
        newest = self.batch.frames.get(camera)
        if newest is None or newest.time < time:
            self.batch.frames[camera] = Frame(camera, time, jpeg)

    def take(self) -> Batch:
        """The batch as it is; the next message begins a new one."""
        batch, self.batch = self.batch, Batch()
        return batch

    def _checked(self, known: Mapping[str, Measure], device: str, key: str, raw: Any) -> float | None:
        """The value of a measure; None when something is wrong, which is noted."""
        measure = known.get(key)
        try:
            if measure is None:
                self._foreign(device, key)
            return number_of(measure, raw)
        except RejectedError as error:
            self.fault(error)
            return None

    def _foreign(self, device: str, key: str) -> NoReturn:
        """Say why a measure is none of this device's."""
        if "\0" in key:
            raise RejectedError("encoding", f"measure {shorten(key)}: a NUL")
        if key in MEASURES:
            raise RejectedError("measure", f"{key}: not reported by a {self.kinds[device]}")
        raise RejectedError("measure", f"{shorten(key)}: not in the catalogue")

    def _sight(self, device: str, time: datetime) -> Sighting:
        """Note that the device was heard of, and how far its clock was ahead."""
        received = self._message.received
        sighting = self.batch.sighting(device, received)
        ahead = (time - received).total_seconds()
        if sighting.ahead_s is None or ahead > sighting.ahead_s:
            sighting.ahead_s = ahead
        return sighting

    @staticmethod
    def _lives(sighting: Sighting, at: datetime) -> None:
        if sighting.fresh is None or sighting.fresh < at:
            sighting.fresh = at
