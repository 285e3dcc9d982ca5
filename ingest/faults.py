"""When the database refuses a batch: which rows are at fault, and what is only a fault of the moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import psycopg
import structlog

from ingest.batch import Batch
from ingest.dialects.native import NAME
from ingest.quarantine import kept, printable
from ioc.db.context import store_context
from ioc.db.devices import Placed, announce, discover, register_unannounced, store_states
from ioc.db.events import store_events
from ioc.db.pool import Connection, Edition
from ioc.db.readings import admit_clock_off, begin_writing, newest_of, store_readings
from ioc.model import Reading, Rejected

T = TypeVar("T")

#: SQLSTATE classes that speak of the rows: data exception, integrity violation, program limit, not supported, raised by a
#: trigger; and 53400, TimescaleDB's limit on late rows into a compressed chunk. All others pass when one waits or when
#: somebody mends the server: disk full, read-only, lock time-out, deadlock, a schema that is not migrated.
_OF_ROWS: Final = ("22", "23", "54", "0A", "P0", "44", "53400")


def is_of_the_rows(error: Exception) -> bool:
    """Whether trying the same rows again must fail again."""
    if not isinstance(error, psycopg.Error):
        return isinstance(error, ValueError | OverflowError | TypeError)  # a value the client could not even send
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.DataError)
    return state.startswith(_OF_ROWS)


def bisect(items: Sequence[T], attempt: Callable[[Sequence[T]], str | None]) -> dict[int, str]:
    """Find the items at fault: their places, and what was said of each.

    `attempt` says what is wrong with a sequence, None when nothing. n items with b bad ones take about 2 b log2(n) attempts.
    """
    faults: dict[int, str] = {}
    spans = [(0, len(items))]
    while spans:
        start, end = spans.pop()
        if start == end:
            continue
        error = attempt(items[start:end])
        if error is None:
            continue
        if end - start == 1:
            faults[start] = error
            continue
        middle = (start + end) // 2
        spans += [(middle, end), (start, middle)]
    return faults


def sift(connection: Connection, on: Edition, batch: Batch) -> int:
    """Move the rows that the database refuses out of the batch into quarantine, reason `storage`; returns how many.

    Every attempt is rolled back; nothing is stored here.

    Raises:
        psycopg.Error: the fault is not the rows'.
    """

    def probe(store: Callable[[Any], object]) -> Callable[[Sequence[Any]], str | None]:
        def attempt(items: Sequence[Any]) -> str | None:
            try:
                with connection.transaction(force_rollback=True):
                    store(items)
            except (psycopg.Error, ValueError, OverflowError, TypeError) as error:
                if not is_of_the_rows(error):
                    raise
                return str(error).strip()
            return None

        return attempt

    found = 0
    log = structlog.get_logger()

    def readings(some: Sequence[Reading]) -> None:
        store_readings(connection, some, begin_writing(connection, on), newest_of(some))

    parts: tuple[tuple[list[Any], list[int], Callable[[Any], object]], ...] = (
        (batch.readings, batch.readings_of, readings),
        (batch.states, batch.states_of, lambda some: store_states(connection, some)),
        (batch.events, batch.events_of, lambda some: store_events(connection, some)),
        (batch.clock_off, batch.clock_off_of, lambda some: readings(admit_clock_off(connection, some))),
    )
    for rows, origins, store in parts:
        faults = bisect(rows, probe(store))
        if faults:
            found += len(faults)
            _refuse(batch, {origins[place]: error for place, error in sorted(faults.items(), reverse=True)})
            rows[:] = [row for place, row in enumerate(rows) if place not in faults]
            origins[:] = [origin for place, origin in enumerate(origins) if place not in faults]
            if rows is batch.states:  # their places moved: a last will in such a batch is stored as it came
                batch.unstamped.clear()
    discovered = list(batch.discovered.values())
    for place, error in bisect(discovered, probe(lambda some: discover(connection, some))).items():
        found += 1
        log.error("discovery refused", device=discovered[place].device, why=error)
        del batch.discovered[discovered[place].device]
    remembered = list(batch.context.items())
    for place, error in bisect(remembered, probe(lambda some: store_context(connection, dict(some)))).items():
        found += 1
        log.error("what a dialect remembers is refused", topic=remembered[place][0], why=error)
        del batch.context[remembered[place][0]]
    seen = list(batch.seen)
    for place, error in bisect(seen, probe(lambda some: register_unannounced(connection, list(some), NAME))).items():
        found += 1
        log.error("device refused", device=seen[place], why=error)
        del batch.seen[seen[place]]
    announced = [one for one in batch.announced.values() if one is not None]
    faults = bisect([Placed(one, "") for one in announced], probe(lambda some: announce(connection, some)))
    for place, error in faults.items():
        device = announced[place].device
        _refuse(batch, {batch.announced_of[device]: error})
        del batch.announced[device]
    return found + len(faults)


def _refuse(batch: Batch, errors: dict[int, str]) -> None:
    """One quarantine entry for each message that had a bad row."""
    for origin, error in errors.items():
        raw, payload, _, _ = batch.messages[origin]
        topic = raw.decode("utf-8", "replace")
        batch.undated.add(origin)
        batch.reject(
            origin,
            Rejected(
                received=batch.received(origin),
                topic=printable(topic),
                client="",
                dialect="",
                reason="storage",
                detail=printable(error),
                payload=kept(payload, topic),
                size=len(payload),
            ),
        )
