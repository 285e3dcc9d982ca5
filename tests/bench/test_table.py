"""What the table says of those who could not be measured."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from tests.bench import ingest, table

FIGURES = {
    "runs": 3,
    "load_average": 1.0,
    "contenders": {
        "one": {
            "title": "One",
            "messages_s": 1234.4,
            "latency_p50_ms": 3.0,
            "latency_p99_ms": math.inf,
            "killed_lost": 7,
            "killed_doubled": 0,
            "good_missing": 0,
        },
        "three": {
            "title": "Three",
            "messages_s": 5.0,
            "cpu_s_per_million": 10.0,
            "server_cpu_s_per_million": 20.0,
            "broker_cpu_s_per_million": 15.04,
            "other_cpu_s_per_million": 9.96,
            "idle": 0.07,
        },
        "two": {"title": "Two", "unavailable": "could not be installed: no route to the registry"},
    },
}


def test_table_invents_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash stands where nothing was measured, the reason where nobody could be; what never came is no number."""
    screen = io.StringIO()
    monkeypatch.setattr(table, "Console", lambda **_: Console(file=screen, width=200))
    table.show(FIGURES)
    one = next(line for line in screen.getvalue().splitlines() if "One" in line)
    assert [cell.strip() for cell in one.strip("│").split("│")] == [
        "One",
        "1,234",
        "–",
        "–",
        "3/∞",
        "–",
        "7/0",
        "–",
        "0",
    ]
    assert "no route to the registry" in screen.getvalue()
    assert [line for line in screen.getvalue().splitlines() if ";" in line and "%" in line] == [
        "  Three: 10.0, 20.0, 15.0, 10.0; 7%"
    ]


def test_medians_take_the_greatest_memory() -> None:
    """Of three turns the median, of memory the peak."""
    turns = [{"messages_s": 1.0, "peak_rss_mb": 50.0}, {"messages_s": 9.0, "peak_rss_mb": 70.0}]
    turns.append({"messages_s": 2.0, "peak_rss_mb": 60.0})
    assert ingest._medians(turns) == {"messages_s": 2.0, "peak_rss_mb": 70.0}


def test_only_names_who_is_there() -> None:
    """A name nobody has is an error before anything starts."""
    with pytest.raises(SystemExit, match="node_red_each"):
        ingest.main(only=["nobody"])
