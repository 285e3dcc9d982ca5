"""Checking one raw value against the catalogue; see `ioc.values`."""

from __future__ import annotations

from ioc.values import MEASURES_OF, RANGES_OF, number_of, shorten

__all__ = ["MEASURES_OF", "RANGES_OF", "number_of", "shorten"]
