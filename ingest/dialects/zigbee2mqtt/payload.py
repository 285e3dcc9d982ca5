"""What Zigbee2MQTT's payloads hold: what the bridge tells of devices, times, presence; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from ingest.clock import device_time
from ingest.dialect import Description
from ingest.payload import leniently, utf8
from ioc.errors import RejectedError
from ioc.values import shorten

#: Devices of a bridge, and what of one is read.
MOST_DEVICES: Final = 5_000
_MOST_EXPOSED: Final = 500
_DEEPEST: Final = 4


class Facts(msgspec.Struct):
    """What is known of a device.

    Attributes:
        told: by the bridge itself, in `bridge/devices`.
        units: by the name of a value.
        settings: values that are configuration or diagnosis.
    """

    name: str
    told: bool = False
    ieee: str = ""
    vendor: str = ""
    model: str = ""
    firmware: str = ""
    switchable: bool = False
    dimmable: bool = False
    lamp: bool = False
    kind: str = ""
    units: dict[str, str] = {}
    settings: frozenset[str] = frozenset()

    def follow(self, description: Description) -> None:
        """What is not known yet is taken from a description."""
        self.vendor = self.vendor or description.manufacturer
        self.model = self.model or description.model
        self.firmware = self.firmware or description.firmware
        self.units = {**description.units, **self.units}
        self.lamp = self.lamp or description.lamp
        self.switchable = self.switchable or description.lamp
        self.dimmable = self.dimmable or description.dimmable


def listed(payload: bytes) -> list[dict[str, Any]]:
    """A list of objects.

    Raises:
        RejectedError: `encoding`, `json`, `shape` or `size`.
    """
    said = leniently(payload) if payload else []
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise RejectedError("shape", f"got {shorten(said)}, expected a list of objects")
    if len(said) > MOST_DEVICES:
        raise RejectedError("size", f"a list of {len(said)}, most is {MOST_DEVICES}")
    return said


def abridged(one: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What is used of a device in the bridge's list, in the bridge's own form."""
    definition = one.get("definition")
    told = definition if isinstance(definition, dict) else {}
    exposed = list(_exposed(told.get("exposes"), 0))[:_MOST_EXPOSED]
    return {
        "friendly_name": name,
        **{key: one[key][:200] for key in ("ieee_address", "software_build_id") if isinstance(one.get(key), str)},
        "definition": {
            **{key: told[key][:200] for key in ("vendor", "model") if isinstance(told.get(key), str)},
            "exposes": exposed,
        },
    }


def _exposed(features: Any, depth: int) -> Iterator[dict[str, str]]:
    """Every feature of a device, those of composite ones after them."""
    if not isinstance(features, list) or depth > _DEEPEST:
        return
    for feature in features[:_MOST_EXPOSED]:
        if isinstance(feature, dict):
            yield {
                key: feature[key][:100]
                for key in ("type", "property", "unit", "category")
                if isinstance(feature.get(key), str)
            }
            yield from _exposed(feature.get("features"), depth + 1)


def facts_of(one: Mapping[str, Any]) -> Facts:
    """What is known of a device from its abridged entry in the bridge's list."""
    definition = one["definition"]
    exposed = definition["exposes"]
    properties = {feature.get("property") for feature in exposed}
    types = {feature.get("type") for feature in exposed}
    lamp = "light" in types
    return Facts(
        name=one["friendly_name"],
        told=True,
        ieee=one.get("ieee_address", ""),
        vendor=definition.get("vendor", ""),
        model=definition.get("model", ""),
        firmware=one.get("software_build_id", ""),
        lamp=lamp,
        switchable="state" in properties and bool(types & {"light", "switch"}),
        dimmable=lamp and "brightness" in properties,
        units={feature["property"]: feature["unit"] for feature in exposed if {"property", "unit"} <= feature.keys()},
        settings=frozenset(
            feature["property"]
            for feature in exposed
            if feature.get("category") in ("config", "diagnostic") and feature.get("property", "battery") != "battery"
        ),
    )


def is_online(payload: bytes) -> bool:
    """`{"state": "online"}`, or the bare word as older versions sent it.

    Raises:
        RejectedError: `encoding` or `value`.
    """
    text = utf8(payload).strip()
    said = leniently(payload) if text.startswith("{") else text
    word = said.get("state") if isinstance(said, dict) else said
    if word not in ("online", "offline"):
        raise RejectedError("value", f"state: got {shorten(word)}, expected online or offline")
    return bool(word == "online")


def time_of(last_seen: Any) -> str | int | None:
    """When the device was heard, None where it is not said or only told in words ("5 minutes ago")."""
    if not isinstance(last_seen, str | int) or isinstance(last_seen, bool):
        return None
    try:
        device_time(last_seen)
    except RejectedError:
        return None
    return last_seen


def is_battery_voltage(key: str, raw: Any, said: Mapping[str, Any], facts: Facts) -> bool:
    """Whether a voltage is that of a battery, in mV: its level is told beside it."""
    return key == "voltage" and (
        facts.units.get(key) == "mV" or ("battery" in said and isinstance(raw, int | float) and raw > 500)
    )
