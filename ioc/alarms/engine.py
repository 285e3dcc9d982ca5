"""The engine: the change stream in, decisions out. It keeps the city in memory and the truth in TimescaleDB.

It starts from a snapshot taken after the stream's newest id, and reads the stream from there. Each decision is a transaction,
and is published after its commit. Without Redis it asks TimescaleDB every few seconds instead; without TimescaleDB it waits, and
begins again from a snapshot. Whatever it was killed in, the conditions and the alarms that are alive tell the next one what is
left to do.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

from prometheus_client import Counter, Gauge

from ioc.alarms.execute import Order, execute
from ioc.alarms.grouping import RATE_WINDOW, rate
from ioc.alarms.watch import lookback
from ioc.alarms.world import Decision, World
from ioc.catalog import FINDINGS, MEASURES, RULES
from ioc.db import alarms as stored
from ioc.db import snapshot
from ioc.db.devices import all_devices
from ioc.db.pool import Connection, translated
from ioc.errors import LiveError
from ioc.live import Live
from ioc.model import (
    AlarmsChanged,
    Change,
    DevicesChanged,
    FrameArrived,
    Reading,
    ReadingsChanged,
    StatesChanged,
)
from ioc.service import Service, utc_now
from ioc.turns import take_turns

#: Any number of our own: one engine acts on a database at a time.
_LOCK: Final = 0x7464_616C
#: How often time alone is looked at (silence, delays, shelves).
TICK_S: Final = 1.0
#: How often the alarms are compared with TimescaleDB while the stream works.
RECONCILE_S: Final = 30.0
#: How often TimescaleDB is asked while Redis is away.
POLL_S: Final = 3.0
#: A batch that is committed may have been received this much earlier.
_COMMIT_LAG: Final = timedelta(seconds=60)
#: While anything was heard this recently, the way from the devices to us works.
_PROOF_OF_HEARING: Final = timedelta(seconds=30)
#: Decisions in one transaction: a flood is stored quickly, and nobody waits long for a lock.
_AT_ONCE: Final = 200

_OPENED = Counter("ioc_alarms_opened_total", "Alarms opened.", ["priority"])
_DECIDED = Counter("ioc_alarms_decisions_total", "Decisions carried out.", ["event"])
_ALIVE = Gauge("ioc_alarms_alive", "Alarms that are not normal.", ["state"])
_BEHIND = Gauge("ioc_alarms_stream_lag_seconds", "Age of the newest change that was read.")


class Engine:
    """One engine at work on one connection; ends with `StorageError` when that is lost."""

    def __init__(self, service: Service, connection: Connection, live: Live) -> None:
        self.world = World()
        self._service = service
        self._connection = connection
        self._live = live
        self._after = ""  # the stream's id we have read up to; "" = Redis is away
        self._heard: datetime | None = None
        self._polled = utc_now()
        self._unpublished_since = utc_now() - RATE_WINDOW
        self._openings: list[datetime] = []
        self._check_at = 0.0
        self._reconcile_at = time.monotonic() + RECONCILE_S

    def run(self) -> None:
        """Work until the service stops.

        Raises:
            StorageError: TimescaleDB is lost; begin with a new engine.
        """
        self._begin()
        while not self._service.stopping.is_set():
            if self._after:
                self._read()
            elif not self._reconnect():
                self._service.stopping.wait(TICK_S)
                self._poll()
            self._check_lock()
            self._reconcile()
            self._listen(utc_now())
            self.act()

    def figures(self) -> dict[str, float]:
        """What the heartbeat shows."""
        now = utc_now()
        settings = self._service.settings
        counted = rate(
            list(self._openings), now, target=settings.alarms_target_per_10min, flood=settings.alarms_flood_per_10min
        )
        alive = list(self.world.alive.values())
        return {
            "alive": len(alive),
            "unacknowledged": sum(alarm.state == "unacknowledged" for alarm in alive),
            "opened_10min": counted.opened,
            "acting": 1,
        }

    def act(self) -> None:
        """Carry out what follows from what is known now."""
        for _ in range(_ROUNDS):
            decisions = self.world.decisions(utc_now())
            if not decisions:
                return
            for first in range(0, len(decisions), _AT_ONCE):
                self._carry_out(decisions[first : first + _AT_ONCE])
        self._service.log.error("decisions do not settle", next=decisions[0])

    def _check_lock(self) -> None:
        """The lock goes with the connection; an idle engine must notice that it lost both."""
        if time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + TICK_S
            with translated():
                self._connection.execute("SELECT 1")

    def _reconcile(self) -> None:
        """Now and then compare with TimescaleDB: an operator's action may be committed there and never have been published."""
        if time.monotonic() >= self._reconcile_at:
            self._reconcile_at = time.monotonic() + RECONCILE_S
            self.world.remember(stored.alive_alarms(self._connection))

    # --- ways in ---

    def _begin(self) -> None:
        """Take the stream's newest id, then the snapshot, so that nothing falls between them."""
        try:
            self._after = self._live.last_id()
            self._service.recover("redis")
        except LiveError as error:
            self._lost_redis(error)
        self._resync()

    def _resync(self) -> None:
        """Take over what TimescaleDB knows: the register, the alarms, the newest readings, and the past of those that matter."""
        self._take_register()
        now = utc_now()
        begin = {key: lookback(measure) for key, measure in MEASURES.items() if measure.rules}
        for reading in (newest := snapshot.latest(self._connection)):
            self.world.reading(reading)
            self._note_reading(reading)
        rising = {r.key for m in MEASURES.values() for r in m.rules if r.kind == "rise"}
        replayed = set(self.world.pending())
        replayed |= {(rule, r.device) for r in newest for rule in rising if RULES[rule][1] == r.measure}
        replayed = {(rule, device) for rule, device in replayed if RULES.get(rule, ("", ""))[1]}
        self.world.forget(replayed)
        wanted = {(device, RULES[rule][1]) for rule, device in replayed}
        past = snapshot.readings_since(
            self._connection, ((device, measure, now - begin[measure]) for device, measure in wanted)
        )
        for reading in past:
            self.world.replay(reading)
        self._polled = now
        self._openings = stored.openings_since(self._connection, now - RATE_WINDOW)
        self._republish()

    def _take_register(self) -> None:
        with translated():
            devices = all_devices(self._connection)
        for device in devices:
            self.world.device(device)
            if device.last_seen is not None:
                self.world.heard(device.id, device.last_seen)
        for once in snapshot.devices_once_online(self._connection):
            self.world.presumed_online(once)
        self.world.remember(stored.alive_alarms(self._connection))

    def _read(self) -> None:
        """Read the stream; ends by the next tick at the latest."""
        try:
            entries = self._live.changes(self._after, block_ms=int(TICK_S * 1000))
        except LiveError as error:
            self._lost_redis(error)
            return
        for entry, change in entries:
            self._take(change, entry)
            self._after = entry
            # Entry by entry, so that what came and went between two looks is seen too.
            self.act()
        if entries:
            _BEHIND.set(max(0.0, time.time() - _entry_time(self._after).timestamp()))

    def _take(self, change: Change, entry: str) -> None:
        match change:
            case ReadingsChanged(readings):
                for reading in readings:
                    self.world.reading(reading)
                    self._note_reading(reading)
            case StatesChanged(states):
                for state in states:
                    self.world.state(state)
                    self._note_heard(state.received)
            case DevicesChanged(devices):
                for device in devices:
                    self.world.device(device)
            case FrameArrived(camera, taken):
                # No proof that ingest hears: pictures come in by other ways too.
                self.world.frame(camera, taken, _entry_time(entry))
            case AlarmsChanged(alarms, _):
                for alarm in alarms:
                    self.world.alarm(alarm)
            case _:
                pass

    def _poll(self) -> None:
        """Ask TimescaleDB what came in, while Redis does not tell."""
        if utc_now() - self._polled < timedelta(seconds=POLL_S):
            return
        since, self._polled = self._polled - _COMMIT_LAG, utc_now()
        self._take_register()
        for reading in snapshot.latest(self._connection, since):
            self.world.reading(reading)
            self._note_reading(reading)

    def _reconnect(self) -> bool:
        """Try to go back to the stream; what it did not tell meanwhile is read from TimescaleDB."""
        try:
            self._after = self._live.last_id()
        except LiveError as error:
            self._lost_redis(error)
            return False
        self._resync()
        self._service.recover("redis")
        return True

    def _lost_redis(self, error: LiveError) -> None:
        self._after = ""
        self._unpublished_since = min(self._unpublished_since, utc_now())
        self._service.degrade("redis", error)

    # --- what silence means ---

    def _note_reading(self, reading: Reading) -> None:
        if reading.measure not in FINDINGS:
            self._note_heard(reading.received)

    def _note_heard(self, received: datetime) -> None:
        self._heard = received if self._heard is None else max(self._heard, received)

    def _listen(self, now: datetime) -> None:
        """Judge silence only while we would hear a device: when ingest is well, or while others are heard."""
        since = self._heard if self._heard is not None and now - self._heard < _PROOF_OF_HEARING else None
        if since is None and self._after:
            try:
                if any(beat.service == "ingest" and beat.state == "ok" for beat in self._live.heartbeats()):
                    since = now
            except LiveError as error:
                self._lost_redis(error)
        if since is None:
            self._service.degrade("hearing", "nothing is heard from any device, so silence is not judged")
            self.world.listen(None)
        elif self.world.listening_since is None:
            self._service.recover("hearing")
            self.world.listen(since)

    # --- ways out ---

    def _carry_out(self, decisions: list[Decision]) -> None:
        orders = [
            Order(
                decision,
                self.world.devices.get(decision.device),
                self.world.alive.get((decision.rule, decision.device)),
            )
            for decision in decisions
        ]
        changed = execute(self._connection, orders, utc_now())
        for alarm in changed.alarms:
            if alarm.changed == alarm.opened:
                _OPENED.labels(alarm.priority).inc()
                if alarm.state != "suppressed":
                    self._openings.append(alarm.opened)
            self.world.alarm(alarm)
        self._openings = [opened for opened in self._openings if utc_now() - opened < RATE_WINDOW]
        for decision in decisions:
            _DECIDED.labels(decision.event).inc()
        for state in _STATES:
            _ALIVE.labels(state).set(sum(alarm.state == state for alarm in self.world.alive.values()))
        self._publish(changed)

    def _publish(self, changed: AlarmsChanged) -> None:
        try:
            self._live.publish([changed])
        except LiveError as error:
            self._lost_redis(error)

    def _republish(self) -> None:
        """Tell the pages what they may have missed: changes around a crash, or while Redis was away."""
        if not self._after:
            return
        changed = stored.alarms_changed_since(self._connection, self._unpublished_since - _COMMIT_LAG)
        incidents = stored.incidents_by_id(self._connection, {alarm.incident for alarm in changed})
        if changed:
            self._publish(AlarmsChanged(changed, incidents))
        if self._after:
            self._unpublished_since = utc_now()


_STATES: Final = (
    "unacknowledged",
    "acknowledged",
    "returned_unacknowledged",
    "shelved",
    "suppressed",
    "out_of_service",
)
#: Decisions follow from decisions (a parent's failure suppresses its children); more rounds than this is a fault of ours.
_ROUNDS: Final = 20


def _entry_time(entry: str) -> datetime:
    """When Redis took the entry."""
    return datetime.fromtimestamp(int(entry.partition("-")[0]) / 1000, utc_now().tzinfo)


def serve(service: Service) -> None:
    """Run engines until told to stop: one acts, others stand by."""
    take_turns(service, _LOCK, lambda connection, live: Engine(service, connection, live))
