"""How fast a contender is, what it costs, how late its rows are: seen from outside, the same way for everyone.

The end of a message is its row's commit, as the server itself has noted it (`track_commit_timestamp`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

from ioc.stack.process import Child
from tests.bench.arena import PATIENCE_S, Arena, wait_until
from tests.bench.contenders.contender import Contender, UnavailableError
from tests.bench.counting import delays_ms, percentile
from tests.bench.generate import flooding, publish_evenly
from tests.bench.messages import DEVICES, MEASURES, Key, Series
from tests.bench.processes import cpu_s, machine_cpu_s, peak_rss_mb
from tests.flood import Flood

#: Messages of one value, and messages of eight, in one run: for several seconds of the fast ones, so that how long the last batch
#: takes weighs little. And before it, so that everything is warm.
SINGLE, WIDE, WARM = 120_000, 24_000, 4_000
LATENCY_PER_S, LATENCY_S = 1000, 6

_numbers = count()


def turn(arena: Arena, contender: Contender) -> dict[str, float]:
    """Start a contender, measure it once, stop it."""
    with running(arena, contender) as child:
        _persist(arena, contender, child, WARM, 1)
        figures = _persist(arena, contender, child, SINGLE, 1)
        eight = len(MEASURES)
        _persist(arena, contender, child, WARM // eight, eight)
        figures["rows_s"] = eight * _persist(arena, contender, child, WIDE, eight)["messages_s"]
        delays = _latency(arena, contender)
        figures["latency_p50_ms"] = percentile(delays, 0.5)
        figures["latency_p99_ms"] = percentile(delays, 0.99)
        figures["peak_rss_mb"] = peak_rss_mb(child.pid)
    return figures


@contextmanager
def running(arena: Arena, contender: Contender) -> Iterator[Child]:
    """A contender that is subscribed and stores."""
    child = contender.start()
    try:
        await_ready(arena, contender, child)
        yield child
    finally:
        child.stop()


def await_ready(arena: Arena, contender: Contender, child: Child, patience_s: float = PATIENCE_S) -> None:
    """Publish messages of both shapes now and then until one of each is stored.

    Raises:
        UnavailableError: none ever is.
    """
    for values in (1, len(MEASURES)):
        _await_ready(arena, contender, child, values, patience_s)


def _await_ready(arena: Arena, contender: Contender, child: Child, values: int, patience_s: float) -> None:
    name, store, root = f"probe{next(_numbers)}", contender.store(values), contender.root(values)

    def stored() -> bool:
        if not child.alive():
            raise UnavailableError(f"did not start, ended with {child.process.returncode}: {child.tail(3)}")
        Flood("127.0.0.1", arena.port).publish(Series.ending_now(name, 1, values).messages(root))
        time.sleep(0.2)
        return bool(arena.ask(store.url, f"SELECT 1 FROM {store.table} WHERE device = %s LIMIT 1", [f"{name}-0"]))

    try:
        wait_until(stored, "it stores what is published", patience_s)
    except TimeoutError as error:
        raise UnavailableError(f"did not start: {error}: {child.tail(3)}") from error


def _persist(arena: Arena, contender: Contender, child: Child, number: int, values: int) -> dict[str, float]:
    """Publish a series; messages a second until the last commit, and where the machine's CPU seconds went meanwhile.

    Every device has sent a message before: a city's devices are met once.
    """
    series = Series.ending_now(f"speed{next(_numbers)}", number, values)
    store = contender.store(values)
    one = f"SELECT 1 FROM {store.table} WHERE device = %s AND {store.time} = {store.of_ms} LIMIT 1"
    everything = (
        f"SELECT count(*), extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8 FROM {store.table}"
        f" WHERE device LIKE %s AND {store.time} >= {store.of_ms}"
    )

    def totals() -> tuple[int, float]:
        rows, committed = arena.ask(store.url, everything, [f"{series.name}-%", series.base])[0]
        return rows, committed or time.time()

    def is_stored(key: Key) -> bool:
        return bool(arena.ask(store.url, one, key))

    met = replace(series, number=DEVICES, base=series.base - DEVICES)
    Flood("127.0.0.1", arena.port).publish(met.messages(contender.root(values)))
    wait_until(lambda: is_stored(met.key(DEVICES - 1)), "the devices are met")
    with flooding(arena.port, contender.root(values), series) as go:
        pids = (child.pid, arena.server_pid(), arena.broker_pid())
        before, machine, began = [cpu_s(pid) for pid in pids], machine_cpu_s(), time.time()
        go()
        until = time.monotonic() + PATIENCE_S
        while not is_stored(series.key(number - 1)) and time.monotonic() < until:
            time.sleep(0.1)
        while (found := totals())[0] < number * store.rows and time.monotonic() < until:
            time.sleep(0.5)
        own, server, broker = (cpu_s(pid) - earlier for pid, earlier in zip(pids, before, strict=True))
        busy, idle = (now - earlier for now, earlier in zip(machine_cpu_s(), machine, strict=True))
    rows, committed = found
    return {
        "messages_s": rows / store.rows / (committed - began),
        "cpu_s_per_million": own / number * 1e6,
        "server_cpu_s_per_million": server / number * 1e6,
        "broker_cpu_s_per_million": broker / number * 1e6,
        "other_cpu_s_per_million": (busy - own - server - broker) / number * 1e6,
        "idle": idle / (busy + idle),
    }


def _latency(arena: Arena, contender: Contender) -> list[float]:
    """Milliseconds from publish to commit under a steady load, after a second of it in which its devices are met."""
    series = Series.ending_now(f"steady{next(_numbers)}", LATENCY_PER_S * (1 + LATENCY_S))
    store = contender.store(1)
    moments = publish_evenly(arena.port, contender.root(1), series, LATENCY_PER_S)
    sent = {series.key(index): moment for index, moment in enumerate(moments) if index >= LATENCY_PER_S}
    query = (
        f"SELECT device, {store.epoch_ms}, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM {store.table}"
        " WHERE device LIKE %s"
    )
    until = time.monotonic() + PATIENCE_S
    committed: dict[Key, float] = {}
    while len(committed) < series.number and time.monotonic() < until:
        time.sleep(0.5)
        rows = arena.ask(store.url, query, [f"{series.name}-%"])
        committed = {(device, stamp): moment for device, stamp, moment in rows}
    return delays_ms(sent, committed)
