"""What the worker says of itself: figures of the last seconds for the heartbeat, metrics for Prometheus."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Final

import numpy as np
from prometheus_client import Counter, Histogram

from vision.mailbox import Reason

#: The heartbeat's figures are those of so many seconds.
WINDOW_S: Final = 10.0

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SEEN: Final = Counter("ioc_vision_frames_seen_total", "Frames looked at.")
DROPPED: Final = Counter("ioc_vision_frames_dropped_total", "Frames not looked at.", ["reason"])
NOT_STORED: Final = Counter("ioc_vision_frames_not_stored_total", "Frames looked at while TimescaleDB was away.")
OBJECTS: Final = Counter("ioc_vision_objects_total", "Objects stored.", ["label"])
STAGE: Final = Histogram("ioc_vision_stage_seconds", "Time of one batch in a stage.", ["stage"], buckets=_BUCKETS)
LATENCY: Final = Histogram("ioc_vision_latency_seconds", "Arrival in Redis to commit.", buckets=_BUCKETS)


class Figures:
    """Rates and percentiles over the last ten seconds; for threads."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, str, float, float]] = deque()
        self._dropped: deque[float] = deque()
        self._started = time.monotonic()

    def seen(self, camera: str, latency_s: float, inferred_s: float) -> None:
        """A frame was looked at and stored."""
        SEEN.inc()
        LATENCY.observe(latency_s)
        with self._lock:
            self._seen.append((time.monotonic(), camera, latency_s, inferred_s))

    def dropped(self, reasons: Iterable[Reason]) -> None:
        """Frames were not looked at."""
        now = time.monotonic()
        for reason in reasons:
            DROPPED.labels(reason).inc()
            with self._lock:
                self._dropped.append(now)

    def __call__(self) -> dict[str, float]:
        """The figures as of now, as the heartbeat carries them."""
        now = time.monotonic()
        with self._lock:
            while self._seen and self._seen[0][0] < now - WINDOW_S:
                self._seen.popleft()
            while self._dropped and self._dropped[0] < now - WINDOW_S:
                self._dropped.popleft()
            seen, dropped = list(self._seen), len(self._dropped)
        span = max(1.0, min(WINDOW_S, now - self._started))
        figures = {
            "frames_s": round(len(seen) / span, 1),
            "dropped_s": round(dropped / span, 1),
            "cameras": float(len({camera for _, camera, _, _ in seen})),
            # The only figure that is a name: the heartbeat carries numbers.
            f"engine_{self._engine}": 1.0,
        }
        if seen:
            latency = np.array([entry[2] for entry in seen]) * 1e3
            figures["latency_ms_p50"] = round(float(np.percentile(latency, 50)), 1)
            figures["latency_ms_p95"] = round(float(np.percentile(latency, 95)), 1)
            figures["inferred_ms"] = round(float(np.median([entry[3] for entry in seen])) * 1e3, 1)
        return figures
