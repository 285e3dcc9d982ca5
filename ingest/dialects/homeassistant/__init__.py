"""Home Assistant's MQTT discovery, which ESPHome, OpenMQTTGateway and many others speak."""

from __future__ import annotations

from ingest.dialects.homeassistant.dialect import HomeAssistant

__all__ = ["HomeAssistant"]
