"""From JPEG bytes to stored detections, as a share of what the bare engine does on the same machine in the same minute.

Engine only: the compiled network with its queue full of ready tensors; nothing is decoded, scaled, suppressed or stored.
The path: JPEG frames of 24 cameras into Redis, a worker process as in the field, counted by what TimescaleDB holds. The two
take turns, so that other work on the machine hits both alike. CPU time a frame is that of the processes themselves, and says
what the path costs where no core is idle. Latency is from a frame's arrival in Redis to the commit, at 70 % of the path's rate.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from ioc.db.migrate import migrate
from ioc.db.pool import connect
from ioc.live import Live
from ioc.model import Frame, SceneSeen
from ioc.settings import Settings
from ioc.stack.embedded import Stack
from ioc.stack.home import Home
from tests.vision.photograph import photographs
from vision.boxes import letterbox
from vision.engine.openvino import OpenVino
from vision.manifest import OWN_WEIGHTS, load
from vision.picture import encode_jpeg

CAMERAS = 24
RUNS = 5
ENGINE_S = 3.0
PATH_S = 5.0
WARM_S = 2.0
LATENCY_S = 15.0
LOAD = 0.7


def main() -> dict[str, float]:
    """Measure, print the table, return the figures."""
    settings = Settings(vision_engine="openvino")
    threads = settings.vision_threads or max(1, len(os.sched_getaffinity(0)) - 1)
    detector = OpenVino(
        load(settings.vision_weights or OWN_WEIGHTS, (".xml", ".bin")), confidence=0.25, threads=threads
    )
    pictures = make_pictures()
    with service() as (environment, worker), closing(Live(environment["IOC_REDIS_URL"])) as live:
        engine, engine_cpu, path, path_cpu = [], [], [], []
        bare(detector, 1.0)
        for _ in range(RUNS):
            used = time.process_time()
            engine.append(bare(detector, ENGINE_S))
            engine_cpu.append((time.process_time() - used) / (engine[-1] * ENGINE_S))
            with feeding(live, pictures, 1.5 * max(engine)):
                time.sleep(WARM_S)
                wait_for_frames(live)
                used = cpu_of(worker)
                path.append(stored_rate(environment, PATH_S))
                path_cpu.append((cpu_of(worker) - used) / (path[-1] * PATH_S))
            time.sleep(1)
        rate = LOAD * statistics.median(path)
        after, since = live.last_id(), datetime.now(UTC)
        with feeding(live, pictures, rate) as fed:
            time.sleep(LATENCY_S)
        time.sleep(2)
        latencies = sorted(scene.latency_ms for scene in scenes(live, after) if scene.time >= since)
    detector.close()
    result = {
        "threads": float(threads),
        "engine_frames_s": statistics.median(engine),
        "stored_frames_s": statistics.median(path),
        "share": statistics.median(p / e for p, e in zip(path, engine, strict=True)),
        "share_least": min(p / e for p, e in zip(path, engine, strict=True)),
        "share_most": max(p / e for p, e in zip(path, engine, strict=True)),
        "engine_cpu_ms": 1000 * statistics.median(engine_cpu),
        "path_cpu_ms": 1000 * statistics.median(path_cpu),
        "latency_load": LOAD,
        "latency_p50_ms": statistics.median(latencies),
        "latency_p95_ms": latencies[int(0.95 * (len(latencies) - 1))],
        "latency_seen": len(latencies) / len(fed),
    }
    _show(result)
    return result


def make_pictures() -> list[bytes]:
    """A 1280 x 720 JPEG for each camera: a photograph twice, side by side, shifted, so that no two are alike."""
    found = photographs()
    if not found:
        raise SystemExit("no photograph of a street: `make setup` fetches one")
    tile = cv2.resize(cv2.imread(str(found[0])), (640, 720))
    whole = np.tile(tile, (1, 2, 1)).astype(np.uint8)
    return [encode_jpeg(np.roll(whole, 53 * number, axis=1)) for number in range(CAMERAS)]


def bare(detector: OpenVino, seconds: float) -> float:
    """Inferences per second of the compiled network alone, its queue kept full."""
    picture = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    height = detector.height_for(picture)
    inputs = np.empty((1, height, detector.input_size[1], 3), dtype=np.uint8)
    letterbox(picture, inputs[0])
    requests = detector.requests(height)
    requests.set_callback(lambda *_: None)
    done = 0
    requests.start_async({0: inputs}, None)
    requests.wait_all()
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        requests.start_async({0: inputs}, None, share_inputs=True)
        done += 1
    requests.wait_all()
    return done / (time.monotonic() - began)


@contextmanager
def service() -> Iterator[tuple[dict[str, str], int]]:
    """TimescaleDB, Redis and a vision worker, without a budget per camera; gives the environment and its process id."""
    with ExitStack() as stay:
        folder = Path(stay.enter_context(tempfile.TemporaryDirectory(prefix="ioc-bench-", dir="/tmp")))
        folder.chmod(0o755)
        stack = stay.enter_context(Stack(Home.at(folder)))
        with closing(connect(stack.urls.database_url)) as connection:
            migrate(connection)
        environment = os.environ | stack.urls.environment() | {"IOC_HOME": str(folder), "IOC_LOG_LEVEL": "warning"}
        environment |= {"IOC_VISION_ENGINE": "openvino", "IOC_VISION_MAX_FPS": "1000"}
        worker = subprocess.Popen([sys.executable, "-m", "vision", "run"], env=environment)
        stay.callback(worker.wait)
        stay.callback(worker.terminate)
        with closing(Live(environment["IOC_REDIS_URL"])) as live:
            until = time.monotonic() + 60
            while not any("frames_s" in beat.figures for beat in live.heartbeats()):
                if time.monotonic() > until or worker.poll() is not None:
                    raise SystemExit("the vision worker did not start within a minute")
                time.sleep(0.1)
        yield environment, worker.pid


@contextmanager
def feeding(live: Live, pictures: list[bytes], per_s: float) -> Iterator[list[float]]:
    """New frames arrive evenly over the cameras, at so many a second; gives the moments they were put in."""
    stop = threading.Event()
    fed: list[float] = []

    def feed() -> None:
        began = time.monotonic()
        number = 0
        while not stop.is_set():
            camera = number % CAMERAS
            live.put_frame(Frame(f"bench-{camera}", datetime.now(UTC), pictures[camera]))
            fed.append(time.time())
            number += 1
            stop.wait(max(0.0, began + number / per_s - time.monotonic()))

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield fed
    finally:
        stop.set()
        thread.join()


def wait_for_frames(live: Live) -> None:
    """Until the worker has looked at ten more frames: the first of each size makes the engine compile."""
    after, seen, until = live.last_id(), 0, time.monotonic() + 60
    while seen < 10:
        if time.monotonic() > until:
            raise SystemExit("the vision worker stored fewer than ten frames in a minute: the machine is overloaded")
        changes = live.changes(after, block_ms=200)
        after = changes[-1][0] if changes else after
        seen += sum(isinstance(change, SceneSeen) for _, change in changes)


def cpu_of(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stored_rate(environment: dict[str, str], seconds: float) -> float:
    """Frames per second whose detections and counts were committed, as TimescaleDB has them."""
    with closing(connect(environment["IOC_DATABASE_URL"])) as connection:
        connection.autocommit = True

        def stored() -> tuple[int, float]:
            row = connection.execute("SELECT coalesce(sum(frames), 0) FROM camera_count WHERE label = 'car'").fetchone()
            return (int(row[0]) if row else 0), time.monotonic()

        before, began = stored()
        time.sleep(seconds)
        after, ended = stored()
    return (after - before) / (ended - began)


def scenes(live: Live, after: str) -> Iterator[SceneSeen]:
    """Every scene announced since."""
    while changes := live.changes(after, block_ms=100):
        after = changes[-1][0]
        yield from (change for _, change in changes if isinstance(change, SceneSeen))


def _show(result: dict[str, float]) -> None:
    table = Table(
        title=f"JPEG → stored detections, OpenVINO on {result['threads']:.0f} thread(s), medians of {RUNS} runs"
    )
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("engine only, frames/s", f"{result['engine_frames_s']:.1f}")
    table.add_row("JPEG bytes in, detections stored, frames/s", f"{result['stored_frames_s']:.1f}")
    spread = f"{result['share_least']:.0%}–{result['share_most']:.0%}"
    table.add_row("share of engine only (budget: 80 %)", f"{result['share']:.0%} ({spread})")
    table.add_row("CPU a frame, engine only, ms", f"{result['engine_cpu_ms']:.1f}")
    table.add_row("CPU a frame, whole worker, ms", f"{result['path_cpu_ms']:.1f}")
    table.add_row(f"arrival → commit at {LOAD:.0%} load, p50 ms", f"{result['latency_p50_ms']:.0f}")
    table.add_row(f"arrival → commit at {LOAD:.0%} load, p95 ms", f"{result['latency_p95_ms']:.0f}")
    table.add_row("frames looked at under that load", f"{result['latency_seen']:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
