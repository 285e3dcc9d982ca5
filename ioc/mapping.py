"""Mappings: how a payload nobody wrote a dialect for becomes readings, as data that a technician keeps; and their check. Pure.

A mapping speaks for a topic filter. It says which device a message is of, when it was measured, and which of the payload's values
are which measures. One without values only listens. One whose filter lies within a built-in dialect's topics does not replace
that dialect: it says how values that it names are read, and the dialect all the rest. `ioc.mapped` reads payloads with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

import msgspec

from ioc.catalog import KINDS, MEASURES
from ioc.errors import RejectedError, TopicError
from ioc.json_path import EACH, Path, PathError, list_of, parse_path, scan_path
from ioc.topics import ROOT, check_filter, covers, matches, overlap
from ioc.units import convert

#: The "measure" of a value that is left out on purpose.
IGNORE: Final = "ignore"
MOST_ITEMS: Final = 500
#: Characters of what a device is called.
MOST_DEVICE: Final = 200
_MOST_NAME: Final = 80
#: Topics that a built-in dialect refuses or passes over, so that a mapping is never asked there, with the dialect of each; what
#: it subscribes to among them it decodes. `ingest/dialects` says the same in code.
_HELD: Final = {
    f"{ROOT}/#": "native",
    "/json/#": "fiware",
    "spBv1.0/#": "sparkplug",
    "v1/gateway/#": "thingsboard",
    "zigbee2mqtt/bridge/#": "zigbee2mqtt",
}
#: Topics on which commands are sent, ours among them: they are no readings. Names of Zigbee2MQTT may hold slashes.
_COMMANDS: Final = {
    "application/+/device/+/command/#": "chirpstack",
    "/+/+/cmd": "fiware",
    "cmnd/#": "tasmota",
    "v1/gateway/rpc": "thingsboard",
    **{f"zigbee2mqtt/{'+/' * depth}{verb}/#": "zigbee2mqtt" for depth in range(6) for verb in ("set", "get")},
}
#: Topics where whoever writes steers a system that we merely hear.
_STEERED: Final = {"frigate/#": "frigate", "homeassistant/status": "homeassistant", "v1/devices/#": "thingsboard"}

TimeFormat = Literal["none", "epoch_s", "epoch_ms", "iso", "iso_local"]
TIME_FORMATS: Final = get_args(TimeFormat)


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value of the payload.

    Attributes:
        path: where it lies; everything beneath it when it is ignored.
        measure: a key of the catalogue, or `IGNORE`.
        scale / offset: what is stored is value x scale + offset, in `unit`.
        unit: what the device means; "" = the catalogue's own.
    """

    path: str
    measure: str
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""


class TopicMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One mapping.

    Attributes:
        id: 0 before it is stored.
        filter: MQTT topic filter it speaks for.
        device: what the device is called: text in which `{2}` is the second level of the topic and `{a.b}` a value of the
            payload.
        kind: kind of its devices, as far as one can guess; "" = unknown.
        time_path / time_format: where the payload says when; "none" = it does not.
        items: what its values are; none = only listen.
        version: number of its last change, counted over all mappings.
        who / changed: who changed it last, and when.
    """

    name: str
    filter: str
    device: str = ""
    kind: str = ""
    time_path: str = ""
    time_format: TimeFormat = "none"
    items: tuple[Item, ...] = ()
    enabled: bool = True
    id: int = 0
    version: int = 0
    who: str = ""
    changed: datetime | None = None


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a mapping: the field, and a message of the pages' catalogue with its values."""

    field: str
    message: str
    values: dict[str, str] = msgspec.field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.field}: {self.message.format(**self.values)}"


def parse_template(text: str) -> tuple[str | int | Path, ...]:
    """Read a device's template: texts, levels of the topic from 1, and paths.

    Raises:
        PathError: a brace that is not closed, or a path that is none.

    >>> parse_template("pump-{2}.{dev.eui}")
    ('pump-', 2, '.', ('dev', 'eui'))
    """
    parts: list[str | int | Path] = []
    at = 0
    while at < len(text):
        begin, at = at, _next_brace(text, at)
        if at > begin:
            parts.append(text[begin:at])
        if at == len(text):
            break
        if text[at] == "}":
            raise PathError(f"device {text!r}: a }} without its {{")
        end = text.find("}", at)
        inner = text[at + 1 : end] if end > 0 else ""
        if inner.isascii() and inner.isdigit():
            if not 1 <= int(inner[:4]) <= 99:
                raise PathError(f"device {text!r}: topic levels count from 1 to 99")
            parts.append(int(inner))
            at = end + 1
            continue
        path, end = scan_path(text, at + 1)
        if text[end : end + 1] != "}":
            raise PathError(f"device {text!r}: expected {{2}} for a topic level or {{a.b}} for a path")
        parts.append(path)
        at = end + 1
    return tuple(parts)


