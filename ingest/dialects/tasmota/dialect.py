"""Tasmota: `tele/<topic>/SENSOR` and the like, `%prefix%/%topic%/` as its firmware comes.

Follows its documentation of MQTT, of JSON status responses and of its own discovery.

Its `Time` is the local time of a zone that every device has set for itself, by default Central Europe's, and that the message
does not name. Such a time would be believed hours off; so it counts as none, and the values are of when they came, which for a
firmware that buffers nothing is when they were measured. Where the device is set to state an offset (SetOption52) or the epoch
(`Time 2`, `Time 3`), that is its time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from ingest.dialect import Description, Handler, Route, Subscription
from ingest.dialects.tasmota.payload import (
    INPUT,
    Facts,
    Tellers,
    is_of_lamp,
    lamp_items,
    read_announcement,
    readings,
    refusal,
    time_of,
)
from ingest.flags import tell_flag
from ingest.guess import kind_of
from ingest.intake import Intake
from ingest.lamps import steps_of
from ingest.lighting import require_lit
from ingest.message import Outgoing
from ingest.payload import an_object, utf8
from ingest.stamps import Item, Stamps
from ioc.catalog import measure_named
from ioc.errors import CommandError, RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id
from ioc.topics import is_exact
from ioc.values import MEASURES_OF, shorten

NAME: Final = "tasmota"
PREFIX: Final = "tasmota"
_MOST_DEVICES: Final = 100_000
#: A relay's state is told twice, on RESULT and on POWER; what is the same again so soon is the second telling.
_ECHO_S: Final = 1.0
#: What sensors tell is remembered under, before the device's topic: no topic that anybody is heard on.
_TELLERS: Final = "$tasmota/"
_MAC: Final = re.compile(r"[0-9A-F]{12}", re.ASCII)


class Tasmota:
    """Decodes what Tasmota firmware says."""

    name = NAME
    prefix = PREFIX
    # All are read by one process: what has been said before decides what is said twice, and what is an event.
    subscriptions: Sequence[Subscription] = (
        Subscription("tele/+/SENSOR", "first"),
        Subscription("tele/+/STATE", "first"),
        Subscription("tele/+/LWT", "first", retained=True),
        Subscription("stat/+/RESULT", "first"),
        Subscription("stat/+/POWER", "first"),
        Subscription("tasmota/discovery/+/config", "first", retained=True),
    )

    def __init__(self) -> None:
        self._facts: dict[str, Facts] = {}
        self._described: dict[str, Description] = {}
        self._announced: dict[str, str] = {}
        self._power: dict[str, tuple[str, datetime]] = {}
        self._stamps = Stamps()
        self._channels: dict[tuple[str, str], Any] = {
            ("tele", "SENSOR"): self._hear_sensor,
            ("tele", "STATE"): self._hear_status,
            ("tele", "LWT"): self._hear_will,
            ("stat", "RESULT"): self._hear_result,
            ("stat", "POWER"): self._hear_power,
        }

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        match topic.split("/"):
            case ["tele" | "stat" as prefix, name, channel] if name and (prefix, channel) in self._channels:
                handle: Handler = partial(self._channels[prefix, channel], name)
                return Route(device_id(PREFIX, name), NAME, handle)
            case ["tasmota", "discovery", mac, "config"]:
                return Route("", NAME, partial(self._hear_announcement, topic, mac), of_now=True)
            case ["$tasmota", name]:
                return Route(device_id(PREFIX, name), NAME, partial(self._recall_tellers, name))
            case ["cmnd", *_]:
                raise RejectedError("topic", f"topic {shorten(topic)}: commands are not stored")
        return None

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """`ON` or `OFF` on `cmnd/<topic>/Power`, and before it 0–100 on `cmnd/<topic>/Dimmer`."""
        del order
        require_lit(device)
        topic = device.attrs.get("topic")
        if not isinstance(topic, str) or "/" in topic or not is_exact(topic) or not device.attrs.get("relay"):
            raise CommandError(f"{device.id} cannot be switched: it has told of no relay")
        messages = [Outgoing(f"cmnd/{topic}/Power", b"ON" if level > 0 else b"OFF")]
        if device.attrs.get("dimmer"):
            if level > 0:
                messages.insert(0, Outgoing(f"cmnd/{topic}/Dimmer", str(steps_of(level, 100)).encode()))
        elif 0 < level < 1:
            raise CommandError(f"{device.id} cannot be dimmed, only switched")
        return messages

    def describe(self, device: str, description: Description, intake: Intake) -> None:
        """What its own announcement does not tell is taken from its Home Assistant configurations."""
        if device in self._described or len(self._described) < _MOST_DEVICES:
            self._described[device] = description
        facts = self._facts.get(device)
        if facts is not None and not facts.mac:
            facts.follow(description)
            intake.discover(_discovery(device, facts))

    def _hear_sensor(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        """Readings by sensor: `{"Time": …, "AM2301": {"Temperature": 27.4, …}, "ENERGY": {…}, "TempUnit": "C"}`."""
        if not payload:
            return
        said = an_object(payload)
        facts = self._known(device, name)
        items = self._measured(name, said, facts, intake)
        facts.kind = facts.kind or kind_of(known[0].key for key, _, _ in items if (known := measure_named(key)))
        intake.discover(_discovery(device, facts))
        stamp = time_of(said)
        for key, raw in said.items():
            if INPUT.fullmatch(key):
                self._hear_input(device, facts, stamp, key, raw, intake)
        self._stamps.measured(intake, device, stamp, items)

    def _measured(self, name: str, said: Mapping[str, Any], facts: Facts, intake: Intake) -> list[Item]:
        """What the sensors measured; which of several has a measure is remembered."""
        if intake.replayed:
            return readings(said, {key: [*order] for key, order in facts.tellers.items()})
        before = _rivals(facts)
        items = readings(said, facts.tellers)
        if (rivals := _rivals(facts)) != before:
            intake.remember(f"{_TELLERS}{name}", msgspec.json.encode(rivals))
        return items

    def _recall_tellers(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        del intake
        self._known(device, name).tellers = msgspec.json.decode(payload, type=Tellers)

    def _hear_status(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        """The device's own status; beside relay and dimmer it is about the firmware and the network."""
        if not payload:
            return
        said = an_object(payload)
        facts = self._known(device, name)
        items = lamp_items(said, facts)
        intake.discover(_discovery(device, facts))
        network = said.get("Wifi")
        if isinstance(network, dict) and "Signal" in network and "rssi" in MEASURES_OF[intake.kinds.get(device, "")]:
            items.append(("rssi", network["Signal"], "dBm"))  # what is called RSSI is a percentage
        self._stamps.measured(intake, device, time_of(said), items)

    def _hear_result(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        """Answers to commands, and changes of relays and switches; of the answers only the lamp's are measured.

        An answer does not say what it answers. How relay and dimmer are now is one to the command that was sent last, and so is
        that such a command is none.
        """
        if payload:
            said = an_object(payload)
            self._hear_change(name, device, said, intake)
            refused = refusal(said)
            if refused or is_of_lamp(said):
                intake.answer(device, None, not refused, refused)

    def _hear_change(self, name: str, device: str, said: Mapping[str, Any], intake: Intake) -> None:
        facts = self._known(device, name)
        items = lamp_items(said, facts)
        for key, raw in said.items():
            if INPUT.fullmatch(key):
                self._hear_input(device, facts, None, key, raw.get("Action") if isinstance(raw, dict) else raw, intake)
        intake.discover(_discovery(device, facts))
        new = [item for item in items if intake.replayed or not self._is_echo(device, item, intake.received)]
        intake.measured(device, None, new)

    def _hear_power(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        """The relay's state as a bare word; as JSON where results are told on topics of their own (SetOption4)."""
        text = utf8(payload).strip()
        if text.startswith("{"):
            self._hear_result(name, device, payload, intake)
        elif text:
            self._hear_change(name, device, {"POWER": text}, intake)

    def _hear_will(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        if not payload:
            return
        word = utf8(payload).strip()
        if word not in ("Online", "Offline"):
            raise RejectedError("value", f"LWT: got {shorten(word)}, expected Online or Offline")
        intake.discover(_discovery(device, self._known(device, name)))
        intake.state(device, None, "online" if word == "Online" else "offline", "LWT")

    def _hear_announcement(self, topic: str, mac: str, device: str, payload: bytes, intake: Intake) -> None:
        """What Tasmota announces of itself: retained, and remembered because its words for on and off may be others."""
        del device
        if not payload:
            intake.remember(topic, None)
            self._announced = {name: owner for name, owner in self._announced.items() if owner != mac}
            return
        said = an_object(payload)
        name = said.get("t")
        if not isinstance(name, str) or "/" in name or not is_exact(name):
            raise RejectedError("value", f"t: got {shorten(name)}, expected a topic of one level")
        if not _MAC.fullmatch(mac) or said.get("mac", mac) != mac:
            raise RejectedError(
                "device", f"mac: got {shorten(said.get('mac'))}, but the topic is that of {shorten(mac)}"
            )
        form, prefixes = said.get("ft", "%prefix%/%topic%/"), said.get("tp", ["cmnd", "stat", "tele"])
        if form not in ("%prefix%/%topic%/", "%prefix%/%topic%") or prefixes != ["cmnd", "stat", "tele"]:
            expected = "expected %prefix%/%topic%/ with cmnd, stat and tele: set FullTopic and Prefix1 to Prefix3 so"
            raise RejectedError("topic", f"FullTopic {shorten(form)}: {expected}")
        if self._announced.get(name, mac) != mac or (
            name not in self._announced and len(self._announced) >= _MOST_DEVICES
        ):
            raise RejectedError("device", f"topic {shorten(name)} is that of {self._announced.get(name)} already")
        self._announced[name] = mac
        key = device_id(PREFIX, name)
        facts = self._known(key, name)
        read_announcement(facts, mac, said)
        intake.remember(topic, payload)
        intake.discover(_discovery(key, facts))

    def _hear_input(
        self, device: str, facts: Facts, stamp: str | int | None, key: str, raw: Any, intake: Intake
    ) -> None:
        if isinstance(raw, str) and raw in facts.words:
            tell_flag(intake, device, stamp, key, what="input", on=raw == facts.words[1])

    def _is_echo(self, device: str, item: Item, now: datetime) -> bool:
        """Whether this was told a moment ago on the other topic."""
        key, raw = f"{device} {item[0]}", shorten(item[1])
        last = self._power.get(key)
        if len(self._power) >= _MOST_DEVICES:
            self._power.clear()
        self._power[key] = (raw, now)
        return last is not None and last[0] == raw and 0 <= (now - last[1]).total_seconds() < _ECHO_S

    def _known(self, device: str, topic: str) -> Facts:
        facts = self._facts.get(device)
        if facts is None:
            facts = Facts(topic)
            if device in self._described:
                facts.follow(self._described[device])
            if len(self._facts) < _MOST_DEVICES:
                self._facts[device] = facts
        return facts


def _rivals(facts: Facts) -> Tellers:
    """The sensors of those measures that several tell."""
    return {key: [*order] for key, order in facts.tellers.items() if len(order) > 1}


def _discovery(device: str, facts: Facts) -> Discovery:
    attrs: dict[str, str | int | float | bool | None] = {"topic": facts.topic}
    attrs |= {key: text for key, text in (("mac", facts.mac), ("model", facts.model)) if text}
    attrs |= {key: True for key, known in (("relay", facts.relay), ("dimmer", facts.dimmer)) if known}
    return Discovery(
        device=device,
        dialect=NAME,
        name=facts.name or facts.topic,
        kind="streetlight" if facts.lamp else facts.kind,
        firmware=facts.firmware,
        attrs=attrs,
    )
