"""Payloads read with a mapping (`ioc.mapping`): which device, when, which values, and what is wrong with the rest; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from ioc.catalog import MEASURES
from ioc.errors import RejectedError
from ioc.json_path import EACH, MISSING, Named, Path, get, list_of, parse_path, write_path
from ioc.mapping import IGNORE, MOST_DEVICE, Item, TimeFormat, TopicMapping, parse_template, spoken_paths
from ioc.naming import device_id
from ioc.units import convert
from ioc.values import number_of, said_number, shorten

#: What the ids of mapped devices begin with, before a dot.
PREFIX: Final = "map"
#: Elements of a list in one message, as in the native dialect.
MOST_ELEMENTS: Final = 1000
#: Values without an item that one message is blamed for by name.
_MOST_STRANGE: Final = 50
#: 9999-12-31: the last day a datetime can hold.
_LAST_MS: Final = 253_402_300_799_999
_CITY: Final = timezone(timedelta(hours=7))


class Entry(NamedTuple):
    """What one message, or one element of its list, says of one device.

    Attributes:
        name: what the device is called there.
        device: its id.
        stamp: epoch milliseconds, None = it states no time.
        values: measures, in the catalogue's units.
    """

    name: str
    device: str
    stamp: float | None
    values: list[tuple[Item, float]]


class Found(NamedTuple):
    """What a mapping makes of a payload, and what is wrong with the rest."""

    entries: list[Entry]
    faults: list[RejectedError]


class Reader:
    """A mapping made ready to read payloads.

    Raises:
        PathError: a path or the device's template is none; `check` tells beforehand.
    """

    def __init__(self, mapping: TopicMapping) -> None:
        self.mapping = mapping
        self._template = parse_template(mapping.device)
        self._time = parse_path(mapping.time_path)
        paths = [(item, parse_path(item.path)) for item in mapping.items]
        self._measured = [(item, path) for item, path in paths if item.measure != IGNORE]
        spoken = spoken_paths(mapping)
        self._each = list_of([*(path for _, path in self._measured), *spoken])
        self._known = Named()
        for item, path in paths:
            self._known.add(path, beneath=item.measure == IGNORE)
        for path in spoken:
            self._known.add(path, beneath=False)
        self._by_name = _by_name(paths)

    def device_of(self, topic: str) -> str:
        """The id of the device a topic speaks of, "" when only the payload tells."""
        if any(isinstance(part, tuple) for part in self._template):
            return ""
        try:
            return device_id(PREFIX, self._name(topic, None, None))
        except RejectedError:
            return ""

    def read(self, topic: str, payload: Any) -> Found:
        """What a message says.

        Raises:
            RejectedError: `shape` or `size`: nothing of it can be stored.
        """
        entries: list[Entry] = []
        faults: list[RejectedError] = []
        for element in self._elements(payload):
            try:
                found = self._entry(topic, payload, element, faults)
            except RejectedError as error:
                faults.append(error)
            else:
                entries += [found] if found is not None else []
        strange = self._known.strange(payload, _MOST_STRANGE)
        faults += [RejectedError("measure", f"{shorten(path)}: the mapping does not name it") for path in strange]
        return Found(entries, faults)

    def item_named(self, name: str) -> Item | None:
        """The item for a value that a built-in dialect calls so: by its path, or by the last key of it."""
        found = self._by_name.get(name)
        while found is None and name:
            name = name.rpartition(".")[0]
            above = self._by_name.get(name or "$")
            found = above if above is not None and above.measure == IGNORE else None
        return found

    def _elements(self, payload: Any) -> Sequence[Any]:
        if self._each is None:
            return (payload,)
        found = get(payload, self._each)
        if found is MISSING:
            return ()
        if not isinstance(found, list):
            raise RejectedError("shape", f"{write_path(self._each)}: got {shorten(found)}, expected a list")
        if len(found) > MOST_ELEMENTS:
            raise RejectedError("size", f"{write_path(self._each)}: {len(found)} elements, most is {MOST_ELEMENTS}")
        return found

    def _entry(self, topic: str, payload: Any, element: Any, faults: list[RejectedError]) -> Entry | None:
        values: list[tuple[Item, float]] = []
        there = False
        for item, path in self._measured:
            raw = self._get(path, payload, element)
            if raw is MISSING or raw is None:
                continue
            there = True
            try:
                values.append((item, value_of(item, raw)))
            except RejectedError as error:
                faults.append(error)
        if not there:
            return None
        name = self._name(topic, payload, element)
        stamp = None
        if self.mapping.time_format != "none":
            stamp = stamp_of(self._get(self._time, payload, element), self.mapping.time_format)
        return Entry(name, device_id(PREFIX, name), stamp, values)

    def _get(self, path: Path, payload: Any, element: Any) -> Any:
        if self._each is not None and EACH in path:
            return get(element, path[len(self._each) + 1 :])
        return get(payload, path)

    def _name(self, topic: str, payload: Any, element: Any) -> str:
        levels, said = topic.split("/"), []
        for part in self._template:
            if isinstance(part, int):
                if part > len(levels):
                    raise RejectedError("device", f"{{{part}}}: the topic has {len(levels)} levels")
                said.append(levels[part - 1])
            elif isinstance(part, tuple):
                said.append(_called(part, self._get(part, payload, element)))
            else:
                said.append(part)
        name = "".join(said).strip()
        if not name or len(name) > MOST_DEVICE:
            raise RejectedError("device", f"name: got {len(name)} characters, expected 1 to {MOST_DEVICE}")
        return name


def value_of(item: Item, raw: Any) -> float:
    """A value as it is stored: scaled, in the catalogue's unit, within the measure's range.

    Raises:
        RejectedError: `encoding`, `value`, `unit` or `range`.

    >>> value_of(Item("t", "temperature", scale=0.1), 254)
    25.4
    >>> value_of(Item("t", "temperature", unit="°F"), "86")
    30.0
    """
    measure = MEASURES[item.measure]
    if isinstance(raw, str):
        text = raw.strip()
        if measure.states:
            named = (state for state in measure.states if state.casefold() == text.casefold())
            return number_of(measure, next(named, raw))
        said = said_number(text)
        raw = raw if said is None else said
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return number_of(measure, raw)
    try:
        value = float(raw)
    except OverflowError:
        return number_of(measure, raw)
    if (item.scale, item.offset) != (1.0, 0.0):
        value = _rounded(value * item.scale + item.offset)
    if not measure.states and math.isfinite(value):
        value = convert(value, item.unit, measure.unit, molar_mass=measure.molar_mass)
    return number_of(measure, value)


def stamp_of(raw: Any, form: TimeFormat) -> float:
    """The time a payload states, in epoch milliseconds.

    Raises:
        RejectedError: `time`.

    >>> stamp_of("2026-07-01 19:00:00", "iso_local"), stamp_of(1782907200.5, "epoch_s")
    (1782907200000, 1782907200500)
    """
    stamp: float | None = None
    if form in ("iso", "iso_local") and isinstance(raw, str):
        stamp = _from_iso(raw.strip(), local=form == "iso_local")
    elif form in ("epoch_s", "epoch_ms"):
        stamp = _from_number(raw, 1000 if form == "epoch_s" else 1)
    if stamp is None or not 0 <= stamp <= _LAST_MS:
        got = "nothing" if raw is MISSING or raw is None else shorten(raw)
        raise RejectedError("time", f"time: got {got}, expected {_EXPECTED[form]}")
    return int(stamp) if stamp == int(stamp) else stamp


def _by_name(paths: Sequence[tuple[Item, Path]]) -> dict[str, Item]:
    """Items by what a dialect may call their values: the path, its keys, the last key where that is one item's alone."""
    whole: dict[str, Item] = {}
    last: dict[str, Item | None] = {}
    for item, path in paths:
        keys = [part for part in path if isinstance(part, str)]
        for name in (item.path, ".".join(keys)):
            whole.setdefault(name, item)
        if keys:
            last[keys[-1]] = item if keys[-1] not in last else None
    return {name: item for name, item in last.items() if item is not None} | whole


