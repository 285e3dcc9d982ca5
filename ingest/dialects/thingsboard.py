"""ThingsBoard's MQTT Gateway API: one gateway speaks for many devices, on topics that are the same for all gateways.

    v1/gateway/telemetry             {"lamp 1": [{"ts": 1700000000000, "values": {"power": 41}}, {"power": 42}], …}
    v1/gateway/attributes            {"lamp 1": {"fw_version": "1.0", "battery": 87}, …}
    v1/gateway/connect, disconnect   {"device": "lamp 1", "type": "lamp"}
    v1/gateway/rpc                   to the gateway {"device": …, "data": {"id": …, "method": …, "params": …}},
                                     its answer     {"device": …, "id": …, "data": {"success": true}}

The topics name neither gateway nor device. So any gateway can speak of any device of this dialect, and the broker's access list
cannot hold one to its own: who may publish below `v1/gateway` is trusted with all of them. A gateway's own data
(`v1/devices/me/…`) is not taken, because nothing in it says whose it is. After thingsboard.io, "MQTT Gateway API reference".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from unicodedata import category

import msgspec

from ingest.dialect import Handler, Route, Subscription
from ingest.intake import Intake, is_order
from ingest.lighting import noted, require_lit
from ingest.message import Outgoing
from ingest.payload import an_object
from ingest.verdict import verdict
from ioc.catalog import measure_named
from ioc.errors import RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id
from ioc.values import shorten

NAME: Final = "thingsboard"
PREFIX: Final = "tb"
ROOT: Final = "v1/gateway/"
#: What a lamp's gateway is asked to do; its `params` is the level, 0 to 1.
METHOD: Final = "setLight"
#: Telemetry items, or devices, in one message.
MOST_ITEMS: Final = 1000
#: Attributes kept of one device.
MOST_ATTRS: Final = 40
#: Devices whose attributes are remembered, so that what one message told is not forgotten at the next.
_MOST_DEVICES: Final = 100_000
_FIRMWARE: Final = frozenset({"fwversion", "firmware", "firmwareversion", "currentfirmwareversion", "currentfwversion"})
#: Progress of updates, which ThingsBoard has devices report among their telemetry.
_ADMINISTRATIVE: Final = ("current_fw_", "current_sw_", "target_fw_", "target_sw_", "fw_", "sw_")


class ThingsBoard:
    """Decodes what gateways say, and asks them to light lamps."""

    name = NAME
    prefix = PREFIX
    # What becomes a state is read by one process, in its order.
    subscriptions: Sequence[Subscription] = (
        Subscription(f"{ROOT}telemetry"),
        Subscription(f"{ROOT}attributes"),
        Subscription(f"{ROOT}connect", "first"),
        Subscription(f"{ROOT}disconnect", "first"),
        Subscription(f"{ROOT}rpc", "first"),
    )

    def __init__(self) -> None:
        self._known: dict[str, Discovery] = {}
        self._routes: dict[str, Route] = {
            f"{ROOT}{channel}": Route("", NAME, handler)
            for channel, handler in dict[str, Handler](
                telemetry=self._decode_telemetry,
                attributes=self._decode_attributes,
                connect=self._decode_connect,
                disconnect=self._decode_disconnect,
                rpc=self._decode_rpc,
            ).items()
        }

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        if not topic.startswith(ROOT):
            return None
        route = self._routes.get(topic)
        if route is None:
            raise RejectedError("topic", f"topic {topic!r}: gateways say nothing there that is stored")
        return route

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """A call of `setLight` with the level as its parameter; the gateway answers with the number of the order."""
        require_lit(device)
        call = {"device": noted(device, "device"), "data": {"id": order, "method": METHOD, "params": level}}
        return [Outgoing(f"{ROOT}rpc", msgspec.json.encode(call))]

    def _decode_telemetry(self, _: str, payload: bytes, intake: Intake) -> None:
        said = {name: raw if isinstance(raw, list) else [raw] for name, raw in an_object(payload).items()}
        count = sum(max(1, len(items)) for items in said.values())
        if count > MOST_ITEMS:
            raise RejectedError("size", f"{count} items, most is {MOST_ITEMS}")
        for name, items in said.items():
            for item in items:
                try:
                    self._store_item(name, item, intake)
                except RejectedError as error:
                    intake.fault(error)

    def _store_item(self, name: str, item: Any, intake: Intake) -> None:
        """One item of a device: values with their time, or values alone."""
        if not isinstance(item, Mapping):
            raise RejectedError("shape", f"{shorten(name)}: got {shorten(item)}, expected an object of values")
        stamp, values = item.get("ts"), item.get("values")
        if not isinstance(values, Mapping):
            if values is not None:
                raise RejectedError("shape", f"{shorten(name)}: values: got {shorten(values)}, expected an object")
            values = {key: value for key, value in item.items() if key != "ts"}
        firmware = next(
            (value for key, value in values.items() if _plain(key) in _FIRMWARE and isinstance(value, str)), ""
        )
        device = self._met(name, intake, firmware=firmware)
        intake.measured(
            device, stamp, [(key, value, "") for key, value in values.items() if not _is_administrative(key)]
        )

    def _decode_attributes(self, _: str, payload: bytes, intake: Intake) -> None:
        said = an_object(payload)
        if said.keys() == {"device", "data"} and isinstance(said["device"], str):
            return  # not from a gateway: how the platform tells one of changed shared attributes, on the same topic
        if len(said) > MOST_ITEMS:
            raise RejectedError("size", f"{len(said)} devices, most is {MOST_ITEMS}")
        for name, attributes in said.items():
            try:
                self._store_attributes(name, attributes, intake)
            except RejectedError as error:
                intake.fault(error)

    def _store_attributes(self, name: str, attributes: Any, intake: Intake) -> None:
        """Attributes describe a device; those that the catalogue knows as measures are values, without a time."""
        if not isinstance(attributes, Mapping):
            raise RejectedError(
                "shape", f"{shorten(name)}: got {shorten(attributes)}, expected an object of attributes"
            )
        measured: list[tuple[str, Any, str]] = []
        attrs: dict[str, str | int | float | bool | None] = {}
        firmware = ""
        for key, value in attributes.items():
            if measure_named(key) is not None:
                measured.append((key, value, ""))
            elif _plain(key) in _FIRMWARE and isinstance(value, str):
                firmware = value
            elif _is_plain_value(value):
                attrs[key] = value
            else:
                intake.fault(
                    RejectedError("shape", f"attribute {shorten(key)}: got {shorten(value)}, expected one value")
                )
        device = self._met(name, intake, firmware=firmware, attrs=attrs)
        intake.measured(device, None, measured)

    def _decode_connect(self, _: str, payload: bytes, intake: Intake) -> None:
        said = an_object(payload)
        kind = said.get("type")
        device = self._met(said.get("device"), intake, attrs={"type": kind} if isinstance(kind, str) else {})
        intake.state(device, None, "online", "connected")

    def _decode_disconnect(self, _: str, payload: bytes, intake: Intake) -> None:
        device = self._met(an_object(payload).get("device"), intake)
        intake.state(device, None, "offline", "disconnected")

    def _decode_rpc(self, _: str, payload: bytes, intake: Intake) -> None:
        said = an_object(payload)
        answer = said.get("data")
        if "id" not in said:
            if isinstance(answer, Mapping) and "method" in answer:
                return  # a call, ours or another server's: calls and answers share the topic
            raise RejectedError("shape", "id: got nothing, expected the number of the call that is answered")
        device = self._met(said.get("device"), intake)
        ok, why = verdict(answer)
        if is_order(said["id"]):
            intake.answer(device, said["id"], ok, why)
        else:
            intake.measured(device, None, ())  # another server numbers its calls otherwise
        if not ok:
            call = shorten(said["id"])
            intake.event(device, None, "fault", f"rpc {call}", {"call": call, "error": why[:200]})

    def _met(
        self,
        name: Any,
        intake: Intake,
        *,
        firmware: str = "",
        attrs: Mapping[str, str | int | float | bool | None] | None = None,
    ) -> str:
        """The id of a device that a gateway speaks of; what was learnt of it before is kept beside what is new.

        Raises:
            RejectedError: `device` or `encoding`, when that is no name.
        """
        if not isinstance(name, str) or not name:
            got = "nothing" if name in (None, "") else shorten(name)
            raise RejectedError("device", f"device: got {got}, expected its name")
        if len(name) > 255:
            raise RejectedError("device", f"device: a name of {len(name)} characters, most is 255")
        if any(category(character) in ("Cc", "Cs") for character in name):
            raise RejectedError("encoding", f"device: got {shorten(name)}, a name with control characters")
        known = self._known.get(name)
        if known is None:
            if len(self._known) >= _MOST_DEVICES:
                self._known.clear()
            known = Discovery(device_id(PREFIX, name), NAME, name, attrs={"device": name})
            self._known[name] = known
        if attrs or firmware not in ("", known.firmware):
            more = dict(list((known.attrs | dict(attrs or {})).items())[:MOST_ATTRS])
            # The name is what commands are sent to: an attribute called "device" must not change it.
            known = msgspec.structs.replace(known, firmware=firmware or known.firmware, attrs=more | {"device": name})
            self._known[name] = known
        intake.discover(known)
        return known.device


def _is_administrative(key: str) -> bool:
    return key.startswith(_ADMINISTRATIVE) and measure_named(key) is None


def _is_plain_value(value: Any) -> bool:
    """Whether a device's attributes can hold it; PostgreSQL's JSON holds no infinite numbers."""
    if isinstance(value, float):
        return value - value == 0
    return value is None or isinstance(value, str | bool) or (isinstance(value, int) and abs(value) < 2**63)


def _plain(key: str) -> str:
    return "".join(character for character in key.casefold() if character.isalnum())
