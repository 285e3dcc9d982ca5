"""The dialects that devices speak, one file or folder each."""

from __future__ import annotations

from ingest.dialect import Dialect
from ingest.dialects.chirpstack import Chirpstack
from ingest.dialects.fiware import Fiware
from ingest.dialects.frigate import Frigate
from ingest.dialects.homeassistant import HomeAssistant
from ingest.dialects.native import Native
from ingest.dialects.onvif import Onvif
from ingest.dialects.sparkplug import Sparkplug
from ingest.dialects.tasmota import Tasmota
from ingest.dialects.thingsboard import ThingsBoard
from ingest.dialects.zigbee2mqtt import Zigbee2Mqtt


def all_dialects() -> tuple[Dialect, ...]:
    """Every dialect, in the order they are asked whose a topic is."""
    others: tuple[Dialect, ...] = (
        Frigate(),
        Onvif(),
        Chirpstack(),
        ThingsBoard(),
        Fiware(),
        Sparkplug(),
        Tasmota(),
        Zigbee2Mqtt(),
    )
    native = Native(frozenset({HomeAssistant.prefix, *(dialect.prefix for dialect in others)}))
    # The last, and it knows the others: a configuration may name any topic, and gets those alone that are nobody's.
    return (native, *others, HomeAssistant((native, *others)))
