"""The 122 public traffic-camera points of the area."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from ioc.geo.tables import load_table


class CameraPoint(msgspec.Struct, frozen=True):
    """One camera point. ``id`` is stable and fit for a topic; ``code`` is the operator's own.

    ``ward`` is the ward code the source states; None for the four points that lie up to 30 m outside the border.
    """

    id: str
    code: str | None
    name: str | None
    lat: float
    lon: float
    ward: str | None


class _Table(msgspec.Struct, frozen=True):
    cameras: tuple[CameraPoint, ...]


@lru_cache(maxsize=1)
def camera_points() -> tuple[CameraPoint, ...]:
    """All camera points, in the order of the table."""
    return load_table("cameras.json", _Table).cameras
