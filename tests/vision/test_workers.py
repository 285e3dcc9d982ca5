"""Several worker processes on one Redis and one TimescaleDB, and what becomes of the cameras when something dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ioc.errors import LiveError
from ioc.live import Live
from ioc.model import CameraFigures, Frame
from ioc.stack.home import Home
from tests.faults.database import DatabaseServer
from tests.fix_stack import CacheServer, Database

PATIENCE_S = 120.0
CAMERAS = 12
#: Promised is five; this machine may be many times slower.
MOST_DARK_S = 45.0


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.1)


class Fleet:
    """Worker processes, and twelve cameras of which each sends two pictures a second."""

    def __init__(self, environment: dict[str, str], live: Live, cameras: list[str], jpeg: bytes) -> None:
        self.cameras = cameras
        self.sent: dict[str, set[datetime]] = {camera: set() for camera in cameras}
        self.processes: list[subprocess.Popen[bytes]] = []
        self._environment = environment
        self._live = live
        self._jpeg = jpeg
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        while not self._stopping.is_set():
            for camera in self.cameras:
                frame = Frame(camera, datetime.now(UTC), self._jpeg)
                # Before it is put: it may be there although the answer is lost, and stored before we go on.
                self.sent[camera].add(frame.time)
                with suppress(LiveError):
                    self._live.put_frame(frame)
                self._stopping.wait(0.5 / len(self.cameras))

    def start(self) -> subprocess.Popen[bytes]:
        """Start one more worker and wait until it has a camera."""
        process = subprocess.Popen([sys.executable, "-m", "vision", "run"], env=self._environment)
        self.processes.append(process)
        until(lambda: any(owner.endswith(f"-{process.pid}") for owner in self.owners().values()), "it has a camera")
        return process

    def figures(self) -> dict[str, CameraFigures]:
        """What is told of each camera."""
        return self._live.camera_figures(self.cameras)

    def owners(self) -> dict[str, str]:
        """The worker of each camera, as its figures tell."""
        return {camera: one.worker for camera, one in self.figures().items()}

    def share_out(self, *wanted: int) -> None:
        """Wait until the live workers have so many cameras each."""
        deadline = time.monotonic() + PATIENCE_S
        while self.shares() != list(wanted):
            if time.monotonic() > deadline:
                state = [(process.pid, process.poll()) for process in self.processes]
                for process in self.processes:
                    # Each says on standard error where its threads are.
                    process.send_signal(signal.SIGABRT)
                pytest.fail(f"not {wanted}: {self.owners()}, processes {state}")
            time.sleep(0.1)

    def shares(self) -> list[int]:
        """How many cameras each live worker has."""
        return sorted(Counter(self.owners().values()).values())

    def close(self) -> None:
        """Stop the cameras and kill what still runs."""
        self._stopping.set()
        self._thread.join()
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server(runtime: Path) -> Iterator[DatabaseServer]:
    """A TimescaleDB that may crash."""
    running = DatabaseServer(Home.at(runtime / "vision-database"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def db(server: DatabaseServer) -> Database:
    """In place of the shared server's: this one crashes."""
    return server.make_database("fleet")


@pytest.fixture
def fleet(environment: dict[str, str], cache: CacheServer, weights: Path, topic: str, street: bytes) -> Iterator[Fleet]:
    own = {
        "IOC_VISION_WEIGHTS": str(weights),
        "IOC_VISION_ENGINE": "openvino",
        "IOC_VISION_THREADS": "1",
        "IOC_VISION_STALE_MS": "5000",
        "IOC_VISION_GROUP": topic,
        "PYTHONFAULTHANDLER": "1",
    }
    live = Live(cache.url)
    running = Fleet(environment | own, live, [f"{topic}-{number:02}" for number in range(CAMERAS)], street)
    yield running
    running.close()
    live.close()


def seen(db: Database, cameras: list[str]) -> dict[str, datetime]:
    """The newest stored frame of each camera."""
    with db.connect() as connection:
        rows = connection.execute("SELECT camera, time FROM camera_seen WHERE camera = ANY(%s)", (cameras,)).fetchall()
    return {row[0]: row[1] for row in rows}