def supplements(pattern: str, standing: Mapping[str, str]) -> str:
    """The built-in dialect within whose topics a filter lies, "" when it is on its own.

    Args:
        pattern: the filter.
        standing: topic filters of the built-in dialects, with the dialect of each.
    """
    return next((dialect for wide, dialect in standing.items() if covers(wide, pattern)), "")


def check(mapping: TopicMapping, others: Iterable[TopicMapping], standing: Mapping[str, str]) -> list[Fault]:
    """All that is wrong with a mapping; [] when it may be stored.

    Args:
        mapping: as a person wrote it.
        others: the other mappings; those that are not enabled do not matter.
        standing: see `supplements`.
    """
    faults = []
    if not mapping.name.strip() or len(mapping.name) > _MOST_NAME or not mapping.name.isprintable():
        faults.append(Fault("name", "A mapping needs a name of {n} characters at most", {"n": str(_MOST_NAME)}))
    faults += _filter_faults(mapping, others, standing)
    if mapping.kind and mapping.kind not in KINDS:
        faults.append(Fault("kind", "There is no kind of device {kind}", {"kind": mapping.kind}))
    if len(mapping.items) > MOST_ITEMS:
        return [*faults, Fault("items", "A mapping has {n} values at most", {"n": str(MOST_ITEMS)})]
    for place, item in enumerate(mapping.items):
        faults += [Fault(f"items.{place}", message, values) for message, values in _item_faults(item, mapping.kind)]
    faults += _twice(mapping.items)
    faults += _template_faults(mapping, needed=bool(mapping.items) and not supplements(mapping.filter, standing))
    if not faults and mapping.items:
        faults += _list_faults(mapping)
    return faults


def _filter_faults(mapping: TopicMapping, others: Iterable[TopicMapping], standing: Mapping[str, str]) -> list[Fault]:
    pattern = mapping.filter
    try:
        check_filter(pattern)
    except TopicError as error:
        return [Fault("filter", "This is no topic filter: {why}", {"why": str(error)})]
    fault = clash(pattern, standing)
    if fault is not None:
        return [fault]
    if mapping.enabled:
        for other in others:
            if other.enabled and other.id != mapping.id and overlap(other.filter, pattern):
                values = {"filter": other.filter, "name": other.name}
                return [Fault("filter", "It overlaps {filter} of mapping {name}: a message would arrive twice", values)]
    return []


def clash(pattern: str, standing: Mapping[str, str]) -> Fault | None:
    """Why no mapping can speak for a filter, beside the built-in dialects; None when one can.

    Args:
        pattern: the filter.
        standing: see `supplements`.
    """
    within = supplements(pattern, standing)
    for wide, dialect in _COMMANDS.items():
        if covers(wide, pattern) or (not within and overlap(wide, pattern)):
            message = "It overlaps {filter}, where devices of dialect {dialect} are sent commands"
            return Fault("filter", message, {"filter": wide, "dialect": dialect})
    if within:
        return None
    for wide, dialect in standing.items():
        if collides(wide, pattern):
            message = "It overlaps {filter} of dialect {dialect}: lie within that, or beside it"
            return Fault("filter", message, {"filter": wide, "dialect": dialect})
    for wide, dialect in _HELD.items():
        if overlap(wide, pattern):
            message = "It overlaps {filter}, which dialect {dialect} keeps to itself: nobody else is asked there"
            return Fault("filter", message, {"filter": wide, "dialect": dialect})
    return None


def steered(topic: str) -> str:
    """The dialect whose devices would take for its own what a stranger has us say on a topic; "" = none.

    >>> steered("application/a/device/0102030405060708/command/down"), steered("hall/lamp/set")
    ('chirpstack', '')
    """
    known = {**_COMMANDS, **_HELD, **_STEERED}
    return next((dialect for wide, dialect in known.items() if matches(wide, topic)), "")


