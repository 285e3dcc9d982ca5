"""Commits batches, come what may: it tries again while the database is away, and sifts a batch that the database refuses."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import psycopg

from ingest.batch import Batch
from ingest.claim import Claim, TakenError
from ingest.delivery import forget_spooled
from ingest.faults import is_of_the_rows, sift
from ingest.metrics import COMMITS, DUPLICATES, LATENCY, QUARANTINED, RETRIES, STORED
from ingest.registry import Registry
from ingest.store import Attempt, Outcome, write
from ioc.db.audit import newest_entry
from ioc.db.context import all_context
from ioc.db.devices import Sight, all_devices, changed_states, recover_sights
from ioc.db.mappings import all_mappings, once_listened
from ioc.db.migrate import pending
from ioc.db.pool import Connection, Edition, connect, edition, hang_up, translated
from ioc.errors import StorageError
from ioc.mapping import TopicMapping
from ioc.service import Service, backoff, utc_now

#: After a key came twice, batches are stored the careful way for so long.
_CAREFUL_S: Final = 5.0
#: A commit that takes longer is said to be lost; after `ingest_hang_up_s` its connection is given up, and it is tried on another.
_SILENT_S: Final = 5.0
#: Of several processes each looks this often what the others wrote, this far back.
_FOLLOW_S: Final = 1.0
_FOLLOW_BACK: Final = timedelta(minutes=1)
_FRESH: Final = timedelta(seconds=60)
#: About so many readings of a batch are measured for latency.
_SAMPLED: Final = 20
#: How long a batch in hand is still tried after the service was told to stop.
PATIENCE_S: Final = 8.0


class Committer:
    """Holds the one writing connection; used by one thread at a time. Of `retained` see `ingest.store.write`."""

    def __init__(self, service: Service, client: str, retained: Collection[str] = ()) -> None:
        self._service = service
        self._retained = retained
        self._claim = Claim(client)
        self._connection: Connection | None = None
        self._edition: Edition = "apache"
        self._stop_at: float | None = None
        self._careful_until = 0.0
        self._is_shared = bool(service.settings.ingest_group) or service.settings.ingest_processes > 1
        self._follow_at = 0.0
        #: When the statement under way was begun, by the monotonic clock; None while there is none.
        self._asked_at: float | None = None
        self._hang_up_s = service.settings.ingest_hang_up_s
        #: Set once nobody else is known to commit under our client id: until then its session is not ours to take.
        self.unclaimed = threading.Event()
        self.registry = Registry()
        #: Since when the database is waited for, by the monotonic clock; None while it is not.
        self.waiting_since: float | None = time.monotonic()
        #: Number of the newest audit entry that `registry` knows of.
        self.audited = 0
        #: What dialects remembered when the last process ended.
        self.context: list[tuple[str, bytes]] = []
        #: What technicians have mapped, and every filter they ever listened to.
        self.mappings: list[TopicMapping] = []
        self.once_listened: set[str] = set()
        #: When the newest picture of each camera was taken that was looked at.
        self.pictures: dict[str, datetime] = {}

    def open(self) -> bool:
        """Wait for the database and read the devices; False when told to stop before it came.

        Raises:
            TakenError: another process commits under our client id, and its session is ours already.
        """
        waits = backoff()
        while not self._service.stopping.is_set():
            try:
                connection = self._connected()
                with translated():
                    with connection.transaction():
                        recover_sights(connection)
                    # Before the devices: what is entered in between is then looked at twice, not never.
                    self.audited = newest_entry(connection)
                    self.registry = Registry(all_devices(connection))
                    self.context = all_context(connection)
                    self.mappings = all_mappings(connection)
                    self.once_listened = once_listened(connection)
                    self.pictures = dict(connection.execute("SELECT camera, time FROM camera_seen").fetchall())
            except TakenError as error:
                if self.unclaimed.is_set():
                    raise
                self._service.recover("timescaledb")
                self._service.degrade("client id", error)
                self.close()
                self._service.stopping.wait(next(waits))
            except StorageError as error:
                self.unclaimed.set()
                self._lost(error)
                self._service.stopping.wait(next(waits))
            else:
                self.unclaimed.set()
                self._service.recover("timescaledb")
                self._service.recover("client id")
                self.waiting_since = None
                return True
        return False

    def commit(self, batch: Batch, sights: Sequence[Sight]) -> Outcome | None:
        """Commit a batch; returns only when that is done, or None when the service stops and the database stays away.

        Raises:
            TakenError: while the database was away, another process began to commit under our client id.
        """
        waits = backoff(0.05, 3.0)
        began = self.waiting_since = time.monotonic()
        attempt = Attempt(self._claim)
        while True:
            self._asked_at = time.monotonic()
            try:
                self._follow()
                if (outcome := self._came_through(attempt)) is None:
                    attempt = Attempt(self._claim)
                    outcome = self._write(batch, sights, attempt)
            except TakenError:
                raise
            except (psycopg.Error, StorageError) as error:
                self._asked_at = None
                self._lost(error)
                RETRIES.inc()
            else:
                self._asked_at = None
                self._service.recover("timescaledb")
                self.waiting_since = None
                COMMITS.observe(time.monotonic() - began)
                self.registry.update(outcome.devices)
                self.registry.remember(outcome.states)
                _count(outcome, batch)
                return outcome
            if self._is_late():
                return None
            time.sleep(next(waits))

    def stay(self) -> None:
        """Nothing is to be committed: see that the database is there, and our claim.

        Raises:
            TakenError: as in `commit`.
        """
        self._asked_at = began = time.monotonic()
        try:
            with translated():
                self._connected().execute("SELECT")
        except TakenError:
            raise
        except StorageError as error:
            self.waiting_since = self.waiting_since or began
            self._lost(error)
        else:
            self.waiting_since = None
            self._service.recover("timescaledb")
        finally:
            self._asked_at = None

    def look(self) -> None:
        """Say that the database gives no answer, and hang up in the end; called from another thread, every second or so."""
        asked_at, connection = self._asked_at, self._connection
        if asked_at is None:
            return
        waited = time.monotonic() - asked_at
        if waited > _SILENT_S:
            self._service.degrade("timescaledb", f"no answer for {waited:.0f} s")
        if waited > self._hang_up_s and connection is not None and not connection.closed:
            hang_up(connection)

    def forget_spooled(self, marked: str) -> None:
        """A spool is empty: what was noted of it is not needed any more. If that fails, the next time will do."""
        with suppress(psycopg.Error, StorageError):
            forget_spooled(self._connected(), marked)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _came_through(self, attempt: Attempt) -> Outcome | None:
        """The outcome of an attempt whose answer was lost, if it was committed after all."""
        if attempt.outcome is None:
            return None
        with translated():
            return attempt.outcome if attempt.came_through(self._connected()) else None

    def _follow(self) -> None:
        """Take up states that other processes wrote: whether data brings a device back depends on its state."""
        if not self._is_shared or time.monotonic() < self._follow_at:
            return
        self._follow_at = time.monotonic() + _FOLLOW_S
        with translated():
            self.registry.update(changed_states(self._connected(), utc_now() - _FOLLOW_BACK))

    def _write(self, batch: Batch, sights: Sequence[Sight], attempt: Attempt) -> Outcome:
        connection = self._connected()
        store = partial(
            write,
            connection,
            self._edition,
            batch,
            self.registry,
            sights,
            attempt=attempt,
            in_order=self._service.settings.broker == "rabbitmq",
            retained=self._retained,
        )
        # Where nothing was sent twice lately, nothing will be: then the quick way is worth the try.
        all_new = time.monotonic() > self._careful_until
        try:
            if all_new:
                try:
                    return store(all_new=True)
                except psycopg.errors.UniqueViolation:
                    self._careful_until = time.monotonic() + _CAREFUL_S
            return store(all_new=False)
        except (psycopg.Error, ValueError, OverflowError, TypeError) as error:
            if not is_of_the_rows(error):
                raise
            refused = sift(connection, self._edition, batch)
            self._service.log.warning("rows refused", rows=refused, why=str(error).strip())
            if not refused:
                raise StorageError(f"TimescaleDB refuses a batch but none of its rows alone: {error}") from error
            return store(all_new=False)

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._service.settings.require("database_url"), name="ioc-ingest")
            self._connection.autocommit = True
            with translated():
                _require_schema(self._connection)
                self._claim.take(self._connection)
                # What differs from one time to the next is how many rows there are: never a reason to plan anew.
                self._connection.execute("SET plan_cache_mode = force_generic_plan")
                self._edition = edition(self._connection)
        return self._connection

    def _lost(self, error: Exception) -> None:
        self._service.degrade("timescaledb", str(error).strip())
        # Also one that does not count as broken: ended in a pipeline (executemany) it refuses every statement from then on.
        self.close()

    def _is_late(self) -> bool:
        if not self._service.stopping.is_set():
            return False
        if self._stop_at is None:
            self._stop_at = time.monotonic() + PATIENCE_S
        return time.monotonic() > self._stop_at


def _count(outcome: Outcome, batch: Batch) -> None:
    STORED.inc(outcome.stored)
    DUPLICATES.inc(outcome.duplicates)
    for reason, number in outcome.rejected.items():
        QUARANTINED.labels(reason).inc(number)
    now = utc_now()
    for reading in batch.readings[:: 1 + len(batch.readings) // _SAMPLED]:
        age = now - reading.time
        if timedelta(0) <= age < _FRESH:
            LATENCY.observe(age.total_seconds())


def _require_schema(connection: Connection) -> None:
    if waiting := pending(connection):
        raise StorageError(f"migrations have not run: {', '.join(waiting)}; run `ioc migrate`")
