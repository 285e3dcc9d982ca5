"""ONVIF events as JSON, which cameras publish themselves: `<prefix>/onvif-ej/<topic>/&<source>`.

After "Event Broker" of the ONVIF Core Specification and the rules of the Analytics Service Specification. The prefix names the
camera and must be one level here. The namespace `tns1` is dropped from the topic by the standard, but not by every camera; items
are `{"name": "value"}` by the standard, and `{"SimpleItem": [{"Name": …, "Value": …}]}` from some. Quotes around numbers and
truth values may be left out, so the value counts and not its quotes.

A property (motion, an object in a zone, an input) is told of when it begins to hold, and when it holds no more or is deleted,
which is an empty payload. That is one event, at its beginning; its end completes it. An end whose beginning was not told is
nothing to store. Who was recognised, by face or licence plate, is personal data and left out.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from ingest.dialect import Route, Subscription
from ingest.flat import flat
from ingest.intake import Intake
from ingest.message import Outgoing
from ingest.payload import an_object
from ioc.errors import CommandError, RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id
from ioc.values import shorten

NAME: Final = "onvif"
_MARK: Final = "onvif-ej"
#: Kind of event by the beginning of the topic; the first that fits.
_KINDS: Final = (
    ("RuleEngine/LineDetector", "line"),
    ("RuleEngine/FieldDetector", "zone"),
    ("RuleEngine/LoiteringDetector", "zone"),
    ("RuleEngine/CellMotionDetector", "motion"),
    ("RuleEngine/MotionRegionDetector", "motion"),
    ("VideoSource/MotionAlarm", "motion"),
    ("RuleEngine/ObjectDetection", "object"),
    ("RuleEngine/Recognition", "object"),
    ("RuleEngine/TamperDetector", "tamper"),
    ("VideoSource/GlobalSceneChange", "tamper"),
    ("VideoSource/ImageTooBlurry", "tamper"),
    ("VideoSource/ImageTooDark", "tamper"),
    ("VideoSource/ImageTooBright", "tamper"),
    ("VideoSource/SignalLoss", "fault"),
    ("Device/HardwareFailure", "fault"),
    ("Device/Trigger/DigitalInput", "input"),
)
#: Objects inside now, and objects since the counter was last set to nought.
_OCCUPANCY: Final = "RuleEngine/CountAggregation/OccupancyCounter"
_COUNTER: Final = "RuleEngine/CountAggregation/Counter"
#: Uptime, load, settings: nothing of the city.
_ADMINISTRATIVE: Final = ("Monitoring", "Configuration", "Media", "EventBuffer")
_PERSONAL: Final = "RuleEngine/Recognition"
#: Items that say whether a property holds.
_STATE: Final = re.compile(r"(?:\w+:)?(?:State|LogicalState|Failed|state|[Ii]s[A-Z]\w*)", re.ASCII)
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)
#: Readers of JSON keep integers exact below it.
_LARGEST: Final = 2**53
_TRUTHS: Final = {"true": True, "false": False}
_LOGICAL: Final = {"active": True, "inactive": False}
#: Properties of the whole city that hold at once.
_MOST_HOLDING: Final = 100_000
#: Bytes of a beginning that the next process is told of.
_MOST_REMEMBERED: Final = 16_384


class _Holding(msgspec.Struct, frozen=True):
    """A property that holds: the event of its beginning."""

    time: datetime
    source: str
    data: dict[str, Any]


class Onvif:
    """Decodes the events of ONVIF cameras. One process reads them, because an end refers to its beginning."""

    name = NAME
    prefix = "onvif"
    # What is retained was told when it began.
    subscriptions: Sequence[Subscription] = (Subscription(f"+/{_MARK}/#", "first"),)

    def __init__(self) -> None:
        #: By MQTT topic, which is a property's own.
        self._holding: dict[str, _Holding] = {}

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        prefix, _, rest = topic.partition("/")
        mark, _, rest = rest.partition("/")
        if mark != _MARK:
            return None
        named, _, _ = rest.partition("/&")
        local = "/".join(level.removeprefix("tns1:") for level in named.split("/"))
        if not prefix or not local.strip("/") or local.startswith("&"):
            raise RejectedError("topic", f"topic {shorten(topic)}: expected <prefix>/{_MARK}/<topic>/&<source>")
        return Route(device_id("onvif", prefix), NAME, partial(self._decode, prefix, topic, local))

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """Refused."""
        del level, order
        raise CommandError(f"{device.id}: an ONVIF camera has no lamp to be lit over MQTT")

    def _decode(self, prefix: str, topic: str, local: str, device: str, payload: bytes, intake: Intake) -> None:
        intake.discover(Discovery(device=device, dialect=NAME, name=prefix, kind="camera", attrs={"prefix": prefix}))
        if not payload:
            self._end(topic, local, device, None, intake)
            return
        said = an_object(payload)
        stamp = _utc(said.get("UtcTime"))
        source, data = _items(said.get("Source"), "Source"), _items(said.get("Data"), "Data")
        if local.partition("/")[0] in _ADMINISTRATIVE:
            _hear(device, stamp, intake)
        elif local in (_OCCUPANCY, _COUNTER):
            # A rule that bears the name of a measure is one; every other waits in quarantine for somebody to say what it counts.
            rule = str(source.get("Rule", ""))
            name = rule if local == _OCCUPANCY and rule else f"{local.rpartition('/')[2]} {rule}"
            intake.measured(device, stamp, [(name, data.get("Count"), "")])
        elif (holds := _holds(data)) is False:
            self._end(topic, local, device, stamp, intake)
        else:
            told = {**source, **({} if local.startswith(_PERSONAL) else data), "topic": local}
            if holds is None:
                intake.event(device, stamp, _kind(local), _source(local, source, data.get("ObjectId")), told)
            elif self._begin(
                topic, local, device, stamp, _Holding(intake.received, _source(local, source), told), intake
            ):
                intake.remember(topic, payload if len(payload) <= _MOST_REMEMBERED else None)

    def _begin(self, topic: str, local: str, device: str, stamp: Any, now: _Holding, intake: Intake) -> bool:
        """A property holds; whether that is new. Of one that held before the objects may be others."""
        before = None if intake.replayed else self._holding.get(topic)
        if before is not None:
            time = before.time
            intake.event(
                device, time.isoformat(), _kind(local), before.source, now.data, told=stamp, spoke=stamp is not None
            )
            self._holding[topic] = _Holding(time, before.source, now.data)
            return False
        time = intake.event(device, stamp, _kind(local), now.source, now.data)
        if intake.replayed or len(self._holding) >= _MOST_HOLDING:
            return False
        self._holding[topic] = _Holding(time, now.source, now.data)
        return True

    def _end(self, topic: str, local: str, device: str, stamp: Any, intake: Intake) -> None:
        """A property holds no more; without a stamp it was deleted."""
        _hear(device, stamp, intake)
        before = None if intake.replayed else self._holding.pop(topic, None)
        if before is None:
            return
        intake.remember(topic, None)
        data = before.data | {"end_time": intake.when(stamp).isoformat()}
        intake.event(device, before.time.isoformat(), _kind(local), before.source, data, spoke=False)


def _hear(device: str, stamp: Any, intake: Intake) -> None:
    """Note that a camera spoke, though there is nothing to store."""
    if stamp is None:
        intake.measured(device, None, ())
    else:
        intake.telemetry(device, stamp, {})


def _holds(data: Mapping[str, Any]) -> bool | None:
    """Whether the property holds that a message tells of; None when it tells of none."""
    for name, value in data.items():
        if _STATE.fullmatch(name):
            truth = _LOGICAL.get(value.lower()) if isinstance(value, str) else value
            if truth in (0, 1) and truth is not None:
                return bool(truth)
    return None


def _kind(local: str) -> str:
    return next((kind for beginning, kind in _KINDS if local.startswith(beginning)), "other")


def _source(local: str, source: Mapping[str, Any], objects: Any = None) -> str:
    """What tells an event from others of its kind at the same time: what it is about, which rule said so, and which object."""
    parts = [local, *(str(value) for value in source.values()), *(() if objects is None else (str(objects),))]
    whole = "/".join(parts)
    return (
        whole
        if len(whole) <= 150
        else f"{whole[:150]}-{hashlib.sha256(whole.encode('utf-8', 'replace')).hexdigest()[:8]}"
    )


def _utc(raw: Any) -> Any:
    """The time as said; it is UTC by its name, also where the Z is missing."""
    if (
        isinstance(raw, str)
        and len(raw) < 40
        and "T" in raw
        and not re.search(r"(?:Z|[+-][0-9:]+)$", raw.partition("T")[2])
    ):
        return f"{raw}Z"
    return raw


def _items(raw: Any, name: str) -> dict[str, Any]:
    """The items of one group by name, quoted or not.

    Raises:
        RejectedError: `shape` or `size`.
    """
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        raise RejectedError("shape", f"{name}: got {shorten(raw)}, expected an object of items")
    simple = raw.get("SimpleItem")
    if simple is not None:
        listed = [item for item in (simple if isinstance(simple, list) else [simple]) if isinstance(item, dict)]
        raw = {item: value for item, value in raw.items() if item != "SimpleItem"} | {
            str(item.get("Name")): item.get("Value") for item in listed
        }
    return {item: _unquoted(value) for item, value in flat(raw).items()}


def _unquoted(value: Any) -> Any:
    """A value as it is without the quotes that are optional, and such that JSON can hold it."""
    if not isinstance(value, str):
        sane = isinstance(value, bool | None) or (abs(value) < _LARGEST and math.isfinite(value))
        return value if sane else shorten(value)
    if value.lower() in _TRUTHS:
        return _TRUTHS[value.lower()]
    if not _NUMBER.fullmatch(value):
        return value
    number = float(value) if set(value) & set(".eE") else int(value)
    return number if abs(number) < _LARGEST else value
