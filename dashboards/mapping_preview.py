"""A mapping tried on messages in quarantine: what would be stored, and why not the rest."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from dashboards.detail_words import detail_in_words
from dashboards.mapping_suggestion import MOST_LEAVES, suggest
from dashboards.payload_view import blamed, visible
from dashboards.quarantine_search import key_of
from dashboards.when import clock, figure, number
from ioc.catalog import KINDS, MEASURES
from ioc.db import quarantine as kept
from ioc.db.mappings import all_mappings, standing_filters
from ioc.db.pool import Connection
from ioc.db.quarantine import Held, Wanted
from ioc.errors import RejectedError
from ioc.i18n import Translator
from ioc.json_path import MISSING, PathError, get, leaves, parse_path, write_path
from ioc.mapped import Entry, Reader, value_of
from ioc.mapping import IGNORE, TopicMapping, check, supplements
from ioc.topics import matches

#: Messages a mapping is tried on, and how far back they are looked for.
MOST_SAMPLES: Final = 20
LOOK_BACK: Final = timedelta(days=30)
_MOST_TOPICS: Final = 12
_MOST_SAMPLE: Final = 80


class Leaf(msgspec.Struct, frozen=True):
    """A value of the chosen message: where it lies, what it is, what kind of thing, and whether a dialect refused it."""

    path: str
    sample: str
    kind: str
    refused: bool


class Result(msgspec.Struct, frozen=True):
    """What becomes of one value: as it is stored, or why it is not."""

    text: str
    bad: bool


class Tried(msgspec.Struct, frozen=True):
    """What becomes of one message, for one of its devices.

    Attributes:
        name: of the device, as it is registered; "" when it would be new.
        time: that it would be stored at; "" = when it was received.
        faults: of the whole message, told with its first device.
    """

    key: str
    received: str
    topic: str
    device: str
    name: str
    time: str
    values: list[str]
    faults: list[str]


class Preview(msgspec.Struct, frozen=True):
    """All that the editor shows.

    Attributes:
        mapping: as tried; the suggestion when none was given.
        faults: field and words.
        supplements: the dialect that it adds to, "" when it speaks alone.
        results: by path, of the chosen message.
    """

    mapping: TopicMapping
    faults: list[tuple[str, str]]
    supplements: str
    topic: str
    leaves: list[Leaf]
    results: dict[str, Result]
    tried: list[Tried]


def preview(
    connection: Connection,
    mapping: TopicMapping | None,
    chosen: tuple[datetime, int] | None,
    names: Mapping[str, str],
    words: Translator,
) -> Preview:
    """Try a mapping, or suggest one.

    Args:
        connection: to TimescaleDB.
        mapping: as it stands in the editor; None = the one that speaks for the chosen message's topic, with what it may name
            where it names nothing yet, else a new one.
        chosen: the message the editor was opened from.
        names: of registered devices, by id.
        words: of the reader.

    Raises:
        StorageError: TimescaleDB is away.
    """
    standing = standing_filters(connection)
    held = kept.one(connection, *chosen) if chosen is not None else None
    if mapping is None:
        mapping = _suggested(held, all_mappings(connection), standing)
    samples = _samples(connection, mapping, held, standing)
    example = held or (samples[0] if samples else None)
    dialect = supplements(mapping.filter, standing)
    now = datetime.now(UTC)
    faults = check(mapping, all_mappings(connection), standing)
    return Preview(
        mapping=mapping,
        faults=[(fault.field, words(fault.message, **_named(fault.values, words))) for fault in faults],
        supplements=dialect,
        topic=visible(example.topic) if example is not None else "",
        leaves=_leaves(example) if example is not None else [],
        results=_results(mapping, example, words) if example is not None else {},
        tried=[one for sample in samples for one in _tried(mapping, sample, dialect, names, now, words)],
    )


def parsed(payload: bytes) -> Any:
    """JSON as ingest reads it.

    Raises:
        RejectedError: `encoding` or `json`.
    """
    try:
        return json.loads(payload.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedError("encoding", f"payload: {error}") from error
    except RecursionError as error:
        raise RejectedError("json", "nested too deep") from error
    except ValueError as error:
        raise RejectedError("json", str(error)) from error


def _suggested(held: Held | None, known: Sequence[TopicMapping], standing: Mapping[str, str]) -> TopicMapping:
    if held is None:
        return TopicMapping("", "")
    speaking = next((one for one in known if one.enabled and matches(one.filter, held.topic)), None)
    if speaking is not None and speaking.items:
        return speaking
    try:
        payload = parsed(held.payload)
    except RejectedError:
        payload = None
    refused = blamed(held.detail) if held.reason == "measure" else frozenset()
    guess = suggest(held.topic, payload, refused, standing)
    if speaking is None:
        return guess
    return msgspec.structs.replace(
        speaking,
        device=speaking.device or guess.device,
        time_path=speaking.time_path or guess.time_path,
        time_format=speaking.time_format if speaking.time_path else guess.time_format,
        items=guess.items,
    )


def _samples(
    connection: Connection, mapping: TopicMapping, held: Held | None, standing: Mapping[str, str]
) -> list[Held]:
    """The newest messages like the chosen one, and others that the filter matches; the chosen one first."""
    since = datetime.now(UTC) - LOOK_BACK
    span = Wanted(since.replace(minute=0, second=0, microsecond=0), since + LOOK_BACK + timedelta(minutes=1))
    found: dict[datetime, Held] = {}

    def add(some: Collection[Held]) -> None:
        found.update({one.received: one for one in some if matches(mapping.filter, one.topic)})

    if held is not None:
        add([held])
        add(kept.samples(connection, held.client or held.topic, since, MOST_SAMPLES))
    topics = [
        place
        for place, _ in kept.places(connection, msgspec.structs.replace(span, dialect="-", replayed=None))
        if matches(mapping.filter, place)
    ]
    add(kept.samples_of_topics(connection, topics[:_MOST_TOPICS], since, MOST_SAMPLES))
    dialect = supplements(mapping.filter, standing) or "mapped"
    if len(found) < MOST_SAMPLES:
        for row in kept.page(connection, msgspec.structs.replace(span, dialect=dialect, replayed=None), None, most=200):
            if row.received not in found and len(found) < MOST_SAMPLES and matches(mapping.filter, row.topic):
                whole = kept.one(connection, row.received, row.id)
                add([whole] if whole is not None else [])
    first = [held] if held is not None else []
    rest = sorted(found.values(), key=lambda one: one.received, reverse=True)
    return (first + [one for one in rest if held is None or one.received != held.received])[:MOST_SAMPLES]


def _leaves(example: Held) -> list[Leaf]:
    try:
        payload = parsed(example.payload)
    except RejectedError:
        return []
    refused = blamed(example.detail) if example.reason == "measure" else frozenset()
    found = []
    for path, value in leaves(payload, MOST_LEAVES):
        last = next((part for part in reversed(path) if isinstance(part, str)), "")
        written = write_path(path)
        found.append(Leaf(written, _short(value), _kind(value), written in refused or last in refused))
    return found


def _results(mapping: TopicMapping, example: Held, words: Translator) -> dict[str, Result]:
    """What becomes of each named value of the example; of a list, of its first element."""
    results = {}
    try:
        payload = parsed(example.payload)
    except RejectedError as error:
        detail = visible(detail_in_words(error.detail, words))
        return {item.path: Result(detail, bad=True) for item in mapping.items if item.measure != IGNORE}
    for item in mapping.items:
        if item.measure == IGNORE:
            continue
        try:
            raw = get(payload, tuple(0 if part is None else part for part in parse_path(item.path)))
            if raw is MISSING or raw is None:
                results[item.path] = Result(words("not in this message"), bad=False)
            else:
                results[item.path] = Result(_exactly(item.measure, value_of(item, raw), words), bad=False)
        except (RejectedError, PathError, KeyError) as error:
            detail = detail_in_words(error.detail, words) if isinstance(error, RejectedError) else str(error)
            results[item.path] = Result(visible(detail), bad=True)
    return results


def _fault(error: RejectedError, words: Translator) -> str:
    return f"{words(f'reason:{error.reason}')}: {visible(detail_in_words(error.detail, words))}"


def _tried(
    mapping: TopicMapping, held: Held, dialect: str, names: Mapping[str, str], now: datetime, words: Translator
) -> list[Tried]:
    entries: Sequence[Entry] = ()
    faults: list[str] = []
    values: list[list[str]] = []
    if not held.is_whole:
        faults.append(words("not kept whole"))
    elif dialect:
        made = _results(mapping, held, words)
        values = [
            [
                f"{_label(item.measure, words)} {made[item.path].text}"
                for item in mapping.items
                if _good(made, item.path)
            ]
        ]
        faults += [result.text for result in made.values() if result.bad]
    elif not mapping.items:
        faults.append(words("kept here as a sample: no values are named yet"))
    else:
        try:
            found = Reader(mapping).read(held.topic, parsed(held.payload))
            entries, faults = found.entries, [_fault(fault, words) for fault in found.faults]
        except RejectedError as error:
            faults.append(_fault(error, words))
        except (PathError, KeyError):
            faults.append(words("the mapping is not complete yet"))
        values = [
            [f"{_label(item.measure, words)} {_exactly(item.measure, value, words)}" for item, value in e.values]
            for e in entries
        ]
    rows = []
    for place in range(max(1, min(len(values), 5))):
        entry = entries[place] if place < len(entries) else None
        rows.append(
            Tried(
                key=key_of(held),
                received=clock(held.received, now),
                topic=visible(held.topic),
                device=entry.device if entry is not None else "",
                name=visible(names.get(entry.device, "")) if entry is not None else "",
                time=_stamp(entry, now),
                values=values[place] if place < len(values) else [],
                faults=[visible(fault) for fault in faults[:8]] if place == 0 else [],
            )
        )
    return rows


def _exactly(measure: str, value: float, words: Translator) -> str:
    """A value as pages show it, with all the digits that it has."""
    row = MEASURES[measure]
    if row.states:
        return figure(measure, value, words)
    shown, unit = (value * 100, "%") if row.unit == "1" else (value, words(row.unit))
    text = f"{shown:.6g}"
    decimals = len(text.partition(".")[2]) if "e" not in text else 6
    return f"{number(shown, max(decimals, 0), words)} {unit}".strip()


def _stamp(entry: Entry | None, now: datetime) -> str:
    if entry is None or entry.stamp is None:
        return ""
    return clock(datetime.fromtimestamp(entry.stamp / 1000, UTC), now)


def _good(results: Mapping[str, Result], path: str) -> bool:
    return path in results and not results[path].bad


def _named(values: Mapping[str, str], words: Translator) -> dict[str, str]:
    """Values of a fault's message, with the names people use."""
    named = dict(values)
    if "measure" in named:
        named["measure"] = _label(named["measure"], words)
    if "kind" in named:
        named["kind"] = (
            KINDS[named["kind"]].label.in_language(words.language) if named["kind"] in KINDS else named["kind"]
        )
    return {name: visible(value) for name, value in named.items()}


def _label(measure: str, words: Translator) -> str:
    return MEASURES[measure].label.in_language(words.language) if measure in MEASURES else measure


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return visible(text if len(text) <= _MOST_SAMPLE else text[:_MOST_SAMPLE] + "…")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "flag"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else "none"
