"""What a long-running process needs: signals, backoff, heartbeat, metrics, logging, log-once."""

from __future__ import annotations

import faulthandler
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final, Literal, Self

import prometheus_client
import structlog

from ioc.errors import IocError, LiveError
from ioc.live import Live
from ioc.model import Heartbeat
from ioc.settings import Settings

#: How often a service says that it lives.
BEAT_S: Final = 1.0
_STOP: Final = (signal.SIGTERM, signal.SIGINT)

Log = structlog.stdlib.BoundLogger


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


def configure_logging(level: str) -> None:
    """Log to standard error: lines for a terminal, JSON otherwise."""
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def backoff(first_s: float = 0.2, most_s: float = 10.0) -> Iterator[float]:
    """Endless waiting times: doubling, with full jitter, so that many clients do not come back at once."""
    ceiling = first_s
    while True:
        yield random.uniform(first_s / 2, ceiling)  # noqa: S311 - jitter, not a secret
        ceiling = min(most_s, ceiling * 2)


class LogOnce:
    """Logs when something is lost and when it is back, and not in between."""

    def __init__(self, log: Log, what: str) -> None:
        self._log = log
        self._what = what
        self._lost = False

    def lost(self, why: object) -> None:
        """Say that it is lost, once."""
        if not self._lost:
            self._lost = True
            self._log.error("lost", what=self._what, why=str(why))

    def back(self) -> None:
        """Say that it is back, if it was lost."""
        if self._lost:
            self._lost = False
            self._log.info("back", what=self._what)


class Service:
    """The shell of one process: settings, log, stop signal, heartbeat and metrics.

    Use as a context manager; inside, loop until `stopping` is set. `expect(part)`, `degrade(part, why)` and `recover(part)` say
    what is missing; the heartbeat carries it to the wall.

    Attributes:
        name: the service, as on the wall ("ingest", "vision", "alarms", …).
        stopping: set by SIGTERM or SIGINT.
        figures: a function giving the numbers of the heartbeat.
    """

    def __init__(self, name: str, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.load()
        configure_logging(self.settings.log_level)
        self.name = name
        self.instance = f"{socket.gethostname()}-{os.getpid()}"
        self.log: Log = structlog.get_logger().bind(service=name)
        self.stopping = threading.Event()
        self.figures: Callable[[], dict[str, float]] = dict
        self._told = False
        self._missing: dict[str, str] = {}
        self._missing_lock = threading.Lock()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        """Take the signals, start the metrics and the heartbeat."""
        if threading.current_thread() is threading.main_thread():
            self._take_signals()
        if self.settings.metrics_port:
            prometheus_client.start_http_server(self.settings.metrics_port, addr="127.0.0.1")
        self._thread.start()
        self.log.info("started", pid=os.getpid())
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop the heartbeat."""
        self.stopping.set()
        if self._told:
            # The process ends. Python puts the default back before it is gone, and one more signal would then kill it.
            for number in _STOP:
                signal.signal(number, signal.SIG_IGN)
        self._thread.join(timeout=5)
        self.log.info("stopped")

    def expect(self, part: str) -> None:
        """Something the service needs is not there yet, as at every start: its heartbeat says so, the log only when it comes."""
        with self._missing_lock:
            self._missing[part] = "not there yet"

    def end_hanging(self, what: str) -> None:
        """End the process at once: a thread that hangs cannot be ended, and holds what the others would need to end in order."""
        self.log.critical(f"{what} without end, the process ends")
        faulthandler.dump_traceback()
        os._exit(1)

    def degrade(self, part: str, why: object) -> None:
        """Something the service needs is missing; it goes on without."""
        with self._missing_lock:
            new = part not in self._missing
            self._missing[part] = str(why)
        if new:
            self.log.error("lost", what=part, why=str(why))

    def recover(self, part: str) -> None:
        """That part is back."""
        with self._missing_lock:
            was = self._missing.pop(part, None)
        if was is not None:
            self.log.info("back", what=part)

    def heartbeat(self) -> Heartbeat:
        """The heartbeat as of now."""
        with self._missing_lock:
            missing = dict(self._missing)
        state: Literal["ok", "degraded"] = "degraded" if missing else "ok"
        reason = "; ".join(f"{part}: {why}" for part, why in missing.items())
        return Heartbeat(self.name, self.instance, utc_now(), state, reason, self.figures())

    def _take_signals(self) -> None:
        # A handler interrupts this thread anywhere, also inside the event or the log, whose locks it would then wait for for
        # ever; and it does not run at all when the signal comes just before the thread begins to wait. So signals go through a
        # pipe to a thread of their own: Python writes them there at once, the handler only once more when an event loop has
        # taken the wake-up for itself.
        told, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
        threading.Thread(target=self._await_signals, args=(told,), name="signals", daemon=True).start()
        for number in _STOP:
            signal.signal(number, lambda number, _frame: os.write(tell, bytes((number,))))

    def _await_signals(self, told: int) -> None:
        while number := os.read(told, 1):
            if number[0] in _STOP and not self.stopping.is_set():
                self._told = True
                self.log.info("stopping", signal=signal.Signals(number[0]).name)
                self.stopping.set()

    def _beat(self) -> None:
        live = Live(self.settings.require("redis_url"))
        redis = LogOnce(self.log, "redis (heartbeat)")
        while not self.stopping.wait(BEAT_S):
            try:
                live.beat(self.heartbeat())
                redis.back()
            except LiveError as error:
                redis.lost(error)
        live.close()


def run(main: Callable[[], None]) -> None:
    """Run a service's main; an error of ours ends it with one clear line and exit code 1."""
    try:
        main()
    except IocError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
