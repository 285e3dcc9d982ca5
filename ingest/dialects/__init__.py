"""The dialects that devices speak, one file or folder each."""

from __future__ import annotations

from collections.abc import Iterable

from ingest.dialect import Dialect
from ingest.dialects.chirpstack import Chirpstack
from ingest.dialects.fiware import Fiware
from ingest.dialects.frigate import Frigate
from ingest.dialects.homeassistant import HomeAssistant
from ingest.dialects.mapped import Mapped
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
    prefixes = {HomeAssistant.prefix, Mapped.prefix, *(dialect.prefix for dialect in others)}
    native = Native(frozenset(prefixes))
    # Last, and they know the others: a configuration or a mapping may name any topic, and gets what is nobody's.
    built_in = (native, *others, HomeAssistant((native, *others)))
    return (*built_in, Mapped(standing_filters(built_in)))


def standing_filters(dialects: Iterable[Dialect]) -> dict[str, str]:
    """Topic filters of dialects, with the dialect of each."""
    return {one.filter: dialect.name for dialect in dialects for one in dialect.subscriptions}
