"""When batches are committed: pure."""

from __future__ import annotations

import pytest

from ingest.rhythm import Rhythm

LONGEST_S = 0.01


def batches(rate: float, commit_s: float, *, rows: int = 1, in_order: bool = False) -> list[tuple[float, int]]:
    """A second of messages, so many a second and rows each: the age and the rows of every batch as its commit begins."""
    rhythm, now, taken, done = Rhythm(LONGEST_S, in_order=in_order), 100.0, 0, []
    arrivals = [now + number / rate for number in range(int(rate))]
    while taken < len(arrivals):
        now = max(now, arrivals[taken])
        born = arrivals[taken]
        while True:
            here = sum(one <= now for one in arrivals[taken:])
            due = rhythm.due(born, here * rows, now)
            if due <= now:
                break
            now = due
        done.append((now - born, here * rows))
        taken += here
        rhythm.committed(born, here * rows, now, now + commit_s)
        now += commit_s
    return done


def test_what_comes_alone_is_committed_at_once() -> None:
    """Nothing is waited for while little comes."""
    assert all(age == 0 for age, _ in batches(20, 0.002))


@pytest.mark.parametrize("rows", [8, 41, 80])
def test_a_burst_after_silence_is_committed_at_once(rows: int) -> None:
    """Many rows of one moment do not pour yet."""
    rhythm = Rhythm(LONGEST_S, in_order=False)
    rhythm.committed(50.0, 900, 50.0, 50.1)
    assert rhythm.due(100.0, rows, 100.0) == 100.0


@pytest.mark.parametrize("rate", [200, 1000, 3000])
@pytest.mark.parametrize("commit_s", [0.001, 0.004, 0.03])
def test_commits_take_half_of_the_time_at_most(rate: int, commit_s: float) -> None:
    """A batch waits as long as the commit before it took, if that is not longer than it may wait."""
    found = batches(rate, commit_s)
    assert max(age for age, _ in found) <= LONGEST_S + commit_s + 1e-9
    assert len(found) * max(commit_s, min(2 * commit_s, LONGEST_S)) <= 1.1
    assert sum(rows for _, rows in found) == rate


@pytest.mark.parametrize("rate", [5000, 25_000])
@pytest.mark.parametrize("commit_s", [0.002, 0.05])
def test_while_it_pours_batches_grow(rate: int, commit_s: float) -> None:
    """A third of a second long, after a few small ones at its beginning."""
    found = batches(rate, commit_s)
    assert len(found) < 12
    assert max(rows for _, rows in found) > 0.25 * rate
    assert max(age for age, _ in found) <= 34 * LONGEST_S + commit_s


def test_a_lull_ends_a_batch_that_grew() -> None:
    """A broker that hands out no more is not waited for."""
    rhythm = Rhythm(LONGEST_S, in_order=False)
    assert rhythm.due(1.0, 500, 1.0) == pytest.approx(1.02)
    assert rhythm.due(1.0, 700, 1.02) == pytest.approx(1.04)
    assert rhythm.due(1.0, 700, 1.04) <= 1.04


def test_where_order_tells_deliveries_each_batch_waits() -> None:
    """Every commit writes down the order too; what is redelivered is gathered."""
    assert all(age >= LONGEST_S - 1e-9 for age, _ in batches(50, 0.001, in_order=True))
    rhythm = Rhythm(LONGEST_S, in_order=True)
    assert rhythm.due(1.0, 1, 1.0) == 1.0 + LONGEST_S
    assert rhythm.due(1.0, 1, 1.0, redelivered=True) == 1.2
