"""Checking one raw value against the catalogue; pure."""

from __future__ import annotations

import math
from typing import Any, Final

from ioc.catalog import KINDS, MEASURES, Measure
from ioc.errors import RejectedError

#: Measures by kind of device. A device that has not introduced itself yet ("") may report any; our own
#: findings none may.
MEASURES_OF: Final[dict[str, dict[str, Measure]]] = {
    "": {key: row for key, row in MEASURES.items() if not row.finding},
    **{kind.key: {key: MEASURES[key] for key in kind.measures if not MEASURES[key].finding} for kind in KINDS.values()},
}
#: Range of every measure that is a plain number, by kind: the quick check of the common case.
RANGES_OF: Final[dict[str, dict[str, tuple[float, float]]]] = {
    kind: {key: measure.range for key, measure in measures.items() if not measure.states}
    for kind, measures in MEASURES_OF.items()
}
#: States of which false is the first and true the second.
_TRUTHS: Final = frozenset({("no", "yes"), ("off", "on"), ("closed", "open")})


def shorten(raw: object, most: int = 80) -> str:
    """How a value is quoted in a quarantine's detail."""
    # repr() of these may be slow, refused, or recurse too deep.
    if isinstance(raw, list):
        return "a list"
    if isinstance(raw, dict):
        return "an object"
    if type(raw) is int and abs(raw) > 10**40:
        return "an integer of more than 40 digits"
    text = repr(raw[: most + 1]) if isinstance(raw, str) else repr(raw)
    return text if len(text) <= most else text[:most] + "…"


def said_number(text: str) -> float | None:
    """The number that a text is; None when it is none.

    >>> said_number(" 27.5"), said_number("1_0"), said_number("27,5")
    (27.5, None, None)
    """
    try:
        return None if "_" in text else float(text)  # between digits Python takes it for nothing
    except ValueError:
        return None


def number_of(measure: Measure, raw: Any) -> float:
    """The value that is stored: the number itself, the index of a named state, 0 or 1 for a boolean that tells one.

    Raises:
        RejectedError: `encoding`, `value` or `range`.
    """
    if isinstance(raw, str):
        if raw in measure.states:
            return float(measure.states.index(raw))
        if "\0" in raw:
            raise RejectedError("encoding", f"{measure.key}: a string with a NUL")
        expected = f"one of {', '.join(measure.states)}" if measure.states else f"a number in {measure.unit or '1'}"
        raise RejectedError("value", f"{measure.key}: got {shorten(raw)}, expected {expected}")
    if not isinstance(raw, int | float) or (isinstance(raw, bool) and measure.states[:2] not in _TRUTHS):
        raise RejectedError("value", f"{measure.key}: got {shorten(raw)}, expected a number")
    try:
        value = float(raw)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise RejectedError("value", f"{measure.key}: got {shorten(raw)}, expected a finite number")
    least, most = measure.range
    if not least <= value <= most:
        raise RejectedError(
            "range", f"{measure.key}: got {shorten(raw)}, possible are {least:g} to {most:g} {measure.unit}".rstrip()
        )
    if measure.states and not value.is_integer():
        raise RejectedError("value", f"{measure.key}: got {shorten(raw)}, expected one of {', '.join(measure.states)}")
    return value
