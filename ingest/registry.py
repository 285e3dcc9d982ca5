"""What ingest remembers of devices: how they stand in the database, and when they were last heard of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from math import inf
from typing import Final

from msgspec.structs import replace

from ingest.batch import Sighting
from ioc.db.devices import Sight
from ioc.model import Device, DeviceState

#: A device's `last_seen` is written this often at most; its last sighting is written in the end all the same.
SIGHT_EVERY_S: Final = 10.0
_SCAN_EVERY_S: Final = 1.0
#: What is due is spread over so many commits, so that none is slow for it; so few at once are not worth it.
_SHARES: Final = 20
_LEAST: Final = 20


class Registry:
    """Devices as last committed; the committing thread alone changes it, after the commit."""

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self.devices: dict[str, Device] = {}
        #: Those that are not online, by their state or for want of one; what comes from the others says nothing new of it.
        self.absent: set[str] = set()
        self.update(devices)

    def kinds(self) -> dict[str, str]:
        """Kind of every device that has one and is in service."""
        return {key: device.kind for key, device in self.devices.items() if device.kind and device.status != "retired"}

    def update(self, devices: Iterable[Device]) -> None:
        """Devices were written."""
        for device in devices:
            self.devices[device.id] = device
            (self.absent.add if device.state in ("offline", "unknown") else self.absent.discard)(device.id)

    def remember(self, states: Iterable[DeviceState]) -> None:
        """States were written."""
        for state in states:
            device = self.devices.get(state.device)
            if device is not None and (device.state_time is None or device.state_time < state.time):
                self.update([replace(device, state=state.state, state_time=state.time, state_reason=state.reason)])


class Sights:
    """Sightings that wait to be written, so that thirty-five rows a second are not rewritten for nothing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: dict[str, Sighting] = {}
        self._written: dict[str, float] = {}
        self._scanned = -inf
        self._due: list[str] = []
        self._share = 0

    def note(self, seen: dict[str, Sighting]) -> None:
        """Add what a batch saw; when the next one is added, this one must have been dealt with."""
        waiting = self._waiting
        for key, sighting in seen.items():
            earlier = waiting.setdefault(key, sighting)
            if earlier is not sighting:
                # Of all the messages since the last write the one that was least delayed tells the clock best.
                if sighting.ahead_ms > earlier.ahead_ms:
                    earlier.ahead_ms = sighting.ahead_ms
                # What is replayed from quarantine was heard of long ago.
                if sighting.received > earlier.received:
                    earlier.received = sighting.received

    def due(self, *, at_once: bool = False, everything: bool = False) -> list[Sight]:
        """What should be written now.

        Args:
            at_once: all that is due, as there is nothing else to write.
            everything: also what is not due yet.
        """
        now = self._clock()
        if everything:
            return [Sight(key, one.received, one.ahead_s) for key, one in self._waiting.items()]
        if now - self._scanned >= _SCAN_EVERY_S:
            self._scanned = now
            oldest = now - SIGHT_EVERY_S
            written = self._written
            self._due = [key for key in self._waiting if written.get(key, oldest) <= oldest]
            self._share = max(_LEAST, -(-len(self._due) // _SHARES))
        some = len(self._due) if at_once else self._share
        keys, self._due = self._due[:some], self._due[some:]
        waiting = self._waiting
        return [Sight(key, waiting[key].received, waiting[key].ahead_s) for key in keys if key in waiting]

    def done(self, sights: Iterable[Sight]) -> None:
        """They were committed."""
        now = self._clock()
        for sight in sights:
            self._written[sight.device] = now
            one = self._waiting.get(sight.device)
            if one is not None and (one.received, one.ahead_s) == sight[1:]:
                del self._waiting[sight.device]
