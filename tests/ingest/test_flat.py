"""Nested JSON as flat names, and single fields of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest import fields
from ingest.flat import DEEPEST, MOST, flat
from ioc.errors import RejectedError

NAMES = st.text("abc", min_size=1, max_size=3)
SCALARS = st.none() | st.booleans() | st.integers() | NAMES
NESTED = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=10
)


def leaves(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(leaves, value.values()))
    return sum(map(leaves, value)) if isinstance(value, list) else 1


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def test_flat_names_the_way() -> None:
    """A value is named by all that it lies in, in the order in which it was said."""
    found = flat({"power": 41, "air": {"temperature": 25.5, "gases": [1, {"no2": 2}]}, "none": {}, "last": None})
    assert list(found.items()) == [
        ("power", 41),
        ("air.temperature", 25.5),
        ("air.gases.0", 1),
        ("air.gases.1.no2", 2),
        ("last", None),
    ]


@given(st.dictionaries(NAMES, NESTED, max_size=3))
def test_flat_loses_nothing(said: dict[str, Any]) -> None:
    """Every value that is no container is there, unless it lies too deep."""
    if depth(said) <= DEEPEST:
        assert len(flat(said)) == leaves(said)
    else:
        with pytest.raises(RejectedError, match="deeper"):
            flat(said)


def nested(depth: int) -> dict[str, Any]:
    return {"a": nested(depth - 1)} if depth else {"a": 1}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (nested(DEEPEST), "shape"),
        ({str(n): n for n in range(MOST + 1)}, "size"),
        ({"a": [[0] * 60 for _ in range(20)]}, "size"),
        ({"k" * 201: 1}, "size"),
        ({"k" * 150: {"k" * 150: 1}}, "size"),
    ],
    ids=["deep", "many", "many in lists", "long name", "long way"],
)
def test_flat_has_bounds(said: dict[str, Any], reason: str) -> None:
    """What is too large, too deep or too long is refused before it costs anything."""
    with pytest.raises(RejectedError) as caught:
        flat(said)
    assert caught.value.reason == reason


def test_flat_at_its_bounds() -> None:
    """What is just within them is taken."""
    assert len(flat({str(n): n for n in range(MOST)})) == MOST
    assert len(flat(nested(DEEPEST - 1))) == 1


@given(NESTED | st.floats() | st.just(10**400))
def test_fields_are_clean(raw: Any) -> None:
    """A field is what it should be or nothing."""
    number = fields.number(raw)
    assert number is None or abs(number) < 1e12
    assert fields.numbers([raw, 1], 2) == (None if number is None else [number, 1])
    assert fields.text(raw) is None or isinstance(raw, str)
    assert fields.truth(raw) in (None, True, False)
    assert fields.texts([raw, "a"]) == ([raw, "a"] if isinstance(raw, str) else ["a"])


def test_texts_are_printable_and_few() -> None:
    """PostgreSQL takes every text, and a list has an end."""
    assert fields.texts(["a\0", "\ud800", 1, None]) == ["a\\0", "?"]
    assert len(fields.texts(["x"] * 1000) or ()) == 50
    assert fields.texts("ab") is None
    assert len(fields.text("x" * 1000) or "") == 200
