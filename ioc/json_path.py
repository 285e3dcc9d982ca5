"""Paths into a JSON payload: `a.b`, `a[0].c`, `["odd key"]`, and `[*]` for every element of a list; pure, never evaluated.

A path is a tuple of keys (text), places (integers) and `EACH`. Reading along one takes as many steps as it has parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from ioc.errors import IocError

#: Every element of a list.
EACH: Final = None
Part = str | int | None
Path = tuple[Part, ...]

#: Characters of a written path, and parts of it.
MOST_WRITTEN: Final = 300
MOST_PARTS: Final = 32

#: A key that needs no quotes. Braces are left to the templates that paths stand in.
_BARE: Final = re.compile(r"""[^\s.\[\]{}"'*$]+""")
_PLACE: Final = re.compile(r"\[([0-9]{1,6})\]")
_QUOTED: Final = re.compile(r'\[("(?:[^"\\]|\\.)*")\]')


class PathError(IocError):
    """A text is no path."""


class _Missing:
    """Nothing is there; None would be JSON's null."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def parse_path(text: str) -> Path:
    """Read a path; "" and "$" are the whole payload.

    Raises:
        PathError: it is none.

    >>> parse_path('readings[*].values["PM 2.5"][0]')
    ('readings', None, 'values', 'PM 2.5', 0)
    """
    if not text.isprintable():
        raise PathError(f"path {text[:MOST_WRITTEN]!r}: expected printable characters")
    path, end = scan_path(text, 0)
    if end < len(text):
        raise PathError(f'path {text!r}: did not expect {text[end : end + 10]!r}; write odd keys as ["odd key"]')
    return path


def scan_path(text: str, at: int) -> tuple[Path, int]:
    """Read a path from a place of a text as far as it goes; returns it and where it ends.

    Raises:
        PathError: what stands there is no path, or too long a one.
    """
    parts: list[Part] = []
    begin = at
    if text[at : at + 1] == "$":
        at += 1
    while True:
        if text.startswith("[*]", at):
            parts.append(EACH)
            at += 3
        elif found := _PLACE.match(text, at):
            parts.append(int(found[1]))
            at = found.end()
        elif found := _QUOTED.match(text, at):
            parts.append(_unquoted(found[1]))
            at = found.end()
        else:
            # Keys are parted by dots; the first one needs none.
            dot = text[at : at + 1] == "."
            found = _BARE.match(text, at + dot) if dot or at == begin else None
            if found is None:
                break
            parts.append(found[0])
            at = found.end()
        if len(parts) > MOST_PARTS or at - begin > MOST_WRITTEN:
            raise PathError(f"path: expected at most {MOST_PARTS} parts and {MOST_WRITTEN} characters")
    return tuple(parts), at


def write_path(path: Path) -> str:
    """A path as `parse_path` reads it; "$" for the whole payload.

    >>> write_path(("a", 0, "odd key", None))
    'a[0]["odd key"][*]'
    """
    written = "".join(_written(part) for part in path)
    return written.removeprefix(".") or "$"


def get(value: Any, path: Path) -> Any:
    """What lies at a path without `EACH`; `MISSING` when nothing does."""
    for part in path:
        if isinstance(part, str):
            value = value.get(part, MISSING) if isinstance(value, dict) else MISSING
        elif isinstance(value, list) and part is not EACH and part < len(value):
            value = value[part]
        else:
            return MISSING
        if value is MISSING:
            return MISSING
    return value


def leaves(value: Any, most: int) -> Iterator[tuple[Path, Any]]:
    """The values in a payload that hold no others, with their paths, in order; at most so many.

    A list of several objects is taken to be many of one kind: its first element stands for all, under `[*]`.
    """
    waiting: list[tuple[Path, Any]] = [((), value)]
    given = 0
    while waiting and given < most:
        path, here = waiting.pop()
        inner: list[tuple[Path, Any]] = []
        if len(path) < MOST_PARTS:
            if isinstance(here, dict):
                inner = [((*path, key), item) for key, item in here.items()]
            elif isinstance(here, list):
                alike = len(here) > 1 and EACH not in path and all(isinstance(item, dict) for item in here)
                inner = [((*path, EACH), here[0])] if alike else [((*path, i), here[i]) for i in range(len(here))]
        if inner:
            waiting += reversed(inner[:most])
        else:
            given += 1
            yield path, here


def list_of(paths: Iterable[Path]) -> Path | None:
    """Where the list lies whose elements the paths speak of; None without any."""
    lists: dict[Path, None] = {}
    for path in paths:
        if EACH in path:
            at = path.index(EACH)
            if EACH in path[at + 1 :]:
                raise PathError(f"path {write_path(path)!r}: expected one [*] at most")
            lists[path[:at]] = None
    if len(lists) > 1:
        named = " and ".join(write_path((*path, EACH)) for path in lists)
        raise PathError(f"expected the elements of one list, got {named}")
    return next(iter(lists), None)


class Named:
    """Paths that somebody names, as a tree; finds what a payload holds beside them."""

    def __init__(self) -> None:
        self._inner: dict[Part, Named] = {}
        self._ends = False
        self._beneath = False

    def add(self, path: Path, *, beneath: bool) -> None:
        """A path is named; `beneath`: with everything below it."""
        if path:
            self._inner.setdefault(path[0], Named()).add(path[1:], beneath=beneath)
        else:
            self._ends = True
            self._beneath = self._beneath or beneath

    def strange(self, value: Any, most: int) -> list[str]:
        """Written paths of what nobody names, the outermost of each; at most so many. Nothing is no value."""
        found: dict[str, None] = {}
        self.look(value, (), found, most)
        return list(found)

    def look(self, value: Any, path: Path, found: dict[str, None], most: int) -> None:
        """Add what nobody names beneath a path; goes no deeper than the named paths do."""
        if self._beneath or value is None:
            return
        if not isinstance(value, dict | list):
            if not self._ends:
                found[write_path(path)] = None
            return
        if self._ends and not self._inner:
            return  # a whole object where a value belongs: whoever reads the value says so
        each = self._inner.get(EACH)
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            known = self._inner.get(part, each if isinstance(value, list) else None)
            where = (*path, EACH if known is not None and known is each else part)
            if known is not None:
                known.look(item, where, found, most)
            elif item is not None and item not in ({}, []):
                found[write_path(where)] = None
            if len(found) >= most:
                return


def _written(part: Part) -> str:
    if part is EACH:
        return "[*]"
    if isinstance(part, int):
        return f"[{part}]"
    if part.isprintable() and _BARE.fullmatch(part):
        return f".{part}"
    return f"[{json.dumps(part, ensure_ascii=not part.isprintable())}]"


def _unquoted(text: str) -> str:
    try:
        key = json.loads(text)
    except ValueError as error:
        raise PathError(f"path: {text}: {error}") from error
    assert isinstance(key, str)
    return key
