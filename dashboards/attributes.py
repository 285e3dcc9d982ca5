"""`data-…` attributes, by which the scripts of the pages find and read elements."""

from __future__ import annotations

from typing import Any


def data(**names: object) -> dict[str, Any]:
    """Keyword arguments of a Dash element for its `data-…` attributes.

    >>> data(live="clock", decimals=2)
    {'data-live': 'clock', 'data-decimals': '2'}
    """
    return {f"data-{name.replace('_', '-')}": str(value) for name, value in names.items()}
