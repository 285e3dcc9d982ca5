"""What lamps were told from outside: each does it until its schedule next says something new."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from ingest.simulator.city import Site
from ingest.simulator.lighting import scheduled_level


class _Order(msgspec.Struct, frozen=True):
    """A level, and the schedule's when it was ordered."""

    level: float
    scheduled: float


class Orders:
    """Orders by circuit and number of the lamp."""

    def __init__(self) -> None:
        self._told: defaultdict[str, dict[int, _Order]] = defaultdict(dict)

    def tell(self, lamp: Site, level: float, t: float) -> None:
        """A lamp is told a level, 0 to 1, at epoch second ``t``."""
        self._told[lamp.parent][lamp.number] = _Order(level, scheduled_level(t))

    def told(self, site: Site, t: float) -> Mapping[int, float]:
        """The levels that hold at ``t`` by number: of all lamps of a cabinet, or of the one lamp; {} for what schedule rules."""
        circuit = self._told.get(site.id if site.kind == "cabinet" else site.parent)
        if not circuit:
            return {}
        scheduled = scheduled_level(t)
        return {
            number: order.level
            for number, order in circuit.items()
            if order.scheduled == scheduled and (site.kind == "cabinet" or number == site.number)
        }
