"""Editions of the boundaries: 34 wards until 30 June 2025, 12 since, and which became which.

Every figure may be asked for under either edition. The old borders themselves are not published in a form that can be
kept here, so a figure goes from the old edition to the new one by name; the four wards that were split say so.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache

import msgspec

from ioc.geo.tables import load_table
from ioc.geo.wards import Ward, ward_by_code


class Edition(msgspec.Struct, frozen=True):
    """One edition of the ward boundaries and the days it is valid, both inclusive."""

    key: str
    label: tuple[str, str]
    valid_from: date | None
    valid_until: date | None
    count: int


EDITIONS = (
    Edition(
        "before-2025", ("34 phường (trước 1/7/2025)", "34 wards (before 1 July 2025)"), None, date(2025, 6, 30), 34
    ),
    Edition("2025", ("12 phường (từ 1/7/2025)", "12 wards (since 1 July 2025)"), date(2025, 7, 1), None, 12),
)


class OldWard(msgspec.Struct, frozen=True):
    """A ward of the edition before 2025: its name and the codes of the wards its area went to."""

    name: str
    into: tuple[str, ...]

    @property
    def split(self) -> bool:
        """Whether its area was divided between two wards, so that figures cannot be carried over by name alone."""
        return len(self.into) > 1


class _Table(msgspec.Struct, frozen=True):
    wards: tuple[OldWard, ...]


@lru_cache(maxsize=1)
def old_wards() -> tuple[OldWard, ...]:
    """The 34 wards in force until 30 June 2025."""
    return load_table("wards_before.json", _Table).wards


def edition_on(day: date) -> Edition:
    """The edition in force on ``day``."""
    return EDITIONS[1] if day >= date(2025, 7, 1) else EDITIONS[0]


def became(name: str) -> tuple[Ward, ...]:
    """The wards of 2025 that the old ward ``name`` went to: none if unknown, two if it was split."""
    for old in old_wards():
        if old.name == name:
            return tuple(ward for code in old.into if (ward := ward_by_code(code)) is not None)
    return ()
