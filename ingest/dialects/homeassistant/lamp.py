"""Switching and dimming what Home Assistant calls a light or a switch.

What a command needs is noted at discovery, in the device's `attrs`: it must outlive the configuration's reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ingest.dialects.homeassistant.config import Entity
from ingest.dialects.homeassistant.options import text_of
from ingest.lamps import steps_of
from ingest.lighting import require_lit
from ingest.message import Outgoing
from ioc.errors import CommandError
from ioc.model import Device
from ioc.topics import is_exact

Attrs = dict[str, str | int | float | bool | None]

#: Everything that may be noted; what is not known any more is noted as nothing.
FORGOTTEN: Final[Attrs] = dict.fromkeys(
    (
        "command_topic",
        "command_refused",
        "command_json",
        "command_retain",
        "payload_on",
        "payload_off",
        "brightness_topic",
        "brightness_scale",
        "dimmable",
        "on_command",
    )
)


def command_topics(entity: Entity) -> list[str]:
    """The topics it wants to be commanded on."""
    topics = (entity.options.get("command_topic"), entity.options.get("brightness_command_topic"))
    return [topic for topic in topics if isinstance(topic, str) and topic]


def command_attrs(entity: Entity, refusal: str) -> Attrs:
    """What to note of how an entity is commanded, or why it cannot be.

    Args:
        entity: a light or a switch.
        refusal: why its topics are none to command it on, "" when they are.
    """
    options = entity.options
    topic, brightness = options.get("command_topic"), options.get("brightness_command_topic")
    on, off = text_of(options, "payload_on") or "ON", text_of(options, "payload_off") or "OFF"
    refusal = refusal or _refusal(options, topic, on, off)
    if refusal:
        return {**FORGOTTEN, "command_refused": refusal}
    attrs = {
        **FORGOTTEN,
        "command_topic": topic,
        "command_json": entity.json,
        "command_retain": options.get("retain") is True,
        "payload_on": on,
        "payload_off": off,
    }
    if is_dimmable(entity):
        attrs["dimmable"] = True
        attrs["brightness_scale"] = int(entity.scale)
        if not entity.json:
            attrs["brightness_topic"] = brightness
            kind = options.get("on_command_type")
            attrs["on_command"] = kind if kind in ("first", "brightness") else "last"
    return attrs


def is_dimmable(entity: Entity) -> bool:
    """Whether a light can be told a brightness."""
    options = entity.options
    if entity.component != "light":
        return False
    if not entity.json:
        topic = options.get("brightness_command_topic")
        return isinstance(topic, str) and is_exact(topic) and _is_plain(options.get("brightness_command_template"))
    modes = options.get("supported_color_modes")
    return options.get("brightness") is True or (isinstance(modes, list) and any(mode != "onoff" for mode in modes))


def command_of(device: Device, level: float) -> Sequence[Outgoing]:
    """The messages that bring a lamp to a level.

    Raises:
        CommandError: it cannot be told so.
    """
    require_lit(device)
    attrs = device.attrs
    topic, retain = attrs.get("command_topic"), attrs.get("command_retain") is True
    if not isinstance(topic, str) or not is_exact(topic):
        why = attrs.get("command_refused") or "its configuration names no command topic"
        raise CommandError(f"{device.id} cannot be switched: {why}")
    dimmable = attrs.get("dimmable") is True
    if 0 < level < 1 and not dimmable:
        raise CommandError(f"{device.id} cannot be dimmed, only switched")
    steps = steps_of(level, int(attrs.get("brightness_scale") or 255))
    if attrs.get("command_json") is True:
        order: dict[str, Any] = {"state": "ON" if level > 0 else "OFF"}
        if dimmable and level > 0:
            order["brightness"] = steps
        return [Outgoing(topic, msgspec.json.encode(order), retain)]
    switch = Outgoing(topic, str(attrs.get("payload_on" if level > 0 else "payload_off")).encode(), retain)
    brightness = attrs.get("brightness_topic")
    if level <= 0 or not dimmable or not isinstance(brightness, str) or not is_exact(brightness):
        return [switch]
    dim = Outgoing(brightness, str(steps).encode(), retain)
    match attrs.get("on_command"):
        case "first":
            return [switch, dim]
        case "brightness":
            return [dim]
    return [dim, switch]


def _refusal(options: Mapping[str, Any], topic: Any, on: str, off: str) -> str:
    if not isinstance(topic, str) or not topic:
        return "its configuration names no command topic"
    if not is_exact(topic):
        return "its command topic is not one topic"
    if options.get("schema") == "template" or not _is_plain(options.get("command_template")):
        return "its commands go through a template, which is not evaluated"
    if not (on.isprintable() and off.isprintable()):
        return "what it wants to be told is not printable"
    return ""


def _is_plain(template: Any) -> bool:
    """Whether a command template passes on what it is given."""
    return not template or (isinstance(template, str) and template.replace(" ", "") == "{{value}}")
