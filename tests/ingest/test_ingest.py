"""Messages through a real broker into a real TimescaleDB."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.service import Ingest
from ioc.live import Live
from ioc.service import Service
from ioc.settings import Settings


def now_ms() -> int:
    return round(time.time() * 1000)


def eventually(check: Callable[[], Any], *, within_s: float = 20.0) -> Any:
    """Wait until something is true; its value."""
    deadline = time.monotonic() + within_s
    while True:
        value = check()
        if value or time.monotonic() > deadline:
            assert value, f"not so within {within_s} s"
            return value
        time.sleep(0.02)


class Device:
    """An ordinary MQTT client."""

    def __init__(self, broker: Any) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def send(self, topic: str, payload: Any, *, qos: int = 1, retain: bool = False) -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.client.publish(topic, body, qos=qos, retain=retain).wait_for_publish(10)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def ingest(settings: Settings, live: Live) -> Iterator[Ingest]:
    """The whole of ingest, in threads of this process."""
    with Service("ingest", settings) as service:
        running = Ingest(service, "test-ingest", live)
        thread = threading.Thread(target=running.run)
        thread.start()
        assert running.wait_ready(20)
        yield running
        service.stopping.set()
        thread.join(30)


@pytest.fixture(scope="module")
def device(broker: Any) -> Iterator[Device]:
    client = Device(broker)
    yield client
    client.close()


def test_telemetry_is_stored(ingest: Ingest, device: Device, db: Any, topic: str) -> None:
    """One message becomes one row for each value."""
    stamp = now_ms()
    device.send(f"ioc/{topic}/telemetry", {"ts": stamp, "values": {"pm25": 12.5, "powerState": "on"}})
    with db.connect() as connection:
        rows = eventually(
            lambda: connection.execute(
                "SELECT time, measure, value, quality FROM reading WHERE device = %s ORDER BY measure", [topic]
            ).fetchall()
        )
    time_ = datetime.fromtimestamp(stamp / 1000, UTC)
    assert rows == [(time_, "pm25", 12.5, 0), (time_, "powerState", 1.0, 0)]
