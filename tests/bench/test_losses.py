"""The loss columns on a bridge whose faults are known, with the real broker and TimescaleDB."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ioc.stack.embedded import Stack
from ioc.stack.process import Child, start
from tests.bench import losses
from tests.bench.arena import Arena, environment
from tests.bench.contenders.contender import Contender, Store
from tests.bench.counting import Losses


class Leaky(Contender):
    """The bridge of `tests.bench.leaky`."""

    title = "a leaky bridge"

    def __init__(self) -> None:
        self.key = f"leaky_{uuid.uuid4().hex[:8]}"

    def prepare(self, arena: Arena) -> None:
        """Make a table without a key, so that a row can be there twice."""
        self._arena, self._url = arena, arena.make_database(self.key)
        arena.ask(self._url, "CREATE TABLE reading (time timestamptz, device text, measure text, value float8)")

    def start(self) -> Child:
        """Start it."""
        return start(
            self.key,
            [sys.executable, "-m", "tests.bench.leaky", str(self._arena.port), f"{self.key}/+/telemetry", self._url],
            log=self._arena.folder / "log" / "leaky.log",
            environment=environment(),
        )

    def root(self, values: int) -> str:
        """One root."""
        return self.key

    def store(self, values: int) -> Store:
        """One row a message, whatever it holds."""
        return Store(self._url)


@pytest.fixture
def arena(stack: Stack, runtime: Path) -> Iterator[Arena]:
    """The tests' own stack as an arena."""
    arena = Arena(stack, runtime)
    yield arena
    arena.close()


def test_losses_are_those_of_the_bridge(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the good messages is lost and a tenth doubled, by the ledger; bad messages count for nothing."""
    monkeypatch.setattr(losses, "GOOD", 400)
    monkeypatch.setattr(losses, "EVERY", 40)
    monkeypatch.setattr(losses, "QUIET_S", 10.0)
    bridge = Leaky()
    bridge.prepare(arena)
    assert losses.spoiled(arena, bridge) == Losses(lost=40, doubled=40)


def test_losses_of_a_bridge_that_is_killed(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a bridge acknowledged before it stored it is lost when it is killed, beside the tenth it drops anyway."""
    monkeypatch.setattr(losses, "RATE", 400)
    monkeypatch.setattr(losses, "LOAD_S", 2)
    monkeypatch.setattr(losses, "BREAK_S", 1)
    monkeypatch.setattr(losses, "QUIET_S", 10.0)
    bridge = Leaky()
    bridge.prepare(arena)
    found = losses.killed(arena, bridge)
    assert found.lost >= 80
    assert found.doubled >= 79
    assert found.lost + found.doubled < 400
