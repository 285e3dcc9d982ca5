"""Home Assistant's discovery configurations: the device, its entities, and what of an entity we use; pure.

Follows Home Assistant's documentation of MQTT discovery and of the MQTT sensor, binary sensor, switch and light.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from ingest.dialects.homeassistant.options import (
    ABBREVIATIONS,
    DEVICE_ABBREVIATIONS,
    expanded,
    text_of,
    texts_of,
    with_base,
)
from ingest.dialects.homeassistant.template import Template
from ingest.payload import an_object
from ioc.catalog import measure_named
from ioc.errors import RejectedError
from ioc.topics import is_exact
from ioc.values import shorten

#: What a device's configuration may say once for all its entities.
_SHARED: Final = (
    "availability",
    "availability_mode",
    "availability_template",
    "availability_topic",
    "command_topic",
    "payload_available",
    "payload_not_available",
    "state_topic",
)
#: Options whose meaning is settled when they are used (`lamp`, `device`).
_LATER: Final = (
    "brightness",
    "brightness_command_template",
    "brightness_command_topic",
    "command_template",
    "command_topic",
    "expire_after",
    "on_command_type",
    "payload_off",
    "payload_on",
    "retain",
    "schema",
    "supported_color_modes",
)
#: Entities in one configuration; availability topics of one entity; identifiers of a device, and characters of one.
_MOST_ENTITIES: Final = 500
_MOST_AVAILABILITY: Final = 20
_MOST_IDENTIFIERS: Final = 20
_MOST_CHARACTERS: Final = 200
_SPACES: Final = re.compile(r"[\s_/:-]+")
#: Words that say that a value is of the device itself, not of what it measures: its battery's voltage is not the mains'.
_OF_DEVICE: Final = frozenset(
    {"accu", "battery", "batt", "board", "chip", "core", "cpu", "device", "gpu", "internal", "mcu", "modem", "module"}
    | {"motherboard", "pcb", "processor", "soc", "acquy", "ắc", "mạch", "pin"}
)
#: The measures that are meant when it is of the device itself.
_OWN: Final = frozenset({"batteryLevel", "rssi"})
#: Measures of the air, and words that say that one is of something else, reckoned from others, or what is wished for.
_OF_AIR: Final = frozenset({"relativeHumidity", "temperature"})
_NOT_OF_AIR: Final = frozenset(
    {"apparent", "chill", "desired", "dew", "feels", "heat", "pool", "set", "setpoint", "soil", "surface", "target"}
    | {"water", "nước", "sương", "đất", "đặt"}
)
#: Measures of traffic whose names are words for anything.
_BY_WHOLE_NAME: Final = frozenset({"intensity", "occupancy"})

Component = Literal["sensor", "binary_sensor", "switch", "light"]
#: Components whose state we take; of the others a device merely consists.
_TAKEN: Final = ("sensor", "binary_sensor", "switch", "light")


class About(msgspec.Struct, frozen=True):
    """The device an entity belongs to, as its configuration tells it; `via` is the identifier of what it stands behind."""

    identifiers: tuple[str, ...]
    name: str = ""
    manufacturer: str = ""
    model: str = ""
    firmware: str = ""
    via: str = ""


class Source(msgspec.Struct, frozen=True):
    """Where a value comes from: a topic, and what picks it out of the message.

    Attributes:
        refusal: why the template is not evaluated, "" when it is.
    """

    topic: str
    template: Template
    refusal: str = ""


class Availability(msgspec.Struct, frozen=True):
    """A topic that says whether an entity is there."""

    source: Source
    there: str
    gone: str


class Entity(msgspec.Struct, frozen=True, kw_only=True):
    """One entity of a device, as far as we use it.

    Attributes:
        key: tells it from the others of its configuration, "" when it is alone there.
        label: what it is called.
        measure: key of the measure a sensor stands for, "" when the catalogue has none.
        called: the name that the catalogue knows the measure by; it decides the unit where none is stated.
        is_named: `called` is the whole of its name, not its class or the end of a name.
        administrative: Home Assistant files it under diagnosis or configuration.
        states: what is said when it is on, and off.
        scale: brightness at full light.
        json: its state and its commands are JSON of Home Assistant's light schema.
        mode: how several availability topics count: `all`, `any`; anything else: the latest word does.
        options: what else of its configuration is used, as it was stated.
    """

    key: str
    component: Component
    about: About
    label: str
    device_class: str
    unit: str
    measure: str
    called: str
    is_named: bool
    administrative: bool
    state: Source | None
    brightness: Source | None
    states: tuple[str, str]
    scale: float
    json: bool
    availability: tuple[Availability, ...]
    mode: str
    options: dict[str, Any]


class Configuration(msgspec.Struct, frozen=True):
    """What one configuration message says.

    Attributes:
        entities: those of the components that we take.
        faults: what was wrong with single entities.
    """

    entities: tuple[Entity, ...]
    faults: tuple[RejectedError, ...]


def read(component: str, node: str, object_id: str, payload: bytes) -> Configuration | None:
    """Read a configuration; None when it says that there is nothing any more.

    Args:
        component: the topic's first level, `device` for a whole device in one message.
        node: the level after it, "" if there is none.
        object_id: the last level before `config`.
        payload: JSON; empty = deleted.

    Raises:
        RejectedError: nothing of it can be used.
    """
    if not payload.strip():
        return None
    options = expanded(an_object(payload), ABBREVIATIONS)
    if options.get("migrate_discovery") is True:
        return None
    told = options.get("device")
    about = _about(told if isinstance(told, dict) else {}, node or object_id)
    if component == "device":
        members = _members(options, about)
    else:
        child = expanded(told, DEVICE_ABBREVIATIONS).get("child_device") if isinstance(told, dict) else None
        owner = _child(child, about) if isinstance(child, dict) else about
        members = [("", component, owner, options)]
    if len(members) > _MOST_ENTITIES:
        raise RejectedError("size", f"{len(members)} entities in one configuration, most is {_MOST_ENTITIES}")
    entities, faults = [], []
    for key, kind, owner, config in members:
        if kind not in _TAKEN:
            continue
        try:
            entities.append(_entity(key, kind, owner, key or object_id, config))
        except RejectedError as error:
            faults.append(RejectedError(error.reason, f"{key or object_id}: {error.detail}"))
    return Configuration(tuple(entities), tuple(faults))


def _members(options: dict[str, Any], about: About) -> list[tuple[str, Any, About, dict[str, Any]]]:
    """The entities of a whole device, what is said once for all put into each."""
    shared = {key: options[key] for key in _SHARED if key in options}
    groups = [(about, options.get("components"))]
    children = options.get("child_devices")
    groups += [
        (_child(child, about), expanded(child, ABBREVIATIONS).get("components"))
        for child in (children if isinstance(children, list) else [])
        if isinstance(child, dict)
    ]
    members = []
    for owner, components in groups:
        for key, told in components.items() if isinstance(components, dict) else ():
            if not isinstance(told, dict) or len(key) > _MOST_CHARACTERS:
                raise RejectedError("shape", f"component {shorten(key)}: got {shorten(told)}, expected an object")
            config = expanded(told, ABBREVIATIONS)
            kind = config.pop("platform", None)
            if config:  # one that says nothing but its platform is deleted
                base = {"~": options["~"]} if "~" in options else {}
                members.append((key, kind, owner, base | shared | config))
    return members


def _about(told: Mapping[str, Any], otherwise: str) -> About:
    """The device; where none is stated, the topic's node is one."""
    told = expanded(told, DEVICE_ABBREVIATIONS)
    identifiers = texts_of(told.get("identifiers"))
    if not identifiers:
        connections = told.get("connections")
        pairs = connections if isinstance(connections, list) else []
        identifiers = [
            pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str)
        ]
    if len(identifiers) > _MOST_IDENTIFIERS or any(len(one) > _MOST_CHARACTERS for one in identifiers):
        most = f"{_MOST_IDENTIFIERS} of {_MOST_CHARACTERS} characters at most"
        raise RejectedError("shape", f"{len(identifiers)} identifiers of a device, expected {most}")
    return About(
        identifiers=tuple(identifiers) or (otherwise,),
        name=text_of(told, "name"),
        manufacturer=text_of(told, "manufacturer"),
        model=text_of(told, "model"),
        firmware=text_of(told, "sw_version"),
        via=text_of(told, "via_device"),
    )


