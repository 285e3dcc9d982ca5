"""A steady load of ordinary telemetry, from a process of its own."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import msgspec
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from ioc.topics import build

#: How many devices share the load.
DEVICES = 2000


def publish_steadily(url: str, per_s: float, seconds: float) -> None:
    """Publish air readings of `DEVICES` devices at QoS 1, evenly in steps of 10 ms, for some seconds."""
    address = urlsplit(url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if address.username:
        client.username_pw_set(address.username, address.password)
    client.max_inflight_messages_set(1000)
    client.connect(address.hostname or "127.0.0.1", address.port or 1883)
    client.loop_start()
    topics = [build(f"load-{number}", "telemetry") for number in range(DEVICES)]
    encode = msgspec.json.Encoder().encode
    began = time.monotonic()
    sent = 0
    while (elapsed := time.monotonic() - began) < seconds:
        while sent < elapsed * per_s:
            message = encode({"ts": int(time.time() * 1000), "values": {"pm25": 20 + sent % 30, "temperature": 29.5}})
            client.publish(topics[sent % DEVICES], message, qos=1)
            sent += 1
        time.sleep(0.01)
    client.disconnect()
    client.loop_stop()
