"""What the worker says of itself: figures of the last seconds for the heartbeat and the pages, metrics for Prometheus."""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np
from prometheus_client import Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ioc.model import STAGES, CameraFigures, StageTime
from ioc.service import utc_now
from vision.mailbox import FORGET_S, Drop, Reason

#: The figures are those of so many seconds.
WINDOW_S: Final = 10.0
#: Cameras that have a label of their own in Prometheus at most: whoever may publish could invent any number.
MOST_LABELS: Final = 500

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SEEN: Final = Counter("ioc_vision_frames_seen_total", "Frames looked at.")
DROPPED: Final = Counter("ioc_vision_frames_dropped_total", "Frames not looked at.", ["reason"])
NOT_STORED: Final = Counter("ioc_vision_frames_not_stored_total", "Frames looked at while TimescaleDB was away.")
OBJECTS: Final = Counter("ioc_vision_objects_total", "Objects stored.", ["label"])
RULES_FAILED: Final = Counter("ioc_vision_rules_failed_total", "Times that a fault kept a rule from being followed.")
STEP: Final = Histogram("ioc_vision_step_seconds", "Time of one batch in a step.", ["step"], buckets=_BUCKETS)
STAGE: Final = Histogram(
    "ioc_vision_stage_seconds",
    "Time of one frame in a stage; `total` from Redis to the commit.",
    ["stage"],
    buckets=_BUCKETS,
)


class _Seen(msgspec.Struct, frozen=True, array_like=True):
    """A frame that was looked at: when, the seconds of each of `STAGES`, and what the engine alone took."""

    at: float
    stages: tuple[float, ...]
    inferred_s: float


class _Camera:
    """What is known of one camera."""

    def __init__(self, now: float) -> None:
        self.since = self.touched = now
        self.newest: datetime | None = None
        self.arrived: deque[float] = deque()
        self.seen: deque[_Seen] = deque()
        self.dropped: deque[tuple[float, Reason]] = deque()
        self.seen_total = 0
        self.dropped_total: Tally[Reason] = Tally()

    def trim(self, now: float) -> None:
        """Forget what is older than the window."""
        edge = now - WINDOW_S
        while self.arrived and self.arrived[0] < edge:
            self.arrived.popleft()
        while self.seen and self.seen[0].at < edge:
            self.seen.popleft()
        while self.dropped and self.dropped[0][0] < edge:
            self.dropped.popleft()