def _child(told: Mapping[str, Any], parent: About) -> About:
    child = _about(told, "")
    if child.identifiers == ("",):
        raise RejectedError("shape", "a child device without identifiers")
    return msgspec.structs.replace(child, via=parent.identifiers[0])


def _entity(key: str, component: Any, about: About, object_id: str, told: dict[str, Any]) -> Entity:
    """One entity from its expanded options.

    Raises:
        RejectedError: `shape`.
    """
    config = with_base(told)
    named = [text_of(config, "object_id") or object_id, text_of(config, "name"), text_of(config, "unique_id")]
    schema = text_of(config, "schema") or "default"
    light = component == "light"
    on, off = text_of(config, "payload_on") or "ON", text_of(config, "payload_off") or "OFF"
    if component == "switch":
        on, off = text_of(config, "state_on") or on, text_of(config, "state_off") or off
    template = text_of(config, "value_template")
    brightness = None
    if light:
        template = text_of(config, "state_template" if schema == "template" else "state_value_template") or template
        if schema == "template":
            if text_of(config, "brightness_template"):
                brightness = _source(config, "state_topic", text_of(config, "brightness_template"), state=False)
        elif schema == "default":
            brightness = _source(
                config, "brightness_state_topic", text_of(config, "brightness_value_template"), state=False
            )
    known = _known(named, text_of(config, "device_class")) if component == "sensor" else None
    return Entity(
        key=key,
        component=component,
        about=about,
        label=named[1] or named[0],
        device_class=text_of(config, "device_class"),
        unit=text_of(config, "unit_of_measurement"),
        measure=known[1] if known else "",
        called=known[0] if known else named[1] or named[0],
        is_named=known is not None and known[2],
        administrative=text_of(config, "entity_category") in ("diagnostic", "config"),
        state=_source(config, "state_topic", "" if schema == "json" else template, state=component != "sensor"),
        brightness=brightness,
        states=(on, off),
        scale=_scale(config),
        json=light and schema == "json",
        availability=tuple(_availability(config)),
        mode=text_of(config, "availability_mode"),
        options={option: config[option] for option in _LATER if option in config},
    )


