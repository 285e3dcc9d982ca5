"""Fields of foreign JSON, taken for what they should be or not at all, so that what is stored of events is clean; pure."""

from __future__ import annotations

import math
from typing import Any, Final

from ingest.quarantine import printable

#: Larger than any time, size or score.
_LARGEST: Final = 1e12
_MOST_ITEMS: Final = 50
_MOST_TEXT: Final = 200


def number(raw: Any) -> float | None:
    """A finite number of a sane size.

    >>> number(0.5), number("0.5"), number(True), number(float("nan"))
    (0.5, None, None, None)
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    return raw if abs(raw) < _LARGEST and math.isfinite(raw) else None


def numbers(raw: Any, count: int) -> list[float] | None:
    """A list of so many numbers."""
    if not isinstance(raw, list) or len(raw) != count:
        return None
    found = [one for one in map(number, raw) if one is not None]
    return found if len(found) == count else None


def text(raw: Any) -> str | None:
    """A text, shortened."""
    return printable(raw, _MOST_TEXT) if isinstance(raw, str) else None


def texts(raw: Any) -> list[str] | None:
    """The texts of a list, the first fifty."""
    if not isinstance(raw, list):
        return None
    return [printable(item, _MOST_TEXT) for item in raw[:_MOST_ITEMS] if isinstance(item, str)]


def truth(raw: Any) -> bool | None:
    """A truth value."""
    return raw if isinstance(raw, bool) else None
