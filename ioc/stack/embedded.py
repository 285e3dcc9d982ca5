"""The embedded stack as one thing: start what is not replaced by a URL, stop it in order, record where it is."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from ioc.errors import StackError
from ioc.stack.accounts import write_private
from ioc.stack.broker import Broker
from ioc.stack.cache import Cache
from ioc.stack.home import Home
from ioc.stack.postgres import Cluster, find_programs, release_wait
from ioc.stack.process import Child, born, kill_group
from ioc.stack.rabbitmq import RabbitMq

#: The clone this package lies in; set-up leaves the programs of the stack in its runtime folder.
CLONE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Urls:
    """Where the three parts are; a URL given by the user replaces that part, which is then not started."""

    database_url: str = ""
    mqtt_url: str = ""
    redis_url: str = ""

    def items(self) -> Iterator[tuple[str, str]]:
        """Pairs of setting and URL."""
        yield "database_url", self.database_url
        yield "mqtt_url", self.mqtt_url
        yield "redis_url", self.redis_url

    def environment(self) -> dict[str, str]:
        """The URLs as environment of a service."""
        return {f"IOC_{key.upper()}": url for key, url in self.items() if url}


@dataclass
class Stack:
    """PostgreSQL with TimescaleDB, an MQTT broker and Redis, private to a runtime folder; use it as a context manager.

    Attributes:
        home: the runtime folder.
        given: URLs of parts that run elsewhere.
        say: gets one line of progress a step.
        shared_buffers: PostgreSQL's own memory.
        broker: which one is started.
    """

    home: Home
    given: Urls = field(default_factory=Urls)
    say: Callable[[str], None] = lambda _line: None
    shared_buffers: str = "256MB"
    broker: Literal["mosquitto", "rabbitmq"] = "mosquitto"
    children: list[Child] = field(default_factory=list)
    urls: Urls = field(default_factory=Urls)
    admin_url: str = ""
    _starters: dict[str, Callable[[], Child]] = field(default_factory=dict)
    _notes: dict[str, str] = field(default_factory=dict)
    _revive_at: float = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every part that has no URL, reusing the ports of the last time where they are free.

        Raises:
            StackError: when a part cannot be found or started; the others are stopped again.
        """
        self.home.make()
        record = read_record(self.home)
        end_leftovers(record)
        ports = dict(record.get("ports", {}))
        try:
            database_url = self.given.database_url or self._start_postgres(ports)
            mqtt_url = self.given.mqtt_url or self._start_broker(ports)
            redis_url = self.given.redis_url or self._start_cache()
        except BaseException:
            self.stop()
            raise
        self.urls = Urls(database_url, mqtt_url, redis_url)
        self._write(ports)

    def revive(self) -> None:
        """Start parts that have died, on their old ports; at most every few seconds."""
        if all(child.alive() for child in self.children) or time.monotonic() < self._revive_at:
            return
        self._revive_at = time.monotonic() + 3
        for place, child in enumerate(self.children):
            if child.alive():
                continue
            self.say(f"{child.name} ended with {child.process.returncode}, starts again")
            try:
                self.children[place] = self._starters[child.name]()
            except StackError as error:
                self.say(str(error))
        self._write(read_record(self.home).get("ports", {}))

    def note(self, **notes: str) -> None:
        """Put something on record beside the URLs, for as long as the stack runs."""
        self._notes.update(notes)
        self._write(read_record(self.home).get("ports", {}))

    def stop(self) -> None:
        """Stop the parts, the last started first."""
        for child in reversed(self.children):
            self.say(f"stopping {child.name}")
            child.stop()
        self.children.clear()
        self.urls, self._notes = Urls(), {}
        self._write(read_record(self.home).get("ports", {}))

    def _start_postgres(self, ports: dict[str, int]) -> str:
        cluster = Cluster(self.home, find_programs(self.home, Home(CLONE / ".ioc")), shared_buffers=self.shared_buffers)
        release_wait(cluster.data)
        cluster.create()
        port = ports["postgres"] = free_port(ports.get("postgres"))
        self._start("postgres", lambda: cluster.start(port))
        self.admin_url = cluster.admin_url(port)
        return cluster.url(port)

    def _start_broker(self, ports: dict[str, int]) -> str:
        if self.broker == "rabbitmq":
            return self._start_rabbitmq(ports)
        broker = Broker(self.home)
        port = ports["mosquitto"] = free_port(ports.get("mosquitto"))
        self._start("mosquitto", lambda: broker.start(port))
        return broker.url(port)

    def _start_rabbitmq(self, ports: dict[str, int]) -> str:
        broker = RabbitMq(self.home)
        for name in ("epmd", "rabbitmq", "rabbitmq_node"):
            ports[name] = free_port(ports.get(name))
        self._start("epmd", lambda: broker.start_names(ports["epmd"]))
        self.say("rabbitmq starts; it takes half a minute")
        self._start(
            "rabbitmq", lambda: broker.start(ports["rabbitmq"], names=ports["epmd"], node=ports["rabbitmq_node"])
        )
        return broker.url(ports["rabbitmq"])

    def _start_cache(self) -> str:
        cache = Cache(self.home)
        self._start("redis", cache.start)
        return cache.url

    def _start(self, name: str, starter: Callable[[], Child]) -> None:
        self._starters[name] = starter
        child = starter()
        self.children.append(child)
        self._write(read_record(self.home).get("ports", {}))
        self.say(f"{name} runs (pid {child.pid})")

    def _write(self, ports: dict[str, int]) -> None:
        record: dict[str, Any] = {
            "ports": ports,
            "processes": [[c.name, c.pid, born(c.pid)] for c in self.children if c.alive()],
        }
        if self.urls != Urls():
            record |= {"urls": dict(self.urls.items()), "broker": self.broker, **self._notes}
        write_private(self.home.record, json.dumps(record, indent=1) + "\n")


def read_record(home: Home) -> dict[str, Any]:
    """What the last stack of this home left on record, {} when nothing."""
    try:
        record: dict[str, Any] = json.loads(home.record.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StackError(f"{home.record} is not JSON ({error}): remove it") from error
    return record


def end_leftovers(record: dict[str, Any], patience_s: float = 30.0) -> None:
    """End servers of an earlier stack that still run although their supervisor is gone.

    A process is known by its id and its start time, so that a reused id harms nobody.
    """
    left = [(name, pid) for name, pid, start in record.get("processes", []) if start is not None and born(pid) == start]
    for name, pid in left:
        os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    for _, pid in left:
        while born(pid) is not None and time.monotonic() < deadline:
            time.sleep(0.05)
        if born(pid) is not None:
            kill_group(pid)


def free_port(preferred: int | None = None, host: str = "127.0.0.1") -> int:
    """A port nobody listens on at an address of this machine, `preferred` if it is one."""
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            # As the servers do: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StackError(f"no free port on {host}: is it an address of this machine?")


@contextmanager
def sole_owner(home: Home) -> Iterator[None]:
    """Hold the runtime folder, so that two demos in one clone cannot collide; the kernel frees it with the process.

    Raises:
        StackError: when another process holds it, with its id.
    """
    home.make()
    with (home.path / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StackError(
                f"it already runs here (pid {lock.read().strip() or 'unknown'}): open its page, or stop it with `ioc stop`"
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
        lock.truncate(0)


def owner(home: Home) -> int | None:
    """The process that runs the stack of this home, None when none does."""
    try:
        with (home.path / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read().strip())
    except FileNotFoundError:
        return None
    return None
