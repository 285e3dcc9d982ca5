"""What lamps are told: who may be told what, and when what they measure shows that they did it.

A command is a target; the measured state is the feedback. An answer of the device is its word, a reading is the proof.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Final

from ioc.catalog import KINDS, MEASURES, Label
from ioc.db import commands as stored
from ioc.db.audit import append
from ioc.db.devices import below, devices_named
from ioc.db.errands import call_ingest
from ioc.db.pool import Connection, translated
from ioc.errors import ActionError
from ioc.model import Change, CommandsChanged, Device, Reading
from ioc.service import utc_now
from ioc.topics import DEVICE_ID
from ioc.typed import typed_name

#: A reading shows the target when it is this near to it.
TOLERANCE: Final = 0.02
#: What is not shown by the readings within this time after the answer is not going to be: the lamp's value is gone by then.
CONFIRM_WITHIN: Final = timedelta(seconds=MEASURES["illuminanceLevel"].gone_after_s)
#: Lamps that may be told at once.
MOST_AT_ONCE: Final = 5_000

#: Why a command ended, where neither device nor broker has words for it.
REASONS: Final[dict[str, Label]] = {
    "superseded": Label("Có lệnh mới hơn", "A newer command came"),
    "unsent": Label("Không gửi được trong thời hạn", "Could not be sent in time"),
    "unheard": Label("Không thiết bị nào nghe lệnh ở broker", "Nobody listens for it at the broker"),
    "unanswered": Label("Thiết bị không trả lời trong thời hạn", "The device did not answer in time"),
    "unacknowledged": Label(
        "Mạng của thiết bị không nhận được xác nhận từ thiết bị", "Its network got no acknowledgement from the device"
    ),
    "unconfirmed": Label(
        "Thiết bị đã nhận nhưng số đo không cho thấy đã làm", "Accepted, but no reading shows that it was done"
    ),
}


def light(
    connection: Connection,
    who: str,
    level: float,
    *,
    devices: Collection[str] = (),
    under: str = "",
    now: datetime | None = None,
) -> list[Change]:
    """Tell lamps to shine: those named, or every lamp directly below a device that is in service.

    Lamps under maintenance are left out of the latter, for somebody may have his hands in them.

    Raises:
        ActionError: no name, no such level, no such lamp, or none below that device.
        StorageError: nothing was changed.
    """
    name, requested = typed_name(who), now or utc_now()
    if not 0 <= level <= 1:
        raise ActionError(f"level: got {level:g}, expected 0 (off) to 1 (full)")
    with translated(), connection.transaction():
        lamps = _below(connection, under) if under else _named(connection, devices)
        changed = stored.request(connection, lamps, level, name, requested)
        orders = {one.device: one.id for one in changed if one.state == "requested"}
        subject = under or (lamps[0] if len(lamps) == 1 else "")
        call_ingest(connection)
        append(connection, name, "lamp.light", subject, after={"level": level, "commands": orders}, now=requested)
    return [CommandsChanged(changed)]


def shown(level: float, since: datetime, readings: Iterable[Reading]) -> datetime | None:
    """When a lamp's latest readings came that show it at a level; None when they do not.

    Args:
        level: the target.
        since: readings taken or received before prove nothing; one of the same tick of the device's clock may be of after.
        readings: the latest of each measure.
    """
    fresh = {one.measure: one for one in readings if one.time >= _ticked(since, one.time) and one.received > since}
    dimmed = fresh.get("illuminanceLevel")
    if dimmed is not None:
        if abs(dimmed.value - level) <= TOLERANCE + 1e-9:
            return dimmed.received
        if dimmed.time > since:  # one of the same tick may be of before, and contradicts nothing
            return None
    power = fresh.get("powerState")
    if power is None or power.value != MEASURES["powerState"].states.index(_power_state(level)):
        return None
    return power.received


def _ticked(moment: datetime, stamp: datetime) -> datetime:
    """A moment as a clock tells it that tells no more than a stamp does: whole seconds, whole milliseconds or all of it."""
    tick = 1_000_000 if stamp.microsecond == 0 else 1_000 if stamp.microsecond % 1_000 == 0 else 1
    return moment.replace(microsecond=moment.microsecond // tick * tick)


def is_lit(device: Device) -> bool:
    """Whether it can be told to shine."""
    kind = KINDS.get(device.kind)
    return kind is not None and kind.lit and device.status != "retired"


def _power_state(level: float) -> str:
    if level <= 0:
        return "off"
    return "on" if level >= 1 - TOLERANCE else "low"


def _named(connection: Connection, keys: Collection[str]) -> list[str]:
    wanted = sorted(set(keys))
    if not 0 < len(wanted) <= MOST_AT_ONCE:
        raise ActionError(f"devices: got {len(wanted)}, expected 1 to {MOST_AT_ONCE}")
    found = {device.id: device for device in devices_named(connection, filter(DEVICE_ID.fullmatch, wanted))}
    for key in wanted:
        if key not in found:
            raise ActionError(f"device {key}: there is none")
        if not is_lit(found[key]):
            kind = found[key].kind or "device of no kind yet"
            what = "retired" if found[key].status == "retired" else f"a {kind}, which cannot be lit"
            raise ActionError(f"device {key}: it is {what}")
    return wanted


def _below(connection: Connection, key: str) -> list[str]:
    devices = below(connection, key) if DEVICE_ID.fullmatch(key) else []
    lamps = [device.id for device in devices if is_lit(device) and device.status != "maintenance"]
    if not lamps:
        raise ActionError(f"device {key}: no lamp in service stands below it")
    if len(lamps) > MOST_AT_ONCE:
        raise ActionError(f"device {key}: {len(lamps)} lamps stand below it, expected at most {MOST_AT_ONCE}")
    return lamps
