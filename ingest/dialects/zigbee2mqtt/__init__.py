"""Zigbee2MQTT, the bridge to Zigbee lamps, plugs and sensors."""

from __future__ import annotations

from ingest.dialects.zigbee2mqtt.dialect import Zigbee2Mqtt

__all__ = ["Zigbee2Mqtt"]
