"""Ids of foreign devices: within the grammar, readable, each its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ioc.naming import device_id
from ioc.topics import DEVICE_ID

NAMES = st.lists(st.text(max_size=40), min_size=1, max_size=3)


@given(NAMES)
def test_device_id_follows_the_grammar(names: list[str]) -> None:
    """Whatever a device is called, its id is one of ours and says whose it is."""
    made = device_id("spb", *names)
    assert DEVICE_ID.fullmatch(made)
    assert made.startswith("spb")


@given(NAMES, NAMES)
def test_device_id_is_its_own(names: list[str], others: list[str]) -> None:
    """Two devices never share an id."""
    assert (device_id("spb", *names) == device_id("spb", *others)) == (names == others)


def test_device_id_of_a_vietnamese_name() -> None:
    """Diacritics fall away and a hash stands for them."""
    one, other = device_id("z2m", "Đèn số 3"), device_id("z2m", "Den so 3")
    assert one.startswith("z2m.Den-so-3-")
    assert other.startswith("z2m.Den-so-3-")
    assert one != other
