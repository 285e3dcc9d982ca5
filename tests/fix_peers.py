"""Real devices for tests: programs of other makers, each a process with libraries of its own.

peer    test    starts one that speaks to this module's broker; what still runs is killed after the test

`--peers FOLDER` says where they are installed; `make test` installs them below the virtual environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ioc.stack.venv import VENV
from tests.fix_stack import BrokerServer

SCRIPTS = Path(__file__).parent / "peers"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the programs are."""
    parser.addoption("--peers", default=str(VENV / "peers"), help="folder of the programs that tests talk to")


class Peer:
    """A device: told what to do line by line, and telling what happens to it."""

    def __init__(self, libraries: Path, script: str, *arguments: str) -> None:
        assert libraries.is_dir(), f"{libraries} is missing: run `make test`, or name its parent with --peers"
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPTS / script), *arguments],
            # A library that misses something must say so, not install it.
            env=os.environ | {"PYTHONPATH": str(libraries), "PIP_NO_INDEX": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, order: str) -> None:
        """Have it do something."""
        assert self.process.stdin is not None
        self.process.stdin.write(order + "\n")
        self.process.stdin.flush()

    def wait_for(self, what: str) -> Any:
        """Wait until it tells this, past everything else it says; returns the content."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("["):
                told, content = json.loads(line)
                if told == what:
                    return content
        raise AssertionError(f"the device ended without saying {what!r}")

    def kill(self) -> None:
        """SIGKILL it: no farewell, the broker sends its last will."""
        self.process.kill()
        self.process.wait(30)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


StartPeer = Callable[..., Peer]


@pytest.fixture
def peer(request: pytest.FixtureRequest, broker: BrokerServer) -> Iterator[StartPeer]:
    """Start a device: its folder of libraries, its script, and what it is told beside the broker's address."""
    folder = Path(request.config.getoption("--peers"))
    started: list[Peer] = []

    def start(libraries: str, script: str, *arguments: str) -> Peer:
        started.append(Peer(folder / libraries, script, broker.host, str(broker.port), *arguments))
        return started[-1]

    yield start
    for one in started:
        one.kill()
