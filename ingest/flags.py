"""What is on or off and no measure: its changes are events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ingest.intake import Intake

#: What other systems call such a thing → kind of event; everything else is a digital input.
_EVENTS: Final = {
    "motion": "motion",
    "moving": "motion",
    "occupancy": "motion",
    "presence": "motion",
    "problem": "fault",
    "battery_low": "fault",
}
#: Of these only the beginning happens; that they are over tells nothing.
_BEGINNINGS: Final = frozenset({"motion", "fault"})
#: Flags remembered; more than a city has, and a bound all the same.
_MOST: Final = 500_000


class Flags:
    """Remembers how each flag stands, so that a state said again is no event."""

    def __init__(self) -> None:
        self._on: dict[tuple[str, str], bool] = {}

    def tell(
        self,
        intake: Intake,
        device: str,
        stamp: Any,
        flag: str,
        *,
        what: str,
        on: bool,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """A flag of a device stands so.

        Args:
            intake: takes the event.
            device: whose it is.
            stamp: the device's time, or None.
            flag: its name, which tells it from the device's others.
            what: what it is about, as the other system calls it ("motion", "door").
            on: how it stands.
            data: what else is known of it.

        Raises:
            RejectedError: `time`.
        """
        key = (device, flag)
        if self._on.get(key) == on:
            return
        kind = _EVENTS.get(what, "input")
        if on or kind not in _BEGINNINGS:
            intake.event(device, stamp, kind, flag, {"state": "on" if on else "off", **(data or {})})
        if len(self._on) >= _MOST:
            self._on.clear()
        self._on[key] = on
