"""The table of the ingest benchmark."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.losses import AWAY_S, GOOD
from tests.bench.speed import LATENCY_PER_S

#: Wide enough for every column where the output is no terminal.
_WIDTH = 170


def show(figures: Mapping[str, Any]) -> None:
    """Print the contenders side by side, then how ingest stands to its budgets."""
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=_WIDTH)
    runs, load = figures["runs"], figures["load_average"]
    table = Table(title=f"MQTT, QoS 1 → TimescaleDB: medians of {runs} runs, load average {load:.1f} at the end")
    table.add_column("")
    for heading in (
        "messages/s",
        "rows/s, messages\nof 8 values",
        "CPU s per\n1 M messages",
        f"p50/p99 ms\nat {LATENCY_PER_S:,}/s",
        "peak\nRSS MB",
        "lost/doubled:\nSIGKILL",
        f"lost/doubled: database\naway {AWAY_S:.0f} s after a crash",
        f"good rows missing\nof {GOOD:,}, 10 bad",
    ):
        table.add_column(heading, justify="right")
    for contender in figures["contenders"].values():
        if why := contender.get("unavailable"):
            table.add_row(contender["title"], why)
            continue
        table.add_row(contender["title"], *_cells(contender))
    console.print(table)
    for line in (*_against_budgets(figures), *_where_time_went(figures)):
        console.print(line, highlight=False)


def _where_time_went(figures: Mapping[str, Any]) -> list[str]:
    """What else than the contender used the machine's cores while it stored messages of one value as fast as it could."""
    measured = [one for one in figures["contenders"].values() if "idle" in one]
    lines = [
        "CPU s per 1 M messages: its own, server, broker, load and the rest of the machine; share of the cores left idle"
    ]
    parts = ("cpu_s_per_million", *(f"{who}_cpu_s_per_million" for who in ("server", "broker", "other")))
    lines += [
        f"  {one['title']}: {', '.join(_number(one[part], 1) for part in parts)}; {one['idle']:.0%}" for one in measured
    ]
    return lines if measured else []


def _cells(figures: Mapping[str, Any]) -> list[str]:
    latency = "/".join(_number(figures.get(key)) for key in ("latency_p50_ms", "latency_p99_ms"))
    return [
        _number(figures.get("messages_s")),
        _number(figures.get("rows_s")) + ("*" if figures.get("rows_of_eight") == 1 else ""),
        _number(figures.get("cpu_s_per_million"), 1),
        latency if "latency_p50_ms" in figures else "–",
        _number(figures.get("peak_rss_mb")),
        _pair(figures, "killed"),
        _pair(figures, "crashed"),
        _number(figures.get("good_missing")),
    ]


def _pair(figures: Mapping[str, Any], what: str) -> str:
    if f"{what}_lost" not in figures:
        return "–"
    return f"{figures[f'{what}_lost']:,}/{figures[f'{what}_doubled']:,}"


def _number(value: float | None, places: int = 0) -> str:
    if value is None:
        return "–"
    return "∞" if math.isinf(value) else f"{value:,.{places}f}"


def _against_budgets(figures: Mapping[str, Any]) -> list[str]:
    lines = []
    if any(contender.get("rows_of_eight") == 1 for contender in figures["contenders"].values()):
        lines.append("* eight values in one row of eight columns: values/s")
    for key, what in (
        ("messages_share", "messages/s, share of the subscriber that throws away (budget: 80 %)"),
        ("rows_share", "rows/s, share of bare staged COPY (budget: 80 %)"),
    ):
        if key in figures:
            lines.append(f"{what}: {figures[key]:.0%}")
    return lines
