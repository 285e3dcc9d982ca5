"""ChirpStack v4, a LoRaWAN network server: `application/<id>/device/<devEui>/event/<event>`, JSON.

After its documentation of MQTT and of events (chirpstack.io/docs/chirpstack/integrations) and its `integration.proto`. The values
of a device are what its codec made of them (`object`), under the names it gave them: looked up in the catalogue with what they
lie in, else by their last name alone where no other value has the same. Signal and battery are the network's to tell; they are
stored of kinds that report them.

A lamp is told to shine by a downlink whose `object` is `{"light": 0–1, "dim": 0–100}`, for its codec to encode. Tags of the
device or its profile change that: `light_port` is the FPort, `light_key` the one name under which the percentage is sent instead.
The tag `kind` says what kind of device it is, as long as no person has.

The downlink's id carries the number of the command, and the events that speak of it name that id: `ack` once the device has
acknowledged it or did not in time, `log` when the network server discards it. `txack` says that a gateway has sent it over the
air, which proves nothing that the chain of a command holds.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from ingest.dialect import Route, Subscription
from ingest.fields import text
from ingest.flat import flat
from ingest.intake import Intake, is_order
from ingest.message import Outgoing
from ingest.payload import an_object
from ioc.catalog import KINDS, measure_named
from ioc.errors import CommandError, RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id
from ioc.values import shorten

NAME: Final = "chirpstack"
_PREFIX: Final = "lora"
_DEV_EUI: Final = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)
_MOST_TAGS: Final = 40
#: The FPort of a lamp's downlinks unless its tag says another, and the last one that applications may use.
_LIGHT_PORT: Final = 10
_LAST_PORT: Final = 223
#: What the battery byte of LoRaWAN is when there is no level.
_NO_LEVEL: Final = 255
#: Upper half of the ids that our downlinks have; the lower is the number of the command.
_OURS: Final = 0x74687564_75632D69 << 64

#: Device, payload and intake.
_Decoder = Callable[[str, Mapping[str, Any], Intake], None]


class Chirpstack:
    """Decodes the events of ChirpStack's MQTT integration; each stands for itself."""

    name = NAME
    prefix = _PREFIX
    subscriptions: Sequence[Subscription] = (Subscription("application/+/device/+/event/+"),)

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        match topic.split("/"):
            case ["application", application, "device", dev_eui, "event", event]:
                if not _DEV_EUI.fullmatch(dev_eui):
                    raise RejectedError("topic", f"devEui: got {shorten(dev_eui)}, expected 16 hexadecimal digits")
                decode = _EVENTS.get(event)
                if decode is None:
                    raise RejectedError("topic", f"event: got {shorten(event)}, expected one of {', '.join(_EVENTS)}")
                return Route(device_id(_PREFIX, dev_eui.lower()), NAME, partial(_decode, application, dev_eui, decode))
        return None

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """A confirmed downlink; its id carries the order, so that its acknowledgement names it."""
        kind, attrs = KINDS.get(device.kind), device.attrs
        if kind is None or not kind.lit:
            raise CommandError(f"{device.id}: got a {device.kind or 'device of no kind yet'}, expected a lamp")
        application, dev_eui, key = attrs.get("application"), attrs.get("devEui"), attrs.get("light_key")
        if not application or not dev_eui:
            raise CommandError(
                f"{device.id}: its application and devEui are not known; they come with its next message"
            )
        percent = round(level * 100)
        command = {
            "id": str(uuid.UUID(int=_OURS | order)),
            "devEui": dev_eui,
            "confirmed": True,
            "fPort": _port(device),
            "object": {str(key): percent} if key else {"light": level, "dim": percent},
        }
        return [Outgoing(f"application/{application}/device/{dev_eui}/command/down", msgspec.json.encode(command))]


def _port(device: Device) -> int:
    said = device.attrs.get("light_port", _LIGHT_PORT)
    if str(said).isdecimal() and len(str(said)) <= 3 and 1 <= int(str(said)) <= _LAST_PORT:
        return int(str(said))
    raise CommandError(
        f"{device.id}: light_port: got {shorten(said)}, expected 1 to {_LAST_PORT}; mend the tag in ChirpStack"
    )


def _decode(application: str, dev_eui: str, decode: _Decoder, device: str, payload: bytes, intake: Intake) -> None:
    said = an_object(payload)
    info = said.get("deviceInfo")
    if not isinstance(info, dict):
        got = "nothing" if info is None else shorten(info)
        raise RejectedError("shape", f"deviceInfo: got {got}, expected an object, as ChirpStack v4 sends in JSON")
    for key, ours in (("devEui", dev_eui), ("applicationId", application)):
        its = info.get(key)
        if not isinstance(its, str) or its.lower() != ours.lower():
            raise RejectedError("device", f"{key}: got {shorten(its)}, but the topic is that of {shorten(ours)}")
    intake.discover(_discovery(device, application, dev_eui, info))
    decode(device, said, intake)


def _discovery(device: str, application: str, dev_eui: str, info: Mapping[str, Any]) -> Discovery:
    tags = info.get("tags")
    attrs: dict[str, str | int | float | bool | None] = {}
    if isinstance(tags, dict):
        attrs = {key: value for key, value in list(tags.items())[:_MOST_TAGS] if isinstance(value, str)}
    name, kind = _text(info.get("deviceName")), _text(attrs.get("kind"))
    return Discovery(
        device=device,
        dialect=NAME,
        name=name or dev_eui,
        kind=kind if kind in KINDS else "",
        attrs=attrs | {"application": application, "devEui": dev_eui, "profile": _text(info.get("deviceProfileName"))},
    )


