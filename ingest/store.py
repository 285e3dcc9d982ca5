"""One batch, one transaction: all of it is committed or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from ingest.batch import Batch
from ingest.dialects.native import NAME
from ingest.quarantine import store_rejected
from ingest.registry import Registry
from ioc.db.devices import Placed, Sight, announce, register_unannounced, retire, store_sights, store_states
from ioc.db.pool import Connection, Edition
from ioc.db.readings import admit_clock_off, store_readings
from ioc.geo import ward_at
from ioc.model import Device, DeviceState, Reading

#: A redelivered last will, which has no time of its own, is the same as an equal one stored this recently. Longer would take
#: the second will of a device that comes and goes for the first one's redelivery.
_SAME_WILL: Final = timedelta(minutes=2)
#: Why a device that sends data counts as online although it did not say so.
BY_DATA: Final = "data"


class Outcome(NamedTuple):
    """What a commit changed.

    Attributes:
        stored / duplicates: readings that were new, and that were there already.
        newest: the newest reading of every (device, measure) of the batch.
    """

    stored: int
    duplicates: int
    newest: list[Reading]
    states: list[DeviceState]
    devices: list[Device]
    rejected: dict[str, int]


def write(connection: Connection, on: Edition, batch: Batch, registry: Registry, sights: Iterable[Sight]) -> Outcome:
    """Store a batch and the sightings in one transaction.

    Raises:
        psycopg.Error: nothing is stored; the caller tells a bad row from a lost server.
    """
    with connection.transaction():
        devices = _write_devices(connection, batch, registry)
        states = _settled(connection, batch, registry)
        store_states(connection, states)
        readings = batch.readings
        admitted = admit_clock_off(connection, batch.clock_off)
        if admitted:
            readings = readings + admitted
        stored = store_readings(connection, on, readings)
        store_rejected(connection, batch.rejected)
        store_sights(connection, list(sights))
    offered = len(batch.readings) + len(batch.clock_off)
    return Outcome(
        stored, offered - stored, newest(readings), states, devices, Counter(one.reason for one in batch.rejected)
    )


def newest(readings: Iterable[Reading]) -> list[Reading]:
    """The newest reading of every (device, measure)."""
    found: dict[tuple[str, str], Reading] = {}
    for reading in readings:
        key = (reading.device, reading.measure)
        earlier = found.get(key)
        if earlier is None or earlier.time < reading.time:
            found[key] = reading
    return list(found.values())


def _write_devices(connection: Connection, batch: Batch, registry: Registry) -> list[Device]:
    """Register, change and retire devices; returns those that changed."""
    announced = [
        Placed(announcement, _ward(announcement.lat, announcement.lon))
        for announcement in batch.announced.values()
        if announcement is not None
    ]
    changed = announce(connection, announced)
    retired = [key for key, announcement in batch.announced.items() if announcement is None]
    if retired:
        changed += retire(connection, retired)
    unknown = [key for key in batch.seen if key not in registry.devices and batch.announced.get(key) is None]
    if unknown:
        changed += register_unannounced(connection, unknown, NAME)
    return changed


def _ward(lat: float | None, lon: float | None) -> str:
    ward = None if lat is None or lon is None else ward_at(lat, lon)
    return "" if ward is None else ward.code


def _settled(connection: Connection, batch: Batch, registry: Registry) -> list[DeviceState]:
    """The states to store: those that were said, less last wills that say nothing new, and `online` of devices that send data."""
    current: dict[str, tuple[str, datetime | None]] = {}

    def state_of(key: str) -> tuple[str, datetime | None]:
        if key in current:
            return current[key]
        device = registry.devices.get(key)
        return ("unknown", None) if device is None else (device.state, device.state_time)

    states = []
    for place, state in enumerate(batch.states):
        said, since = state_of(state.device)
        redelivered = batch.unstamped.get(place)
        if redelivered is not None and (said == state.state or (redelivered and _was_stored(connection, state))):
            continue
        states.append(state)
        if since is None or since < state.time:
            current[state.device] = (state.state, state.time)
    for key, sighting in batch.seen.items():
        if sighting.fresh is not None:
            said, since = state_of(key)
            if said in ("offline", "unknown") and (since is None or since < sighting.fresh):
                states.append(DeviceState(sighting.fresh, key, "online", BY_DATA, sighting.received))
    return states


def _was_stored(connection: Connection, state: DeviceState) -> bool:
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM device_state WHERE device = %s AND state = %s AND reason = %s AND received > %s)",
        (state.device, state.state, state.reason, state.received - _SAME_WILL),
    ).fetchone()
    return row is not None and bool(row[0])
