"""The states of one alarm occurrence, after ISA-18.2: a pure transition function.

What is stored is not the state alone but what it follows from: does the condition hold, has somebody acknowledged it, is it
shelved, suppressed by design, or is its device out of service. The state is read off these.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from ioc.catalog import Label
from ioc.model import Alarm, AlarmState

Event = Literal[
    "raise",  # the condition holds
    "return",  # the condition is gone
    "acknowledge",  # an operator has seen it
    "shelve",  # an operator puts it aside for a time
    "unshelve",  # the time is up, or an operator takes it back
    "suppress",  # something above it explains it: a dead parent, a higher level of the same measure
    "release",  # nothing explains it any more
    "remove",  # its device is out of service
    "restore",  # its device is back in service
]

#: States in which it asks for an operator.
ANNUNCIATED: Final = frozenset[AlarmState]({"unacknowledged", "returned_unacknowledged"})

STATE_LABELS: Final[dict[AlarmState, Label]] = {
    "unacknowledged": Label("Chưa tiếp nhận", "Unacknowledged"),
    "acknowledged": Label("Đã tiếp nhận", "Acknowledged"),
    "returned_unacknowledged": Label("Đã hết, chưa tiếp nhận", "Returned, unacknowledged"),
    "normal": Label("Bình thường", "Normal"),
    "shelved": Label("Tạm gác", "Shelved"),
    "suppressed": Label("Ẩn theo thiết kế", "Suppressed by design"),
    "out_of_service": Label("Ngừng phục vụ", "Out of service"),
}


class Occurrence(msgspec.Struct, frozen=True):
    """One alarm occurrence, as far as its state goes."""

    active: bool = True
    acknowledged: bool = False
    shelved: bool = False
    suppressed: bool = False
    out_of_service: bool = False

    @property
    def state(self) -> AlarmState:
        """Its state; `normal` is the end of the occurrence."""
        if self.shelved and not (self.out_of_service or self.suppressed):
            return "shelved"  # it stays aside while the condition comes and goes
        if self.out_of_service or self.suppressed:
            # Nobody was asked about it, so nobody needs to acknowledge that it went.
            if not self.active:
                return "normal"
            return "out_of_service" if self.out_of_service else "suppressed"
        if self.active:
            return "acknowledged" if self.acknowledged else "unacknowledged"
        return "normal" if self.acknowledged else "returned_unacknowledged"


def occurrence_of(alarm: Alarm) -> Occurrence:
    """What a stored alarm's state follows from."""
    return Occurrence(
        active=alarm.returned is None,
        acknowledged=alarm.acknowledged is not None,
        shelved=alarm.shelved_until is not None,
        suppressed=alarm.state == "suppressed",
        out_of_service=alarm.state == "out_of_service",
    )


def apply(occurrence: Occurrence, event: Event) -> Occurrence:
    """The occurrence after the event; itself where the event means nothing. A normal one is over and never changes."""
    if occurrence.state == "normal":
        return occurrence
    return _TRANSITIONS[event](occurrence)


def _raise(now: Occurrence) -> Occurrence:
    # It went and came back: whoever acknowledged the first time has not seen the second.
    return now if now.active else msgspec.structs.replace(now, active=True, acknowledged=False)


def _return(now: Occurrence) -> Occurrence:
    return msgspec.structs.replace(now, active=False)


def _acknowledge(now: Occurrence) -> Occurrence:
    return msgspec.structs.replace(now, acknowledged=True)


def _shelve(now: Occurrence) -> Occurrence:
    return msgspec.structs.replace(now, shelved=True)


def _unshelve(now: Occurrence) -> Occurrence:
    if not now.shelved:
        return now
    # Still there: it asks again. Gone meanwhile: there is nothing left to acknowledge.
    return msgspec.structs.replace(now, shelved=False, acknowledged=not now.active)


def _suppress(now: Occurrence) -> Occurrence:
    return msgspec.structs.replace(now, suppressed=True)


def _release(now: Occurrence) -> Occurrence:
    return msgspec.structs.replace(now, suppressed=False)


def _remove(now: Occurrence) -> Occurrence:
    return msgspec.structs.replace(now, out_of_service=True)


def _restore(now: Occurrence) -> Occurrence:
    return msgspec.structs.replace(now, out_of_service=False)


_TRANSITIONS: Final = {
    "raise": _raise,
    "return": _return,
    "acknowledge": _acknowledge,
    "shelve": _shelve,
    "unshelve": _unshelve,
    "suppress": _suppress,
    "release": _release,
    "remove": _remove,
    "restore": _restore,
}
