"""Tells the live view what was committed: merged while Redis is away or slow, so that the newest of everything always arrives."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Final

from ingest.metrics import FRAMES
from ingest.store import Outcome
from ioc.errors import LiveError
from ioc.live import Live
from ioc.model import (
    Change,
    Command,
    CommandsChanged,
    Device,
    DevicesChanged,
    DeviceState,
    Frame,
    MessagesRejected,
    Reading,
    ReadingsChanged,
    StatesChanged,
)
from ioc.service import Service, backoff

#: Readings in one entry of the change stream.
_MOST_READINGS: Final = 2000
#: States kept while Redis is away; whoever comes back takes a snapshot from the database anyway.
_MOST_STATES: Final = 10_000


class _Pending:
    """What is to be told."""

    def __init__(self) -> None:
        self.readings: dict[tuple[str, str], Reading] = {}
        self.states: list[DeviceState] = []
        self.devices: dict[str, Device] = {}
        self.commands: dict[int, Command] = {}
        self.rejected: dict[str, int] = {}
        self.frames: dict[str, Frame] = {}

    def __bool__(self) -> bool:
        return any((self.readings, self.states, self.devices, self.commands, self.rejected, self.frames))

    def add(self, other: _Pending) -> None:
        """Merge what is newer into this."""
        for key, reading in other.readings.items():
            earlier = self.readings.get(key)
            if earlier is None or earlier.time <= reading.time:
                self.readings[key] = reading
        self.states = (self.states + other.states)[-_MOST_STATES:]
        self.devices.update(other.devices)
        self.commands.update(other.commands)
        for reason, number in other.rejected.items():
            self.rejected[reason] = self.rejected.get(reason, 0) + number
        self.frames.update(other.frames)

    def changes(self) -> list[Change]:
        """As entries of the change stream: devices first, so that nobody hears of one he does not know."""
        changes: list[Change] = []
        if self.devices:
            changes.append(DevicesChanged(list(self.devices.values())))
        readings = list(self.readings.values())
        changes += [
            ReadingsChanged(readings[at : at + _MOST_READINGS]) for at in range(0, len(readings), _MOST_READINGS)
        ]
        if self.states:
            changes.append(StatesChanged(self.states))
        if self.commands:
            changes.append(CommandsChanged(list(self.commands.values())))
        if self.rejected:
            changes.append(MessagesRejected(self.rejected))
        return changes


class Publisher:
    """Publishes from a thread of its own (`run`), so that a slow Redis never holds up a commit."""

    def __init__(self, service: Service, live: Live) -> None:
        self._service = service
        self._live = live
        self._pending = _Pending()
        self._changed = threading.Condition()
        self._stopping = False

    def add(self, outcome: Outcome, frames: dict[str, Frame]) -> None:
        """Something was committed."""
        new = _Pending()
        new.readings = {(reading.device, reading.measure): reading for reading in outcome.newest}
        new.states, new.rejected, new.frames = outcome.states, outcome.rejected, frames
        new.devices = {device.id: device for device in outcome.devices}
        new.commands = {command.id: command for command in outcome.commands}
        self._put(new)

    def tell(self, commands: Iterable[Command]) -> None:
        """Commands have changed."""
        new = _Pending()
        new.commands = {command.id: command for command in commands}
        self._put(new)

    def stop(self) -> None:
        """Publish what is there, if Redis will have it, and end the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def run(self) -> None:
        """Publish until stopped."""
        waits = backoff()
        while True:
            with self._changed:
                while not self._pending and not self._stopping:
                    self._changed.wait()
                if not self._pending:
                    return
                pending, self._pending = self._pending, _Pending()
            try:
                self._publish(pending)
            except LiveError as error:
                self._service.degrade("redis", error)
                with self._changed:
                    if self._stopping:
                        return
                    pending.add(self._pending)
                    self._pending = pending
                self._service.stopping.wait(next(waits))
            else:
                self._service.recover("redis")
                waits = backoff()

    def _put(self, new: _Pending) -> None:
        if new:
            with self._changed:
                self._pending.add(new)
                self._changed.notify()

    def _publish(self, pending: _Pending) -> None:
        if changes := pending.changes():
            self._live.publish(changes)
            pending.readings, pending.states, pending.devices, pending.commands, pending.rejected = {}, [], {}, {}, {}
        for camera in list(pending.frames):
            self._live.put_frame(pending.frames[camera])
            del pending.frames[camera]
            FRAMES.inc()