def _known(named: list[str], device_class: str) -> tuple[str, str, bool] | None:
    """The name, and the key, of the measure a sensor stands for, and whether it is a whole name.

    That is what counts; else its class does, else the last words of a name.

    Args:
        named: its object id, its name, its unique id; "" where it has none.
        device_class: as Home Assistant classes it.

    >>> _known(["x", "Kitchen temperature", ""], ""), _known(["x", "CPU temperature", ""], "temperature")
    (('temperature', 'temperature', False), None)
    """
    label = named[1] or named[0]
    of_device = not _OF_DEVICE.isdisjoint(_words(label))
    if of_device or not _NOT_OF_AIR.isdisjoint(_words(label)):
        named = [label]
    for name in named:
        if name and (known := measure_named(name)) is not None:
            return name, known[0].key, True
    tails = [tail for name in named for tail in _tails(name)]
    for before, name in ((list[str](), device_class), *tails):
        if name and (known := measure_named(name)) is not None:
            key = known[0].key
            if key in _OF_AIR and not _NOT_OF_AIR.isdisjoint(before or _words(f"{named[0]} {label}")):
                continue
            if key in _OWN or not (
                of_device or not _OF_DEVICE.isdisjoint(before[-1:]) or (before and key in _BY_WHOLE_NAME)
            ):
                return name, key, False
    return None


def _words(name: str) -> list[str]:
    return [word for word in _SPACES.split(name.casefold()) if word]


def _tails(name: str) -> Iterator[tuple[list[str], str]]:
    """The last words of a name, the longest first, each with the words before it.

    >>> list(_tails("aq7_carbon_monoxide"))
    [(['aq7'], 'carbon_monoxide'), (['aq7', 'carbon'], 'monoxide')]
    """
    words = _words(name)[-6:]
    for at in range(1, len(words)):
        yield words[:at], "_".join(words[at:])


def _source(config: Mapping[str, Any], option: str, template: str, *, state: bool) -> Source | None:
    """A value's source; None where no topic is stated. A template that is too much is kept with the reason.

    Raises:
        RejectedError: `topic`.
    """
    topic = text_of(config, option)
    if not topic:
        return None
    if not is_exact(topic):
        raise RejectedError("topic", f"{option}: got {shorten(topic)}, expected one topic without wildcards")
    try:
        return Source(topic, Template(template, defaults=state))
    except RejectedError as error:
        return Source(topic, Template(""), error.detail)


def _availability(config: Mapping[str, Any]) -> Iterator[Availability]:
    told = config.get("availability")
    listed = told if isinstance(told, list) else [told] if isinstance(told, dict) else []
    if not listed and "availability_topic" in config:
        single = {"topic": config["availability_topic"], "value_template": config.get("availability_template", "")}
        listed = [
            {**{key: config[key] for key in ("payload_available", "payload_not_available") if key in config}, **single}
        ]
    for one in listed[:_MOST_AVAILABILITY]:
        if not isinstance(one, dict):
            raise RejectedError("shape", f"availability: got {shorten(one)}, expected an object")
        source = _source(one, "topic", text_of(one, "value_template"), state=True)
        if source is not None:
            there, gone = text_of(one, "payload_available"), text_of(one, "payload_not_available")
            yield Availability(source, there or "online", gone or "offline")


def _scale(config: Mapping[str, Any]) -> float:
    raw = config.get("brightness_scale", 255)
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 1 <= raw <= 1_000_000:
        raise RejectedError("shape", f"brightness_scale: got {shorten(raw)}, expected a number from 1")
    return float(raw)
