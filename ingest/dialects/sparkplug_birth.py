"""What a Sparkplug birth certificate defines: aliases, datatypes, units, and which metric is which measure; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ingest.dialects.sparkplug_payload import Metric, value_of
from ioc.catalog import measure_named
from ioc.errors import RejectedError

#: Number of the node's connection, which a birth and the last will of the same connection share.
SESSION: Final = "bdSeq"
#: Folders of what is no measure: commands to the node, and what it is made of.
_ADMINISTRATIVE: Final = ("node control/", "device control/", "node info/", "device info/", "properties/")
_PROPERTIES: Final = "properties/"
#: Properties of a node that are kept for a technician.
_MOST_PROPERTIES: Final = 10
#: Folders of a name that are looked at.
_MOST_FOLDERS: Final = 4
#: What edge nodes call the property that holds a metric's unit.
_UNITS: Final = ("engunit", "engunits", "unit", "units")


class Definition(NamedTuple):
    """A metric as its birth defines it.

    Attributes:
        datatype: 0 when the birth does not say.
        unit: as stated, "" when it is not.
        measure: the part of its name that the catalogue knows, all of it when it knows none; "" when other metrics of the same
            device claim the same measure, and nobody can say which is meant.
        is_writable: no property says that it is read-only.
    """

    name: str
    alias: int | None
    datatype: int
    unit: str
    measure: str
    is_writable: bool


class Birth(NamedTuple):
    """What one birth defines.

    Attributes:
        session: its `bdSeq`, of nodes alone.
        properties: plain values of its `Properties/` folder.
    """

    names: dict[str, Definition]
    aliases: dict[int, Definition]
    session: int | None
    firmware: str
    properties: dict[str, str | int | float | bool | None]


def is_administrative(name: str) -> bool:
    """Whether a metric of that name is none that is measured."""
    return name == SESSION or name.casefold().startswith(_ADMINISTRATIVE)


def birth_of(metrics: Iterable[Metric]) -> Birth:
    """Read a birth's metrics as definitions."""
    metrics = [metric for metric in metrics if metric.name]
    measures = reported_as(metric.name for metric in metrics if not is_administrative(metric.name))
    names: dict[str, Definition] = {}
    aliases: dict[int, Definition] = {}
    for metric in metrics:
        one = Definition(
            name=metric.name,
            alias=metric.alias,
            datatype=metric.datatype,
            unit=unit_of(metric),
            measure=measures.get(metric.name, metric.name),
            is_writable=_is_writable(metric),
        )
        names[one.name] = one
        if one.alias is not None:
            aliases[one.alias] = one
    properties = dict(list(_properties(metrics))[:_MOST_PROPERTIES])
    firmware = next((str(value) for name, value in properties.items() if "firmware" in name.casefold()), "")
    return Birth(names, aliases, session_of(metrics), firmware, properties)


def reported_as(names: Iterable[str]) -> dict[str, str]:
    """The part of each metric's name that the catalogue knows.

    A name is tried whole, then without its folders one after the other, so that "Lamp/Power" is power and "Voltage/R" that of
    phase R. A whole name has precedence; where several metrics remain for one measure, none is it ("").

    >>> reported_as(["Lamp/Power", "Voltage/R", "Door 1/Temperature", "Door 2/Temperature", "Spin"])
    {'Lamp/Power': 'Power', 'Voltage/R': 'Voltage/R', 'Door 1/Temperature': '', 'Door 2/Temperature': '', 'Spin': 'Spin'}
    """
    found: dict[str, str] = {}
    claims: dict[str, list[tuple[bool, str]]] = {}
    for name in dict.fromkeys(names):
        found[name] = name
        for part in _endings(name):
            known = measure_named(part)
            if known is not None:
                found[name] = part
                claims.setdefault(known[0].key, []).append((part != name, name))
                break
    for claimed in claims.values():
        whole = [name for in_folder, name in claimed if not in_folder]
        best = whole or [name for _, name in claimed]
        for _, name in claimed:
            if len(best) > 1 or name != best[0]:
                found[name] = ""
    return found


def unit_of(metric: Metric) -> str:
    """The unit that a metric's properties state, "" when they state none."""
    if not metric.properties:
        return ""
    for key in _UNITS:
        unit = metric.properties.get(key)
        if isinstance(unit, str) and unit:
            return unit
    return ""


def session_of(metrics: Iterable[Metric]) -> int | None:
    """The `bdSeq` among some metrics."""
    for metric in metrics:
        if metric.name == SESSION and metric.field in ("int_value", "long_value"):
            number: int = metric.raw
            return number
    return None


def _endings(name: str) -> Iterator[str]:
    yield name
    parts = name.split("/")[-_MOST_FOLDERS:]
    for place in range(len(parts)):
        yield "/".join(parts[place:])


def _is_writable(metric: Metric) -> bool:
    properties = metric.properties
    return not properties.get("readonly", False) and bool(properties.get("writable", True))


def _properties(metrics: Iterable[Metric]) -> Iterator[tuple[str, str | int | float | bool | None]]:
    for metric in metrics:
        if metric.name.casefold().startswith(_PROPERTIES) and metric.field and not metric.is_null:
            try:
                value = value_of(metric, metric.datatype)
            except RejectedError:
                continue  # it goes to quarantine where the birth's values are stored
            if not isinstance(value, float) or value - value == 0:
                yield metric.name[len(_PROPERTIES) :], value
