"""Frigate, a network video recorder that detects objects: `frigate/…`, its default topic prefix.

After its documentation of MQTT (docs.frigate.video/integrations/mqtt) and what its releases from 0.13 on publish. How a camera
is follows from three things: whether the recorder runs (`frigate/available`), a status of the camera's stream, and `camera_fps`
in the statistics. The status is that of a process which is started again and again: of a camera that cannot be reached it says
online and offline by turns. So a camera that gave no pictures stays offline until the statistics count pictures again.

Left out: counts of all but persons, which are no flow (the objects themselves are stored, as events); settings and their states;
motion; snapshots of objects, which are cut out of the picture and may be old; and, of objects, the names of persons and licence
plates, which are personal data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import msgspec

from ingest.dialect import Route, Subscription
from ingest.fields import number, numbers, text, texts, truth
from ingest.intake import Intake
from ingest.message import Outgoing
from ingest.payload import an_object, utf8
from ioc.errors import CommandError, RejectedError
from ioc.model import Device, Discovery
from ioc.naming import device_id
from ioc.values import shorten

NAME: Final = "frigate"
_AVAILABLE: Final = "frigate/available"
_STATS: Final = "frigate/stats"
#: What Frigate itself allows in the name of a camera or zone.
_NAMED: Final = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_STATUSES: Final = ("online", "offline", "disabled")
#: The role whose stream the pictures come from; every camera has it.
_DETECT: Final = "detect"
_OTHER_ROLES: Final = ("record", "record_sub", "audio")
#: Cameras in one message of statistics.
_MOST_CAMERAS: Final = 1000
#: Objects and reviews under way whose beginning is not believed.
_MOST_BEGUN: Final = 10_000


class _Camera(msgspec.Struct):
    """What was last said of a camera: the status of each role of its stream, its pictures a second, whether it is switched on."""

    statuses: dict[str, str] = msgspec.field(default_factory=dict)
    fps: float | None = None
    enabled: bool = True

    def state(self) -> tuple[str, str]:
        """State and reason while the recorder runs; "" when nothing is known yet."""
        status = self.statuses.get(_DETECT)
        if not self.enabled or status == "disabled":
            return "maintenance", "switched off in Frigate"
        if status == "offline":
            return "offline", "its stream is offline"
        if self.fps is not None and self.fps <= 0:
            return "offline", "no pictures (camera_fps 0)"
        return ("online" if status == "online" or self.fps else ""), ""


class Frigate:
    """Decodes what Frigate publishes. One process reads it all, because states follow from several messages together."""

    name = NAME
    prefix = "frigate"
    subscriptions: Sequence[Subscription] = (
        Subscription(_AVAILABLE, "first", retained=True),
        Subscription("frigate/+/enabled/state", "first", retained=True),
        Subscription("frigate/+/status/+", "first"),
        Subscription(_STATS, "first"),
        Subscription("frigate/events", "first"),
        Subscription("frigate/reviews", "first"),
        Subscription("frigate/+/person", "first"),
    )

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}
        #: The statistics have been seen: they name every camera, so that any other name is a zone's.
        self._listed = False
        #: How Frigate went, "" while it runs.
        self._gone = ""
        self._kept: Any = None
        #: By kind, camera and id: since when what is seen is told of, where its own beginning is not believed.
        self._begun: dict[tuple[str, str, str], datetime] = {}

    def route(self, topic: str) -> Route | None:
        """Where a message of that topic goes."""
        match topic.split("/"):
            case ["frigate", "available"]:
                return Route("", NAME, self._available, of_now=True)
            case ["frigate", "stats"]:
                return Route("", NAME, self._stats, of_now=True)
            case ["frigate", "events"]:
                return Route("", NAME, self._object)
            case ["frigate", "reviews"]:
                return Route("", NAME, self._review)
            case ["frigate", name, "status", role]:
                return Route(_id(name), NAME, partial(self._status, name, role), of_now=True)
            case ["frigate", name, "enabled", "state"]:
                return Route(_id(name), NAME, partial(self._enabled, name), of_now=True)
            case ["frigate", name, "person"]:
                _id(name)
                return Route("", NAME, partial(self._persons, name))
        return None

    def light(self, device: Device, level: float, order: int) -> Sequence[Outgoing]:
        """Refused."""
        del level, order
        raise CommandError(f"{device.id}: a camera of Frigate has no lamp to be lit")

    # --- states ---

    def _available(self, device: str, payload: bytes, intake: Intake) -> None:
        """`online`, or how Frigate went: then all its cameras are lost, and what was known of their streams is void."""
        del device
        word = utf8(payload).strip().lower()
        if not word:  # no longer retained
            return
        if word not in ("online", "offline", "stopped"):
            raise RejectedError("value", f"available: got {shorten(word)}, expected online, stopped or offline")
        if word == "online":
            self._runs(intake)
            return
        self._gone = word
        intake.remember(_AVAILABLE, payload)
        for name, camera in self._cameras.items():
            self._forget(name, camera, intake)
            self._say(name, intake)

    @staticmethod
    def _forget(name: str, camera: _Camera | None, intake: Intake) -> None:
        """What was said of a camera's stream is true no more."""
        if camera is not None:
            for role in camera.statuses:
                intake.remember(_status_topic(name, role), None)
            camera.statuses.clear()
            camera.fps = None

    def _runs(self, intake: Intake) -> None:
        """Frigate speaks, so it runs: the word that it does may have been lost, for it sends that at QoS 0."""
        if self._gone:
            self._gone = ""
            intake.remember(_AVAILABLE, b"online")

    def _enabled(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        """`ON` or `OFF`: whether the camera is switched on in Frigate; without payload it is no camera any more."""
        del device
        word = utf8(payload).strip().upper()
        if not word:
            self._forget(name, self._cameras.pop(name, None), intake)
            return
        if word not in ("ON", "OFF"):
            raise RejectedError("value", f"enabled: got {shorten(word)}, expected ON or OFF")
        camera = self._camera(name, intake)
        if word == "OFF" or not camera.enabled:
            camera.fps = None
        camera.enabled = word == "ON"
        if not camera.enabled or self._gone:  # how one is that is switched on, its stream will say
            self._say(name, intake)

    def _status(self, name: str, role: str, device: str, payload: bytes, intake: Intake) -> None:
        """`online`, `offline` or `disabled`: how the stream of one role is. That of `detect` has the pictures."""
        word = utf8(payload).strip().lower()
        if word not in _STATUSES:
            raise RejectedError("value", f"status: got {shorten(word)}, expected one of {', '.join(_STATUSES)}")
        self._runs(intake)
        camera = self._camera(name, intake)
        before = camera.statuses.get(role)
        if word != before and role in (_DETECT, *_OTHER_ROLES):
            camera.statuses[role] = word
            intake.remember(_status_topic(name, role), payload)
        if role == _DETECT:
            if "disabled" in (word, before) and word != before:
                camera.fps = None
            self._say(name, intake)
            return
        intake.measured(device, None, ())
        if role in _OTHER_ROLES and word == "offline" and before != "offline":
            intake.event(device, None, "fault", f"status/{role}", {"role": role, "status": word})

    def _stats(self, device: str, payload: bytes, intake: Intake) -> None:
        """Pictures a second of every camera; 0 = it delivers none, whatever its process says."""
        del device
        cameras = an_object(payload).get("cameras")
        if not isinstance(cameras, dict):
            got = "nothing" if cameras is None else shorten(cameras)
            raise RejectedError("shape", f"cameras: got {got}, expected an object (Frigate 0.13 or newer)")
        if len(cameras) > _MOST_CAMERAS:
            raise RejectedError("size", f"{len(cameras)} cameras, most is {_MOST_CAMERAS}")
        self._runs(intake)
        for name, figures in cameras.items():
            try:
                camera = self._camera(name, intake)
                fps = _fps(name, figures)
            except RejectedError as error:
                intake.fault(error)
                continue
            camera.fps = None if camera.statuses.get(_DETECT) == "disabled" or not camera.enabled else fps
            self._say(name, intake)
        self._listed = True
        self._keep(intake)

    def _keep(self, intake: Intake) -> None:
        """Remember which cameras there are and which of them deliver: what the next process needs of the statistics."""
        kept = {
            name: {} if one.fps is None else {"camera_fps": int(one.fps > 0)} for name, one in self._cameras.items()
        }
        if kept != self._kept:
            self._kept = kept
            intake.remember(_STATS, msgspec.json.encode({"cameras": kept}))

    def _say(self, name: str, intake: Intake) -> None:
        """Put together what is known of a camera, and say so; the same again changes nothing."""
        state, reason = ("offline", f"Frigate is {self._gone}") if self._gone else self._cameras[name].state()
        if state:
            intake.state(_id(name), None, state, reason)

    # --- what is seen ---

    def _object(self, device: str, payload: bytes, intake: Intake) -> None:
        """An object that was seen: new, updated and ended are one event, at the time at which it came into view."""
        del device
        after = _after(payload)
        if after.get("false_positive") is True:
            return
        camera, key, start = self._seen(after, intake)
        told = max(number(after.get("frame_time")) or start, start)
        data = {
            "label": text(after.get("label")),
            "score": number(after.get("score")),
            "top_score": number(after.get("top_score")),
            "box": numbers(after.get("box"), 4),
            "zones": texts(after.get("current_zones")),
            "entered_zones": texts(after.get("entered_zones")),
            "stationary": truth(after.get("stationary")),
            "start_time": start,
            "end_time": number(after.get("end_time")),
        }
        self._tell("object", camera, key, data, told, intake)

    def _review(self, device: str, payload: bytes, intake: Intake) -> None:
        """A stretch of time worth a look; told again as it goes on, and one event all the same."""
        del device
        after = _after(payload)
        camera, key, start = self._seen(after, intake)
        inner = after.get("data")
        more: Mapping[str, Any] = inner if isinstance(inner, dict) else {}
        data = {
            "severity": text(after.get("severity")),
            "objects": texts(more.get("objects")),
            "zones": texts(more.get("zones")),
            "audio": texts(more.get("audio")),
            "detections": texts(more.get("detections")),
            "start_time": start,
            "end_time": number(after.get("end_time")),
        }
        self._tell("review", camera, key, data, None, intake)

    def _tell(
        self, kind: str, camera: str, key: str, data: Mapping[str, Any], told: float | None, intake: Intake
    ) -> None:
        """What is seen is one event at its beginning; where the recorder's clock is not believed, when it was told of first."""
        what = kind, camera, key
        begun = self._begun.get(what)
        stamp = _ms(data["start_time"]) if begun is None else begun.isoformat()
        said = None if told is None else _ms(told)
        time = intake.event(camera, stamp, kind, key, _known(data), told=said, spoke=told is not None)
        if data["end_time"] is not None:
            self._begun.pop(what, None)
        elif time == intake.received and not intake.replayed and len(self._begun) < _MOST_BEGUN:
            self._begun[what] = time

    def _seen(self, after: Mapping[str, Any], intake: Intake) -> tuple[str, str, float]:
        """Camera, id and beginning of what was seen.

        Raises:
            RejectedError: `device`, `value` or `time`.
        """
        name, key, start = after.get("camera"), after.get("id"), number(after.get("start_time"))
        if not isinstance(name, str):
            raise RejectedError("device", f"camera: got {shorten(name)}, expected its name")
        if not isinstance(key, str) or not key:
            raise RejectedError("value", f"id: got {shorten(key)}, expected a name")
        if start is None:
            raise RejectedError("time", f"start_time: got {shorten(after.get('start_time'))}, expected epoch seconds")
        camera = _id(name)
        self._camera(name, intake)
        return camera, key, start

    def _persons(self, name: str, device: str, payload: bytes, intake: Intake) -> None:
        """How many persons a camera sees now. The same topic is a zone's, whose persons its cameras count too."""
        del device
        count = utf8(payload).strip()
        if name in self._cameras:
            intake.measured(_id(name), None, [("peopleCount", count, "")])
        elif not self._listed:
            raise RejectedError("device", f"{name}: not known yet, a camera or a zone; Frigate's statistics will tell")

    def _camera(self, name: str, intake: Intake) -> _Camera:
        """A camera, now that something proves that it is one."""
        intake.discover(Discovery(device=_id(name), dialect=NAME, name=name, kind="camera", attrs={"camera": name}))
        camera = self._cameras.get(name)
        if camera is None:
            camera = _Camera()
            if not intake.replayed:
                self._cameras[name] = camera
        return camera


def _id(name: str) -> str:
    if not _NAMED.fullmatch(name):
        raise RejectedError("device", f"camera: got {shorten(name)}, expected letters, digits, - and _")
    return device_id("frigate", name)


def _fps(name: str, figures: Any) -> float | None:
    """Pictures a second of one camera, None when that is not stated.

    Raises:
        RejectedError: `value`.
    """
    if not isinstance(figures, dict):
        raise RejectedError("value", f"{name}: got {shorten(figures)}, expected an object with camera_fps")
    raw = figures.get("camera_fps")
    fps = number(raw)
    if fps is None and raw is not None:
        raise RejectedError("value", f"{name}: camera_fps: got {shorten(raw)}, expected a number")
    return fps


def _status_topic(name: str, role: str) -> str:
    return f"frigate/{name}/status/{role}"


def _after(payload: bytes) -> dict[str, Any]:
    """What is now so, of a message that also says what was."""
    after = an_object(payload).get("after")
    if not isinstance(after, dict):
        raise RejectedError("shape", f"after: got {'nothing' if after is None else shorten(after)}, expected an object")
    return after


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if value is not None}
