"""A payload as people read it: JSON line by line with what is wrong marked, text with nothing hidden in it, bytes in hexadecimal.

Whatever a payload holds, what is shown is plain text: control characters, and those that would turn the reading direction, are
spelled out. Pure.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import Any, Final, Literal, NamedTuple

View = Literal["json", "text", "hex"]
VIEWS: Final[tuple[View, ...]] = ("json", "text", "hex")
#: Lines of JSON, bytes of text, and bytes of a dump, that a page shows; the rest is in the file to download.
MOST_LINES: Final = 1500
MOST_TEXT: Final = 65_536
MOST_DUMPED: Final = 8192
_MOST_DEPTH: Final = 60
_MOST_STRING: Final = 2000
#: Categories of characters that are not seen, or that change how others are seen.
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
#: How a reason's detail begins with the name of a value: quoted as Python quotes, or bare; several are parted by "; ".
_BLAMED: Final = re.compile(r"""(?:^|; )(?:'((?:[^'\\]|\\.){1,120})'|"([^"]{1,120})"|([^\s:;'"]{1,120})):""")


class Line(NamedTuple):
    """One line of JSON.

    Attributes:
        depth: how far it is set in.
        key: what stands before the colon, quoted; "" = nothing.
        text: the value, a bracket, or both with the comma.
        marked: it holds what is wrong.
    """

    depth: int
    key: str
    text: str
    marked: bool


class _Number(str):
    """A number as it was written."""

    __slots__ = ()


def visible(text: str, keep: str = "") -> str:
    r"""Text in which nothing hides: what is not seen is spelled `\u202e`.

    >>> visible("a\u202eb\n")
    'a\\u202eb\\u000a'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or unicodedata.category(character) not in _HIDDEN else _spelled(character)
        for character in text
    )


def parse(payload: bytes) -> tuple[Any] | None:
    """JSON as it was written: numbers as their digits, objects as pairs, so that doubled keys show; None when it is none."""
    try:
        text = payload.decode("utf-8")
        return (
            json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_Number, object_pairs_hook=_Pairs),
        )
    except (ValueError, RecursionError):
        return None


def fitting_view(payload: bytes) -> View:
    """The view that shows most of a payload."""
    if parse(payload) is not None:
        return "json"
    # A cut may have split a character; text with a few odd bytes is text.
    text = payload.decode("utf-8", "replace")
    odd = sum(
        1
        for character in text[:4000]
        if character == "\ufffd" or (unicodedata.category(character) == "Cc" and character not in "\t\r\n")
    )
    return "text" if odd <= max(1, len(text[:4000]) // 50) else "hex"


def blamed(detail: str) -> frozenset[str]:
    """Names of values that a reason's detail speaks of."""
    return frozenset(next(filter(None, found.groups())) for found in _BLAMED.finditer(detail))


def json_lines(payload: bytes, names: Collection[str] = (), most: int = MOST_LINES) -> tuple[list[Line], bool] | None:
    """The payload as lines, and whether there are more; None when it is no JSON.

    Args:
        payload: as it came.
        names: of what is marked: keys, or whole paths with dots.
        most: lines.
    """
    parsed = parse(payload)
    if parsed is None:
        return None
    lines: list[Line] = []
    for line in _lines(parsed[0], names):
        if len(lines) == most:
            return lines, True
        lines.append(line)
    return lines, False


def hex_dump(payload: bytes, most: int = MOST_DUMPED) -> str:
    """Offset, sixteen bytes, and what of them is ASCII, a line each."""
    lines = []
    for at in range(0, min(len(payload), most), 16):
        some = payload[at : at + 16]
        digits = (
            " ".join(f"{byte:02x}" for byte in some[:8]).ljust(23) + "  " + " ".join(f"{byte:02x}" for byte in some[8:])
        )
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in some)
        lines.append(f"{at:06x}  {digits.ljust(48)}  {letters}")
    return "\n".join(lines)


def as_text(payload: bytes, most: int = MOST_TEXT) -> str:
    """The payload as text, line breaks kept; bytes that are none are spelled out."""
    return visible(payload[:most].decode("utf-8", "backslashreplace").replace("\r\n", "\n"), keep="\n\t")


class _Pairs(list[tuple[str, Any]]):
    """An object's members in order, doubled ones too."""


def _lines(value: Any, names: Collection[str]) -> Iterator[Line]:
    """With a stack of its own: depth is the payload's choice, not ours."""
    waiting: list[tuple[int, str, str, Any, str, bool]] = [(0, "", "", value, "", False)]
    while waiting:
        depth, key, path, here, comma, marked = waiting.pop()
        if isinstance(here, _End):
            yield Line(depth, "", here + comma, False)
        elif isinstance(here, list) and here and depth < _MOST_DEPTH:
            pairs = isinstance(here, _Pairs)
            yield Line(depth, key, "{" if pairs else "[", marked)
            waiting.append((depth, "", "", _End("}" if pairs else "]"), comma, False))
            inner: list[tuple[str, str, Any]] = (
                [(_quoted(name), f"{path}.{name}" if path else name, item) for name, item in here]
                if pairs
                else [("", path, item) for item in here]
            )
            for place in range(len(inner) - 1, -1, -1):
                label, where, item = inner[place]
                wrong = bool(label) and (where in names or where.rpartition(".")[2] in names)
                waiting.append((depth + 1, label, where, item, "," if place + 1 < len(inner) else "", wrong))
        else:
            yield Line(depth, key, _written(here) + comma, marked)


class _End(str):
    """A closing bracket."""

    __slots__ = ()


def _written(value: Any) -> str:
    if isinstance(value, _Number):
        return value if len(value) <= _MOST_STRING else value[:_MOST_STRING] + "…"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, list):
        return ("{…}" if value else "{}") if isinstance(value, _Pairs) else ("[…]" if value else "[]")
    return {None: "null", True: "true", False: "false"}[value]


def _quoted(text: str) -> str:
    cut = text if len(text) <= _MOST_STRING else text[:_MOST_STRING] + "…"
    return '"' + visible(cut.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
