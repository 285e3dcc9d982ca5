"""Messages that repeat the time of the one before: which of their values are new."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ingest.intake import Intake

#: A value by another dialect's name: (name, value, unit).
Item = tuple[str, Any, str]

#: Devices remembered; more than one bridge has, and a bound all the same.
_MOST_DEVICES: Final = 100_000
#: Values remembered of one device, and characters of one.
_MOST_VALUES: Final = 100
_MOST_TEXT: Final = 64


class Stamps:
    """Tells the values of one device at one time apart, where its time is that of something else than the message.

    A bridge states when a device was last heard; it may say a device's whole state again without having heard it, or change
    part of it by a command. Stored at that time, a second value would be taken for the first one sent twice, and lost.
    """

    def __init__(self) -> None:
        self._said: dict[str, tuple[Any, dict[str, Any]]] = {}

    def measured(
        self, intake: Intake, device: str, stamp: str | int | None, items: Iterable[Item], *, spoke: bool = True
    ) -> None:
        """Put values into the intake, at the time they have, or at none (`Intake.measured`).

        Raises:
            RejectedError: `time`.
        """
        if stamp is None or intake.replayed:  # what was said at a time of the past says nothing of what is said now
            intake.measured(device, stamp, items, spoke=spoke)
            return
        at_stamp, later = self.part(device, stamp, items)
        if at_stamp or not later:
            intake.measured(device, stamp, at_stamp)
        if later:
            intake.measured(device, None, later, spoke=False)

    def part(self, device: str, stamp: str | int, items: Iterable[Item]) -> tuple[list[Item], list[Item]]:
        """The values that are the device's at this time, and those that came later than it, which have no time.

        What was said at this time before, and has not changed, is in neither.
        """
        known = self._said.get(device)
        if known is None or known[0] != stamp:
            if known is None and len(self._said) >= _MOST_DEVICES:
                self._said.clear()
            said: dict[str, Any] = {}
            self._said[device] = (stamp, said)
        else:
            said = known[1]
        at_stamp: list[Item] = []
        later: list[Item] = []
        for item in items:
            name, raw, _ = item
            if name not in said:
                at_stamp.append(item)
            elif said[name] != raw:
                later.append(item)
            if isinstance(raw, int | float) or (isinstance(raw, str) and len(raw) <= _MOST_TEXT):
                if name in said or len(said) < _MOST_VALUES:
                    said[name] = raw
            else:
                said.pop(name, None)
        return at_stamp, later
