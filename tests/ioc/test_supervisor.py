"""The supervisor as a process: however it ends, nothing of it is left."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ioc.stack.embedded import CLONE, end_leftovers, owner, read_record
from ioc.stack.home import Home
from ioc.stack.process import born

#: A city of two small services; the real ones are tested in their own packages. The second starts a child of its own.
CITY = """
import sys
from ioc.settings import Settings
from ioc.stack.screen import Screen
from ioc.stack.services import ServiceRow
from ioc.stack.supervisor import Supervisor

screen = Screen()
rows = [ServiceRow(name, "tests.ioc.small_service", (name,)) for name in ("steady", "parent", *sys.argv[1:])]
Supervisor(Settings.load(), rows, screen.say, screen.show).run()
"""


class City:
    """A supervisor that runs, and every process it started."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.home = Home.at(folder)
        self.mark = uuid.uuid4().hex
        environment = {key: value for key, value in os.environ.items() if not key.startswith("IOC_")}
        environment |= {
            "IOC_HOME": str(folder),
            "IOC_DASHBOARDS_PORT": "0",
            "TEST_MARK": self.mark,
            "PYTHONPATH": str(CLONE),
        }
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder / f"output-{self.mark}.txt"
        # A terminal of its own, as a person has: closing it sends SIGHUP.
        self.terminal, inside = pty.openpty()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["setsid", "--ctty", sys.executable, "-c", CITY, *arguments],
                stdin=inside,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=CLONE,
            )
        os.close(inside)

    def started(self) -> dict[str, int]:
        """Process ids of the servers and services, once all of them run."""
        names = ("steady", "parent", "parent-child")
        files = {name: self.home.path / f"{name}-{self.mark}.pid" for name in names}
        wait_until(lambda: all(file.exists() for file in files.values()) or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.output.read_text()
        servers = {name: pid for name, pid, _ in read_record(self.home)["processes"]}
        return servers | {name: int(file.read_text()) for name, file in files.items()}

    def processes(self) -> dict[int, str]:
        """Every living process that carries this city's mark in its environment, or has its folder in its command."""
        found: dict[int, str] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            pid = int(entry.name)
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                marked = self.mark.encode() in (entry / "environ").read_bytes()
            except OSError:
                continue
            if born(pid) is not None and (marked or str(self.home.path) in command):
                found[pid] = command
        return found

    def end(self) -> None:
        """Whatever the test did, leave nothing."""
        for pid in self.processes():
            with suppress(ProcessLookupError):  # it has ended by itself meanwhile
                os.kill(pid, signal.SIGKILL)
        self.process.wait(60)
        end_leftovers(read_record(self.home))


@pytest.fixture(scope="module")
def folder(runtime: Path) -> Path:
    """One runtime folder for most tests here: making a database cluster takes longest, and each start finds the last one's."""
    return runtime / "city"


@pytest.fixture
def run_city(folder: Path) -> Iterator[Callable[..., City]]:
    """Starts cities, and ends them whatever happens."""
    cities: list[City] = []

    def run(*arguments: str) -> City:
        city = City(folder, *arguments)
        cities.append(city)
        return city

    yield run
    for city in cities:
        city.end()


def wait_until(true: Callable[[], Any], seconds: float) -> None:
    """Wait for a condition; how long it takes is not what is tested."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def gone(city: City) -> bool:
    """Whether no process of the city lives."""
    return city.processes() == {}


def shut_down_cleanly(city: City) -> bool:
    """Whether PostgreSQL's last word is that it shut down, not that it was torn away."""
    return (city.home.log / "postgres.log").read_text().rstrip().endswith("database system is shut down")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_all_in_order(run_city: Callable[..., City], number: signal.Signals) -> None:
    """Ctrl-C, `kill` and a closed terminal: services first, PostgreSQL last and cleanly, no process left, exit code 0."""
    city = run_city()
    pids = city.started()
    assert set(pids) == {"postgres", "mosquitto", "redis", "steady", "parent", "parent-child"}
    city.process.send_signal(number)
    assert city.process.wait(60) == 0, city.output.read_text()
    wait_until(lambda: gone(city), 60)
    said = city.output.read_text()
    assert said.index("stopping redis") < said.index("stopping mosquitto") < said.index("stopping postgres")
    assert shut_down_cleanly(city)
    assert "urls" not in read_record(city.home)


def test_sigkill_of_the_supervisor_leaves_nothing(run_city: Callable[..., City]) -> None:
    """Nobody is left to stop the children; the kernel tells them, and PostgreSQL still shuts down cleanly."""
    city = run_city()
    city.started()
    city.process.kill()
    city.process.wait()
    wait_until(lambda: gone(city), 60)
    assert shut_down_cleanly(city)


def test_closing_the_terminal_leaves_nothing(run_city: Callable[..., City]) -> None:
    """The terminal's other end goes away without a word."""
    city = run_city()
    city.started()
    os.close(city.terminal)
    wait_until(lambda: gone(city), 60)


def test_second_signal_forces(run_city: Callable[..., City]) -> None:
    """A service that will not stop does not keep the person waiting; the next start recovers the database."""
    city = run_city()
    os.kill(city.started()["steady"], signal.SIGSTOP)
    city.process.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in city.output.read_text(), 60)
    city.process.send_signal(signal.SIGINT)
    city.process.wait(60)
    wait_until(lambda: gone(city), 60)
    assert "forced" in city.output.read_text()
    run_city().started()


def test_crashed_service_is_started_again_and_said(run_city: Callable[..., City]) -> None:
    """The others keep running meanwhile."""
    city = run_city("crasher")
    before = city.started()
    wait_until(lambda: city.output.read_text().count("crasher ended with exit code 7, starts again in") >= 2, 60)
    assert "the reason it gave" in city.output.read_text()
    os.kill(before["steady"], signal.SIGKILL)
    wait_until(lambda: city.started()["steady"] != before["steady"], 60)
    assert "steady ended with SIGKILL" in city.output.read_text()
    assert born(before["parent"]) is not None


def test_dead_server_is_started_again_on_its_port(run_city: Callable[..., City]) -> None:
    """PostgreSQL, broker and Redis come back where the services look for them."""
    city = run_city()
    before = city.started()
    urls = read_record(city.home)["urls"]
    for name in ("postgres", "mosquitto", "redis"):
        os.kill(before[name], signal.SIGKILL)

    def back() -> bool:
        record = json.loads(city.home.record.read_text())
        return {name for name, pid, _ in record["processes"] if pid not in before.values()} == {
            "postgres",
            "mosquitto",
            "redis",
        }

    wait_until(back, 60)
    assert read_record(city.home)["urls"] == urls
    with psycopg.connect(urls["database_url"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_second_city_in_one_folder_is_refused(run_city: Callable[..., City]) -> None:
    """It names the first, which runs on undisturbed."""
    first = run_city()
    pids = first.started()
    assert owner(first.home) == first.process.pid
    second = run_city()
    assert second.process.wait(60) == 1
    assert f"it already runs here (pid {first.process.pid})" in second.output.read_text()
    assert all(born(pid) is not None for pid in pids.values())
