"""The whole worker on a real Redis, a real TimescaleDB and a real detector."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import pytest
import redis
import simplejpeg

from ioc.catalog import VISION_CLASSES
from ioc.live import Live
from ioc.model import Frame, SceneSeen
from ioc.service import Service
from ioc.settings import Settings
from tests.fix_stack import CacheServer, Database
from vision.boxes import Boxes, Image
from vision.engine.detector import Detector
from vision.share import LEASE_S
from vision.store import Store
from vision.worker import Worker

PATIENCE_S = 120.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


@contextmanager
def working(settings: Settings, detector: Detector, wait_s: float = PATIENCE_S) -> Iterator[Worker]:
    """A worker in this process, running, and stopped in the end; what broke it is raised."""
    service = Service("vision", settings)
    live = Live(settings.redis_url)
    store = Store(settings.database_url)
    worker = Worker(service, detector, store, live)
    store.wait(wait_s)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(worker.run)
        try:
            yield worker
        finally:
            service.stopping.set()
            running.result(PATIENCE_S)
            store.close()
            live.close()


def rows(db: Database, sql: str, *values: object) -> list[tuple[object, ...]]:
    with db.connect() as connection:
        return connection.execute(sql, values).fetchall()  # type: ignore[arg-type]


def frame(camera: str, jpeg: bytes, after_s: float = 0.0) -> Frame:
    return Frame(camera, datetime.now(UTC) + timedelta(seconds=after_s), jpeg)


@pytest.fixture
def patient(settings: Settings) -> Settings:
    """Settings for a machine that may be busy: frames may wait long."""
    return settings.model_copy(update={"vision_stale_ms": 30_000, "vision_max_fps": 50.0})


def test_worker_real_picture_becomes_detections_counts_and_snapshot(
    patient: Settings, detector: Detector, db: Database, live: Live, topic: str, street: bytes
) -> None:
    """A photograph goes in; its objects are committed, counted, drawn and announced."""
    shown = frame(topic, street)
    after = live.last_id()
    with working(patient, detector) as worker:
        live.put_frame(shown)
        until(lambda: live.snapshot(topic) is not None)
        until(lambda: worker.figures()["frames_s"] > 0)
    stored = rows(db, "SELECT label, confidence, x1, y1, x2, y2, time FROM detection WHERE camera = %s", topic)
    assert stored
    assert {row[0] for row in stored} <= set(VISION_CLASSES)
    assert all(0 <= row[2] < row[4] <= 1 and 0 <= row[3] < row[5] <= 1 for row in stored)
    assert {row[6] for row in stored} == {shown.time}
    counts = dict(rows(db, "SELECT label, objects FROM camera_count WHERE camera = %s", topic))
    assert sum(counts.values()) == len(stored)
    assert set(counts) == set(VISION_CLASSES)
    snapshot = live.snapshot(topic)
    assert snapshot is not None
    assert snapshot[0].time == shown.time
    assert simplejpeg.decode_jpeg_header(snapshot[0].jpeg)[1] <= 960
    boxes = msgspec.json.decode(snapshot[1])
    assert len(boxes) == len(stored)
    scenes = [c for _, c in live.changes(after, count=5000) if isinstance(c, SceneSeen) and c.camera == topic]
    assert [scene.time for scene in scenes] == [shown.time]
    assert sum(scenes[0].counts.values()) == len(stored)


def test_worker_damaged_frame_is_dropped_and_the_next_one_seen(
    patient: Settings, detector: Detector, db: Database, live: Live, topic: str, street: bytes
) -> None:
    """Half a JPEG is no empty street: nothing is stored of it, and the worker goes on."""
    with working(patient, detector) as worker:
        live.put_frame(frame(topic, street[: len(street) // 2]))
        until(lambda: worker.figures()["dropped_s"] > 0)
        good = frame(topic, street)
        live.put_frame(good)
        until(lambda: live.snapshot(topic) is not None)
    assert rows(db, "SELECT DISTINCT time FROM detection WHERE camera = %s", topic) == [(good.time,)]


def test_worker_redis_forgets_everything_and_work_goes_on(
    patient: Settings, detector: Detector, live: Live, topic: str, street: bytes
) -> None:
    """Redis is flushed, so the group is gone; the worker makes it anew and looks at the next frames."""
    raw = redis.Redis.from_url(patient.redis_url)
    with working(patient, detector):
        live.put_frame(frame(topic, street))
        until(lambda: live.snapshot(topic) is not None)
        raw.flushall()

        def looked_at() -> bool:
            live.put_frame(frame(topic, street))
            return live.snapshot(topic) is not None

        until(looked_at)
    raw.close()


def test_worker_redis_killed_and_back_is_reported_and_survived(
    patient: Settings, detector: Detector, cache: CacheServer, live: Live, topic: str, street: bytes
) -> None:
    """While Redis is away the worker says so; when it is back the worker works."""
    with working(patient, detector) as worker:
        service = worker._service
        cache.kill()
        until(lambda: "redis" in service.heartbeat().reason)
        cache.start()
        until(lambda: service.heartbeat().state == "ok")

        def looked_at() -> bool:
            live.put_frame(frame(topic, street))
            return live.snapshot(topic) is not None

        until(looked_at)


def test_worker_database_away_shows_pictures_and_says_so(
    patient: Settings, detector: Detector, live: Live, topic: str, street: bytes
) -> None:
    """Without TimescaleDB pictures are still shown, the heartbeat is degraded, and nothing piles up."""
    nowhere = patient.model_copy(update={"database_url": "postgresql://ioc@127.0.0.1:9/ioc"})
    with working(nowhere, detector, wait_s=0) as worker:
        live.put_frame(frame(topic, street))
        until(lambda: live.snapshot(topic) is not None)
        heartbeat = worker._service.heartbeat()
    assert heartbeat.state == "degraded"
    assert heartbeat.reason.startswith("timescaledb: ")


class Hanging:
    """A detector that gives no answer until it is let go."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.go = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._detector, name)

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """As the detector, later."""
        assert self.go.wait(PATIENCE_S)
        return self._detector.detect(images)


def test_worker_whose_detector_hangs_leaves_its_cameras_and_ends(
    patient: Settings, detector: Detector, live: Live, topic: str, street: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, another gets the cameras, and the process would end; one that goes on in time works again."""
    ended: list[int] = []
    monkeypatch.setattr("vision.worker.STUCK_S", 0.5)
    monkeypatch.setattr("ioc.service.os._exit", ended.append)
    hanging = Hanging(detector)
    own = patient.model_copy(update={"vision_group": topic})
    with working(own, cast("Detector", hanging)) as worker:
        try:
            live.put_frame(frame(topic, street))
            until(lambda: "work: a batch has taken" in worker._service.heartbeat().reason)

            def others() -> bool:
                return topic in live.claim_cameras(topic, "other", lease_s=LEASE_S, heard=[topic])

            until(others)
            assert not ended
            monkeypatch.setattr("vision.worker.HANGS_S", 1.0)
            until(lambda: bool(ended))
        finally:
            hanging.go.set()
        live.leave_cameras(topic, "other")
        until(lambda: worker._service.heartbeat().state == "ok" and live.snapshot(topic) is not None)
        until(lambda: topic in worker._share.cameras)
