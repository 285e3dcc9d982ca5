"""What is on or off and no measure: its changes are events.

How each flag stands is kept with what dialects remember (`dialect_context`), in the transaction that stores the event: so what is
said again is none, also in the next process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from ingest.intake import Intake
from ingest.quarantine import printable

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
#: What the flags of a device are remembered under, before its id: no topic that anybody is heard on.
_CONTEXT: Final = "$flags/"
#: Devices whose flags are remembered, and flags of one; more than there are, and a bound all the same.
_MOST_DEVICES: Final = 100_000
_MOST_FLAGS: Final = 100
_LONGEST_NAME: Final = 200


def tell_flag(
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

    A message that lay in quarantine told of its flags when it came: whether they were new then nobody knows any more, and of now
    it says nothing.

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
    if intake.replayed:
        return
    flag = printable(flag, _LONGEST_NAME)
    standing = intake.flags.get(device, {})
    if standing.get(flag) == on:
        return
    kind = _EVENTS.get(what, "input")
    if on or kind not in _BEGINNINGS:
        intake.event(device, stamp, kind, flag, {"state": "on" if on else "off", **(data or {})})
    if len(intake.flags) >= _MOST_DEVICES and device not in intake.flags:
        intake.flags.clear()
    if len(standing) >= _MOST_FLAGS and flag not in standing:
        standing = {}
    intake.flags[device] = standing | {flag: on}
    intake.remember(f"{_CONTEXT}{device}", msgspec.json.encode(intake.flags[device]))


def recall_flags(intake: Intake, context: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Take up how flags stood when the last process ended; returns what else was remembered, by topic."""
    others = []
    for topic, payload in context:
        if topic.startswith(_CONTEXT):
            intake.flags[topic.removeprefix(_CONTEXT)] = msgspec.json.decode(payload)
        else:
            others.append((topic, payload))
    return others
