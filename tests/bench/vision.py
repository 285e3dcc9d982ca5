"""From JPEG bytes to stored detections, as a share of what the bare engine does on the same machine in the same minute.

Beside it ultralytics' own `predict` and `track` on the same frames (`vision_peer`), and what becomes of latency, drops and the
worst camera when more comes than can be looked at.

Engine only: the compiled network with its queue full of ready tensors; nothing is decoded, scaled, suppressed or stored.
The path: JPEG frames of 24 cameras into Redis, a worker process as in the field, counted by what TimescaleDB holds. The two
take turns, so that other work on the machine hits both alike. CPU time a frame is that of the processes themselves, and says
what the path costs where no core is idle. Latency is from a frame's arrival in Redis to the commit, at 70 % of the path's rate.

    python -m tests.bench vision    about five minutes
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Self

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
PEER_S = 5.0
#: Multiples of the path's own rate. 0.7 is what a machine is sized for.
LOADS = (0.7, 1.0, 3.0, 10.0)


def main() -> dict[str, float]:
    """Measure, print the table, return the figures."""
    settings = Settings(vision_engine="openvino")
    threads = settings.vision_threads or max(1, len(os.sched_getaffinity(0)) - 1)
    detector = OpenVino(
        load(settings.vision_weights or OWN_WEIGHTS, (".xml", ".bin")), confidence=0.25, threads=threads
    )
    pictures = make_pictures()
    with (
        service() as (environment, worker),
        closing(Live(environment["IOC_REDIS_URL"])) as live,
        peer(pictures, threads) as ask,
    ):
        engine, engine_cpu, path, path_cpu = [], [], [], []
        peers: dict[str, list[float]] = {"predict": [], "track": []}
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
            for how, rates in peers.items():
                if ask is not None:
                    rates.append(ask(how))
        rate = statistics.median(path)
        loads = {times: Load.of(live, pictures, times * rate) for times in LOADS}
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
        **{f"ultralytics_{how}_frames_s": statistics.median(rates) for how, rates in peers.items() if rates},
    }
    for times, loaded in loads.items():
        result |= {f"load_{times:g}_{name}": value for name, value in loaded.figures().items()}
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


class Load:
    """What became of frames that came at so many a second."""

    def __init__(self, offered: int, seconds: float, seen: list[SceneSeen]) -> None:
        self.offered_s = offered / seconds
        self.seen_s = len(seen) / seconds
        self.latencies = sorted(scene.latency_ms for scene in seen) or [math.nan]
        by_camera = Counter(scene.camera for scene in seen)
        self.worst = min(by_camera[f"bench-{number}"] for number in range(CAMERAS)) * CAMERAS / max(1, len(seen))

    @classmethod
    def of(cls, live: Live, pictures: list[bytes], per_s: float) -> Self:
        """Feed for a while and collect what was looked at meanwhile."""
        seen: list[SceneSeen] = []
        since = datetime.now(UTC)
        after, began = live.last_id(), time.monotonic()
        with feeding(live, pictures, per_s) as fed:
            while time.monotonic() < began + LATENCY_S:
                # Followed while it runs: the stream keeps a few thousand changes only.
                changes = live.changes(after, block_ms=100, count=2000)
                after = changes[-1][0] if changes else after
                seen += [change for _, change in changes if isinstance(change, SceneSeen)]
        seconds = time.monotonic() - began
        time.sleep(2)
        seen += scenes(live, after)
        return cls(len(fed), seconds, [scene for scene in seen if scene.time >= since])

    def figures(self) -> dict[str, float]:
        """By name."""
        return {
            "offered_s": self.offered_s,
            "seen_s": self.seen_s,
            "dropped": max(0.0, 1 - self.seen_s / self.offered_s),
            "p50_ms": statistics.median(self.latencies),
            "p95_ms": self.latencies[int(0.95 * (len(self.latencies) - 1))],
            "worst_camera": self.worst,
        }


@contextmanager
def peer(pictures: list[bytes], threads: int) -> Iterator[Callable[[str], float] | None]:
    """Ultralytics in a process of its own, asked for frames a second by `predict` or `track`; None without it."""
    if find_spec("ultralytics") is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="ioc-bench-") as folder:
        for number, jpeg in enumerate(pictures):
            (Path(folder) / f"{number:02}.jpg").write_bytes(jpeg)
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.vision_peer", folder, str(threads), str(PEER_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        answers, questions = process.stdout, process.stdin

        def ask(how: str) -> float:
            questions.write(f"{how}\n")
            questions.flush()
            return float(answers.readline())

        try:
            # Loading takes seconds of both cores: it is waited for.
            if answers.readline() != "ready\n":
                raise SystemExit("ultralytics did not start")
            yield ask
        finally:
            process.kill()
            process.wait()
            questions.close()
            answers.close()


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
    for how in ("predict", "track"):
        told = result.get(f"ultralytics_{how}_frames_s")
        table.add_row(
            f"ultralytics {how}, JPEG bytes in, nothing stored, frames/s",
            "not installed" if told is None else f"{told:.1f}",
        )
    Console().print(table)
    table = Table(title=f"Load, as multiples of the stored frames/s; {CAMERAS} cameras, {LATENCY_S:.0f} s each")
    for heading in ("load", "offered/s", "looked at/s", "dropped", "p50 ms", "p95 ms", "worst camera's share"):
        table.add_column(heading, justify="right")
    for times in LOADS:
        told = {
            key.removeprefix(f"load_{times:g}_"): value
            for key, value in result.items()
            if key.startswith(f"load_{times:g}_")
        }
        table.add_row(
            f"{times:g}×",
            f"{told['offered_s']:.0f}",
            f"{told['seen_s']:.1f}",
            f"{told['dropped']:.0%}",
            f"{told['p50_ms']:.0f}",
            f"{told['p95_ms']:.0f}",
            f"{told['worst_camera']:.0%}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
