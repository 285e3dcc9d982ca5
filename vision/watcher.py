"""`python -m vision.watcher`: one watcher over all cameras says which pictures can be trusted.

It looks at the newest pictures by itself, so that it misses none because no detector runs, and knows by the clock which camera
sends nothing. One watcher acts on a database at a time, the others stand by; what it finds becomes readings of the camera, in one
transaction with the ledger, and goes to the change stream.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import cv2
from prometheus_client import Counter, Gauge, Histogram

from ioc.catalog import MEASURES, PICTURE_STATES, PictureState, period_of
from ioc.db import camera_truth as ledger
from ioc.db.devices import all_devices
from ioc.db.pool import Connection, edition, translated
from ioc.db.readings import begin_writing, store_readings
from ioc.errors import LiveError
from ioc.live import Live
from ioc.model import Change, Device, DevicesChanged, FrameArrived, Quality, Reading, ReadingsChanged, StatesChanged
from ioc.service import Service, backoff, run
from ioc.turns import take_turns
from vision.look import look_at
from vision.truth import CameraTruth, Finding
from vision.view import View, pack, unpack

#: Any number of our own: one watcher acts on a database at a time.
_LOCK: Final = 0x7464_6361
MEASURE: Final = "pictureState"
#: A camera is looked at no more often; with more cameras than there is time for, less often, in turn.
LOOK_EVERY_S: Final = 2.0
#: Looking gives way to judging after so long.
_LOOK_FOR_S: Final = 0.5
_TICK_S: Final = 0.5
#: Periods of the camera without a picture, after which one is missing; a camera that says nothing at all is silent before that.
MISSING_PERIODS: Final = 6
#: After a start, what the ledger says of a camera stands for so long, unless a picture says worse.
_SETTLE_S: Final = 60.0
#: While a picture came this recently, the way from the cameras to us works.
_PROOF_OF_HEARING_S: Final = 30.0
#: How often the end of the watch is written, what a person accepted is read, and views that followed the light are kept.
_WATCHED_EVERY_S: Final = 10.0
_LESSONS_EVERY_S: Final = 2.0
_KEEP_EVERY_S: Final = 600.0

LOOKED: Final = Counter("ioc_truth_pictures_total", "Pictures looked at for camera truth.")
UNREADABLE: Final = Counter("ioc_truth_pictures_unreadable_total", "Pictures that could not be decoded.")
LOOK_S: Final = Histogram("ioc_truth_look_seconds", "Decoding and judging one picture.")
CAMERAS: Final = Gauge("ioc_truth_cameras", "Cameras by what is the matter with their picture.", ["state"])


class Watched:
    """One camera: what is known of it and what was last written.

    Attributes:
        heard: when its last readable picture came, epoch seconds; at a start, the start.
        back: when the first one came after pictures were missing.
        waiting: when its newest picture came, and that picture's own time, until it is looked at.
        unreadable: the picture that was looked at last is none.
        written: what the ledger says of it; None = nothing.
    """

    def __init__(self, written: PictureState | None, truth: CameraTruth, lesson: int, now: float) -> None:
        self.truth = truth
        self.lesson = lesson
        self.heard = now
        self.back = 0.0
        self.waiting: tuple[float, float] | None = None
        self.looked = 0.0
        self.unreadable = False
        self.written = written
        self.finding = Finding("ok" if written in (None, "missing") else written, now)
        self.known = written is not None
        self.said_at = 0.0
        self._kept: View | None = truth.view
        self._keep_at = now + _KEEP_EVERY_S
        self._settled_at = now + _SETTLE_S if written not in (None, "ok", "missing") else now

    def saw(self, found: Finding, now: float) -> None:
        """A picture was judged."""
        if self.written == "missing":
            self.back = now
        self.heard = now
        self.known, self.unreadable = True, False
        if found.state != "ok" or now >= self._settled_at:
            self.finding = Finding(found.state, max(found.since, self.back))

    def view_to_keep(self, now: float) -> View | None:
        """Its view, when it is new, or followed the light since it was last kept."""
        view = self.truth.view
        if view is None or view is self._kept or (self._kept is not None and now < self._keep_at):
            return None
        self._kept, self._keep_at = view, now + _KEEP_EVERY_S
        return view

    def accept(self, lesson: int) -> None:
        """A person accepted what it shows."""
        self.lesson, self._kept, self._settled_at = lesson, None, 0.0
        self.truth.accept()


class Watcher:
    """The acting watcher on one connection; ends with `StorageError` when that is lost."""

    def __init__(
        self, service: Service, connection: Connection, live: Live, clock: Callable[[], float] = time.time
    ) -> None:
        self.cameras: dict[str, Watched] = {}
        self.hearing = True
        self._service = service
        self._connection = connection
        self._live = live
        self._clock = clock
        with translated():
            self._edition = edition(connection)
        self._after = ""
        self._register: dict[str, Device] = {}
        self._newest_frame = 0.0
        self._began = 0.0
        self._watched_at = 0.0
        self._tick_at = 0.0
        self._lessons_at = 0.0
        self._lessons: dict[str, int] = {}
        self._views: dict[str, View] = {}
        self._pauses = backoff()

    def run(self) -> None:
        """Watch until the service stops.

        Raises:
            StorageError: TimescaleDB is lost; begin with a new watcher.
        """
        while not self._service.stopping.is_set():
            try:
                if not self._after:
                    self._begin()
                self._read()
                if time.monotonic() < self._tick_at:
                    continue
                self._tick_at = time.monotonic() + _TICK_S
                self._look()
                self._listen()
            except LiveError as error:
                self._after = ""
                self._service.degrade("redis", error)
                self._service.stopping.wait(next(self._pauses))
                continue
            self._service.recover("redis")
            self._pauses = backoff()
            if self.hearing:
                self.judge(self._clock())

    def figures(self) -> dict[str, float]:
        """What the heartbeat shows."""
        wrong = sum(one.written not in (None, "ok") for one in list(self.cameras.values()))
        return {"acting": 1, "cameras": float(len(self.cameras)), "untrue": float(wrong)}

    # --- ways in ---

    def _begin(self) -> None:
        """Take the stream's newest id, then what TimescaleDB knows, so that nothing falls between them."""
        after = self._live.last_id()
        now = self._clock()
        with translated():
            self._register = {device.id: device for device in all_devices(self._connection) if device.kind == "camera"}
            stored = ledger.views(self._connection)
        self._lessons = {one.camera: one.lesson for one in stored}
        self._views = {}
        for one in stored:
            try:
                self._views |= {} if one.view is None else {one.camera: unpack(one.view)}
            except ValueError as error:
                self._service.log.warning("view", camera=one.camera, why=str(error))
        self._resume(now)
        self._after = after

    def _resume(self, now: float) -> None:
        """Go on where the ledger is, or begin anew after a time that nobody watched."""
        with translated(), self._connection.transaction():
            known = ledger.begin_watch(self._connection, _utc(now))
        self._began = now
        for camera, watched in self.cameras.items():
            # Nobody would have heard it: it gets its time to come back.
            watched.heard, watched.written = now, known.get(camera)
            watched.known = watched.known and watched.written is not None
        for camera in known.keys() - self.cameras.keys():
            self.cameras[camera] = self._watched(camera, known[camera], now)

    def _watched(self, camera: str, condition: PictureState | None, now: float) -> Watched:
        return Watched(condition, CameraTruth(self._views.pop(camera, None)), self._lessons.get(camera, 0), now)

    def _read(self) -> None:
        for entry, change in self._live.changes(self._after, block_ms=int(_TICK_S * 1000)):
            self._after = entry
            self._take(change, int(entry.partition("-")[0]) / 1000)

    def _take(self, change: Change, at: float) -> None:
        match change:
            case FrameArrived(camera, taken):
                self._newest_frame = max(self._newest_frame, at)
                if camera not in self.cameras and camera in self._register:
                    self.cameras[camera] = self._watched(camera, None, at)
                if camera in self.cameras:
                    self.cameras[camera].waiting = (at, taken.timestamp())
            case DevicesChanged(devices):
                self._register |= {device.id: device for device in devices if device.kind == "camera"}
            case StatesChanged(states):
                for state in states:
                    if (known := self._register.get(state.device)) is not None:
                        self._register[state.device] = _with_state(known, state.state)
            case _:
                pass

    def _look(self) -> None:
        """Look at pictures that wait, those of cameras that waited longest first, until it is time to judge."""
        began = time.monotonic()
        now = self._clock()
        due = [
            (one.looked, camera)
            for camera, one in self.cameras.items()
            if one.waiting is not None and now - one.looked >= LOOK_EVERY_S
        ]
        for _, camera in sorted(due):
            self._look_at(camera, self.cameras[camera])
            if time.monotonic() - began > _LOOK_FOR_S:
                return

    def _look_at(self, camera: str, watched: Watched) -> None:
        assert watched.waiting is not None
        (arrived, own), watched.waiting = watched.waiting, None
        watched.looked = self._clock()
        frame = self._live.frame(camera)
        if frame is None:
            return
        with LOOK_S.time():
            try:
                look = look_at(frame.jpeg, arrived, arrived - own)
            except ValueError:
                # Half a picture is none: a camera that sends nothing else has its picture missing.
                UNREADABLE.inc()
                watched.unreadable = True
                return
            found = watched.truth.look(look)
        LOOKED.inc()
        watched.saw(found, arrived)

    def _listen(self) -> None:
        """Watch only while we would hear the cameras: when one of them is heard, or ingest is well."""
        now = self._clock()
        heard = now - self._newest_frame < _PROOF_OF_HEARING_S or any(
            beat.service == "ingest" and beat.state == "ok" for beat in self._live.heartbeats()
        )
        if not heard:
            self._service.degrade("hearing", "nothing is heard from any camera, so missing pictures are not judged")
        elif not self.hearing:
            self._service.recover("hearing")
            self._resume(now)
        self.hearing = heard

    # --- what follows ---

    def judge(self, now: float) -> None:
        """Write what has changed, and now and then what has not."""
        self._hear_of_lessons(now)
        turns: list[ledger.Turn] = []
        readings: list[Reading] = []
        for camera, one in self.cameras.items():
            state, since = self._verdict(camera, one, now)
            turned = state != one.written
            if turned:
                turns.append(ledger.Turn(camera, state, _utc(since)))
            if state is not None and (turned or now - one.said_at >= MEASURES[MEASURE].period_s):
                at = _utc(now)
                readings.append(Reading(at, camera, MEASURE, float(PICTURE_STATES.index(state)), Quality.GOOD, at))
        kept = [(camera, one, view) for camera, one in self.cameras.items() if (view := one.view_to_keep(now))]
        if not (turns or readings or kept or now - self._watched_at >= _WATCHED_EVERY_S):
            return
        with translated(), self._connection.transaction():
            watermark = begin_writing(self._connection, self._edition)
            store_readings(self._connection, readings, watermark, readings)
            ledger.watch_on(self._connection, turns, _utc(now))
            for camera, one, view in kept:
                ledger.keep_view(self._connection, camera, one.lesson, pack(view), _utc(now))
        self._watched_at = now
        for turn in turns:
            self.cameras[turn.camera].written = turn.condition
            self._service.log.info("camera", camera=turn.camera, picture=turn.condition or "not watched")
        for reading in readings:
            self.cameras[reading.device].said_at = now
        for state in PICTURE_STATES:
            CAMERAS.labels(state).set(sum(one.written == state for one in self.cameras.values()))
        if readings:
            try:
                self._live.publish([ReadingsChanged(readings)])
            except LiveError as error:
                # Committed all the same; whoever needs it asks TimescaleDB, as after every loss of Redis.
                self._service.degrade("redis", error)

    def _verdict(self, camera: str, one: Watched, now: float) -> tuple[PictureState | None, float]:
        """What is the matter with a camera and since when; None = it is out of service, or was never seen well enough to tell."""
        device = self._register.get(camera)
        if device is None or device.status in ("maintenance", "retired") or device.state == "maintenance":
            one.heard = now
            return None, now
        unseen = one.waiting is None or one.unreadable
        if unseen and now - one.heard > MISSING_PERIODS * period_of("camera", device.attrs):
            return "missing", one.heard
        if one.written == "missing" and one.heard <= self._began:
            return "missing", one.heard
        # What nobody watched is not filled with what was there before.
        since = one.finding.since if one.written is not None else max(one.finding.since, self._began)
        return (one.finding.state if one.known else None), since

    def _hear_of_lessons(self, now: float) -> None:
        if now - self._lessons_at < _LESSONS_EVERY_S:
            return
        self._lessons_at = now
        with translated():
            told = ledger.lessons(self._connection)
        for camera, lesson in told.items():
            self._lessons[camera] = lesson
            if camera in self.cameras and self.cameras[camera].lesson != lesson:
                self.cameras[camera].accept(lesson)


def _with_state(device: Device, state: str) -> Device:
    return type(device)(**{name: getattr(device, name) for name in device.__struct_fields__} | {"state": state})


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def serve(service: Service) -> None:
    """Run watchers until told to stop: one acts, others stand by."""
    # One picture is small work; several threads would only wait for each other.
    cv2.setNumThreads(1)
    take_turns(service, _LOCK, lambda connection, live: Watcher(service, connection, live))


def main() -> None:
    """`python -m vision.watcher`."""
    with Service("truth") as service:
        serve(service)


if __name__ == "__main__":
    run(main)
