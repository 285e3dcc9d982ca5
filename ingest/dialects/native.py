"""The project's own dialect: `ioc/<device>/<channel>`, JSON as `ioc.topics` names it, JPEG for frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from ingest.intake import Intake
from ingest.values import shorten
from ioc import topics
from ioc.errors import RejectedError, TopicError
from ioc.model import Announcement

NAME: Final = "native"
#: Telemetry items in one message.
MOST_ITEMS: Final = 1000
#: Topics remembered, so that each is parsed once; more than a city has, and a bound all the same.
_MOST_ROUTES: Final = 500_000


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
_announce = msgspec.json.Decoder(_Announce).decode


#: Decodes a payload of a device into an intake.
Handler = Callable[[str, bytes, Intake], None]


class Native:
    """Decodes native messages into an intake."""

    name = NAME

    def __init__(self) -> None:
        self._routes: dict[bytes, tuple[str, Handler]] = {}
        self._handlers: dict[str, Handler] = {
            "telemetry": self._decode_telemetry,
            "state": self._decode_state,
            "announce": self._decode_announce,
        }

    def route(self, raw: bytes) -> tuple[str, Handler]:
        """The device a topic names, and what decodes its payload.

        Raises:
            RejectedError: `encoding` or `topic`.
        """
        known = self._routes.get(raw)
        if known is not None:
            return known
        try:
            device, channel, time_ms = topics.parse(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RejectedError("encoding", f"topic: {error}") from error
        except TopicError as error:
            raise RejectedError("topic", str(error)) from error
        if time_ms is not None:  # every frame has a topic of its own: not remembered
            return device, partial(self._decode_frame, time_ms)
        handler = self._handlers.get(channel)
        if handler is None:
            raise RejectedError("topic", f"channel {channel}: devices publish nothing there that is stored")
        if len(self._routes) >= _MOST_ROUTES:
            self._routes.clear()
        self._routes[raw] = (device, handler)
        return device, handler

    @staticmethod
    def _decode_frame(time_ms: int, device: str, payload: bytes, intake: Intake) -> None:
        intake.frame(device, time_ms, payload)

    @staticmethod
    def _decode_state(device: str, payload: bytes, intake: Intake) -> None:
        said = _typed(_state, payload)
        _same_device(device, said.device)
        intake.state(device, said.ts, said.state, said.reason)

    @staticmethod
    def _decode_telemetry(device: str, payload: bytes, intake: Intake) -> None:
        try:
            said = _telemetry(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            said = _leniently(payload)
        if type(said) is _Telemetry:
            if said.device is not None:
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
    def _decode_announce(device: str, payload: bytes, intake: Intake) -> None:
        if not payload:
            intake.retire(device)
            return
        said = _typed(_announce, payload)
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


def _typed(decode: Any, payload: bytes) -> Any:
    """Decode JSON of a known shape.

    Raises:
        RejectedError: `encoding`, `json` or `shape`.
    """
    try:
        return decode(payload)
    except msgspec.ValidationError as error:
        _utf8(payload)
        raise RejectedError("shape", str(error)) from error
    except UnicodeDecodeError as error:
        raise RejectedError("encoding", f"payload: {error}") from error
    except RecursionError as error:
        raise RejectedError("json", "nested too deep") from error
    except msgspec.MsgspecError as error:
        _utf8(payload)
        raise RejectedError("json", str(error)) from error


def _leniently(payload: bytes) -> Any:
    """Parse what the strict decoder refused as a whole, so that the good values beside a NaN or 1e999 are not lost with it.

    Raises:
        RejectedError: `encoding`, `json`; the strict decoder's complaint says more than the lenient one's.
    """
    text = _utf8(payload)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise RejectedError("json", "nested too deep") from error
    except ValueError as error:
        reason = "expected JSON" if not text.strip() else str(error)
        raise RejectedError("json", reason) from error


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


def _utf8(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RejectedError("encoding", f"payload: {error}") from error
