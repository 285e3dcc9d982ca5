"""The load: generators in processes of their own, so that what is measured shares no interpreter with them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Event

from tests.bench.arena import PATIENCE_S
from tests.bench.messages import Series
from tests.flood import Flood

_CONTEXT = multiprocessing.get_context("spawn")


@contextmanager
def flooding(port: int, root: str, series: Series) -> Iterator[Callable[[], None]]:
    """A generator with its messages made, which publishes as fast as the broker takes them; gives what makes it go."""
    ready, go = _CONTEXT.Event(), _CONTEXT.Event()
    process = _CONTEXT.Process(target=_flood, args=(port, root, series, ready, go), daemon=True)
    process.start()
    if not ready.wait(PATIENCE_S):
        raise SystemExit("the load generator did not start")
    try:
        yield go.set
    finally:
        go.set()
        process.join(PATIENCE_S)


def publish_evenly(port: int, root: str, series: Series, rate: float) -> list[float]:
    """Publish a series at so many messages a second; returns the moment each was sent, epoch seconds."""
    here, there = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_publish_evenly, args=(port, root, series, rate, there), daemon=True)
    process.start()
    there.close()
    sent: list[float] = here.recv()
    process.join(PATIENCE_S)
    return sent


def _flood(port: int, root: str, series: Series, ready: Event, go: Event) -> None:
    made = series.messages(root)
    ready.set()
    go.wait()
    Flood("127.0.0.1", port).publish(made)


def _publish_evenly(port: int, root: str, series: Series, rate: float, answer: Pipe) -> None:
    made = series.messages(root)
    flood = Flood("127.0.0.1", port)
    flood.publish(made, rate=rate)
    answer.send([flood.sent_at[index] for index in range(series.number)])
