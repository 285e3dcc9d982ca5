"""What a contender loses and doubles: the publisher's ledger of acknowledged messages against the rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from tests.bench.arena import PATIENCE_S, Arena
from tests.bench.contenders.contender import Contender
from tests.bench.counting import Losses, compare, tally
from tests.bench.messages import Series, with_bad
from tests.bench.speed import await_ready, running
from tests.flood import Flood

#: Messages a second while something is broken, for how long, and when it breaks.
RATE, LOAD_S, BREAK_S = 5000, 6, 2
#: How long the database is away.
AWAY_S = 4.0
#: Good messages beside bad ones, and how many stand before each bad one.
GOOD, EVERY = 2000, 200
#: When no row has come for so long, none will: longer than any contender waits before it connects again.
QUIET_S = 15.0
#: Rows that come twice come with, or soon after, the last of the missing ones.
SETTLE_S = 2.0


def killed(arena: Arena, contender: Contender) -> Losses:
    """SIGKILL it under load, with all its processes, and start it again."""
    series = Series.ending_now(f"killed-{contender.key}", RATE * LOAD_S)
    with ExitStack() as stay:
        child = stay.enter_context(running(arena, contender))
        with _publishing(arena, series.messages(contender.root(1)), RATE) as flood:
            time.sleep(BREAK_S)
            child.kill()
            again = contender.start()
            stay.callback(again.stop)
        # What waits for it comes first.
        await_ready(arena, contender, again, 4 * PATIENCE_S)
        _await_rows(arena, contender, series)
    return _losses(arena, contender, series, flood)


def crashed(arena: Arena, contender: Contender) -> Losses:
    """Crash the database under load; it is back after a few seconds."""
    series = Series.ending_now(f"crashed-{contender.key}", RATE * LOAD_S)
    with running(arena, contender):
        with _publishing(arena, series.messages(contender.root(1)), RATE) as flood:
            time.sleep(BREAK_S)
            arena.crash_database(AWAY_S)
        _await_rows(arena, contender, series)
    return _losses(arena, contender, series, flood)


def spoiled(arena: Arena, contender: Contender) -> Losses:
    """Send bad messages among good ones: which of the good ones are missing?"""
    series = Series.ending_now(f"spoiled-{contender.key}", GOOD)
    mixed = with_bad(series, contender.root(1), EVERY)
    with running(arena, contender):
        with _publishing(arena, mixed, 1000):
            pass
        _await_rows(arena, contender, series)
    return compare(map(series.key, range(series.number)), _stored(arena, contender, series))


@contextmanager
def _publishing(arena: Arena, messages: Sequence[tuple[str, bytes]], rate: float) -> Iterator[Flood]:
    """Publish beside what happens in the block; leaves it when the broker has acknowledged every message."""
    flood = Flood("127.0.0.1", arena.port)
    thread = threading.Thread(target=flood.publish, args=(messages,), kwargs={"rate": rate}, daemon=True)
    thread.start()
    try:
        yield flood
    finally:
        thread.join(PATIENCE_S)
    if len(flood.acknowledged) != len(messages):
        raise SystemExit(f"the broker acknowledged {len(flood.acknowledged)} of {len(messages)} messages")


def _await_rows(arena: Arena, contender: Contender, series: Series) -> None:
    """Wait until all of a series is there, or nothing more comes."""
    store, before, since = contender.store(1), -1, time.monotonic()
    while time.monotonic() < since + QUIET_S:
        query = f"SELECT count(*), count(DISTINCT (device, {store.time})) FROM {store.table} WHERE device LIKE %s"
        rows, distinct = arena.ask(store.url, query, [f"{series.name}-%"])[0]
        if distinct >= series.number:
            break
        if rows != before:
            before, since = rows, time.monotonic()
        time.sleep(0.5)
    time.sleep(SETTLE_S)


def _losses(arena: Arena, contender: Contender, series: Series, flood: Flood) -> Losses:
    return compare(map(series.key, flood.acknowledged), _stored(arena, contender, series))


def _stored(arena: Arena, contender: Contender, series: Series) -> dict[tuple[str, int], int]:
    store = contender.store(1)
    return tally(
        arena.ask(
            store.url, f"SELECT device, {store.epoch_ms} FROM {store.table} WHERE device LIKE %s", [f"{series.name}-%"]
        )
    )
