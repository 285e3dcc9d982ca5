"""Frames to stored, shown and announced scenes: the loops of one vision worker.

    reader   word of new frames → mailbox of one per camera, of the cameras that are this worker's share
    lanes    a few cameras at a time: fetch, decode, detect, track, put to the rules; two lanes, so that one fetches while the
             other infers
    writer   commit → annotated picture → change stream

Every queue between them is short and blocks, so pressure ends at the mailbox, where the newest frame wins.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Final

import msgspec
from prometheus_client import REGISTRY

from ioc.db.readings import newest_of
from ioc.errors import LiveError, ModelError, StorageError
from ioc.live import Live
from ioc.model import Frame, Reading, ReadingsChanged, SceneSeen
from ioc.service import Service, backoff
from vision.boxes import Image
from vision.engine import Detector
from vision.engine.in_use import InUse
from vision.evidence import Evidence, Shot
from vision.figures import NOT_STORED, OBJECTS, STEP, Figures
from vision.findings import Findings
from vision.mailbox import Drop, Mailbox, Notice, Reason
from vision.picture import decode_jpeg
from vision.rulebook import Rulebook
from vision.rules.camera import Outcome
from vision.rules.cameras import Watchers
from vision.scene import Scene, make_scene
from vision.share import Share
from vision.snapshot import annotate, boxes_json
from vision.store import Store

#: Batches in flight.
LANES: Final = 2
_TICK_S: Final = 0.25
#: Commits are no closer together; a frame that comes alone is committed at once.
_COMMIT_EVERY_S: Final = 0.05
#: How often the clock is set, and how often figures of the cameras are told.
_CLOCK_S: Final = 60.0
_TELL_S: Final = 1.0
#: A batch that takes longer hangs, and the cameras are let go; in the end the process ends, to be started again, for nothing else
#: can be ended.
STUCK_S: Final = 20.0
HANGS_S: Final = 60.0


class Fetched(msgspec.Struct, frozen=True):
    """A frame as pixels, and when it came, on our steady clock and on that of Redis."""

    frame: Frame
    image: Image
    came: float
    came_redis: float


class Looked(msgspec.Struct, frozen=True):
    """A frame that was looked at; moments are on our steady clock.

    Attributes:
        picked: its turn came.
        inferred: the detector had answered.
        event: tracked and put to the rules.
        engine_s: what the detector took.
    """

    notice: Notice
    fetched: Fetched
    scene: Scene
    outcome: Outcome | None
    picked: float
    inferred: float
    event: float
    engine_s: float

    def stages(self, committed: float) -> tuple[float, ...]:
        """Seconds in each of `STAGES`. Clocks of cameras may be ahead of ours, and no stage takes less than nothing."""
        came = self.fetched.came
        spent = (
            self.fetched.came_redis - self.fetched.frame.time.timestamp(),
            self.picked - came,
            self.inferred - self.picked,
            self.event - self.inferred,
            committed - self.event,
            committed - came,
        )
        return tuple(max(0.0, seconds) for seconds in spent)


class Worker:
    """One worker; `run` returns when the service stops, or raises what broke it."""

    def __init__(self, service: Service, detector: Detector, store: Store, live: Live) -> None:
        settings = service.settings
        self._service = service
        self._settings = settings
        self._detector = InUse(detector)
        self._store = store
        self._live = live
        on_cpu = detector.device == "CPU"
        self._stale_s = settings.vision_stale_ms / 1000
        self._mailbox = Mailbox(max_fps=settings.vision_max_fps if on_cpu else None, stale_s=self._stale_s)
        self._changed = threading.Condition()
        self._collecting = threading.Lock()
        self._looked: queue.Queue[list[Looked]] = queue.Queue(LANES)
        self._writer_gone = threading.Event()
        self._rulebook = Rulebook(settings.require("database_url"))
        self._watchers = Watchers(self._rulebook)
        self._evidence = Evidence(service)
        self._fetched: dict[str, datetime] = {}
        self._redis_minus_ours_s = 0.0
        #: When each thread that has a batch in hand began with it.
        self._working: dict[int, float] = {}
        self._decoders = ThreadPoolExecutor(min(8, max(2, settings.vision_batch)), "decode")
        self._share = Share(live, settings.vision_group, service.instance)
        self.figures = Figures(detector.name, detector.weights, service.instance)

    def run(self) -> None:
        """Work until the service stops; what was looked at by then is stored."""
        self._service.figures = self.figures
        REGISTRY.register(self.figures)
        with ThreadPoolExecutor(LANES + 2, "vision") as threads:
            lanes = [threads.submit(self._stop_if_broken, self._lane) for _ in range(LANES)]
            loops = [threads.submit(self._stop_if_broken, self._reader), *lanes]
            writer = threads.submit(self._stop_if_broken, self._writer, lanes)
            wait([*loops, writer], return_when=FIRST_COMPLETED)
        self._decoders.shutdown()
        self._rulebook.close()
        REGISTRY.unregister(self.figures)
        for loop in (*loops, writer):
            loop.result()

    def replace(self, detector: Detector) -> None:
        """Look at every frame from now on with another detector; returns when the old one has ended its work and is closed."""
        self._detector.replace(detector)
        self.figures.engine, self.figures.weights = detector.name, detector.weights

    def close(self) -> None:
        """Close the detector in use."""
        self._detector.current.close()

    def _stop_if_broken(self, loop: Callable[..., None], *args: object) -> None:
        """Run a loop; when it ends, for whatever reason, the others are told to end too."""
        try:
            loop(*args)
        finally:
            self._service.stopping.set()

    # --- reader ---

    def _reader(self) -> None:
        pauses = backoff(most_s=2.0)
        after = ""
        set_clock = tell = 0.0
        # Newest word of cameras that are others', or nobody's yet: when they become ours, it is looked at.
        elsewhere: dict[str, Notice] = {}
        while not self._service.stopping.is_set():
            # Before the lease is renewed: one that had ended meanwhile was others'.
            self._watchers.keep(self._share.mine(()))
            moves = self._watch_work()
            self._watch_store()
            self._watch_rules()
            with self._changed:
                self._mailbox.budgets = self._rulebook.budgets
            now = time.monotonic()
            try:
                if now >= set_clock:
                    self._redis_minus_ours_s = self._live.time() - time.monotonic()
                    set_clock = now + _CLOCK_S
                after = after or f"{int((now + self._redis_minus_ours_s - self._stale_s) * 1000)}-0"
                if moves:
                    self._share.renew()
                if moves and now >= tell:
                    self._live.put_camera_figures(
                        msgspec.structs.replace(one, budget=self._mailbox.budget(one.camera))
                        for one in self.figures.cameras(self._share.cameras)
                    )
                    elsewhere = {camera: one for camera, one in elsewhere.items() if now - one.arrived < self._stale_s}
                    tell = now + _TELL_S
                heard = self._live.new_frames(after, count=500, block_ms=int(_TICK_S * 1000))
            except LiveError as error:
                set_clock = 0.0
                self._service.degrade("redis", error)
                self._service.stopping.wait(next(pauses))
                continue
            self._service.recover("redis")
            pauses = backoff(most_s=2.0)
            # Redis' clock made the id; it is set against our steady one, so that no clock that is off makes frames stale.
            notices = [
                Notice(camera, entry, int(entry.partition("-")[0]) / 1000 - self._redis_minus_ours_s)
                for entry, camera in heard
            ]
            if notices:
                after = notices[-1].entry
            mine = self._share.mine(notice.camera for notice in notices)
            self._offer([elsewhere.pop(camera) for camera in mine & elsewhere.keys()])
            self._offer([notice for notice in notices if notice.camera in mine])
            elsewhere |= {notice.camera: notice for notice in notices if notice.camera not in mine}
        with suppress(LiveError):
            # With Redis away the lease ends by itself.
            self._share.leave()

    def _watch_work(self) -> bool:
        """Whether work moves; where it does not, the lease is not renewed and others get the cameras."""
        now = time.monotonic()
        stuck_s = now - min([*self._working.values()], default=now)
        if stuck_s > HANGS_S:
            self._service.end_hanging("a batch is worked on")
        if stuck_s > STUCK_S:
            self._service.degrade("work", f"a batch has taken {stuck_s:.0f} s; the cameras are left to others")
            return False
        self._service.recover("work")
        return True

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """A thread has a batch in hand."""
        self._working[threading.get_ident()] = time.monotonic()
        try:
            yield
        finally:
            del self._working[threading.get_ident()]

    def _watch_store(self) -> None:
        """Say that TimescaleDB is away, or back, also while no frame comes."""
        self._store.look()
        missing = self._store.missing
        if missing is None:
            self._service.recover("timescaledb")
        else:
            self._service.degrade("timescaledb", f"{missing}; pictures are shown, nothing is stored")

    def _watch_rules(self) -> None:
        """Say that rules are left out, or that all are followed again."""
        fault = self._watchers.fault
        if fault:
            self._service.degrade("rules", fault)
        else:
            self._service.recover("rules")

    def _offer(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        self.figures.arrived(notice.camera for notice in notices)
        now = time.monotonic()
        with self._changed:
            drops = [drop for notice in notices if (drop := self._mailbox.offer(notice, now)) is not None]
            self._changed.notify_all()
        self._drop(drops)

    # --- lanes ---

    def _lane(self) -> None:
        while not self._service.stopping.is_set():
            notices = self._collect()
            if notices:
                with self._at_work(), self._detector.using() as detector:
                    looked = self._look(notices, detector)
                self._hand_on(looked)
                with self._changed:
                    for notice in notices:
                        self._mailbox.done(notice.camera)
                    self._changed.notify_all()

    def _hand_on(self, batch: list[Looked]) -> None:
        """Queue a batch for the writer, and wait while its queue is full, unless the writer is gone."""
        while batch and not self._writer_gone.is_set():
            try:
                self._looked.put(batch, timeout=_TICK_S)
            except queue.Full:
                continue
            return

    def _collect(self) -> list[Notice]:
        """Wait for a batch: full, or as much as came within `vision_batch_ms` of the first; [] after a while."""
        with self._collecting, self._changed:
            if not self._mailbox.ready(time.monotonic()):
                due = self._mailbox.next_due()
                self._changed.wait(_TICK_S if due is None else min(_TICK_S, max(0.001, due - time.monotonic())))
            # More than the engine works on side by side would leave the mailbox early, only to wait and grow old.
            most = min(self._settings.vision_batch, self._detector.current.batch)
            deadline = time.monotonic() + self._settings.vision_batch_ms / 1000
            while 0 < self._mailbox.ready(now := time.monotonic()) < most and now < deadline:
                self._changed.wait(deadline - now)
            notices, stale = self._mailbox.pick(most, time.monotonic())
        self._drop(stale)
        return notices

    def _look(self, notices: Sequence[Notice], detector: Detector) -> list[Looked]:
        """Fetch, decode and detect; frames that cannot be looked at are dropped."""
        picked = time.monotonic()
        fetch = partial(self._fetch, least=detector.input_size)
        seen: list[tuple[Notice, Fetched]] = []
        drops: list[Drop] = []
        for notice, got in zip(notices, self._decoders.map(fetch, notices), strict=True):
            if isinstance(got, Fetched):
                seen.append((notice, got))
            else:
                drops.append(Drop(notice, got))
        decoded = time.monotonic()
        STEP.labels("fetch_decode").observe(decoded - picked)
        batch: list[Looked] = []
        try:
            found = detector.detect([fetched.image for _, fetched in seen]) if seen else []
        except ModelError as error:
            self._service.degrade("engine", error)
            drops += [Drop(notice, "failed") for notice, _ in seen]
        else:
            inferred = time.monotonic()
            if seen:
                self._service.recover("engine")
                STEP.labels("infer").observe(inferred - decoded)
            for (notice, fetched), boxes in zip(seen, found, strict=True):
                height, width = fetched.image.shape[:2]
                frame = fetched.frame
                scene = make_scene(frame.camera, frame.time, boxes, detector.classes, height, width)
                outcome = self._watchers.look(scene, width / height)
                watched = outcome.watched if outcome is not None else None
                self.figures.rules_off[frame.camera] = (
                    {str(rule): f"{watched.fps:.1f}/s" for rule in watched.resting} if watched is not None else {}
                )
                event = time.monotonic()
                batch.append(Looked(notice, fetched, scene, outcome, picked, inferred, event, inferred - decoded))
        self._drop(drops)
        return batch

    def _fetch(self, notice: Notice, least: tuple[int, int]) -> Fetched | Reason:
        """The camera's newest frame as pixels, or why there is none. It may be newer than the notice; then it is better."""
        try:
            newest = self._live.newest_frame(notice.camera)
        except LiveError:
            return "gone"
        if newest is None:
            return "gone"
        frame, came = newest
        if self._fetched.get(notice.camera) == frame.time:
            # An earlier notice already fetched it, in place of its own frame.
            return "overwritten"
        self._fetched[notice.camera] = frame.time
        try:
            image = decode_jpeg(frame.jpeg, least)
        except ValueError:
            return "broken"
        return Fetched(frame, image, came - self._redis_minus_ours_s, came)

    # --- writer ---

    def _writer(self, lanes: Sequence[Future[None]]) -> None:
        """Store, show and announce, until the lanes have ended and nothing waits."""
        committed = 0.0
        try:
            while not (all(lane.done() for lane in lanes) and self._looked.empty()):
                try:
                    batch = self._looked.get(timeout=_TICK_S)
                except queue.Empty:
                    continue
                # At full load commits would come with every frame and cost as much as the looking; so they are shared.
                time.sleep(max(0.0, committed + _COMMIT_EVERY_S - time.monotonic()))
                while not self._looked.empty():
                    batch = batch + self._looked.get_nowait()
                committed = time.monotonic()
                with self._at_work():
                    self._finish(batch)
        finally:
            self._writer_gone.set()

    def _finish(self, batch: Sequence[Looked]) -> None:
        started = time.monotonic()
        stored = self._keep(batch)
        committed = time.monotonic()
        STEP.labels("store").observe(committed - started)
        fresh = {id(scene) for scene in stored}
        done = [looked for looked in batch if id(looked.scene) in fresh]
        for looked in done:
            frame = looked.fetched.frame
            self.figures.seen(frame.camera, frame.time, looked.stages(committed), looked.engine_s)
        self._drop([Drop(looked.notice, "late") for looked in batch if id(looked.scene) not in fresh])
        shown = time.monotonic()
        self._show(done, committed)
        STEP.labels("show").observe(time.monotonic() - shown)

    def _keep(self, batch: Sequence[Looked]) -> list[Scene]:
        """Store; returns the scenes to show: those that are new, all of them while TimescaleDB is away."""
        scenes = [looked.scene for looked in batch]
        outcomes = [looked.outcome for looked in batch if looked.outcome is not None]
        shots = [
            Shot(looked.outcome, looked.fetched.image, looked.scene, looked.fetched.frame.jpeg)
            for looked in batch
            if looked.outcome is not None and looked.outcome.opened
        ]
        # A picture costs more than the frame; none is made where it is known that it cannot be kept.
        pictures = [] if self._store.missing else self._evidence.pictures(shots)
        findings = Findings(outcomes, pictures)
        try:
            fresh = self._store.write(scenes, findings if outcomes else None)
        except StorageError:
            self._watchers.lost(outcomes)
            self._evidence.lost(pictures)
            self._watch_store()
            NOT_STORED.inc(len(scenes))
            return scenes
        # Another worker stored a newer frame of the camera: what was found on ours was not said to anybody.
        new = {(scene.camera, scene.time) for scene in fresh}
        self._watchers.lost(one for one in outcomes if (one.camera, one.time) not in new)
        self._evidence.lost([one for one in pictures if (one.camera, one.time) not in new])
        self._tell(findings.readings, [one for one in outcomes if (one.camera, one.time) in new])
        for scene in fresh:
            for label, count in scene.counts().items():
                OBJECTS.labels(label).inc(count)
        return fresh

    def _tell(self, readings: list[Reading], outcomes: Sequence[Outcome]) -> None:
        """Announce what the rules found, and how they are."""
        try:
            if readings:
                self._live.publish([ReadingsChanged(newest_of(readings))])
            self._live.put_rules_watched(outcome.watched for outcome in outcomes)
        except LiveError as error:
            self._service.degrade("redis", error)

    def _show(self, done: Sequence[Looked], committed: float) -> None:
        clear = self._settings.privacy_clear_cameras
        pictures = self._decoders.map(
            lambda looked: annotate(looked.fetched.image, looked.scene, clear=looked.scene.camera in clear), done
        )
        try:
            for looked, jpeg in zip(done, pictures, strict=True):
                frame = looked.fetched.frame
                shown = Frame(frame.camera, frame.time, jpeg)
                self._live.put_snapshot(shown, boxes_json(looked.scene), clear=frame.camera in clear)
            self._live.publish(
                SceneSeen(
                    looked.fetched.frame.camera,
                    looked.fetched.frame.time,
                    looked.scene.counts(),
                    round(looked.engine_s * 1e3, 1),
                    round(looked.stages(committed)[-1] * 1e3, 1),
                )
                for looked in done
            )
        except LiveError as error:
            self._service.degrade("redis", error)

    # --- accounts ---

    def _drop(self, drops: Sequence[Drop]) -> None:
        if drops:
            self.figures.dropped(drops)
