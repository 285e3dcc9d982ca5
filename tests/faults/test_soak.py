"""What a soak says of its ledgers."""

from __future__ import annotations

import pytest
from rich.console import Console

from tests.faults.__main__ import Soak
from tests.soak import Comparison

WELL = Comparison("a", 1000, 1000, 990, 990, 990, lost=0, doubled=0, strange=0, sent_again=0, rollups=True)


@pytest.mark.parametrize(
    "harm",
    [
        {"lost": 1},
        {"doubled": 1},
        {"strange": 1},
        {"rollups": False},
        {"acknowledged": 999},
        {"doubled": 3, "sent_again": 2},
    ],
)
def test_equal_means_that_nothing_differs(harm: dict[str, int]) -> None:
    """But what has no time, and was sent again by its sender."""
    assert WELL.equal
    assert WELL._replace(doubled=2, sent_again=2).equal
    assert not WELL._replace(**harm).equal


def test_table_names_groups_that_differ_and_tests_that_were_not_reached() -> None:
    """Nobody need read the log to see that something is lost."""
    console = Console(width=140, record=True)
    soak = Soak(console)
    soak.comparisons["01 killed ingest"] += [WELL, WELL._replace(lost=3, rollups=False)]
    soak.outcomes["01 killed ingest"].update(passed=1, failed=1)
    soak.outcomes["02 broker"].update({"not reached": 4})
    console.print(soak.table())
    first, second = (line for line in console.export_text().splitlines() if "killed" in line or "broker" in line)
    assert [cell.strip() for cell in first.split("│")[1:-1]] == [
        "01 killed ingest", "1", "1", "", "", "2,000", "1,980", "1,980", "1,980", "1 of 2 WRONG", "1 of 2 NOT",
    ]  # fmt: skip
    assert [cell.strip() for cell in second.split("│")[1:6]] == ["02 broker", "", "", "", "4"]