def collides(wide: str, pattern: str) -> bool:
    """Whether a mapping's filter would bring messages of a dialect a second time.

    A dialect that speaks below any first level (`+/onvif-ej/#`) is met by every filter whose second level is a wildcard. That is
    let pass: the dialect is asked first and decodes such a message both times, and the device's time makes the second one change
    nothing.
    """
    levels = pattern.split("/")
    if wide.startswith("+/") and levels[0] != "#" and levels[1:2] in (["+"], ["#"]):
        return False
    return overlap(wide, pattern)


def _item_faults(item: Item, kind: str) -> Iterable[tuple[str, dict[str, str]]]:
    try:
        parse_path(item.path)
    except PathError as error:
        yield "This is no path: {why}", {"why": str(error)}
    if item.measure == IGNORE:
        return
    measure = MEASURES.get(item.measure)
    if measure is None:
        yield "There is no measure {measure}", {"measure": item.measure}
        return
    if kind in KINDS and item.measure not in KINDS[kind].measures:
        yield "{measure} is not reported by a {kind}", {"measure": item.measure, "kind": kind}
    if not math.isfinite(item.scale) or not math.isfinite(item.offset) or item.scale == 0:
        yield "Scale and offset must be numbers, and the scale not 0", {}
    try:
        if measure.states and item.unit:
            raise RejectedError("unit", f"{item.measure} is a state and has no unit")  # noqa: TRY301
        convert(1.0, item.unit, measure.unit, molar_mass=measure.molar_mass)
    except RejectedError as error:
        yield "This unit cannot be used: {why}", {"why": error.detail}


def _twice(items: Sequence[Item]) -> Iterable[Fault]:
    measures: dict[str, int] = {}
    paths: dict[str, int] = {}
    for place, item in enumerate(items):
        if paths.setdefault(item.path, place) != place:
            yield Fault(f"items.{place}", "The path {path} stands there twice", {"path": item.path})
        elif item.measure != IGNORE and measures.setdefault(item.measure, place) != place:
            values = {"measure": item.measure, "path": items[measures[item.measure]].path}
            yield Fault(
                f"items.{place}", "{measure} is taken from {path} already: a device has each measure once", values
            )


def _template_faults(mapping: TopicMapping, *, needed: bool) -> Iterable[Fault]:
    try:
        parts = parse_template(mapping.device)
    except PathError as error:
        yield Fault("device", "This is no device: {why}", {"why": str(error)})
    else:
        levels = mapping.filter.split("/")
        if needed and not mapping.device.strip():
            yield Fault("device", "Say which device it is: a name, a level of the topic, or a value of the payload")
        if not mapping.device.isprintable() or len(mapping.device) > MOST_DEVICE:
            yield Fault("device", "This is no device: {why}", {"why": repr(mapping.device[:MOST_DEVICE])})
        if levels[-1] != "#":
            for part in parts:
                if isinstance(part, int) and part > len(levels):
                    yield Fault("device", "The topic has no level {n}", {"n": str(part)})
    if mapping.time_format == "none":
        return
    try:
        parse_path(mapping.time_path)
    except PathError as error:
        yield Fault("time", "This is no path: {why}", {"why": str(error)})
    else:
        if not mapping.time_path.strip():
            yield Fault("time", "Say where the payload states its time")


def spoken_paths(mapping: TopicMapping) -> list[Path]:
    """The paths that say which device and when.

    Raises:
        PathError: one is none.
    """
    paths = [part for part in parse_template(mapping.device) if isinstance(part, tuple)]
    return paths + ([parse_path(mapping.time_path)] if mapping.time_format != "none" else [])


def _list_faults(mapping: TopicMapping) -> Iterable[Fault]:
    measured = [parse_path(item.path) for item in mapping.items if item.measure != IGNORE]
    spoken = spoken_paths(mapping)
    try:
        each = list_of([*measured, *spoken])
    except PathError as error:
        yield Fault("items", "Its lists do not fit together: {why}", {"why": str(error)})
        return
    if each is None:
        return
    if not all(EACH in path for path in measured):
        yield Fault("items", "Where one path has [*], every measured value needs it")
    elif mapping.time_format != "none" and not any(EACH in path for path in spoken):
        yield Fault("items", "The elements of a list need a device or a time of their own, or they are one reading")


def _next_brace(text: str, at: int) -> int:
    while at < len(text) and text[at] not in "{}":
        at += 1
    return at
