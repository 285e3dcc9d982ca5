"""The service as a process: without weights it says so and waits; killed, it neither loses count nor doubles."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from ioc.live import Live
from ioc.model import Frame, Heartbeat
from tests.fix_stack import Database

PATIENCE_S = 90.0

Start = Callable[..., subprocess.Popen[bytes]]


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Start]:
    """Starts `ioc-vision run`; it is gone in the end."""
    started: list[subprocess.Popen[bytes]] = []

    def run(weights: Path, **more: str) -> subprocess.Popen[bytes]:
        own = {"IOC_VISION_WEIGHTS": str(weights), "IOC_VISION_ENGINE": "openvino", "IOC_VISION_STALE_MS": "30000"}
        process = subprocess.Popen([sys.executable, "-m", "vision", "run"], env=environment | own | more)
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()


def heartbeat(live: Live, process: subprocess.Popen[bytes]) -> Heartbeat | None:
    found = [beat for beat in live.heartbeats() if beat.instance.endswith(f"-{process.pid}")]
    return found[0] if found else None


def test_service_without_weights_says_so_until_they_come(
    start: Start, live: Live, weights: Path, tmp_path: Path, topic: str, street: bytes
) -> None:
    """No weights, then damaged ones, then the right ones: up all the time, degraded with the reason, then at work."""
    process = start(tmp_path)

    def reason() -> str:
        beat = heartbeat(live, process)
        return beat.reason if beat is not None else ""

    until(lambda: reason().startswith("no_weights: ") and "manifest.json does not exist" in reason())
    live.put_frame(Frame(topic, datetime.now(UTC), street))
    # The damaged one first: at no moment are all of them right.
    network = tmp_path / next(weights.glob("*.bin")).name
    right = (weights / network.name).read_bytes()
    network.write_bytes(right[:-1])
    for path in weights.iterdir():
        if path.is_file() and path.name != network.name:
            shutil.copyfile(path, tmp_path / path.name)
    until(lambda: "SHA-256" in reason())
    assert process.poll() is None
    assert live.snapshot(topic) is None
    network.write_bytes(right)
    until(lambda: (beat := heartbeat(live, process)) is not None and beat.state == "ok" and "frames_s" in beat.figures)

    def is_seen() -> bool:
        # Frame after frame, as a camera: on a busy machine one alone may be stale by the time it is looked at.
        live.put_frame(Frame(topic, datetime.now(UTC), street))
        return live.snapshot(topic) is not None

    until(is_seen)
    beat = heartbeat(live, process)
    assert beat is not None
    assert beat.figures["engine_openvino"] == 1.0
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_service_killed_in_mid_stream_counts_every_stored_frame_once(
    start: Start, live: Live, db: Database, weights: Path, topic: str, street: bytes
) -> None:
    """SIGKILL twice while frames flow: what is counted is what is stored, frame by frame and box by box."""
    cameras = [f"{topic}-{number}" for number in range(3)]
    sent: dict[str, set[datetime]] = {camera: set() for camera in cameras}

    def send() -> None:
        for camera in cameras:
            frame = Frame(camera, datetime.now(UTC), street)
            sent[camera].add(frame.time)
            live.put_frame(frame)

    def stored() -> int:
        with db.connect() as connection:
            row = connection.execute(
                "SELECT count(DISTINCT (camera, time)) FROM detection WHERE camera = ANY(%s)", (cameras,)
            ).fetchone()
        return int(row[0]) if row else 0

    def flows() -> bool:
        send()
        time.sleep(0.1)
        return stored() >= target

    for _ in range(2):
        target = stored() + 4
        process = start(weights, IOC_VISION_MAX_FPS="50")
        until(flows)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    # What was sent before the last kill may be committed now: all is asked of one moment.
    with db.connect() as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            for camera in cameras:
                times = {
                    row[0]
                    for row in connection.execute("SELECT DISTINCT time FROM detection WHERE camera = %s", (camera,))
                }
                boxes = connection.execute("SELECT count(*) FROM detection WHERE camera = %s", (camera,)).fetchone()
                counted = connection.execute(
                    "SELECT sum(frames), sum(objects) FROM (SELECT sum(frames) AS frames, sum(objects) AS objects"
                    " FROM camera_count WHERE camera = %s GROUP BY label) AS by_label GROUP BY frames",
                    (camera,),
                ).fetchall()
                assert times <= sent[camera]
                assert len(counted) == 1, "every class has been looked for in the same frames"
                assert counted[0][0] / 6 == len(times)
                assert counted[0][1] == boxes[0]
