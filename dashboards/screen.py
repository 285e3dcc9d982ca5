"""How large the reader's browser draws: what the server lays out in pixels (charts, columns) grows with it."""

from __future__ import annotations

from typing import Final

import dash

#: Pixels of a rem on a 1080p screen, and the least and most that are believed.
REM: Final = 16.0
_RANGE: Final = (12.0, 64.0)


def rem() -> float:
    """Pixels of one rem in the browser that asks, as `assets/desk.js` keeps it in the cookie `rem`."""
    return as_rem(dash.get_app().backend.request_adapter().cookies.get("rem"))


def as_rem(text: object) -> float:
    """The cookie's number, within reason.

    >>> as_rem("32"), as_rem("1e9"), as_rem("x"), as_rem("nan")
    (32.0, 64.0, 16.0, 16.0)
    """
    try:
        size = float(str(text))
    except ValueError:
        return REM
    return min(_RANGE[1], max(_RANGE[0], size)) if size == size else REM  # NaN is not itself
