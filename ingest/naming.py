"""Ids for devices of other dialects; see `ioc.naming`."""

from __future__ import annotations

from ioc.naming import device_id

__all__ = ["device_id"]
