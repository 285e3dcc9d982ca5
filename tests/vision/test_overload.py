"""A worker that is offered more than it can look at: latency stays, drops rise, every camera gets its turn."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

import cv2
import numpy as np
import pytest

from ioc.db.camera_budgets import set_budget
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.model import Frame, SceneSeen
from ioc.settings import Settings
from tests.fix_ingest import eventually
from tests.vision.test_worker import working
from vision.boxes import Boxes, Image
from vision.picture import encode_jpeg

CAMERAS = 8
#: What the detector below manages, pictures a second: so few that a busy machine can send ten times as many.
CAPACITY = 8.0
PHASE_S = 10.0


class Paced:
    """A detector of known speed, so that a load is so many times what it manages on any machine."""

    name, device, input_size, classes, weights, batch = "paced", "CPU", (64, 64), ("car",), "none", 4

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def detect(self, images: Sequence[Image]) -> list[Boxes]:
        """One car each, after its time."""
        with self._turn:
            time.sleep(len(images) / CAPACITY)
        return [np.array([[1, 1, 9, 9, 0.9, 0]], dtype=np.float32) for _ in images]

    def close(self) -> None:
        """Nothing to give back."""


class OneByOne(Paced):
    """The same, one picture at a time: what a camera gets is then bounded by its turns alone."""

    batch = 1


class Phase:
    """What became of the frames of one load."""

    def __init__(self, live: Live, cameras: list[str], times: float) -> None:
        after = live.last_id()
        picture = encode_jpeg(cv2.resize(np.full((1, 1, 3), 90, dtype=np.uint8), (64, 64)))
        self.sent = 0
        began = time.monotonic()
        while time.monotonic() < began + PHASE_S:
            live.put_frame(Frame(cameras[self.sent % CAMERAS], datetime.now(UTC), picture))
            self.sent += 1
            time.sleep(max(0.0, began + self.sent / (times * CAPACITY) - time.monotonic()))
        time.sleep(2.0)
        seen: list[SceneSeen] = []
        while changes := live.changes(after, block_ms=1, count=1000):
            after = changes[-1][0]
            seen += [change for _, change in changes if isinstance(change, SceneSeen)]
        self.seen = len(seen)
        self.by_camera = Counter(scene.camera for scene in seen)
        self.p50_s = statistics.median(scene.latency_ms for scene in seen) / 1e3


@pytest.fixture
def offered(settings: Settings) -> Settings:
    return settings.model_copy(update={"vision_max_fps": 1000.0, "vision_stale_ms": 5000})


def test_overload_latency_stays_drops_rise_and_no_camera_starves(offered: Settings, live: Live, topic: str) -> None:
    """At what it manages, at three times and ten times that."""
    cameras = [f"{topic}-{number}" for number in range(CAMERAS)]
    with working(offered, Paced()) as worker:
        phases = {times: Phase(live, cameras, times) for times in (1, 3, 10)}
        told = {one.camera: one for one in worker.figures.cameras(cameras)}
    for times, phase in phases.items():
        print(
            f"{times:2}x: {phase.seen / PHASE_S:5.1f} of {phase.sent / PHASE_S:5.1f} frames/s looked at, p50 {phase.p50_s:.3f} s"
        )
    # A queue would be seconds long by the end of a phase; a mailbox holds a frame for one round at most.
    one_round = CAMERAS / CAPACITY
    assert phases[3].p50_s < 2 * phases[1].p50_s + one_round
    assert phases[10].p50_s < 2 * phases[1].p50_s + one_round
    shares = [phase.seen / phase.sent for phase in phases.values()]
    assert shares[0] > 0.5
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.2
    for phase in phases.values():
        assert len(phase.by_camera) == CAMERAS
        assert min(phase.by_camera.values()) >= 0.5 * phase.seen / CAMERAS
    # The figures of each camera say the same: what came was looked at or dropped for a reason.
    assert set(told) == set(cameras)
    for one in told.values():
        assert one.frames_s > 0
        assert one.arrived_s > one.frames_s
        assert sum(one.drops.values()) > 0
        assert set(one.stages) == {"received", "batched", "inferred", "event", "committed", "total"}
        assert 0 < one.stages["inferred"].p50_ms <= one.stages["total"].p50_ms <= one.stages["total"].p95_ms


def test_overload_shares_go_by_budgets_which_may_change_meanwhile(
    offered: Settings, live: Live, connection: Connection, topic: str
) -> None:
    """At four times what it manages: equal shares at first, then 4 : 2 : 1 as budgets are given, without a restart."""
    cameras = [f"{topic}-{number}" for number in range(CAMERAS)]
    common, budgets = 3.0, dict(zip(cameras, (12.0, 12.0, 6.0, 6.0), strict=False))

    def told() -> dict[str, float | None]:
        return {name: one.budget for name, one in live.camera_figures(cameras).items()}

    with working(offered.model_copy(update={"vision_max_fps": common}), OneByOne()):
        equal = Phase(live, cameras, 4)
        eventually(lambda: told() == dict.fromkeys(cameras, common))
        for camera, fps in budgets.items():
            connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', '')", (camera,))
            set_budget(connection, camera, fps, None, "Hoa")
        eventually(lambda: told() == dict.fromkeys(cameras, common) | budgets)
        shared = Phase(live, cameras, 4)
    print(f"equal {sorted(equal.by_camera.values())}, by budget {[shared.by_camera[camera] for camera in cameras]}")
    assert min(equal.by_camera[camera] for camera in cameras) >= 0.7 * equal.seen / CAMERAS
    weights = {camera: budgets.get(camera, common) for camera in cameras}
    for camera, weight in weights.items():
        fair = shared.seen * weight / sum(weights.values())
        # Equal shares would be twice what is fair for the least; each has a look more when nothing comes any more.
        assert 0.6 * fair <= shared.by_camera[camera] <= 1.8 * fair, camera
