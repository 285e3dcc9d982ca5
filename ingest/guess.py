"""What kind of device something is, as far as its measures tell; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: Measures that a single kind of device has. Others are too common to tell by.
_TELLING: Final = {
    "pm25": "air_station",
    "pm10": "air_station",
    "no2": "air_station",
    "o3": "air_station",
    "so2": "air_station",
}


def kind_of(measures: Iterable[str]) -> str:
    """The kind that has these measures, "" when they do not tell.

    >>> kind_of(["temperature", "pm25"]), kind_of(["temperature"])
    ('air_station', '')
    """
    kinds = {_TELLING[key] for key in measures if key in _TELLING}
    return kinds.pop() if len(kinds) == 1 else ""
