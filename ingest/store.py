"""One batch, one transaction: all of it is committed or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from msgspec.structs import replace

from ingest.batch import Batch
from ingest.claim import Claim
from ingest.delivery import settle_deliveries
from ingest.dialects.native import NAME
from ingest.registry import Registry
from ingest.replay import lock_replays, settle_replays
from ioc.db.commands import settle_answers
from ioc.db.context import store_context
from ioc.db.devices import (
    Placed,
    Sight,
    announce,
    discover,
    noting,
    register_unannounced,
    retire,
    states_of,
    store_states,
)
from ioc.db.events import store_events
from ioc.db.pool import Connection, Edition
from ioc.db.quarantine import count, kept_already, store_rejected
from ioc.db.readings import AT_ONCE, admit_clock_off, begin_writing, newest_of, store_at_once, store_readings
from ioc.geo import ward_at
from ioc.model import Command, Device, DeviceState, Reading
from ioc.topics import matches

#: Why a device that sends data counts as online although it did not say so.
BY_DATA: Final = "data"


class Outcome(NamedTuple):
    """What a commit changed.

    Attributes:
        stored / duplicates: readings that were new; readings and messages that were there already.
        newest: the newest reading of every (device, measure) of the batch.
        commands: those that were answered.
    """

    stored: int
    duplicates: int
    newest: list[Reading]
    states: list[DeviceState]
    devices: list[Device]
    commands: list[Command]
    rejected: dict[str, int]


class Attempt:
    """One try of a transaction; tells whether it came through when the answer to its commit was lost.

    Attributes:
        outcome: what it changes, None before all was written.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._mark = b""
        self.outcome: Outcome | None = None

    def begin(self) -> tuple[str, tuple[str, bytes]]:
        """A transaction begins; returns the statement that marks it, and its values."""
        self.outcome = None
        statement, values = self._claim.marking()
        self._mark = values[1]
        return statement, values

    def came_through(self, connection: Connection) -> bool:
        """Whether it was committed, seen from a connection that was made after."""
        return self.outcome is not None and self._claim.came_through(connection, self._mark)


def write(
    connection: Connection,
    on: Edition,
    batch: Batch,
    registry: Registry,
    sights: Sequence[Sight],
    *,
    attempt: Attempt,
    all_new: bool,
    in_order: bool = False,
    retained: Collection[str] = (),
) -> Outcome:
    """Store a batch and the sightings in one transaction.

    Args:
        connection: in autocommit.
        on: edition of TimescaleDB.
        batch: loses what turns out to be committed already.
        registry: devices as last committed.
        sights: when devices were last heard of.
        attempt: filled in on the way.
        all_new: take it that no reading is there yet (`store_readings`).
        in_order: the broker repeats the order of its deliveries, not their packet ids.
        retained: topic filters of what is retained: every process gets it, again at each start, and keeps it once if it is wrong.

    Raises:
        psycopg.Error: nothing is stored; the caller tells a bad row from a lost server.
    """
    if not in_order and _is_small(batch, registry):
        return _write_at_once(connection, on, batch, sights, attempt)
    with connection.transaction():
        watermark = begin_writing(connection, on)
        if batch.replays:
            # Of quarantine only the days in question are opened where their times are known when it is planned.
            connection.execute("SET LOCAL plan_cache_mode = auto")
        connection.execute(*attempt.begin())
        repeated = settle_deliveries(connection, batch, in_order=in_order)
        _leave_out_retained(connection, batch, retained)
        entries = lock_replays(connection, batch)
        devices = _write_devices(connection, batch, registry)
        # What a last will means depends on the state it meets, and another process may have written that since we looked.
        of_wills = {batch.states[place].device for place in batch.unstamped}
        states = _settled(batch, registry, states_of(connection, of_wills) if of_wills else {})
        store_states(connection, states)
        store_events(connection, batch.events)
        store_context(connection, batch.context)
        readings = batch.readings
        admitted = admit_clock_off(connection, batch.clock_off)
        if admitted:
            readings = readings + admitted
        newest = newest_of(readings)
        stored = store_readings(connection, readings, watermark, newest, all_new=all_new)
        counted = store_rejected(connection, batch.rejected)
        moved, replayed = settle_replays(connection, batch, entries)
        counted.update(moved)
        count(connection, counted, replayed)
        if sights:
            connection.execute(*noting(sights))
        commands = settle_answers(connection, batch.answers)
        offered = len(batch.readings) + len(batch.clock_off)
        outcome = Outcome(
            stored=stored,
            duplicates=offered - stored + repeated,
            newest=newest,
            states=states,
            devices=devices,
            commands=commands,
            rejected=Counter(one.reason for one in batch.rejected),
        )
        attempt.outcome = outcome
    return outcome


