"""What a mapping for a message may look like: a first guess for a technician to correct; pure."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from dashboards.search import fold
from ioc.catalog import MEASURES, Measure, measure_named
from ioc.errors import RejectedError, TopicError
from ioc.json_path import Path, leaves, write_path
from ioc.mapped import stamp_of
from ioc.mapping import IGNORE, Item, TimeFormat, TopicMapping, clash, supplements
from ioc.topics import check_filter
from ioc.units import UNITS, convert

#: Values of a payload that the editor lists.
MOST_LEAVES: Final = 200
#: What devices call their time and themselves; the case, `_` and `-` do not count.
_TIMES: Final = re.compile(
    "ts|t|at|time|timestamp|datetime|date|epoch|utc|utctime|sent|sentat|measuredat|thoigian|luc|ngaygio|giodo"
)
_NAMES: Final = re.compile(
    "id|name|device|deviceid|devicename|devid|dev|deveui|eui|sensor|sensorid|node|nodeid|station|stationid|sn|serial"
    "|serialnumber|imei|mac"
)
#: A number of seconds since 1970 is between these, one of milliseconds above both; what is below them is no time of ours.
_ISO: Final[tuple[TimeFormat, ...]] = ("iso", "iso_local")
_SECONDS_BELOW: Final = 1e11
_SECONDS_ABOVE: Final = 1e8


def suggest(topic: str, payload: Any, refused: Collection[str], standing: Mapping[str, str]) -> TopicMapping:
    """A mapping for messages like this one.

    Args:
        topic: of the message.
        payload: parsed.
        refused: names of values that a built-in dialect found no measure for.
        standing: topic filters of the built-in dialects.
    """
    listed = [] if payload is None else list(leaves(payload, MOST_LEAVES))
    if supplements(topic, standing):
        named = [(path, value) for path, value in listed if write_path(path) in refused or _last(path) in refused]
        return TopicMapping(topic.split("/")[-2] if "/" in topic else topic, topic, items=_items(named))
    level = _level(topic)
    time_path, form = _time(listed)
    device, pattern = _device(topic, level, listed, standing)
    spoken = {time_path, device.strip("{}")}
    rest = [(path, value) for path, value in listed if write_path(path) not in spoken]
    return TopicMapping(
        topic.split("/")[0][:60] or topic[:60],
        pattern,
        device=device,
        time_path=time_path,
        time_format=form,
        items=_items(rest),
    )


def units_of(measure: Measure) -> list[str]:
    """Units that a device may state a measure in, one spelling each, the catalogue's first."""
    if measure.states:
        return []
    found: dict[Any, str] = {UNITS.get(measure.unit): measure.unit}
    for spelling, unit in UNITS.items():
        try:
            convert(1.0, spelling, measure.unit, molar_mass=measure.molar_mass)
        except RejectedError:
            continue
        found.setdefault(unit, spelling)
    return list(found.values())


def _items(listed: Sequence[tuple[Path, Any]]) -> tuple[Item, ...]:
    """Values with the measures their names stand for; the others are left out."""
    items: list[Item] = []
    taken: set[str] = set()
    for path, value in listed:
        known = measure_named(_last(path)) or _labelled(_last(path))
        if known is not None and known[0].key not in taken and _fits(known[0], value):
            measure, meant = known
            taken.add(measure.key)
            items.append(Item(write_path(path), measure.key, unit=_unit(measure, meant, value)))
        elif value is not None and value not in ({}, []):
            items.append(Item(write_path(path), IGNORE))
    return tuple(items)


def _unit(measure: Measure, meant: str, value: Any) -> str:
    """The unit that is meant, "" for the catalogue's own; a share of more than one is a percentage."""
    if meant != measure.unit:
        return meant
    number = _number(value)
    return "%" if measure.unit == "1" and number is not None and number > 1 else ""


def _labelled(name: str) -> tuple[Measure, str] | None:
    """The measure whose label stands there, as local devices write it: `nhiet_do`, `do-am`."""
    row = _LABELS.get(_letters(name))
    return None if row is None else (row, row.unit)


def _letters(text: str) -> str:
    return "".join(character for character in fold(text) if character.isalnum())


def _fits(measure: Measure, value: Any) -> bool:
    if isinstance(value, str):
        return bool(measure.states) or _number(value) is not None
    return isinstance(value, int | float)


def _level(topic: str) -> int:
    """The level of the topic that seems to name the device, from 1."""
    levels = topic.split("/")
    with_digits = [place for place, level in enumerate(levels, 1) if any(c.isdigit() for c in level)]
    return with_digits[-1] if with_digits else min(2, len(levels))


def _device(topic: str, level: int, listed: Sequence[tuple[Path, Any]], standing: Mapping[str, str]) -> tuple[str, str]:
    """The device's template, and a filter for all topics of its kind."""
    levels = topic.split("/")
    each = next((path for path, value in listed if None in path and _is_name(path, value)), None)
    if each is not None:
        return f"{{{write_path(each)}}}", topic
    if not any(c.isdigit() for c in levels[level - 1]):
        inside = next((path for path, value in listed if _is_name(path, value)), None)
        if inside is not None:
            return f"{{{write_path(inside)}}}", topic
    pattern = "/".join("+" if place == level else name for place, name in enumerate(levels, 1))
    try:
        check_filter(pattern)
    except TopicError:
        pattern = topic
    if len(levels) == 1 or clash(pattern, standing) is not None:
        pattern = topic
    return f"{{{level}}}", pattern


def _is_name(path: Path, value: Any) -> bool:
    return (
        _NAMES.fullmatch(_plain(path)) is not None and isinstance(value, str | int) and value not in ("", True, False)
    )


def _time(listed: Sequence[tuple[Path, Any]]) -> tuple[str, TimeFormat]:
    """Where the payload states its time, and how."""
    for path, value in listed:
        form = _form(value) if _TIMES.fullmatch(_plain(path)) else None
        if form is not None:
            return write_path(path), form
    return "", "none"


def _form(value: Any) -> TimeFormat | None:
    number = _number(value)
    if number is not None:
        form: TimeFormat = "epoch_s" if number < _SECONDS_BELOW else "epoch_ms"
        return form if number > _SECONDS_ABOVE else None
    for form in _ISO:
        try:
            stamp_of(value, form)
        except RejectedError:
            continue
        return form
    return None


def _plain(path: Path) -> str:
    return _last(path).casefold().replace("_", "").replace("-", "")


def _number(value: Any) -> float | None:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _last(path: Path) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


_LABELS: Final[dict[str, Measure]] = {_letters(name): row for row in MEASURES.values() for name in row.label}
#: Units of every measure that has some.
UNITS_OF: Final[dict[str, list[str]]] = {key: units_of(row) for key, row in MEASURES.items() if not row.states}
