"""Runs the city: the stack, the migrations, the services; restarts what fails, and leaves nothing behind.

Everything happens in the main thread, because the kernel ties the children's death signal to the thread that started them.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import FrameType

from ioc.db.migrate import migrate
from ioc.db.pool import connect
from ioc.settings import Settings
from ioc.stack.embedded import CLONE, Stack, Urls, free_port, sole_owner
from ioc.stack.home import Home
from ioc.stack.process import Child, kill_group, start
from ioc.stack.services import ServiceRow

#: Waiting before a restart: doubles up to the last, and starts again once the service has run for STEADY_S.
BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0
#: How long a service may take to finish what it holds.
PATIENCE_S = 12.0


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived: unwind in order."""


@dataclass
class Supervised:
    """A service and what became of it.

    Attributes:
        failures: ends in a row, none of them after a steady run.
        due: monotonic seconds of its next start while it does not run.
        ended: exit code of its last end.
    """

    row: ServiceRow
    child: Child | None = None
    failures: int = 0
    due: float = 0.0
    ended: int | None = None

    def running(self) -> bool:
        """Whether its process lives."""
        return self.child is not None and self.child.alive()


@dataclass
class Supervisor:
    """The running city.

    Attributes:
        settings: as configured; the URLs in them replace parts of the stack.
        rows: the services to run.
        say: gets one line for each thing that happens.
        show: called about once a second while all runs.
    """

    settings: Settings
    rows: Sequence[ServiceRow]
    say: Callable[[str], None]
    show: Callable[[Supervisor], None] = lambda _supervisor: None
    services: list[Supervised] = field(default_factory=list)
    stack: Stack = field(init=False)
    page: str = ""
    stopping: bool = False

    def __post_init__(self) -> None:
        # Not from Settings.load, which also fills in the URLs of a running stack.
        given = Settings.configured()
        urls = Urls(given.database_url, given.mqtt_url, given.redis_url)
        self.stack = Stack(Home.at(self.settings.home), urls, self.say, broker=given.broker)

    def run(self) -> None:
        """Run until a signal asks to stop.

        Raises:
            StackError: a part of the stack cannot be started.
            StorageError, MigrationError: the database cannot be prepared.
        """
        with self._signals(), sole_owner(self.stack.home):
            try:
                self.stack.start()
                self._migrate()
                environment = self._environment()
                self.services = [Supervised(row) for row in self.rows]
                while True:
                    self._tend(environment)
                    self.stack.revive()
                    self.show(self)
                    time.sleep(0.5)
            except Stopped:
                self.say("stopping; once more Ctrl-C forces it")
            finally:
                self.stopping = True
                self._stop()

    def _migrate(self) -> None:
        with closing(connect(self.stack.urls.database_url, name="ioc-migrate")) as connection:
            for name in migrate(connection):
                self.say(f"schema: {name}")

    def _environment(self) -> dict[str, str]:
        """Environment of the services: ours, with the URLs and the port of the pages settled."""
        wanted = self.settings.dashboards_port
        host = self.settings.dashboards_host
        port = free_port(wanted or None, host)
        if wanted and port != wanted:
            self.say(f"port {wanted} is taken by another program; the pages are on {port}")
        self.page = f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0', '::') else host}:{port}"  # noqa: S104
        self.stack.note(page=self.page)
        return {
            **os.environ,
            **self.stack.urls.environment(),
            "IOC_HOME": str(self.stack.home.path),
            "IOC_DASHBOARDS_PORT": str(port),
            "PYTHONUNBUFFERED": "1",
        }

    def _tend(self, environment: dict[str, str]) -> None:
        """Start what is due, notice what has ended."""
        now = time.monotonic()
        for service in self.services:
            child = service.child
            if child is not None and not child.alive():
                self._ended(service, child, now)
            if service.child is None and now >= service.due:
                service.child = start(
                    service.row.name,
                    service.row.argv(),
                    log=self.stack.home.log / f"{service.row.name}.log",
                    environment=environment,
                    folder=CLONE,
                )

    def _ended(self, service: Supervised, child: Child, now: float) -> None:
        service.child, service.ended = None, child.process.returncode
        if now - child.started > STEADY_S:
            service.failures = 0
        wait = BACKOFF_S[min(service.failures, len(BACKOFF_S) - 1)]
        service.failures += 1
        service.due = now + wait
        last = child.tail(1)
        self.say(
            f"{service.row.name} ended with {ending(child.process.returncode)}, starts again in {wait:g} s; {child.log}: {last}"
        )

    def _stop(self) -> None:
        """Stop the services, the last started first, then the stack."""
        children = [service.child for service in reversed(self.services) if service.child is not None]
        for child in children:
            child.ask_to_stop()
        deadline = time.monotonic() + PATIENCE_S
        for child in children:
            if child.alive():
                self.say(f"stopping {child.name}")
            child.stop(max(0.1, deadline - time.monotonic()))
        self.stack.stop()

    def _force(self) -> None:
        """Kill all at once. PostgreSQL gets its immediate shutdown, and recovers from its log at the next start."""
        self.say("forced")
        for service in self.services:
            if service.child is not None and service.child.alive():
                kill_group(service.child.pid)
        for child in self.stack.children:
            if child.alive():
                os.kill(child.pid, signal.SIGQUIT if child.name == "postgres" else signal.SIGKILL)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self.stopping:
            self._force()
        else:
            self.stopping = True
            raise Stopped

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Take the signals that end us; a closed terminal (SIGHUP) is one of them."""
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, self._on_signal) for number in numbers]
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def ending(code: int) -> str:
    """How a process ended, for a person."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name
