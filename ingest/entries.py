"""What people enter of devices reaches the decoder of every ingest process, each by its own look."""

from __future__ import annotations

from collections.abc import Callable

from ingest.intake import Intake
from ioc.db.audit import entries_after
from ioc.db.devices import devices_named
from ioc.db.pool import Connection
from ioc.register import ACTS


class Entries:
    """An errand: follows the audit log, which misses nothing, and tells the decoder the kinds of the devices it names.

    Attributes:
        seen: number of the last entry that the decoder knows of.
    """

    def __init__(self, apply: Callable[[Callable[[Intake], None]], None]) -> None:
        self._apply = apply
        self.seen = 0

    def __call__(self, connection: Connection) -> None:
        """Look once."""
        while entries := entries_after(connection, self.seen):
            keys = {entry.subject for entry in entries if entry.what in ACTS}
            kinds = {one.id: "" if one.status == "retired" else one.kind for one in devices_named(connection, keys)}

            def enter(intake: Intake, kinds: dict[str, str] = kinds) -> None:
                for key, kind in kinds.items():
                    intake.registered(key, kind)

            if kinds:
                self._apply(enter)
            self.seen = entries[-1].seq
