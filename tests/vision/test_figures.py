"""Figures of a worker and of its cameras: the stages add up, old ones are forgotten, labels are bounded."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ioc.model import STAGES, StageTime
from vision import figures as module
from vision.figures import Figures
from vision.mailbox import Drop, Notice

T0 = datetime(2026, 1, 2, tzinfo=UTC)
SPENT = (0.1, 0.02, 0.03, 0.001, 0.009, 0.06)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_cameras_figures_are_those_of_the_last_seconds(clock: list[float]) -> None:
    """Rates, drops by reason and percentiles of each stage; after the window the newest picture's time is what stays."""
    figures = Figures("openvino", "0a1b", "host-1")
    figures.rules_off["a"] = {"7": "slow"}
    for _ in range(4):
        clock[0] += 1
        figures.arrived(["a", "b"])
        figures.seen("a", T0, SPENT, 0.02)
        figures.dropped([Drop(Notice("b", "1-0", clock[0]), "stale")])
    clock[0] += 1
    a, b = figures.cameras(["a", "b", "unknown"])
    assert (a.camera, a.worker, a.seen, a.frames_s, a.arrived_s, a.drops) == ("a", "host-1", T0, 1.0, 1.0, {})
    assert a.stages == {stage: StageTime(spent * 1e3, spent * 1e3) for stage, spent in zip(STAGES, SPENT, strict=True)}
    assert a.rules_off == {"7": "slow"}
    assert (b.seen, b.frames_s, b.arrived_s, b.drops, b.stages) == (None, 0.0, 1.0, {"stale": 4}, {})
    assert figures()["frames_s"] == pytest.approx(0.8)
    assert figures()["latency_ms_p95"] == pytest.approx(60.0)
    clock[0] += 20
    (a,) = figures.cameras(["a"])
    assert (a.seen, a.frames_s, a.arrived_s, a.stages) == (T0, 0.0, 0.0, {})


def test_prometheus_has_each_camera_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever may publish frames could invent cameras; not each becomes a series."""
    monkeypatch.setattr(module, "MOST_LABELS", 3)
    figures = Figures("openvino", "0a1b", "host-1")
    for number in range(5):
        figures.seen(f"cam-{number}", T0, SPENT, 0.02)
        figures.dropped([Drop(Notice(f"cam-{number}", "1-0", 0.0), "gone")])
    registry = CollectorRegistry()
    registry.register(figures)
    told = generate_latest(registry).decode()
    assert 'ioc_vision_camera_frames_seen_total{camera="cam-2"} 1.0' in told
    assert 'ioc_vision_camera_frames_dropped_total{camera="cam-0",reason="gone"} 1.0' in told
    assert 'ioc_vision_camera_stage_seconds{camera="cam-1",quantile="0.95",stage="inferred"} 0.03' in told
    assert 'ioc_vision_camera_newest_timestamp_seconds{camera="cam-1"} 1.767312e+09' in told
    assert "ioc_vision_cameras_without_label 2.0" in told
    assert "cam-3" not in told