def dark_s(db: Database, cameras: list[str], since: datetime) -> float:
    """Wait until a frame taken after `since` is stored of every camera; the longest that one took, in seconds."""
    back: dict[str, float] = {}

    def all_back() -> bool:
        now = datetime.now(UTC)
        for camera, newest in seen(db, cameras).items():
            if newest > since:
                back.setdefault(camera, (now - since).total_seconds())
        return len(back) == len(cameras)

    until(all_back, "every camera is looked at again")
    return max(back.values())


def check_once(db: Database, fleet: Fleet) -> None:
    """What is stored was sent, and what is counted is what is stored, each frame once."""
    with db.connect() as connection:
        # The workers go on meanwhile: all is asked of one moment.
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        with connection.transaction():
            for camera in fleet.cameras:
                stored = connection.execute(
                    "SELECT count(*), count(DISTINCT (time, seq)) FROM detection WHERE camera = %s", (camera,)
                ).fetchone()
                counted = connection.execute(
                    "SELECT label, sum(frames), sum(objects) FROM camera_count WHERE camera = %s GROUP BY label",
                    (camera,),
                ).fetchall()
                times = connection.execute(
                    "SELECT DISTINCT time FROM detection WHERE camera = %s", (camera,)
                ).fetchall()
                assert stored is not None
                assert stored[0] == stored[1] == sum(row[2] for row in counted) > 0
                assert {row[1] for row in counted} == {len(times)}
                assert {row[0] for row in times} <= fleet.sent[camera]


def test_workers_killed_stopped_and_joining_lose_no_camera_and_double_no_frame(fleet: Fleet, db: Database) -> None:
    """Three workers share twelve cameras; one is killed, another stands still and comes back, a third stops in order."""
    for _ in range(3):
        fleet.start()
    fleet.share_out(4, 4, 4)
    before = fleet.owners()

    killed = fleet.processes[0]
    since = datetime.now(UTC)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    took = dark_s(db, fleet.cameras, since)
    print(f"longest without a look after SIGKILL: {took:.1f} s")
    assert took < MOST_DARK_S
    fleet.share_out(6, 6)
    stayed = {camera: owner for camera, owner in before.items() if not owner.endswith(f"-{killed.pid}")}
    assert fleet.owners().items() >= stayed.items(), "cameras of live workers stay where their tracks are"

    fleet.start()
    fleet.share_out(4, 4, 4)

    stopped = fleet.processes[1]
    since = datetime.now(UTC)
    os.kill(stopped.pid, signal.SIGSTOP)
    took = dark_s(db, fleet.cameras, since + timedelta(seconds=0.5))
    print(f"longest without a look after SIGSTOP: {took:.1f} s")
    assert took < MOST_DARK_S
    fleet.share_out(6, 6)
    os.kill(stopped.pid, signal.SIGCONT)
    fleet.share_out(4, 4, 4)

    in_order = fleet.processes[2]
    since = datetime.now(UTC)
    in_order.send_signal(signal.SIGTERM)
    took = dark_s(db, fleet.cameras, since)
    print(f"longest without a look after SIGTERM: {took:.1f} s")
    assert took < MOST_DARK_S
    assert in_order.wait(PATIENCE_S) == 0
    fleet.share_out(6, 6)
    check_once(db, fleet)


def test_workers_redis_and_database_crash_and_every_camera_comes_back(
    fleet: Fleet, db: Database, cache: CacheServer, server: DatabaseServer
) -> None:
    """Redis is killed and comes back empty, then TimescaleDB crashes and is started again; nothing is doubled by either."""
    for _ in range(2):
        fleet.start()
    fleet.share_out(6, 6)

    cache.kill()
    time.sleep(1)
    cache.start()
    since = datetime.now(UTC)
    print(f"longest without a look after Redis came back: {dark_s(db, fleet.cameras, since):.1f} s")
    fleet.share_out(6, 6)

    server.crash()
    time.sleep(1)
    assert fleet.shares() == [6, 6], "who looks at what is no matter of the database"
    server.start()
    since = datetime.now(UTC)
    print(f"longest without a look after TimescaleDB came back: {dark_s(db, fleet.cameras, since):.1f} s")
    assert all(process.poll() is None for process in fleet.processes)
    check_once(db, fleet)
