"""Times that repeat: nothing is lost for it, and nothing stored twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.stamps import Stamps

STAMP = 1_782_907_230_000


def test_another_time_is_another_message() -> None:
    """Newer or older: all of its values are its own."""
    stamps = Stamps()
    items = [("power", 40, "W")]
    for stamp in (STAMP, STAMP + 1, STAMP):
        assert stamps.part("x", stamp, items) == (items, [])


def test_devices_do_not_know_of_each_other() -> None:
    """The same time of two devices is no repetition."""
    stamps = Stamps()
    items = [("power", 40, "W")]
    assert stamps.part("x", STAMP, items) == stamps.part("y", STAMP, items) == (items, [])


def test_same_time_splits_new_from_known() -> None:
    """What was not said yet is of that time; what has changed came after it; what is the same is left out."""
    stamps = Stamps()
    stamps.part("x", STAMP, [("power", 40, ""), ("state", "ON", "")])
    assert stamps.part("x", STAMP, [("power", 40, ""), ("state", "OFF", ""), ("voltage", 220, "")]) == (
        [("voltage", 220, "")],
        [("state", "OFF", "")],
    )


@given(st.lists(st.tuples(st.sampled_from([STAMP, STAMP + 1]), st.integers(0, 2) | st.just([1])), max_size=12))
def test_every_change_is_stored(said: list[tuple[int, object]]) -> None:
    """Of messages one after another each that differs from the one before it is stored, at its time or without."""
    stamps = Stamps()
    before: tuple[int, object] | None = None
    for stamp, value in said:
        at_stamp, later = stamps.part("x", stamp, [("power", value, "")])
        if before != (stamp, value):
            assert at_stamp or later
        before = (stamp, value)
