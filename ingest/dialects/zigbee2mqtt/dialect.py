"""Zigbee2MQTT: `zigbee2mqtt/<friendly name>` with the whole state of a device, and what the bridge tells of its devices.

Follows its documentation of MQTT topics and messages. The friendly name is the topic, and what we call the device by; it may
contain slashes. The base topic is the default one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from ingest.dialect import Description, Route, Subscription
from ingest.dialects.zigbee2mqtt.payload import (
    MOST_DEVICES,
    Facts,
    abridged,
    facts_of,
    is_battery_voltage,
    is_online,
    listed,
    time_of,
)
from ingest.flags import tell_flag
from ingest.guess import kind_of
from ingest.intake import Intake
from ingest.lamps import share_of, steps_of
from ingest.lighting import require_lit
from ingest.message import Outgoing
from ingest.payload import leniently
from ingest.stamps import Item, Stamps
from ioc.catalog import measure_named
from ioc.errors import CommandError, RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id
from ioc.topics import is_exact
from ioc.values import shorten

NAME: Final = "zigbee2mqtt"
PREFIX: Final = "z2m"
ROOT: Final = "zigbee2mqtt"
BRIDGE: Final = device_id(PREFIX, "bridge")
#: Brightness at full light.
_FULL: Final = 254
#: Names that are listened to beyond the standing subscriptions.
_MOST_LISTENED: Final = 2_000
#: How the device, its radio or its light is set, not what it measures; what is told apart by category in `bridge/devices` is
#: left out beside these.
_LEFT_OUT: Final = frozenset(
    {
        "color",
        "color_mode",
        "color_options",
        "color_temp",
        "color_temp_startup",
        "device",
        "effect",
        "identify",
        "last_seen",
        "linkquality",
        "power_on_behavior",
        "update",
        "update_available",
    }
)
#: True is shut: the magnet touches.
_CONTACT: Final = "contact"


class Zigbee2Mqtt:
    """Decodes what devices behind a Zigbee2MQTT bridge say."""

    name = NAME
    prefix = PREFIX
    # All are read by one process: what a device's message means depends on what the bridge has told of it.
    subscriptions: Sequence[Subscription] = (
        Subscription(f"{ROOT}/+", "first"),
        Subscription(f"{ROOT}/+/availability", "first", retained=True),
        Subscription(f"{ROOT}/bridge/state", "first", retained=True),
        Subscription(f"{ROOT}/bridge/devices", "first", retained=True),
        Subscription(f"{ROOT}/bridge/groups", "first", retained=True),
    )

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}
        self._described: dict[str, Description] = {}
        self._groups: frozenset[str] = frozenset()
        self._listening: frozenset[str] = frozenset()
        self._bridge_there: bool | None = None
        self._there: dict[str, bool] = {}
        self._stamps = Stamps()

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        root, _, rest = topic.partition("/")
        if root != ROOT:
            return None
        match rest.split("/"):
            case ["bridge", "devices"]:
                return Route("", NAME, partial(self._hear_devices, topic), of_now=True)
            case ["bridge", "groups"]:
                return Route("", NAME, partial(self._hear_groups, topic), of_now=True)
            case ["bridge", "state"]:
                return Route("", NAME, self._hear_bridge, of_now=True)
            case ["bridge", *_]:
                return Route("", NAME, _ignore)
            case [""] | [*_, "set" | "get"] | [*_, "set", _]:
                raise RejectedError("topic", f"topic {shorten(topic)}: expected {ROOT}/<friendly name>[/availability]")
            case [*name, "availability"] if name:
                friendly = "/".join(name)
                handle = partial(self._hear_availability, friendly)
                return Route(device_id(PREFIX, friendly), NAME, handle, of_now=True)
        return Route(device_id(PREFIX, rest), NAME, partial(self._hear_state, rest))

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """`{"state": "ON", "brightness": 127}` on `zigbee2mqtt/<friendly name>/set`."""
        del order
        require_lit(device)
        name = device.attrs.get("friendly_name")
        if not isinstance(name, str) or not is_exact(name) or not device.attrs.get("switchable"):
            raise CommandError(f"{device.id} cannot be switched: it has told of no state that can be set")
        command: dict[str, Any] = {"state": "ON" if level > 0 else "OFF"}
        if device.attrs.get("dimmable"):
            if level > 0:
                command["brightness"] = steps_of(level, _FULL)
        elif 0 < level < 1:
            raise CommandError(f"{device.id} cannot be dimmed, only switched")
        return [Outgoing(f"{ROOT}/{name}/set", msgspec.json.encode(command))]

    def describe(self, device: str, description: Description, intake: Intake) -> None:
        """What the bridge's own list does not tell is taken from its Home Assistant configurations."""
        if device in self._described or len(self._described) < MOST_DEVICES:
            self._described[device] = description
        facts = self._facts.get(device)
        if facts is not None and not facts.told:
            facts.follow(description)
            intake.discover(_discovery(device, facts))

    # --- a device -----------------------------------------------------------------------------------------------------

    def _hear_state(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        if name in self._groups or not payload:
            return
        said = leniently(payload)
        if not isinstance(said, dict):
            raise RejectedError("shape", f"got {shorten(said)}, expected an object")
        facts = self._known(device, name)
        stamp = time_of(said.get("last_seen"))
        items: list[Item] = []
        is_off = isinstance(said.get("state"), str) and said["state"].upper() == "OFF"
        for key, raw in said.items():
            if raw is None or key in _LEFT_OUT or key in facts.settings:
                continue
            if isinstance(raw, bool):
                self._hear_flag(device, stamp, key, intake, on=raw)
            elif key == "action":
                if raw:
                    intake.event(device, stamp, "input", key, {"action": raw if isinstance(raw, str) else shorten(raw)})
            elif key == "state" and isinstance(raw, str) and raw.upper() in ("ON", "OFF"):
                facts.switchable = True
                items.append(("powerState", raw, ""))
            elif key == "brightness":
                # A lamp that is off keeps the brightness it will have.
                items.append(("illuminanceLevel", 0 if is_off else share_of(raw, _FULL), "1"))
            elif not is_battery_voltage(key, raw, said, facts):
                items.append((key, raw, facts.units.get(key, "")))
        facts.kind = facts.kind or kind_of(known[0].key for key, _, _ in items if (known := measure_named(key)))
        intake.discover(_discovery(device, facts))
        # The bridge repeats what it knows of devices that it does not hear.
        spoke = self._bridge_there is not False and self._there.get(device) is not False
        self._stamps.measured(intake, device, stamp, items, spoke=spoke)

    def _hear_flag(self, device: str, stamp: str | int | None, key: str, intake: Intake, *, on: bool) -> None:
        if key == _CONTACT and intake.kinds.get(device) == "cabinet":
            intake.measured(device, stamp, [("cabinetDoor", "closed" if on else "open", "")])
        else:
            tell_flag(intake, device, stamp, key, what=key, on=on)

    def _hear_availability(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        if name in self._groups or not payload:
            return
        there, facts = is_online(payload), self._known(device, name)
        if device in self._facts:
            self._there[device] = there
        intake.discover(_discovery(device, facts))
        self._tell(device, intake)

    def _tell(self, device: str, intake: Intake) -> None:
        """How a device is: nobody hears it while its bridge is away."""
        there = self._there.get(device)
        if self._bridge_there is False:
            intake.state(device, None, "offline", "bridge offline")
        elif there is not None:
            intake.state(device, None, "online" if there else "offline", "availability")
        elif self._bridge_there:
            intake.state(device, None, "online", "bridge online")

    def _known(self, device: str, name: str) -> Facts:
        facts = self._facts.get(device)
        if facts is None:
            facts = Facts(name)
            if device in self._described:
                facts.follow(self._described[device])
            if len(self._facts) < 2 * MOST_DEVICES:
                self._facts[device] = facts
        return facts

    # --- the bridge ---------------------------------------------------------------------------------------------------

    def _hear_bridge(self, device: str, payload: bytes, intake: Intake) -> None:
        del device
        if not payload:
            return
        self._bridge_there = is_online(payload)
        intake.discover(Discovery(BRIDGE, NAME, "Zigbee2MQTT"))
        intake.state(BRIDGE, None, "online" if self._bridge_there else "offline", "bridge")
        for key in self._facts:
            self._tell(key, intake)

    def _hear_groups(self, topic: str, device: str, payload: bytes, intake: Intake) -> None:
        del device
        names = [str(one["friendly_name"]) for one in listed(payload) if isinstance(one.get("friendly_name"), str)]
        self._groups = frozenset(names)
        intake.remember(topic, msgspec.json.encode([{"friendly_name": name} for name in names if is_exact(name)]))

    def _hear_devices(self, topic: str, device: str, payload: bytes, intake: Intake) -> None:
        """What the bridge tells of its devices: it is retained, and remembered without the many things that are not used."""
        del device
        intake.discover(Discovery(BRIDGE, NAME, "Zigbee2MQTT"))
        kept: dict[str, dict[str, Any]] = {}
        for one in listed(payload):
            name = one.get("friendly_name")
            if one.get("type") == "Coordinator":
                continue
            if not isinstance(name, str) or not is_exact(name) or name.split("/")[0] in ("bridge", ""):
                intake.fault(RejectedError("value", f"friendly_name: got {shorten(name)}, expected one topic"))
                continue
            if name in kept:
                intake.fault(RejectedError("device", f"friendly_name {shorten(name)}: two devices are called so"))
                continue
            kept[name] = abridged(one, name)
        for name, one in kept.items():
            key = device_id(PREFIX, name)
            facts = facts_of(one)
            before = self._facts.get(key)
            if before is not None:
                facts.switchable = facts.switchable or before.switchable
                facts.kind = before.kind
            self._facts[key] = facts
            intake.discover(_discovery(key, facts))
        self._listen(kept, intake)
        intake.remember(topic, msgspec.json.encode(list(kept.values())))

    def _listen(self, names: Mapping[str, Any], intake: Intake) -> None:
        """Names with slashes are topics that no standing subscription covers."""
        deep = sorted(name for name in names if "/" in name)
        if len(deep) > _MOST_LISTENED:
            intake.fault(RejectedError("size", f"{len(deep)} friendly names with slashes, most is {_MOST_LISTENED}"))
        wanted = frozenset(deep[:_MOST_LISTENED])
        for name in sorted(self._listening - wanted):
            intake.unlisten(f"{ROOT}/{name}")
            intake.unlisten(f"{ROOT}/{name}/availability")
        for name in sorted(wanted - self._listening):
            intake.listen(f"{ROOT}/{name}")
            intake.listen(f"{ROOT}/{name}/availability", retained=True)
        self._listening = wanted


def _ignore(device: str, payload: bytes, intake: Intake) -> None:
    """What else the bridge says is its administration."""
    del device, payload, intake


def _discovery(device: str, facts: Facts) -> Discovery:
    attrs: dict[str, str | int | float | bool | None] = {"friendly_name": facts.name}
    known = (("ieee_address", facts.ieee), ("vendor", facts.vendor), ("model", facts.model))
    attrs |= {key: text for key, text in known if text}
    if facts.switchable:
        attrs |= {"switchable": True, "dimmable": facts.dimmable}
    return Discovery(
        device=device,
        dialect=NAME,
        name=facts.name,
        kind="streetlight" if facts.lamp else facts.kind,
        parent=BRIDGE,
        firmware=facts.firmware,
        attrs=attrs,
    )
