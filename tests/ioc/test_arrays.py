"""Columns as arrays: what PostgreSQL reads is what was sent."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ioc.db.arrays import floats, small_integers, texts, times
from tests.fix_stack import Database

#: What Python can hold of what PostgreSQL can, wherever a connection puts its zone.
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - bounds have no zone


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
            st.floats(allow_nan=False),
            st.integers(-(2**15), 2**15 - 1),
            _TIMES,
        ),
        max_size=6,
    )
)
def test_arrays_arrive_as_they_are(db: Database, rows: list[tuple[str, float, int, datetime]]) -> None:
    """Texts of any script, all numbers, times before and after 2000; also none at all."""
    # In one go, and beyond that.
    for much in (rows, rows * 50):
        check(db, much)


def check(db: Database, rows: list[tuple[str, float, int, datetime]]) -> None:
    names, values, numbers, moments = ([row[column] for row in rows] for column in range(4))
    sent = [texts(names), floats(values), small_integers(numbers), times(moments)]
    with db.connect() as connection:
        assert connection.execute("SELECT * FROM unnest(%b, %b, %b, %b)", sent).fetchall() == rows
