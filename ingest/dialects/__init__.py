"""The dialects that devices speak, one file each."""

from __future__ import annotations

from ingest.dialect import Dialect
from ingest.dialects.chirpstack import Chirpstack
from ingest.dialects.fiware import Fiware
from ingest.dialects.frigate import Frigate
from ingest.dialects.native import Native
from ingest.dialects.onvif import Onvif
from ingest.dialects.sparkplug import Sparkplug
from ingest.dialects.thingsboard import ThingsBoard


def all_dialects() -> tuple[Dialect, ...]:
    """Every dialect, in the order they are asked whose a topic is."""
    others: tuple[Dialect, ...] = (
        Frigate(),
        Onvif(),
        Chirpstack(),
        ThingsBoard(),
        Fiware(),
        Sparkplug(),
    )
    return (Native(frozenset(dialect.prefix for dialect in others)), *others)
