"""How a Sparkplug lamp is told to shine: the metrics that its birth declares for its level and its switch; pure.

They are noted among the device's attributes when it is discovered, because they are known from its birth alone.
"""

from __future__ import annotations

from typing import Final

from ingest.dialects.sparkplug_birth import Birth, Definition
from ingest.dialects.sparkplug_payload import BOOLEAN, DOUBLE, FLOAT, INTEGERS, STRING, Write
from ioc.catalog import MEASURES, measure_named
from ioc.errors import CommandError, RejectedError
from ioc.model import Device
from ioc.units import convert

Attrs = dict[str, str | int | float | bool | None]
#: Measure → what its metric is called among the attributes, and the datatypes it can be written as.
_METRICS: Final = {
    "illuminanceLevel": ("level", frozenset({*INTEGERS, FLOAT, DOUBLE})),
    "powerState": ("switch", frozenset({*INTEGERS, BOOLEAN, STRING})),
}
#: A level that a whole number misses by more than this is not what was asked for.
_MOST_OFF: Final = 0.01


def lamp_attrs(birth: Birth) -> Attrs:
    """The attributes that tell of a birth's lamp; None where it has none, so that an older birth's are forgotten."""
    attrs: Attrs = {}
    for name, _ in _METRICS.values():
        attrs |= dict.fromkeys((f"{name}_metric", f"{name}_alias", f"{name}_type", f"{name}_unit"))
    for one in birth.names.values():
        known = measure_named(one.measure)
        if known is None or known[0].key not in _METRICS or not one.is_writable:
            continue
        name, datatypes = _METRICS[known[0].key]
        if one.datatype in datatypes:
            attrs |= {f"{name}_metric": one.name, f"{name}_alias": one.alias, f"{name}_type": one.datatype}
            attrs |= {f"{name}_unit": one.unit or known[1]}
    return attrs


def writes(device: Device, level: float) -> list[Write]:
    """What to write to a lamp; level 0 off, 1 full.

    Raises:
        CommandError: no birth declared a metric for it, or those it declared cannot express the level.
    """
    dim, switch = _noted(device, "level"), _noted(device, "switch")
    if dim is None and switch is None:
        raise CommandError(f"{device.id}: its birth declares no writable metric for its light level or switch")
    if dim is None and 0 < level < 1:
        raise CommandError(f"{device.id}: got {level:g}, but it can only be on or off")
    written = []
    if switch is not None:
        written.append(_write(switch, _switched(switch.datatype, level)))
    if dim is not None:
        written.append(_write(dim, _dimmed(device, dim, level)))
    return written


def _switched(datatype: int, level: float) -> bool | int | str:
    states = MEASURES["powerState"].states
    if datatype == BOOLEAN:
        return level > 0
    return states[level > 0] if datatype == STRING else int(level > 0)


def _dimmed(device: Device, dim: Definition, level: float) -> float:
    try:
        full = convert(1.0, "1", dim.unit)
        value = convert(level, "1", dim.unit)
    except RejectedError as error:
        raise CommandError(f"{device.id}: its light level: {error.detail}") from error
    if dim.datatype not in INTEGERS:
        return value
    if abs(round(value) - value) > _MOST_OFF * full:
        raise CommandError(f"{device.id}: got {level:g}, but its light level is a whole number in {dim.unit or '1'}")
    return round(value)


def _write(one: Definition, value: float | bool | str) -> Write:
    return Write(one.name, one.alias, one.datatype, value)


def _noted(device: Device, name: str) -> Definition | None:
    metric, datatype = device.attrs.get(f"{name}_metric"), device.attrs.get(f"{name}_type")
    alias, unit = device.attrs.get(f"{name}_alias"), device.attrs.get(f"{name}_unit")
    if not isinstance(metric, str) or not isinstance(datatype, int):
        return None
    return Definition(
        name=metric,
        alias=alias if isinstance(alias, int) else None,
        datatype=datatype,
        unit=unit if isinstance(unit, str) else "",
        measure="",
        is_writable=True,
    )
