"""FIWARE's IoT Agent for JSON, over MQTT.

    /json/<api key>/<device>/attrs               {"h": 70, "t": 15, "TimeInstant": "2026-07-01T05:00:00Z"}, or a list of such
    /json/<api key>/<device>/attrs/<attribute>   70
    /<api key>/<device>/cmd                      {"light": 0.4}            to the device
    /json/<api key>/<device>/cmdexe              {"light": "ok"}           its answer

An answer names the command and no number, and has the device's own words for yes and no (`ingest.verdict`).

An api key stands for a service (a group of devices), and two services may have devices of the same name. The key is also a secret
of that service, so a device's id holds a hash of it. After the "User & Programmers Manual" of iotagent-json.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from ingest.dialect import Route, Subscription
from ingest.intake import Intake
from ingest.lighting import noted, require_lit
from ingest.message import Outgoing
from ingest.payload import an_object, leniently, utf8
from ingest.verdict import verdict
from ioc.errors import RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id
from ioc.values import shorten

NAME: Final = "fiware"
PREFIX: Final = "fiware"
ROOT: Final = "/json/"
#: What a lamp is told.
COMMAND: Final = "light"
#: The attribute that says when the others were measured.
TIME: Final = "TimeInstant"
#: Objects in one message.
MOST_ITEMS: Final = 1000
#: Characters of an api key or a device's name.
MOST_NAME: Final = 255


class Fiware:
    """Decodes measures and answers, and commands lamps."""

    name = NAME
    prefix = PREFIX
    subscriptions: Sequence[Subscription] = (
        Subscription(f"{ROOT}+/+/attrs"),
        Subscription(f"{ROOT}+/+/attrs/+"),
        Subscription(f"{ROOT}+/+/cmdexe"),
    )

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        if not topic.startswith(ROOT):
            return None
        match topic.split("/")[2:]:
            case [key, name, "attrs"] if key and name:
                handle = self._decode_measures
            case [key, name, "attrs", attribute] if key and name and attribute:
                handle = partial(self._decode_single, attribute)
            case [key, name, "cmdexe"] if key and name:
                handle = self._decode_answer
            case _:
                raise RejectedError(
                    "topic", f"topic {topic!r}: expected /json/<api key>/<device>/attrs, attrs/<attribute> or cmdexe"
                )
        if len(key) > MOST_NAME or len(name) > MOST_NAME:
            raise RejectedError("topic", f"an api key or device of more than {MOST_NAME} characters")
        service = hashlib.sha256(key.encode()).hexdigest()[:8]
        known = Discovery(
            device_id(PREFIX, name, service), NAME, name, attrs={"device": name, "api_key": key, "service": service}
        )
        return Route(known.device, NAME, partial(_met, known, handle))

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """`{"light": level}` on the device's command topic; it answers on `cmdexe`."""
        del order
        require_lit(device)
        topic = f"/{noted(device, 'api_key')}/{noted(device, 'device')}/cmd"
        return [Outgoing(topic, msgspec.json.encode({COMMAND: level}))]

    @staticmethod
    def _decode_measures(device: str, payload: bytes, intake: Intake) -> None:
        said = leniently(payload)
        items: list[Any] = said if isinstance(said, list) else [said]
        if not items:
            raise RejectedError("shape", "an empty list")
        if len(items) > MOST_ITEMS:
            raise RejectedError("size", f"a list of {len(items)}, most is {MOST_ITEMS}")
        for item in items:
            try:
                if not isinstance(item, Mapping):
                    raise RejectedError("shape", f"got {shorten(item)}, expected an object of attributes")  # noqa: TRY301
                values = [(key, value, "") for key, value in item.items() if key != TIME]
                intake.measured(device, item.get(TIME), values)
            except RejectedError as error:
                intake.fault(error)

    @staticmethod
    def _decode_single(attribute: str, device: str, payload: bytes, intake: Intake) -> None:
        if attribute == TIME:
            return  # a time of nothing
        try:
            value = leniently(payload)
        except RejectedError as error:
            if error.reason != "json":
                raise
            value = utf8(payload)  # a bare word
        intake.measured(device, None, [(attribute, value, "")])

    @staticmethod
    def _decode_answer(device: str, payload: bytes, intake: Intake) -> None:
        said = an_object(payload)
        if COMMAND in said:
            ok, why = verdict(said[COMMAND])
            intake.answer(device, None, ok, why)
        else:
            intake.measured(device, None, ())  # to a command of somebody else; that it answers shows that it lives


def _met(known: Discovery, handle: Any, device: str, payload: bytes, intake: Intake) -> None:
    intake.discover(known)
    handle(device, payload, intake)
