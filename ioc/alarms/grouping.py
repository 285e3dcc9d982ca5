"""Alarms into incidents, and how many alarms are too many: pure functions.

One incident is one thing to deal with: alarms of one cause in one ward that follow each other, and whatever stands below one
dead cabinet or switch, wherever it stands.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, Literal

import msgspec

from ioc.alarms.machine import ANNUNCIATED
from ioc.model import AlarmState

#: An incident in which nothing has happened for this long takes no new alarms of other devices.
JOIN_WITHIN: Final = timedelta(minutes=30)
#: The span in which alarms are counted against the target (EEMUA 191).
RATE_WINDOW: Final = timedelta(minutes=10)

IncidentState = Literal["open", "acknowledged", "cleared", "closed"]


class Newcomer(msgspec.Struct, frozen=True):
    """An alarm that is about to open."""

    cause: str
    ward: str
    device: str
    parent: str


class Candidate(msgspec.Struct, frozen=True):
    """An incident of the same cause that is not closed.

    Attributes:
        devices: those with an alarm alive in it.
        parents: the parents of those devices, "" left out.
    """

    id: int
    ward: str
    changed: datetime
    devices: frozenset[str] = frozenset()
    parents: frozenset[str] = frozenset()


def choose(newcomer: Newcomer, candidates: Iterable[Candidate], now: datetime) -> int | None:
    """The incident the alarm belongs to, None = a new one.

    Its own device first (an escalation is no second incident), then its parent, its siblings and its children, then the
    same ward while things happen there. Of several the one that changed last.
    """
    best: tuple[int, datetime, int] | None = None
    for candidate in candidates:
        closeness = _closeness(newcomer, candidate, now)
        if closeness:
            best = max(best or (0, candidate.changed, 0), (closeness, candidate.changed, candidate.id))
    return None if best is None else best[2]


def _closeness(newcomer: Newcomer, candidate: Candidate, now: datetime) -> int:
    if newcomer.device in candidate.devices:
        return 3
    if newcomer.device in candidate.parents or (
        newcomer.parent and (newcomer.parent in candidate.devices or newcomer.parent in candidate.parents)
    ):
        return 2
    return 1 if candidate.ward == newcomer.ward and now - candidate.changed < JOIN_WITHIN else 0


def incident_state(alarms: Iterable[AlarmState], *, closed: bool) -> IncidentState:
    """The state that follows from those of its alarms. A closed incident stays closed until one asks again."""
    states = set(alarms)
    if states & ANNUNCIATED:
        return "open"
    if closed:
        return "closed"
    return "acknowledged" if states - {"normal"} else "cleared"


class Rate(msgspec.Struct, frozen=True):
    """Alarms of the last ten minutes against what an operator can take.

    Attributes:
        level: `calm` within the target, `busy` above it, `flood` from the flood limit on.
    """

    opened: int
    target: int
    flood: int
    level: Literal["calm", "busy", "flood"]


def rate(opened: Iterable[datetime], now: datetime, *, target: int, flood: int) -> Rate:
    """Count the alarms that opened within `RATE_WINDOW`."""
    count = sum(1 for time in opened if now - RATE_WINDOW < time <= now)
    return Rate(count, target, flood, "flood" if count >= flood else "busy" if count > target else "calm")
