"""What Tasmota's payloads hold: readings, relays, times; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from ingest.dialect import Description
from ingest.stamps import Item
from ioc.catalog import measure_named
from ioc.values import shorten

INPUT: Final = re.compile(r"Switch\d+", re.ASCII)
#: Not measured: names, units and times of the message, and sums or products of values that are stored.
_LEFT_OUT: Final = frozenset(
    {
        "Time",
        "Epoch",
        "TempUnit",
        "PressureUnit",
        "SpeedUnit",
        "Id",
        "ESP32",  # the chip's own temperature
        "TotalStartTime",
        "Yesterday",
        "Today",
        "Period",
        "ApparentPower",
        "ReactivePower",
        "DewPoint",
        "SeaPressure",
    }
)
#: What Tasmota calls them where the name alone would not be understood, and its unit.
_NAMES: Final = {"Total": ("energyConsumed", "kWh"), "Factor": ("powerFactor", "1"), "Power": ("powerConsumption", "W")}
_PHASES: Final = {"Voltage": "voltage", "Current": "intensity"}
#: Sensors that are remembered of one measure.
_MOST_TELLERS: Final = 20

#: Which sensors tell a measure, the one that has it first: each by its `Id`, or else its name, and what it calls the measure.
Tellers = dict[str, list[tuple[str, str]]]


class Facts(msgspec.Struct):
    """What is known of a device.

    Attributes:
        mac: of the one that announced itself under this topic, "" when none did.
        words: what it says for off and on.
        kind: a guess by what it measures.
        tellers: see `Tellers`.
    """

    topic: str
    mac: str = ""
    name: str = ""
    model: str = ""
    firmware: str = ""
    relay: bool = False
    dimmer: bool = False
    lamp: bool = False
    kind: str = ""
    words: tuple[str, str] = ("OFF", "ON")
    tellers: Tellers = {}

    def follow(self, description: Description) -> None:
        """What is not known yet is taken from a description."""
        self.name = self.name or description.name
        self.model = self.model or description.model
        self.firmware = self.firmware or description.firmware
        self.lamp = self.lamp or description.lamp
        self.dimmer = self.dimmer or description.dimmable
        self.relay = self.relay or description.lamp


def read_announcement(facts: Facts, mac: str, said: Mapping[str, Any]) -> None:
    """Take what an announcement tells; fields of another shape tell nothing."""
    friendly, relays, words = said.get("fn"), said.get("rl"), said.get("state")
    names = [said.get("dn"), *(friendly if isinstance(friendly, list) else [])]
    facts.mac = mac
    facts.name = next((name for name in names if isinstance(name, str) and name), "")
    facts.model = _text(said.get("md"))
    facts.firmware = _text(said.get("sw"))
    if isinstance(relays, list):
        facts.relay = facts.relay or 1 in relays or 2 in relays
        facts.lamp = facts.lamp or 2 in relays
    light = said.get("lt_st")
    facts.dimmer = facts.dimmer or (type(light) is int and light > 0)
    if isinstance(words, list) and len(words) >= 2 and all(isinstance(word, str) and word for word in words[:2]):
        facts.words = (words[0], words[1])


def _text(raw: Any) -> str:
    return raw[:200] if isinstance(raw, str) else ""


def lamp_items(said: Mapping[str, Any], facts: Facts) -> list[Item]:
    """Relay and dimmer of a status or a result. `POWER2` and the like are other lamps, which have no measure of ours."""
    items: list[Item] = []
    # A lamp that is off keeps the level it will have.
    is_off = facts.words[0] in (said.get("POWER"), said.get("POWER1"))
    for key, raw in said.items():
        if key in ("POWER", "POWER1"):
            facts.relay = True
            word = {facts.words[0]: "off", facts.words[1]: "on"}.get(raw, raw) if isinstance(raw, str) else raw
            items.append(("powerState", word if isinstance(word, str) else shorten(word), ""))
        elif key == "Dimmer":
            facts.dimmer = facts.lamp = True
            items.append(("dimmer", 0 if is_off else _no_flag(raw), "%"))
        elif re.fullmatch(r"POWER\d+", key, re.ASCII):
            items.append((key, raw, ""))
    return items


def is_of_lamp(said: Mapping[str, Any]) -> bool:
    """Whether a result tells of the relay or the dimmer that we command."""
    return not said.keys().isdisjoint(("POWER", "POWER1", "Dimmer"))


def refusal(said: Mapping[str, Any]) -> str:
    """What a result says of a command of ours that is none to the device, "" when it says nothing of the kind.

    Older firmware does not tell which command that was.
    """
    word, told = said.get("Command"), said.get("Input", "")
    if word not in ("Unknown", "Error") or not isinstance(told, str):
        return ""
    return f"Command {word} {told}".strip() if told.rstrip("0123456789").casefold() in ("", "power", "dimmer") else ""


def readings(said: Mapping[str, Any], tellers: Tellers) -> list[Item]:
    """Every value of a SENSOR message under a name the catalogue may know; one sensor of each measure has it.

    It keeps it while it says nothing: a series must not become another sensor's. Only one that was never heard beside it takes it
    over when it is gone, as where it was replaced.

    Args:
        said: the message.
        tellers: of the device as known so far; what is new is added.
    """
    items: list[Item] = []
    degrees = said.get("TempUnit")
    told = [(sensor, (_origin(said, sensor), name), raw, unit) for sensor, name, raw, unit in _values(said)]
    present = {teller for _, teller, _, _ in told}
    for sensor, teller, raw, unit in told:
        name = teller[1]
        if raw is None:
            continue
        known = measure_named(name)
        order = [] if known is None else tellers.setdefault(known[0].key, [])
        if known is not None and teller not in order:
            order.insert(len(order) if order and order[0] in present else 0, teller)
            del order[_MOST_TELLERS:]
        if sensor and name == "Temperature" and isinstance(degrees, str):
            unit = degrees
        if order[:1] == [teller]:
            items.append((name, _no_flag(raw), unit))
        else:
            items.append((f"{sensor} {name}".strip(), raw, unit))
    return items


def _origin(said: Mapping[str, Any], sensor: str) -> str:
    """Which sensor that is: the numbers in names are given anew when one is lost."""
    part = said.get(sensor)
    key = part.get("Id") if isinstance(part, dict) else None
    return key if isinstance(key, str) else sensor


def _values(said: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, str]]:
    """Sensor, name, value (None = not known now) and unit; what is not measured left out."""
    for sensor, part in said.items():
        if sensor in _LEFT_OUT or part is None or INPUT.fullmatch(sensor):
            continue
        if not isinstance(part, dict):
            yield "", sensor, part, ""
            continue
        for name, raw in part.items():
            if name in _LEFT_OUT:
                continue
            if sensor != "ENERGY":
                yield sensor, name, raw, ""
            else:
                yield from _metered(name, raw)


def _metered(name: str, raw: Any) -> Iterator[tuple[str, str, Any, str]]:
    """A value of the energy meter; several phases, or several lines of one phase, are a list."""
    plain, unit = _NAMES.get(name, (name, ""))
    if not isinstance(raw, list):
        yield "ENERGY", plain, raw, unit
    elif name in _PHASES and len(raw) == 3:
        for phase, value in zip("RST", raw, strict=True):
            yield "ENERGY", f"{_PHASES[name]}{phase}", value, unit
    elif name in ("Power", "Total") and all(type(value) in (int, float) for value in raw):
        yield "ENERGY", plain, _sum(raw), unit
    else:
        yield "", f"ENERGY {name}", raw, unit


def _sum(values: list[float]) -> float:
    try:
        return sum(map(float, values))
    except OverflowError:
        return float("inf")


def _no_flag(raw: Any) -> Any:
    """True and false are no numbers."""
    return str(raw) if isinstance(raw, bool) else raw


def time_of(said: Mapping[str, Any]) -> str | int | None:
    """The device's time, None where it does not say in which zone."""
    time = said.get("Epoch", said.get("Time"))
    if type(time) is int:
        return time * 1000
    if isinstance(time, str):
        try:
            return time if datetime.fromisoformat(time).tzinfo is not None else None
        except ValueError:
            return None
    return None
