"""Nested JSON as flat names and scalars, bounded; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ioc.errors import RejectedError
from ioc.values import shorten

#: More values than any device states in one message.
MOST: Final = 500
#: Objects within objects.
DEEPEST: Final = 8
#: Characters of a name, those of what it lies in included.
_LONGEST: Final = 200


def flat(said: Mapping[str, Any]) -> dict[str, Any]:
    """Every value by its name, those within others joined by dots; places in a list count from 0.

    Raises:
        RejectedError: `size` or `shape`, when there are too many, or they lie too deep.

    >>> flat({"power": 41, "air": {"temperature": 25.5, "gases": [1, 2]}, "none": {}})
    {'power': 41, 'air.temperature': 25.5, 'air.gases.0': 1, 'air.gases.1': 2}
    """
    found: dict[str, Any] = {}
    waiting: list[tuple[str, Any, int]] = [("", said, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if not isinstance(value, Mapping | list):
            found[name] = value
            continue
        if depth >= DEEPEST:
            raise RejectedError("shape", f"{shorten(name)}: nested deeper than {DEEPEST}")
        if len(found) + len(waiting) + len(value) > MOST:
            raise RejectedError("size", f"more than {MOST} values")
        inner = value.items() if isinstance(value, Mapping) else enumerate(value)
        named = [(f"{name}.{key}" if name else str(key), item, depth + 1) for key, item in inner]
        for longest in named:
            if len(longest[0]) > _LONGEST:
                raise RejectedError("size", f"{shorten(longest[0])}: a name of more than {_LONGEST} characters")
        waiting.extend(reversed(named))
    return found
