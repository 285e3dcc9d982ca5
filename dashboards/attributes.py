"""`data-…` attributes, by which the scripts of the pages find and read elements."""

from __future__ import annotations

from typing import Any


def data(**names: object) -> dict[str, Any]:
    """Keyword arguments of a Dash element for its `data-…` attributes.

    >>> data(live="clock", decimals=2)
    {'data-live': 'clock', 'data-decimals': '2'}
    """
    return {f"data-{name.replace('_', '-')}": str(value) for name, value in names.items()}


def aria(**names: object) -> dict[str, Any]:
    """The same for `aria-…`; True and False as those attributes spell them.

    >>> aria(pressed=True, label="Bars")
    {'aria-pressed': 'true', 'aria-label': 'Bars'}
    """
    return {
        f"aria-{name}": str(value).lower() if isinstance(value, bool) else str(value) for name, value in names.items()
    }
