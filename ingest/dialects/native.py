"""The project's own dialect: `ioc/<device>/<channel>`, JSON as `ioc.topics` names it, JPEG for frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from ingest.dialect import Handler, Route, Subscription
from ingest.intake import Intake
from ingest.message import Outgoing
from ingest.payload import leniently, typed
from ioc import topics
from ioc.errors import RejectedError, TopicError
from ioc.model import Announcement, Device
from ioc.values import shorten

NAME: Final = "native"
#: Telemetry items in one message.
MOST_ITEMS: Final = 1000


class _Telemetry(msgspec.Struct):
    """Fields are checked one by one afterwards, so that a bad one costs itself alone."""

    values: dict[str, Any]
    ts: Any = None
    device: Any = None


class _State(msgspec.Struct):
    state: Any
    ts: Any = None
    reason: str = ""
    device: Any = None


class _Result(msgspec.Struct):
    id: int
    ok: bool
    detail: str = ""


class _Announce(msgspec.Struct):
    kind: str
    name: str
    lat: float | None = None
    lon: float | None = None
    parent: str = ""
    firmware: str = ""
    attrs: dict[str, str | int | float | bool | None] = msgspec.field(default_factory=dict)
    device: Any = None


_telemetry = msgspec.json.Decoder(_Telemetry | list[_Telemetry]).decode
_state = msgspec.json.Decoder(_State).decode
_result = msgspec.json.Decoder(_Result).decode
_announce = msgspec.json.Decoder(_Announce).decode


class Native:
    """Decodes native messages into an intake.

    Args:
        reserved: what the ids of other dialects' devices begin with; none of ours may claim such a name.
    """

    name = NAME
    prefix = ""
    # Announcements are never shared: they are retained, and brokers give retained messages to plain subscriptions alone.
    # States are read by one process, since what a last will means depends on the state before it.
    subscriptions: Sequence[Subscription] = (
        Subscription(f"{topics.ROOT}/+/telemetry"),
        Subscription(f"{topics.ROOT}/+/frame/+"),
        Subscription(f"{topics.ROOT}/+/state", "first"),
        Subscription(f"{topics.ROOT}/+/command/result", "first"),
        Subscription(f"{topics.ROOT}/+/announce", "every", retained=True),
    )

    def __init__(self, reserved: frozenset[str] = frozenset()) -> None:
        self._reserved = reserved
        self._handlers: dict[str, Handler] = {
            "telemetry": self._decode_telemetry,
            "state": self._decode_state,
            "command/result": self._decode_result,
            "announce": self._decode_announce,
        }

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        if not topic.startswith(f"{topics.ROOT}/"):
            return None
        try:
            device, channel, time_ms = topics.parse(topic)
        except TopicError as error:
            raise RejectedError("topic", str(error)) from error
        if device.partition(".")[0] in self._reserved:
            raise RejectedError("device", f"{device}: such names belong to devices of another dialect")
        if time_ms is not None:
            return Route(device, NAME, partial(self._decode_frame, time_ms), lasting=False)
        handler = self._handlers.get(channel)
        if handler is None:
            raise RejectedError("topic", f"channel {channel}: devices publish nothing there that is stored")
        return Route(device, NAME, handler)

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """`{"id": order, "light": level}` on the device's command topic; it answers on `command/result`."""
        return [Outgoing(topics.build(device.id, "command"), msgspec.json.encode({"id": order, "light": level}))]

    @staticmethod
    def _decode_frame(time_ms: int, device: str, payload: bytes, intake: Intake) -> None:
        intake.frame(device, time_ms, payload)

    @staticmethod
    def _decode_state(device: str, payload: bytes, intake: Intake) -> None:
        said = typed(_state, payload)
        _same_device(device, said.device)
        intake.state(device, said.ts, said.state, said.reason)

    @staticmethod
    def _decode_telemetry(device: str, payload: bytes, intake: Intake) -> None:
        try:
            said = _telemetry(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = leniently(payload)
        if type(said) is _Telemetry:
            if said.device != device:
                _same_device(device, said.device)
            intake.telemetry(device, said.ts, said.values)
            return
        items: list[Any] = said if isinstance(said, list) else [said]
        if not items:
            raise RejectedError("shape", "an empty list")
        if len(items) > MOST_ITEMS:
            raise RejectedError("size", f"a list of {len(items)}, most is {MOST_ITEMS}")
        for item in items:
            try:
                entry = item if type(item) is _Telemetry else _entry(item)
                _same_device(device, entry.device)
                intake.telemetry(device, entry.ts, entry.values)
            except RejectedError as error:
                intake.fault(error)

    @staticmethod
    def _decode_result(device: str, payload: bytes, intake: Intake) -> None:
        said = typed(_result, payload)
        intake.answer(device, said.id, said.ok, said.detail)

    @staticmethod
    def _decode_announce(device: str, payload: bytes, intake: Intake) -> None:
        if not payload:
            intake.retire(device)
            return
        said = typed(_announce, payload)
        _same_device(device, said.device)
        if said.parent and not topics.DEVICE_ID.fullmatch(said.parent):
            raise RejectedError("value", f"parent: got {shorten(said.parent)}, expected a device id")
        intake.announce(
            Announcement(
                device=device,
                kind=said.kind,
                name=said.name,
                lat=said.lat,
                lon=said.lon,
                parent=said.parent,
                firmware=said.firmware,
                attrs=said.attrs,
                dialect=NAME,
            )
        )


def _entry(item: Any) -> _Telemetry:
    """One telemetry item from parsed JSON.

    Raises:
        RejectedError: `shape`.
    """
    if not isinstance(item, Mapping):
        raise RejectedError("shape", f"got {shorten(item)}, expected an object with ts and values")
    values = item.get("values")
    if not isinstance(values, dict):
        got = "nothing" if values is None else shorten(values)
        raise RejectedError("shape", f"values: got {got}, expected an object of measures")
    return _Telemetry(values=values, ts=item.get("ts"), device=item.get("device"))


def _same_device(device: str, said: Any) -> None:
    if said is not None and said != device:
        raise RejectedError("device", f"device: got {shorten(said)}, but the topic is that of {device}")
