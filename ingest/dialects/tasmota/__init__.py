"""Tasmota, the firmware of many Wi-Fi relays, lamps, meters and sensors."""

from __future__ import annotations

from ingest.dialects.tasmota.dialect import Tasmota

__all__ = ["Tasmota"]
