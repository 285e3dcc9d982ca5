"""Payloads as they are shown: pure."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.payload_view import MOST_LINES, MOST_TEXT, as_text, blamed, fitting_view, hex_dump, json_lines, visible
from tests.ioc.test_json_path import JSON


def shown(payload: bytes, *names: str) -> list[str]:
    """Lines as one sees them, the marked ones with a star."""
    found = json_lines(payload, names)
    assert found is not None
    return [
        f"{'*' if line.marked else ''}{'  ' * line.depth}{line.key and line.key + ': '}{line.text}" for line in found[0]
    ]


def test_json_is_laid_out_as_it_was_written() -> None:
    """Digits, order and doubled keys stay; what is wrong is marked wherever it lies."""
    payload = b'{"t":1e999,"n":12345678901234567890123,"t":NaN,"s":[{"x":"\\u0111"},[],{}],"ok":true,"z":null}'
    assert shown(payload, "x", "ok") == [
        "{",
        '  "t": 1e999,',
        '  "n": 12345678901234567890123,',
        '  "t": NaN,',
        '  "s": [',
        "    {",
        '*      "x": "đ"',
        "    },",
        "    [],",
        "    {}",
        "  ],",
        '*  "ok": true,',
        '  "z": null',
        "}",
    ]
    assert shown(b'{"a":{"b":1},"c":{"b":2}}', "a.b")[2].startswith("*")
    assert not shown(b'{"a":{"b":1},"c":{"b":2}}', "a.b")[5].startswith("*")


def test_json_that_is_large_or_deep_is_cut() -> None:
    """A page shows so many lines, and so much depth."""
    long = json_lines(json.dumps(list(range(9000))).encode())
    assert long is not None
    assert (len(long[0]), long[1]) == (MOST_LINES, True)
    deep = json_lines(b"[" * 500 + b"]" * 500)
    assert deep is not None
    assert max(line.depth for line in deep[0]) <= 60
    assert json_lines(b"[" * 100_000) is None


@pytest.mark.parametrize(
    ("payload", "view"),
    [
        (b'{"a":1}', "json"),
        (b"21.5", "json"),
        (b"", "text"),
        (b'{"a":', "text"),
        ("nhiệt độ: 21,5".encode(), "text"),
        ("nhiệt độ".encode()[:-1], "text"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "hex"),
        (bytes(range(256)), "hex"),
    ],
)
def test_fitting_view(payload: bytes, view: str) -> None:
    """What shows most of it."""
    assert fitting_view(payload) == view


@pytest.mark.parametrize(
    ("detail", "names"),
    [
        ("'tvoc': not in the catalogue, under no name", {"tvoc"}),
        ("pm25: got 'lots', expected a number in µg/m³; pm10: got -5, possible are 0 to 2000 µg/m³", {"pm25", "pm10"}),
        ("'s[*].x': the mapping does not name it", {"s[*].x"}),
        ("expected JSON", set()),
        ("", set()),
    ],
)
def test_blamed(detail: str, names: set[str]) -> None:
    """Names are read from how reasons are told."""
    assert blamed(detail) == names


def test_hex_dump() -> None:
    """Offset, bytes, letters."""
    assert hex_dump(b"ABC\0\xff").split() == ["000000", "41", "42", "43", "00", "ff", "ABC··"]
    assert len(hex_dump(bytes(10**6)).splitlines()) == 512


def test_long_text_is_shown_in_part() -> None:
    """Also one cut within a character."""
    assert as_text("ế".encode() * 10**6, 4) == "ế\\xe1"
    assert len(as_text(b"x" * 10**6)) == MOST_TEXT


@given(st.text() | st.sampled_from(["\u202e", "\ud800", "\u2066<script>", "\x1b[2J"]))
def test_visible_hides_nothing(text: str) -> None:
    """What is shown can be seen, and turns nothing round."""
    assert all(unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for c in visible(text))
    visible(text).encode()


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_payload_can_be_shown(payload: bytes) -> None:
    """In all three ways, whatever it is."""
    fitting_view(payload)
    hex_dump(payload)
    assert all(c == "\n" or c == "\t" or unicodedata.category(c)[0] != "C" for c in as_text(payload))
    found = json_lines(payload, {"a"})
    if found is not None:
        for line in found[0]:
            assert visible(line.key + line.text) == line.key + line.text


@given(JSON)
def test_json_lines_are_the_value(value: object) -> None:
    """Read back without their layout they are the same value, where nothing had to be spelled out."""
    payload = json.dumps(value)
    found = json_lines(payload.encode())
    assert found is not None
    if payload.isascii() and "\\" not in payload and not found[1]:
        again = "".join(f"{line.key}:{line.text}" if line.key else line.text for line in found[0])
        assert json.loads(again) == json.loads(payload)
