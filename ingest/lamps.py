"""How bright: shares of full light, and the numbers other systems write for them; pure."""

from __future__ import annotations

from typing import Any


def share_of(raw: Any, full: float) -> Any:
    """A brightness as a share of `full`; what is no number stays as it is, to be refused by name.

    >>> share_of(127, 254), share_of("bright", 254)
    (0.5, 'bright')
    """
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return raw
    try:
        return raw / full
    except OverflowError:
        return raw


def steps_of(level: float, full: int) -> int:
    """A share of full light as one of `full` steps; what is not off is never rounded to none.

    >>> steps_of(0.5, 254), steps_of(0.001, 254), steps_of(0, 254)
    (127, 1, 0)
    """
    return min(full, max(1, round(level * full))) if level > 0 else 0