# --- one function an event ---


def _up(device: str, said: Mapping[str, Any], intake: Intake) -> None:
    """Values that the codec decoded, and the best signal at which a gateway heard them."""
    decoded, size = said.get("object"), _size(said.get("data"))
    items = []
    if isinstance(decoded, dict):
        items = _named(flat(decoded))
    elif decoded is not None:
        intake.fault(RejectedError("shape", f"object: got {shorten(decoded)}, expected an object of values"))
    elif size:
        profile = said["deviceInfo"].get("deviceProfileName")
        detail = f"{size} bytes on fPort {shorten(said.get('fPort'))} that were not decoded"
        intake.fault(
            RejectedError("measure", f"{detail}; give the device profile {shorten(profile)} a codec in ChirpStack")
        )
    gateways = said.get("rxInfo")
    heard = [one.get("rssi") for one in gateways if isinstance(one, dict)] if isinstance(gateways, list) else []
    signals = [rssi for rssi in heard if isinstance(rssi, int | float) and not isinstance(rssi, bool)]
    if signals and _reports(device, "rssi", intake):
        items.append(("rssi", max(signals), "dBm"))
    _measured(device, said, items, intake)


def _status(device: str, said: Mapping[str, Any], intake: Intake) -> None:
    """The battery in per cent, unless the device hangs on the mains or cannot tell."""
    level = said.get("batteryLevel")
    untold = said.get("externalPowerSource") is True or said.get("batteryLevelUnavailable") is True
    if untold or level is None or level == _NO_LEVEL or not _reports(device, "batteryLevel", intake):
        _measured(device, said, [], intake)
    else:
        _measured(device, said, [("batteryLevel", level, "%")], intake)


def _join(device: str, said: Mapping[str, Any], intake: Intake) -> None:
    """It joined the network, so it is there."""
    address = _text(said.get("devAddr"))
    intake.event(device, said.get("time"), "joined", address, {"devAddr": address})
    intake.state(device, said.get("time"), "online", "joined")


def _log(device: str, said: Mapping[str, Any], intake: Intake) -> None:
    """What the network server found wrong, which says nothing of whether the device lives."""
    if said.get("level") != "ERROR":
        return
    code, context = _text(said.get("code")), said.get("context")
    data = {name: _text(value) for name, value in (flat(context) if isinstance(context, dict) else {}).items()}
    description = _text(said.get("description"))
    data |= {"code": code, "description": description}
    intake.event(device, said.get("time"), "fault", code, data, spoke=False)
    order = _order_of(data.get("queue_item_id"))
    if order is not None:
        intake.answer(device, order, ok=False, detail=description or code, spoke=False)


def _ack(device: str, said: Mapping[str, Any], intake: Intake) -> None:
    """Whether a confirmed downlink arrived; that the network heard nothing in time is a fault."""
    item = _text(said.get("queueItemId"))
    order = _order_of(item)
    if said.get("acknowledged") is True:
        _measured(device, said, [], intake)
        if order is not None:
            intake.answer(device, order, ok=True)
        return
    data = {"code": "DOWNLINK_NOT_ACKNOWLEDGED", "queueItemId": item}
    intake.event(device, said.get("time"), "fault", f"downlink {item}", data, spoke=False)
    if order is not None:
        intake.answer(device, order, ok=None, detail="unacknowledged", spoke=False)


def _order_of(item: Any) -> int | None:
    """The command whose downlink this is, None when it is not one of ours."""
    try:
        number = uuid.UUID(item).int if isinstance(item, str) else 0
    except ValueError:
        return None
    order = number & (2**64 - 1)
    return order if number - order == _OURS and is_order(order) else None


def _nothing(device: str, said: Mapping[str, Any], intake: Intake) -> None:
    """Administrative: nothing of it is stored."""
    del device, said, intake


_EVENTS: Final[dict[str, _Decoder]] = {
    "up": _up,
    "status": _status,
    "join": _join,
    "log": _log,
    "ack": _ack,
    "txack": _nothing,
    "location": _nothing,  # where the network takes it to be, to some hundred metres; a person places it
    "integration": _nothing,  # what ChirpStack's other integrations say
}


def _measured(device: str, said: Mapping[str, Any], items: list[tuple[str, Any, str]], intake: Intake) -> None:
    """Store values at the time at which the network server received them; without any the device was heard of then."""
    stamp = said.get("time")
    if items or stamp is None:
        intake.measured(device, stamp, items)
    else:
        intake.telemetry(device, stamp, {})


def _named(values: Mapping[str, Any]) -> list[tuple[str, Any, str]]:
    """Values by the names under which they are looked up, their units not stated; empty ones are none."""
    last = Counter(name.rpartition(".")[2] for name in values)
    items = []
    for name, value in values.items():
        if value is None:
            continue
        short = name.rpartition(".")[2]
        alone = last[short] == 1 and measure_named(name) is None and measure_named(short) is not None
        items.append((short if alone else name, value, ""))
    return items


def _reports(device: str, measure: str, intake: Intake) -> bool:
    """Whether the device's kind has the measure; one without a kind may have any."""
    kind = intake.kinds.get(device, "")
    return kind not in KINDS or measure in KINDS[kind].measures


def _size(data: Any) -> int:
    """Bytes of an application's payload, 0 when there is none."""
    try:
        return len(base64.b64decode(data, validate=True)) if isinstance(data, str) else 0
    except (binascii.Error, ValueError):
        return len(data)


def _text(raw: Any) -> str:
    return text(raw) or ""