def _leave_out_retained(connection: Connection, batch: Batch, retained: Collection[str]) -> None:
    """Keep no wrong message a second time that the broker hands over until its sender sends another."""
    places = [place for place, one in enumerate(batch.rejected) if any(matches(name, one.topic) for name in retained)]
    if places:
        known = kept_already(connection, [batch.rejected[place] for place in places])
        batch.leave_out_rejected({place for place, is_known in zip(places, known, strict=True) if is_known})


def _is_small(batch: Batch, registry: Registry) -> bool:
    """Whether it is a few readings of devices that are known and online, as most batches are while little comes."""
    return (
        0 < len(batch.readings) <= AT_ONCE
        and batch.holds_readings_alone
        and batch.seen.keys() <= registry.devices.keys()
        and not _settled(batch, registry, {})
    )


def _write_at_once(
    connection: Connection, on: Edition, batch: Batch, sights: Sequence[Sight], attempt: Attempt
) -> Outcome:
    """Store a batch that is small."""
    newest = newest_of(batch.readings)
    beside = [attempt.begin(), *([noting(sights)] if sights else [])]
    # Its answer is what may be lost: then how many were there already is not known, and they are taken for new.
    attempt.outcome = Outcome(len(batch.readings), 0, newest, [], [], [], {})
    stored = store_at_once(connection, on, batch.readings, newest, beside)
    return attempt.outcome._replace(stored=stored, duplicates=len(batch.readings) - stored)


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
    changed += discover(connection, batch.discovered.values())
    known, met, told = registry.devices, batch.discovered, batch.announced
    unknown = [key for key in batch.seen if key not in known and key not in met and told.get(key) is None]
    if unknown:
        changed += register_unannounced(connection, unknown, NAME)
    return changed


def _ward(lat: float | None, lon: float | None) -> str:
    ward = None if lat is None or lon is None else ward_at(lat, lon)
    return "" if ward is None else ward.code


def _settled(batch: Batch, registry: Registry, current: dict[str, tuple[str, datetime | None]]) -> list[DeviceState]:
    """The states to store: those that were said, less last wills that say nothing new, and `online` of devices that send data."""

    def state_of(key: str) -> tuple[str, datetime | None]:
        if key in current:
            return current[key]
        device = registry.devices.get(key)
        return ("unknown", None) if device is None else (device.state, device.state_time)

    states = []
    for place, state in enumerate(batch.states):
        said, since = state_of(state.device)
        if place in batch.unstamped:
            if said == state.state:
                continue
            if since is not None and state.time <= since:
                # It is true when it comes, whatever was said in the same moment, or by a clock that runs ahead.
                state = replace(state, time=since + timedelta(microseconds=1))
        states.append(state)
        if since is None or since < state.time:
            current[state.device] = (state.state, state.time)
    known, absent = registry.devices, registry.absent
    for key in [key for key in batch.seen if key in absent or key not in known or key in current]:
        sighting = batch.seen[key]
        if sighting.fresh is not None:
            said, since = state_of(key)
            if said in ("offline", "unknown") and (since is None or since < sighting.fresh):
                states.append(DeviceState(sighting.fresh, key, "online", BY_DATA, sighting.received))
    return states
