"""The questions of the pages, asked of a month of 100 million readings: p50 and p95 over many random picks.

Each question is asked through the function that pages and services use, rows fetched and all, on one connection to a server set
up as in service. Every pick is another device, measure or ward, so that what was asked before helps little. Some hours wait for
the upkeep because late data has come, as there always are. The server's CPU time says what an answer costs where cores are not
idle.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

from dashboards.snapshot import read
from ioc.catalog import KINDS
from ioc.db import snapshot
from ioc.db.pool import Connection, connect
from ioc.db.readings import history, ward_profile
from ioc.geo import wards
from ioc.model import DevicesChanged, ReadingsChanged
from tests.bench.big_table import IN_A_WARD, BigTable, big_table
from tests.bench.counting import percentile
from tests.bench.processes import cpu_s

READINGS = 100_000_000
DAY, MONTH = timedelta(days=1), timedelta(days=30)
#: Hours ago of which late data has come.
LATE_HOURS = (1, 2, 3, 30, 100, 500)
#: What the timeline may take, milliseconds at the 95th percentile.
BUDGET_MS = 200


class Question(NamedTuple):
    """One kind of query.

    Attributes:
        ask: asks it once, of a random pick; returns how many rows it got.
        budget: whether the timeline's budget holds for it.
    """

    key: str
    title: str
    picks: int
    ask: Callable[[Connection, random.Random, datetime], int]
    budget: bool = False


def main(readings: int = READINGS) -> dict[str, Any]:
    """Build the table where it is not there, ask, print the table, return the figures."""
    with big_table(readings) as built, closing(connect(built.url, name="bench")) as connection:
        connection.autocommit = True
        connection.execute(
            "INSERT INTO rollup_dirty SELECT date_trunc('hour', %s::timestamptz) - ago * INTERVAL '1 hour'"
            " FROM unnest(%s::int[]) AS ago ON CONFLICT DO NOTHING",
            (built.until, list(LATE_HOURS)),
        )
        asked = {question.key: _ask(connection, question, built.until) for question in QUESTIONS}
        connection.execute("DELETE FROM rollup_dirty")
    figures = {
        "readings": built.readings,
        "bytes": built.size,
        **{f"{key}_{name}": value for key, found in asked.items() for name, value in found.items()},
    }
    _show(built, asked)
    return figures


def _ask(connection: Connection, question: Question, until: datetime) -> dict[str, float]:
    chance = random.Random(question.key)
    took, rows = [], 0
    used = cpu_s(connection.info.backend_pid)
    for _ in track(range(question.picks), description=question.title):
        began = time.perf_counter()
        rows += question.ask(connection, chance, until)
        took.append(1000 * (time.perf_counter() - began))
    return {
        "p50_ms": percentile(took, 0.5),
        "p95_ms": percentile(took, 0.95),
        "most_ms": max(took),
        "server_cpu_ms": 1000 * (cpu_s(connection.info.backend_pid) - used) / question.picks,
        "rows": rows / question.picks,
        "picks": question.picks,
    }


def _device(chance: random.Random) -> tuple[str, str]:
    """A device and its kind; each kind as often as the others, since a lamp is no likelier to be looked at."""
    kind = chance.choice(sorted(IN_A_WARD))
    return f"{kind}-{chance.choice(wards()).code}-{chance.randrange(IN_A_WARD[kind])}", kind


def _present(connection: Connection, chance: random.Random, until: datetime) -> int:
    devices, headlines, _ = read(connection).changes
    assert isinstance(devices, DevicesChanged)
    assert isinstance(headlines, ReadingsChanged)
    return len(devices.devices) + len(headlines.readings)


def _latest(connection: Connection, chance: random.Random, until: datetime) -> int:
    return len(snapshot.latest(connection))


def _trend(connection: Connection, chance: random.Random, until: datetime) -> int:
    device, kind = _device(chance)
    end = until - DAY * 29 * chance.random()
    return len(history(connection, device, chance.choice(KINDS[kind].measures), end - DAY, end))


def _profile(connection: Connection, chance: random.Random, until: datetime) -> int:
    kind = chance.choice(sorted(IN_A_WARD))
    ward, measure = chance.choice(wards()).code, chance.choice(KINDS[kind].measures)
    return len(ward_profile(connection, ward, measure, until - MONTH, until))


def _timeline(connection: Connection, chance: random.Random, until: datetime) -> int:
    device, kind = _device(chance)
    return len(history(connection, device, chance.choice(KINDS[kind].measures), until - MONTH, until))


def _whole_timeline(connection: Connection, chance: random.Random, until: datetime) -> int:
    device, kind = _device(chance)
    return sum(len(history(connection, device, one, until - MONTH, until)) for one in KINDS[kind].measures)


QUESTIONS = (
    Question("present", "every device with its headline value", 50, _present),
    Question("latest", "latest values of every measure", 50, _latest),
    Question("trend", "24 hours of one measure of a device", 500, _trend),
    Question("profile", "30 days of a ward's measure by hour of day", 200, _profile),
    Question("timeline", "30 days of one measure of a device", 500, _timeline, budget=True),
    Question("whole_timeline", "30 days of every measure of a device", 200, _whole_timeline, budget=True),
)


def _show(built: BigTable, asked: dict[str, dict[str, float]]) -> None:
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=140)
    table = Table(title=f"{built.readings:,} readings over a month, {built.size / 1e9:.1f} GB with their key")
    table.add_column("")
    for heading in (
        "p50 ms",
        "p95 ms",
        "most ms",
        "server's CPU, mean ms",
        "rows",
        "picks",
        f"p95 under {BUDGET_MS} ms",
    ):
        table.add_column(heading, justify="right")
    for question in QUESTIONS:
        found = asked[question.key]
        kept = ("yes" if found["p95_ms"] < BUDGET_MS else "NO") if question.budget else ""
        cells = (f"{found[key]:.1f}" for key in ("p50_ms", "p95_ms", "most_ms", "server_cpu_ms"))
        table.add_row(question.title, *cells, f"{found['rows']:,.0f}", f"{found['picks']:,.0f}", kept)
    console.print(table)


if __name__ == "__main__":
    main()