def _called(path: Path, raw: Any) -> str:
    """A value of the payload as a part of a name."""
    if isinstance(raw, str) and raw.strip() and "\0" not in raw:
        return raw.strip()
    if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 10**30:
        return str(raw)
    got = "nothing" if raw is MISSING else shorten(raw)
    raise RejectedError("device", f"{write_path(path)}: got {got}, expected what the device is called")


def _rounded(value: float) -> float:
    """Without the last bits that a multiplication adds: 254 x 0.1 is 25.4."""
    return round(value, 9) if math.isfinite(value) else value


def _from_number(raw: Any, scale: int) -> float | None:
    if isinstance(raw, str):
        raw = said_number(raw)
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    # 1e15 seconds are far beyond any date, and comparing costs nothing.
    return round(raw * scale, 3) if abs(raw) < 1e15 else None


def _from_iso(text: str, *, local: bool) -> float | None:
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is None:
            if not local:
                return None
            time = time.replace(tzinfo=_CITY)
        return round(time.timestamp() * 1000, 3)
    except (ValueError, OverflowError):
        return None


_EXPECTED: Final[dict[TimeFormat, str]] = {
    "none": "nothing",
    "epoch_s": "seconds since 1970",
    "epoch_ms": "milliseconds since 1970",
    "iso": "ISO 8601 with a zone; end it with Z or +07:00",
    "iso_local": "ISO 8601, city time where it states no zone",
}
