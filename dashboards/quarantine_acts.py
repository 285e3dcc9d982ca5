"""Acts of technicians on quarantine: mappings saved and switched, messages replayed. Nothing of it goes to the change stream."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from dashboards.quarantine_search import Filters, as_key, found_places
from ioc.db import replay
from ioc.db.devices import all_devices
from ioc.db.mappings import save, switch
from ioc.db.pool import Connection
from ioc.errors import ActionError
from ioc.mapping import TopicMapping
from ioc.model import Change


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Store a mapping: a new one, or a change of the version that was read."""

    mapping: TopicMapping

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        save(connection, self.mapping, who)
        return []


class Switch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Enable or disable a mapping."""

    mapping: int
    enabled: bool

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        switch(connection, self.mapping, who, enabled=self.enabled)
        return []


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decode messages again: those named, or all that pass a filter."""

    messages: Annotated[list[str], msgspec.Meta(max_length=1000)] = []
    filter: Filters | None = None

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        if self.filter is not None:
            filters = Filters.of(msgspec.to_builtins(self.filter))
            devices = all_devices(connection) if filters.text else ()
            wanted = filters.wanted(datetime.now(UTC), ((device.id, device.name) for device in devices))
            replay.ask(connection, who, wanted, found_places(connection, wanted))
            return []
        keys = [key for key in map(as_key, self.messages) if key is not None]
        if not keys:
            raise ActionError("expected messages or a filter")
        replay.ask(connection, who, keys, None)
        return []


class StopReplay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Have what still waits lie where it is."""

    replay: int

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        replay.stop(connection, who, self.replay)
        return []
