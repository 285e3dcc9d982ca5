"""`make soak MINUTES=20`: every fault, then faults at random until the time is over; then a table of what the ledgers came to.

Other faults than random ones begin while less than two thirds of the time are over; those that were not reached are said. All
that pytest prints is in a log.
"""

from __future__ import annotations

import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pytest
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ioc.stack.embedded import CLONE
from tests import soak

_LOG: Final = CLONE / ".ioc" / "log" / "soak.log"
_ARGUMENTS: Final = ("-v", "--timeout", "3600", "--durations", "10", "--ignore", "tests/faults/test_soak.py")
_OUTCOMES: Final = ("passed", "failed", "skipped", "not reached")
_RANDOM: Final = "test_13_random"
_NOT_REACHED: Final = "not reached: two thirds of the time were over"
#: Seconds of a minute in which other faults than random ones may begin.
_FIXED_S: Final = 40
#: Columns of a screen that is none.
_WIDTH: Final = 120


def group_of(nodeid: str) -> str:
    """The group of a test, from its file.

    >>> group_of("tests/faults/test_01_killed_ingest.py::test_killed[copy]")
    '01 killed ingest'
    """
    return Path(nodeid.partition("::")[0]).stem.removeprefix("test_").replace("_", " ")


class Soak:
    """A pytest plugin that keeps to the time and shows what happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TimeElapsedColumn(),
            BarColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            redirect_stdout=False,  # what pytest prints is the log's
            redirect_stderr=False,
        )
        self._bar = self._progress.add_task("starting the servers", total=soak.MINUTES * 60)
        self._test = ""
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        self.comparisons: dict[str, list[soak.Comparison]] = defaultdict(list)

    def __enter__(self) -> Self:
        self._progress.start()
        soak.listeners.append(self.compared)
        return self

    def __exit__(self, *exc: object) -> None:
        soak.listeners.remove(self.compared)
        self._progress.stop()

    def compared(self, comparison: soak.Comparison) -> None:
        """A ledger was compared, in the test that runs."""
        self.comparisons[group_of(self._test)].append(comparison)
        mark = "[green]=[/]" if comparison.equal else "[red]≠[/]"
        self._say(
            f"    {mark} {comparison.acknowledged:,} messages acknowledged, {comparison.stored:,} facts stored,"
            f" {comparison.distinct:,} distinct, {comparison.facts:,} expected"
        )

    # --- what pytest calls ---

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Random faults come last, since they go on until the time is over."""
        items.sort(key=lambda item: item.nodeid.count(_RANDOM))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Begin nothing but random faults in the last third."""
        if _RANDOM not in item.nodeid and soak.elapsed_s() > soak.MINUTES * _FIXED_S:
            pytest.skip(_NOT_REACHED)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._test = nodeid
        self._progress.update(self._bar, completed=soak.elapsed_s(), description=nodeid.rpartition("/")[2])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test is over: what failed in any of them, or how the test itself went."""
        if report.when != "call" and report.passed:
            return
        name = report.nodeid.rpartition("/")[2]
        if report.failed:
            outcome, mark = "failed", "[red]✗[/]"
            crash: Any = getattr(report.longrepr, "reprcrash", None)
            name += "" if crash is None else f": {str(crash.message).splitlines()[0][:200]}"
        elif report.skipped:
            outcome = "not reached" if _NOT_REACHED in str(report.longrepr) else "skipped"
            mark = "[yellow]–[/]"
        else:
            outcome, mark = "passed", "[green]✓[/]"
        self.outcomes[group_of(report.nodeid)][outcome] += 1
        if outcome != "not reached":
            self._say(f"{mark} {_plain(name)} ({report.duration:.0f} s)")

    def _say(self, line: str) -> None:
        seconds = round(soak.elapsed_s())
        self._progress.update(self._bar, completed=seconds)
        self._console.print(f"[dim]{seconds // 60:3}:{seconds % 60:02}[/]  {line}", soft_wrap=True)

    # --- the end ---

    def table(self) -> Table:
        """What each group came to."""
        table = Table(title=f"{soak.MINUTES:g} minutes of faults", pad_edge=False)
        table.add_column("group", no_wrap=True)
        for name in (*_OUTCOMES, "acknowledged", "stored", "distinct", "expected"):
            table.add_column(name, justify="right")
        for name in ("rollups", "equal"):
            table.add_column(name)
        for group, outcomes in self.outcomes.items():
            tests = (str(outcomes[outcome] or "") for outcome in _OUTCOMES)
            table.add_row(group, *tests, *self._figures(self.comparisons[group]), style=_style(outcomes))
        return table

    @staticmethod
    def _figures(compared: list[soak.Comparison]) -> Iterator[str]:
        """The cells of a group's ledgers together; dashes where its tests compare in ways of their own, or none ran."""
        if not compared:
            yield from "–" * 6
            return
        for name in ("acknowledged", "stored", "distinct", "facts"):
            yield f"{sum(getattr(one, name) for one in compared):,}"
        wrong = sum(not one.rollups for one in compared)
        yield f"{wrong} of {len(compared)} WRONG" if wrong else "equal"
        unequal = sum(not one.equal for one in compared)
        yield f"{unequal} of {len(compared)} NOT" if unequal else f"yes, {len(compared)} of {len(compared)}"


def _style(outcomes: Counter[str]) -> str:
    return "red" if outcomes["failed"] else "dim" if not outcomes["passed"] else ""


def _plain(text: str) -> str:
    """Text whose brackets are no markup."""
    return text.replace("[", r"\[")


def main() -> int:
    """Run until the time is over; pytest's exit code."""
    if not soak.MINUTES:
        raise SystemExit("set SOAK to a number of minutes, or use `make soak MINUTES=…`")
    _LOG.parent.mkdir(parents=True, exist_ok=True)
    screen = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    console = Console(file=screen, highlight=False, width=None if screen.isatty() else _WIDTH)
    console.print(f"{soak.MINUTES:g} minutes of faults; all that pytest says is in {_LOG}")
    with _LOG.open("wb") as log:
        for output in (sys.stdout, sys.stderr):
            output.flush()
            os.dup2(log.fileno(), output.fileno())
    with Soak(console) as plugin:
        code = pytest.main(["tests/faults", *_ARGUMENTS], plugins=[plugin])
    console.print(plugin.table())
    missed = sum(outcomes["not reached"] for outcomes in plugin.outcomes.values())
    if missed:
        console.print(f"{missed} tests were not reached in two thirds of {soak.MINUTES:g} minutes: give it longer")
    verdict = "nothing failed" if code == pytest.ExitCode.OK else f"FAILED ({code!r}): see {_LOG}"
    console.print(verdict, style="bold")
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
