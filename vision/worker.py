"""Frames to stored, shown and announced scenes: the loops of one vision worker.

    reader   work queue of Redis → mailbox of one per camera
    lanes    a few cameras at a time: fetch, decode, detect; two lanes, so that one fetches while the other infers
    writer   commit → annotated picture → change stream → acknowledge

Every queue between them is short and blocks, so pressure ends at the mailbox, where the newest frame wins.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime
from typing import Final

import msgspec

from ioc.errors import LiveError, ModelError, StorageError
from ioc.live import Live
from ioc.model import Frame, SceneSeen
from ioc.service import Service, backoff
from vision.boxes import Image
from vision.engine import Detector
from vision.figures import NOT_STORED, OBJECTS, STAGE, Figures
from vision.mailbox import Drop, Mailbox, Notice, Reason
from vision.picture import decode_jpeg
from vision.scene import Scene, make_scene
from vision.snapshot import annotate, boxes_json
from vision.store import Store

#: Batches in flight.
LANES: Final = 2
_TICK_S: Final = 0.25
#: Commits are no closer together; a frame that comes alone is committed at once.
_COMMIT_EVERY_S: Final = 0.05
#: A worker that has not asked for so long is dead; Redis still keeps the frames it took.
_DEAD_S: Final = 60.0
#: How often the work queue is tended.
_TEND_S: Final = 60.0


class Looked(msgspec.Struct, frozen=True):
    """A frame that was looked at."""

    notice: Notice
    frame: Frame
    image: Image
    scene: Scene
    inferred_s: float


class Worker:
    """One worker; `run` returns when the service stops, or raises what broke it."""

    def __init__(self, service: Service, detector: Detector, store: Store, live: Live) -> None:
        settings = service.settings
        self._service = service
        self._settings = settings
        self._detector = detector
        self._store = store
        self._live = live
        on_cpu = detector.device == "CPU"
        self._mailbox = Mailbox(
            max_fps=settings.vision_max_fps if on_cpu else None, stale_s=settings.vision_stale_ms / 1000
        )
        # More than the engine works on side by side would leave the mailbox early, only to wait and grow old.
        self._batch = min(settings.vision_batch, detector.batch)
        self._changed = threading.Condition()
        self._collecting = threading.Lock()
        self._looked: queue.Queue[list[Looked]] = queue.Queue(LANES)
        self._writer_gone = threading.Event()
        self._fetched: dict[str, datetime] = {}
        self._redis_minus_ours_s = 0.0
        self._decoders = ThreadPoolExecutor(min(8, max(2, settings.vision_batch)), "decode")
        self.figures = Figures(detector.name)

    def run(self) -> None:
        """Work until the service stops; what was looked at by then is stored."""
        self._service.figures = self.figures
        with ThreadPoolExecutor(LANES + 2, "vision") as threads:
            lanes = [threads.submit(self._stop_if_broken, self._lane) for _ in range(LANES)]
            loops = [threads.submit(self._stop_if_broken, self._reader), *lanes]
            writer = threads.submit(self._stop_if_broken, self._writer, lanes)
            wait([*loops, writer], return_when=FIRST_COMPLETED)
        self._decoders.shutdown()
        for loop in (*loops, writer):
            loop.result()

    def _stop_if_broken(self, loop: Callable[..., None], *args: object) -> None:
        """Run a loop; when it ends, for whatever reason, the others are told to end too."""
        try:
            loop(*args)
        finally:
            self._service.stopping.set()

    # --- reader ---

    def _reader(self) -> None:
        group, consumer = self._settings.vision_group, self._service.instance
        pauses = backoff()
        tend = 0.0
        while not self._service.stopping.is_set():
            self._watch_store()
            try:
                if time.monotonic() >= tend:
                    self._live.ensure_group(group)
                    self._live.forget_workers(group, idle_s=_DEAD_S)
                    self._redis_minus_ours_s = self._live.time() - time.monotonic()
                    tend = time.monotonic() + _TEND_S
                taken = self._live.take_frames(group, consumer, count=500, block_ms=int(_TICK_S * 1000))
            except LiveError as error:
                # Also when Redis came back empty and no longer knows the group.
                tend = 0.0
                self._service.degrade("redis", error)
                self._service.stopping.wait(next(pauses))
                continue
            self._service.recover("redis")
            pauses = backoff()
            if taken:
                # Redis' clock made the id; it is set against our steady one, so that no clock that is off makes frames stale.
                self._offer(
                    [
                        Notice(camera, entry, int(entry.partition("-")[0]) / 1000 - self._redis_minus_ours_s)
                        for entry, camera in taken
                    ]
                )

    def _watch_store(self) -> None:
        """Say that TimescaleDB is away, or back, also while no frame comes."""
        missing = self._store.missing
        if missing is None:
            self._service.recover("timescaledb")
        else:
            self._service.degrade("timescaledb", f"{missing}; pictures are shown, nothing is stored")

    def _offer(self, notices: Sequence[Notice]) -> None:
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
                self._hand_on(self._look(notices))
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
            deadline = time.monotonic() + self._settings.vision_batch_ms / 1000
            while 0 < self._mailbox.ready(now := time.monotonic()) < self._batch and now < deadline:
                self._changed.wait(deadline - now)
            notices, stale = self._mailbox.pick(self._batch, time.monotonic())
        self._drop(stale)
        return notices

    def _look(self, notices: Sequence[Notice]) -> list[Looked]:
        """Fetch, decode and detect; frames that cannot be looked at are dropped."""
        started = time.monotonic()
        seen: list[tuple[Notice, Frame, Image]] = []
        drops: list[Drop] = []
        for notice, got in zip(notices, self._decoders.map(self._fetch, notices), strict=True):
            if isinstance(got, tuple):
                seen.append((notice, *got))
            else:
                drops.append(Drop(notice, got))
        decoded = time.monotonic()
        STAGE.labels("fetch_decode").observe(decoded - started)
        batch: list[Looked] = []
        try:
            found = self._detector.detect([image for _, _, image in seen]) if seen else []
        except ModelError as error:
            self._service.degrade("engine", error)
            drops += [Drop(notice, "failed") for notice, _, _ in seen]
        else:
            inferred_s = time.monotonic() - decoded
            if seen:
                self._service.recover("engine")
                STAGE.labels("infer").observe(inferred_s)
            for (notice, frame, image), boxes in zip(seen, found, strict=True):
                height, width = image.shape[:2]
                scene = make_scene(frame.camera, frame.time, boxes, self._detector.classes, height, width)
                batch.append(Looked(notice, frame, image, scene, inferred_s))
        self._drop(drops)
        return batch

    def _fetch(self, notice: Notice) -> tuple[Frame, Image] | Reason:
        """The camera's newest frame as pixels, or why there is none. It may be newer than the notice; then it is better."""
        try:
            frame = self._live.frame(notice.camera)
        except LiveError:
            return "gone"
        if frame is None:
            return "gone"
        if self._fetched.get(notice.camera) == frame.time:
            # An earlier notice already fetched it, in place of its own frame.
            return "overwritten"
        self._fetched[notice.camera] = frame.time
        try:
            return frame, decode_jpeg(frame.jpeg, self._detector.input_size)
        except ValueError:
            return "broken"

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
                self._finish(batch)
        finally:
            self._writer_gone.set()

    def _finish(self, batch: Sequence[Looked]) -> None:
        started = time.monotonic()
        stored = self._keep(batch)
        committed = time.monotonic()
        STAGE.labels("store").observe(time.monotonic() - started)
        fresh = {id(scene) for scene in stored}
        done = [looked for looked in batch if id(looked.scene) in fresh]
        for looked in done:
            self.figures.seen(looked.notice.camera, max(0.0, committed - looked.notice.arrived), looked.inferred_s)
        self._drop([Drop(looked.notice, "late") for looked in batch if id(looked.scene) not in fresh])
        shown = time.monotonic()
        self._show(done, committed)
        STAGE.labels("show").observe(time.monotonic() - shown)
        self._acknowledge([looked.notice.entry for looked in done])

    def _keep(self, batch: Sequence[Looked]) -> list[Scene]:
        """Store; returns the scenes to show: those that are new, all of them while TimescaleDB is away."""
        scenes = [looked.scene for looked in batch]
        try:
            fresh = self._store.write(scenes)
        except StorageError:
            self._watch_store()
            NOT_STORED.inc(len(scenes))
            return scenes
        for scene in fresh:
            for label, count in scene.counts().items():
                OBJECTS.labels(label).inc(count)
        return fresh

    def _show(self, done: Sequence[Looked], committed: float) -> None:
        pictures = self._decoders.map(lambda looked: annotate(looked.image, looked.scene), done)
        try:
            for looked, jpeg in zip(done, pictures, strict=True):
                self._live.put_snapshot(Frame(looked.frame.camera, looked.frame.time, jpeg), boxes_json(looked.scene))
            self._live.publish(
                SceneSeen(
                    looked.frame.camera,
                    looked.frame.time,
                    looked.scene.counts(),
                    round(looked.inferred_s * 1e3, 1),
                    round(max(0.0, committed - looked.notice.arrived) * 1e3, 1),
                )
                for looked in done
            )
        except LiveError as error:
            self._service.degrade("redis", error)

    # --- accounts ---

    def _drop(self, drops: Sequence[Drop]) -> None:
        if drops:
            self.figures.dropped([drop.reason for drop in drops])
            self._acknowledge([drop.notice.entry for drop in drops])

    def _acknowledge(self, entries: Sequence[str]) -> None:
        try:
            self._live.done_frames(self._settings.vision_group, entries)
        except LiveError as error:
            # What is not acknowledged goes with this worker's name in `forget_workers`.
            self._service.degrade("redis", error)
