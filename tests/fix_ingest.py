"""Ingest for tests, and devices that talk to it.

device    module   an ordinary MQTT client
ingest    module   the whole of ingest, in threads of the test's process
spawn     test     starts `python -m ingest` processes, and ends them after the test
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.identity import Identity
from ingest.service import Ingest
from ioc.errors import LiveError
from ioc.live import Live
from ioc.service import Service
from ioc.settings import Settings
from tests.fix_stack import BrokerServer


def now_ms() -> int:
    """The time as a device states it."""
    return round(time.time() * 1000)


def eventually(check: Callable[[], Any], *, within_s: float = 60.0) -> Any:
    """Wait until something is true, and return it; generous, because the machine may be busy."""
    deadline = time.monotonic() + within_s
    while not (value := check()):
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        time.sleep(0.02)
    return value


class Device:
    """An ordinary MQTT client."""

    def __init__(self, broker: BrokerServer) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def send(self, topic: str, payload: Any, *, qos: int = 1, retain: bool = False) -> None:
        """Publish bytes as they are, anything else as JSON, and wait for the broker to take it."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        eventually(self.client.is_connected)  # a broker that was away may be back before us
        self.client.publish(topic, body, qos=qos, retain=retain).wait_for_publish(30)

    def close(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def device(broker: BrokerServer) -> Iterator[Device]:
    """An ordinary MQTT client."""
    client = Device(broker)
    yield client
    client.close()


@pytest.fixture(scope="module")
def ingest(settings: Settings, live: Live) -> Iterator[Ingest]:
    """The whole of ingest, in threads of this process, subscribed."""
    with Service("ingest", settings) as service:
        running = Ingest(service, Identity("test-ingest"), live)
        thread = threading.Thread(target=running.run)
        thread.start()
        assert running.wait_ready(60)
        yield running
        service.stopping.set()
        thread.join(60)
        assert not thread.is_alive()


Spawn = Callable[[], subprocess.Popen[bytes]]


@pytest.fixture
def spawn(environment: dict[str, str]) -> Iterator[Spawn]:
    """Start `python -m ingest`, as it is started in service; what still runs is stopped after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-m", "ingest"], env=environment))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_beating(live: Live, process: subprocess.Popen[bytes]) -> None:
    """Wait until this ingest process says by its heartbeat that it is well."""

    def beats() -> bool:
        try:
            beats = live.heartbeats()
        except LiveError:
            return False
        return any(beat.instance.endswith(f"-{process.pid}") and beat.state == "ok" for beat in beats)

    eventually(beats)
