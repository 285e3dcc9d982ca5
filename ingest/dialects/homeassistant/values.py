"""What a message says of one entity; pure."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ingest.dialects.homeassistant.config import Entity, Source
from ingest.dialects.homeassistant.template import MISSING, Said, rendered
from ingest.lamps import share_of
from ingest.stamps import Item
from ioc.errors import RejectedError
from ioc.values import shorten

#: What devices send while they do not know.
_UNKNOWN: Final = frozenset({"", "None", "none", "null", "unknown", "unavailable", "nan", "NaN"})


class Told(msgspec.Struct, frozen=True):
    """What an entity is told.

    Attributes:
        items: values to be measured.
        on: how a binary sensor stands.
        silent: the message says nothing of this entity at all.
    """

    items: tuple[Item, ...] = ()
    on: bool | None = None
    silent: bool = False


def told(entity: Entity, topic: str, said: Said) -> Told:
    """What a message on one of its topics says of an entity.

    Raises:
        RejectedError: `shape`: its template is not evaluated; `value`: it is none of the expected words.
    """
    if entity.json:
        return _json_light(entity, said)
    items: list[Item] = []
    silent = True
    on = None
    for source in (entity.state, entity.brightness):
        if source is None or source.topic != topic:
            continue
        value = _picked(entity, source, said)
        if value is MISSING:
            continue
        silent = False
        if value is None or (isinstance(value, str) and value.strip() in _UNKNOWN):
            continue
        if entity.component == "sensor":
            # What a template calls true is a word; no measure of a number is that.
            raw = rendered(value) if isinstance(value, bool) else value
            items.append((entity.called, raw, entity.unit))
        elif source is entity.brightness:
            items.append(_level(value, entity.scale))
        else:
            on = _is_on(entity, rendered(value))
            if entity.component != "binary_sensor":
                items.append(("powerState", "on" if on else "off", ""))
    return Told(tuple(items), on, silent)


def _picked(entity: Entity, source: Source, said: Said) -> Any:
    if source.refusal:
        raise RejectedError("shape", f"{entity.label}: {source.refusal}")
    return source.template.value(said)


def _is_on(entity: Entity, word: str) -> bool:
    on, off = entity.states
    if word not in entity.states:
        raise RejectedError("value", f"{entity.label}: got {shorten(word)}, expected {shorten(on)} or {shorten(off)}")
    return word == on


def _json_light(entity: Entity, said: Said) -> Told:
    """The JSON schema of lights: `{"state": "ON", "brightness": 128, …}`."""
    state = said.json
    if not isinstance(state, dict):
        raise RejectedError("value", f"{entity.label}: got {shorten(said.text)}, expected an object with state")
    word, brightness = state.get("state"), state.get("brightness")
    items: list[Item] = []
    if word is not None:
        if word not in ("ON", "OFF"):
            raise RejectedError("value", f"{entity.label}: got {shorten(word)}, expected ON or OFF")
        items.append(("powerState", "on" if word == "ON" else "off", ""))
    if brightness is not None:
        # A light that is off may keep the brightness it will have.
        items.append(_level(0 if word == "OFF" else brightness, entity.scale))
    return Told(tuple(items), silent=not items)


def _level(value: Any, scale: float) -> Item:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return ("illuminanceLevel", value, "1")
    return ("illuminanceLevel", share_of(value, scale), "1")
