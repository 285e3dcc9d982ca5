"""Ingest beside its limits and its peers: one machine, one broker, the same messages, the same minutes.

The limits are a subscriber that throws away and bare staged COPY; the peers are bridges that a city might take instead, each
set up as its guides say, with a hypertable of its own in the same server. All take turns, so that other work on the machine
hits all alike, and only one runs at a time. CPU seconds are those of the bridge's own processes; what the server uses for it
is in the figures too. Latency is from publish to the commit of the row, as the server noted it.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Collection, Sequence
from typing import Any

from tests.bench.arena import Arena, open_arena
from tests.bench.contenders.bare_copy import bare_copy
from tests.bench.contenders.contender import Contender, UnavailableError
from tests.bench.contenders.mq_bridge import MqBridge
from tests.bench.contenders.node_red import NodeRed
from tests.bench.contenders.ours import Ours
from tests.bench.contenders.throw_away import throw_away
from tests.bench.losses import crashed, killed, spoiled
from tests.bench.messages import MEASURES, Series
from tests.bench.speed import SINGLE, WIDE, turn
from tests.bench.steps import Steps
from tests.bench.table import show

RUNS = 3
#: The limits: what each is called, and how it is measured.
_LIMITS: dict[str, tuple[str, Callable[[Arena, int], dict[str, float]]]] = {
    "throw_away": (
        "a subscriber that throws away",
        lambda arena, run: throw_away(arena, Series.ending_now(f"thrown{run}", SINGLE)),
    ),
    "bare_copy": (
        "bare staged COPY",
        lambda arena, run: bare_copy(arena, Series.ending_now(f"copied{run}", WIDE, len(MEASURES))),
    ),
}


def contenders(arguments: Sequence[str] = ()) -> list[Contender]:
    """All of them, ours first; `arguments` are added to its command line."""
    peers = [NodeRed(batched=False), NodeRed(batched=True), MqBridge(copy=False), MqBridge(copy=True)]
    return [Ours(arguments), *peers]


def main(only: Collection[str] = (), arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Measure, print the table, return the figures.

    Args:
        only: the contenders to measure, by their keys or beginnings of them; all when empty.
        arguments: added to the command line of ours.
    """
    entered = [one for one in contenders(arguments) if not only or one.key.startswith(tuple(only))]
    if not entered:
        raise SystemExit(f"--only {','.join(only)}: expected some of {', '.join(one.key for one in contenders())}")
    with open_arena() as arena, Steps() as steps:
        course = Course(arena, entered, steps)
        course.prepare()
        course.take_turns()
        course.break_things()
    figures = course.figures()
    show(figures)
    return figures


class Course:
    """The benchmark from beginning to end. A peer that drops out on the way is named with the reason; the others go on."""

    def __init__(self, arena: Arena, entered: Sequence[Contender], steps: Steps) -> None:
        self._arena = arena
        self._entered = entered
        self._steps = steps
        self._out: dict[str, str] = {}
        self._turns: dict[str, list[dict[str, float]]] = {key: [] for key in (*_LIMITS, *(one.key for one in entered))}
        self._lost: dict[str, dict[str, int]] = {one.key: {} for one in entered}

    def prepare(self) -> None:
        """Install everyone, make their tables."""
        self._steps.begin("getting ready", RUNS * len(_LIMITS) + len(self._entered) * (1 + RUNS + 3))
        for one in self._entered:
            self._step(one, "is made ready", one.prepare)

    def take_turns(self) -> None:
        """Everyone in turn, several times, another one first each time."""
        for run in range(RUNS):
            for key, (title, measure) in _LIMITS.items():
                self._steps.now(f"{title}, run {run + 1}")
                self._arena.settle()
                self._turns[key].append(measure(self._arena, run))
                self._steps.done()
            first = run % len(self._entered)
            for one in (*self._entered[first:], *self._entered[:first]):
                self._arena.settle()
                if measured := self._step(one, f"run {run + 1}", lambda arena, one=one: turn(arena, one)):
                    self._turns[one.key].append(measured)

    def break_things(self) -> None:
        """Everyone through every fault."""
        for one in self._entered:
            found = self._lost[one.key]
            for what, words, test in (("killed", "is killed", killed), ("crashed", "loses its database", crashed)):
                if losses := self._step(one, words, lambda arena, one=one, test=test: test(arena, one)):
                    found[f"{what}_lost"], found[f"{what}_doubled"] = losses
            if losses := self._step(one, "gets bad messages", lambda arena, one=one: spoiled(arena, one)):
                found["good_missing"] = losses.lost

    def figures(self) -> dict[str, Any]:
        """Everyone's medians, in the order of the table, and how ours stands to the limits."""
        rows: dict[str, dict[str, Any]] = {
            key: {"title": title, **_medians(self._turns[key])} for key, (title, _) in _LIMITS.items()
        }
        for one in self._entered:
            rows[one.key] = {"title": one.title}
            if one.key in self._out:
                rows[one.key]["unavailable"] = self._out[one.key]
            else:
                rows[one.key] |= {"rows_of_eight": one.store(len(MEASURES)).rows}
                rows[one.key] |= _medians(self._turns[one.key]) | self._lost[one.key]
        figures = {"runs": RUNS, "load_average": os.getloadavg()[0], "contenders": rows}
        ours = self._turns.get(Ours.key, [])
        if len(ours) == RUNS:
            for name, figure, limit in (("messages", "messages_s", "throw_away"), ("rows", "rows_s", "bare_copy")):
                shares = [a[figure] / b[figure] for a, b in zip(ours, self._turns[limit], strict=True)]
                figures[f"{name}_share"] = statistics.median(shares)
        return figures

    def _step(self, one: Contender, what: str, work: Callable[[Arena], Any]) -> Any:
        """Do one thing with a contender; None when it is out, or drops out here."""
        self._steps.now(f"{one.title} {what}")
        done = None
        if one.key not in self._out:
            try:
                done = work(self._arena)
            except UnavailableError as error:
                self._out[one.key] = str(error)
                if isinstance(one, Ours):
                    raise SystemExit(f"{one.title}: {error}") from error
        self._steps.done()
        return done


def _medians(turns: Sequence[dict[str, float]]) -> dict[str, float]:
    """The median of every figure; of memory the greatest."""
    return {
        key: (max if key == "peak_rss_mb" else statistics.median)([turn[key] for turn in turns]) for key in turns[0]
    }


if __name__ == "__main__":
    main()
