"""The errand that takes up what technicians map, while ingest runs; and that tells them which topics are taken already."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ioc.db.mappings import all_mappings, newest_version, tell_standing
from ioc.db.pool import Connection
from ioc.mapping import TopicMapping


class Mappings:
    """Looks for changes.

    Args:
        standing: topic filters of the built-in dialects, with the dialect of each.
        use: takes the mappings as they are now.
    """

    def __init__(self, standing: Mapping[str, str], use: Callable[[list[TopicMapping]], None]) -> None:
        self._standing = standing
        self._use = use
        self._told = False
        self._version = -1

    def __call__(self, connection: Connection) -> None:
        """Take up what is new."""
        if not self._told:
            tell_standing(connection, self._standing)
            self._told = True
        version = newest_version(connection)
        if version != self._version:
            self._use(all_mappings(connection))
            self._version = version