class Figures:
    """Rates and percentiles over the last ten seconds, of the worker and of each camera; for threads.

    Attributes:
        rules_off: by camera, the ids of its rules that are not run, each with the frames a second that are too few for it.
    """

    def __init__(self, engine: str, weights: str, worker: str) -> None:
        self.engine = engine
        self.weights = weights
        self.rules_off: dict[str, dict[str, str]] = {}
        self._worker = worker
        self._lock = threading.Lock()
        self._cameras: dict[str, _Camera] = {}
        self._started = time.monotonic()

    def arrived(self, cameras: Iterable[str]) -> None:
        """Frames of cameras came."""
        now = time.monotonic()
        with self._lock:
            for camera in cameras:
                one = self._of(camera, now)
                one.touched = now
                one.arrived.append(now)

    def seen(self, camera: str, taken: datetime, stages: tuple[float, ...], inferred_s: float) -> None:
        """A frame was looked at and stored: the device's time, the seconds of each of `STAGES`, those of the engine."""
        SEEN.inc()
        for stage, seconds in zip(STAGES, stages, strict=True):
            STAGE.labels(stage).observe(seconds)
        now = time.monotonic()
        with self._lock:
            one = self._of(camera, now)
            one.newest = taken
            one.seen_total += 1
            one.seen.append(_Seen(now, stages, inferred_s))

    def dropped(self, drops: Iterable[Drop]) -> None:
        """Frames were not looked at."""
        now = time.monotonic()
        with self._lock:
            for drop in drops:
                DROPPED.labels(drop.reason).inc()
                one = self._of(drop.notice.camera, now)
                one.dropped_total[drop.reason] += 1
                one.dropped.append((now, drop.reason))

    def __call__(self) -> dict[str, float]:
        """The worker's figures as of now, as the heartbeat carries them."""
        now = time.monotonic()
        with self._lock:
            self._trim(now)
            seen = [one for camera in self._cameras.values() for one in camera.seen]
            cameras = sum(1 for camera in self._cameras.values() if camera.seen)
            dropped = sum(len(camera.dropped) for camera in self._cameras.values())
        span = max(1.0, min(WINDOW_S, now - self._started))
        figures = {
            "frames_s": round(len(seen) / span, 1),
            "dropped_s": round(dropped / span, 1),
            "cameras": float(cameras),
            # The only figures that are names: the heartbeat carries numbers.
            f"engine_{self.engine}": 1.0,
            f"weights_{self.weights}": 1.0,
        }
        if seen:
            p50, p95 = np.percentile([one.stages[-1] for one in seen], [50, 95])
            figures["latency_ms_p50"] = round(float(p50) * 1e3, 1)
            figures["latency_ms_p95"] = round(float(p95) * 1e3, 1)
            figures["inferred_ms"] = round(float(np.median([one.inferred_s for one in seen])) * 1e3, 1)
        return figures

    def cameras(self, which: Iterable[str]) -> list[CameraFigures]:
        """Figures of each of these cameras as of now."""
        now, time_now = time.monotonic(), utc_now()
        with self._lock:
            self._trim(now)
            kept = [
                (
                    name,
                    one.since,
                    one.newest,
                    list(one.seen),
                    len(one.arrived),
                    Tally(reason for _, reason in one.dropped),
                )
                for name in which
                if (one := self._cameras.get(name)) is not None
            ]
        told = []
        for name, since, newest, seen, arrived, drops in kept:
            span = max(1.0, min(WINDOW_S, now - since))
            told.append(
                CameraFigures(
                    camera=name,
                    time=time_now,
                    worker=self._worker,
                    seen=newest,
                    frames_s=round(len(seen) / span, 2),
                    arrived_s=round(arrived / span, 2),
                    drops={str(reason): count for reason, count in drops.items()},
                    stages=_percentiles(seen),
                    rules_off=self.rules_off.get(name, {}),
                )
            )
        return told

    def collect(self) -> Iterator[Any]:
        """Figures by camera for Prometheus, of `MOST_LABELS` cameras at most."""
        with self._lock:
            names = sorted(self._cameras)
            totals = {
                name: (self._cameras[name].seen_total, dict(self._cameras[name].dropped_total))
                for name in names[:MOST_LABELS]
            }
        unnamed = GaugeMetricFamily("ioc_vision_cameras_without_label", "Cameras that are not told of one by one.")
        unnamed.add_metric([], float(max(0, len(names) - MOST_LABELS)))
        yield unnamed
        seen = CounterMetricFamily("ioc_vision_camera_frames_seen", "Frames looked at.", labels=["camera"])
        drops = CounterMetricFamily(
            "ioc_vision_camera_frames_dropped", "Frames not looked at.", labels=["camera", "reason"]
        )
        for name, (frames, by_reason) in totals.items():
            seen.add_metric([name], frames)
            for reason, count in by_reason.items():
                drops.add_metric([name, reason], count)
        yield seen
        yield drops
        stages = GaugeMetricFamily(
            "ioc_vision_camera_stage_seconds",
            "Time in a stage over the last ten seconds.",
            labels=["camera", "stage", "quantile"],
        )
        newest = GaugeMetricFamily(
            "ioc_vision_camera_newest_timestamp_seconds",
            "When the newest picture looked at was taken, by the camera's clock.",
            labels=["camera"],
        )
        for one in self.cameras(totals):
            if one.seen is not None:
                newest.add_metric([one.camera], one.seen.timestamp())
            for stage, spent in one.stages.items():
                stages.add_metric([one.camera, stage, "0.5"], spent.p50_ms / 1e3)
                stages.add_metric([one.camera, stage, "0.95"], spent.p95_ms / 1e3)
        yield stages
        yield newest

    def _of(self, camera: str, now: float) -> _Camera:
        if camera not in self._cameras:
            self._cameras[camera] = _Camera(now)
        return self._cameras[camera]

    def _trim(self, now: float) -> None:
        for name in [name for name, one in self._cameras.items() if now - one.touched >= FORGET_S]:
            del self._cameras[name]
            self.rules_off.pop(name, None)
        for one in self._cameras.values():
            one.trim(now)


def _percentiles(seen: list[_Seen]) -> dict[str, StageTime]:
    if not seen:
        return {}
    p50, p95 = np.percentile([one.stages for one in seen], [50, 95], axis=0) * 1e3
    return {
        stage: StageTime(round(float(half), 1), round(float(most), 1))
        for stage, half, most in zip(STAGES, p50, p95, strict=True)
    }
