"""Finding the rows at fault: pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.faults import bisect, is_of_the_rows


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=10))))
def test_bisect_finds_exactly_the_bad(case: tuple[int, set[int]]) -> None:
    """Exactly the bad items are named, in a number of attempts that grows with the logarithm."""
    number, bad = case
    attempts = 0

    def attempt(items: Sequence[int]) -> str | None:
        nonlocal attempts
        attempts += 1
        return next((f"bad {item}" for item in items if item in bad), None)

    assert bisect(range(number), attempt) == {place: f"bad {place}" for place in bad}
    assert attempts <= 1 + 2 * len(bad) * (log2(number) + 1)


def test_bisect_of_nothing() -> None:
    """An empty sequence needs no attempt."""
    assert bisect([], lambda items: pytest.fail("attempted")) == {}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.CheckViolation(), True),
        (psycopg.errors.NumericValueOutOfRange(), True),
        (psycopg.DataError("a NUL"), True),
        (OverflowError(), True),
        (psycopg.errors.RaiseException(), True),
        (psycopg.OperationalError("server closed the connection"), False),
        (psycopg.errors.DiskFull(), False),
        (psycopg.errors.ReadOnlySqlTransaction(), False),
        (psycopg.errors.DeadlockDetected(), False),
        (psycopg.errors.LockNotAvailable(), False),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.AdminShutdown(), False),
    ],
)
def test_is_of_the_rows(error: Exception, expected: bool) -> None:
    """Faults of rows lead to quarantine, faults of the moment to another try."""
    assert is_of_the_rows(error) is expected
