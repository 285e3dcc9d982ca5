"""Paths into JSON: pure."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.json_path import EACH, MISSING, MOST_PARTS, Path, PathError, get, leaves, parse_path, write_path

KEYS = st.text(max_size=8) | st.sampled_from(
    ["a", "b c", "x.y", '"', "[0]", "nhiệt độ", "\u202e", "\ud800", "$", "*", "{}"]
)
PATHS = st.lists(KEYS | st.integers(0, 999_999) | st.just(EACH), max_size=6).map(tuple)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=15,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("$", ()),
        ("a", ("a",)),
        ("$.a.b", ("a", "b")),
        ("a[0].c", ("a", 0, "c")),
        ("[2]", (2,)),
        ("$[*].v", (EACH, "v")),
        ('["odd key"].x', ("odd key", "x")),
        ('a["\\u0111"]', ("a", "đ")),
        ("nhiệt_độ.giá-trị", ("nhiệt_độ", "giá-trị")),
        ("07", ("07",)),
    ],
)
def test_parse_path(text: str, path: Path) -> None:
    """What is understood."""
    assert parse_path(text) == path


@pytest.mark.parametrize(
    "text",
    [
        "a.",
        ".",
        "a..b",
        "a b",
        "a[",
        "a[-1]",
        "a[x]",
        "a['x']",
        'a["x]',
        'a["\\q"]',
        "a[1234567]",
        "*",
        "a.*",
        "$$",
        "a[0:3]",
        "a[?(@.x)]",
        "__import__('os')",
        "{a}",
        ".".join("a" * (MOST_PARTS + 1)),
        "x" * 301,
    ],
)
def test_parse_path_refuses(text: str) -> None:
    """What is no path of ours, however much it is one elsewhere."""
    with pytest.raises(PathError):
        parse_path(text)


@given(PATHS)
def test_path_round_trip(path: Path) -> None:
    """Every path can be written, is printable, and comes back the same."""
    written = write_path(path)
    assert written.isprintable()
    assert parse_path(written) == path


@given(st.text(max_size=40))
def test_parse_path_of_anything(text: str) -> None:
    """No text fails in another way, and what is read is what is written again."""
    try:
        path = parse_path(text)
    except PathError:
        return
    assert parse_path(write_path(path)) == path


@given(JSON, PATHS)
def test_get_of_anything(value: Any, path: Path) -> None:
    """Where a path leads nowhere nothing is found, and nothing is raised."""
    get(value, path)


@given(JSON)
def test_leaves_are_where_their_paths_lead(value: Any) -> None:
    """Each leaf is found again by its path."""
    for path, leaf in leaves(value, 100):
        first = tuple(0 if part is EACH else part for part in path)
        assert get(value, first) is leaf
        assert not leaf or not isinstance(leaf, dict | list)


def test_leaves_of_a_list_of_objects() -> None:
    """Many of one kind are shown once; scalars one by one; an inner list is not a second 'each'."""
    value = {"s": [{"t": 1, "v": [{"x": 1}, {"x": 2}]}, {"t": 2}], "p": [5, 6], "e": []}
    assert [write_path(path) for path, _ in leaves(value, 50)] == [
        "s[*].t",
        "s[*].v[0].x",
        "s[*].v[1].x",
        "p[0]",
        "p[1]",
        "e",
    ]
    assert len(list(leaves(value, 3))) == 3


def test_get_distinguishes_null_from_nothing() -> None:
    """What is null is there."""
    assert get({"a": None}, ("a",)) is None
    assert get({"a": None}, ("a", "b")) is MISSING
    assert get({"a": [1]}, ("a", 1)) is MISSING
    assert get({"0": 1}, (0,)) is MISSING


@pytest.mark.parametrize("text", ['["' + "\\" * 20_000, "[" * 20_000, "a." * 20_000, '["' + "a" * 20_000, "a" * 10**6])
def test_parse_path_takes_linear_time(text: str) -> None:
    """Hostile texts cost no more than their length; doubling one does not cost four times as much."""

    def cost(given: str) -> float:
        began = time.process_time()
        for _ in range(3):
            with pytest.raises(PathError):
                parse_path(given)
        return time.process_time() - began

    assert cost(text * 4) <= 40 * max(cost(text), 0.001)


def test_leaves_of_a_deep_payload() -> None:
    """Depth is bounded, so that no recursion is."""
    deep = json.loads("[" * 900 + "]" * 900)
    ((path, _),) = leaves(deep, 10)
    assert len(path) == MOST_PARTS
