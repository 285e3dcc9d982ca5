"""How many messages the broker has dropped: Mosquitto counts them in `$SYS`, for all of its clients together.

A broker that publishes no such count (RabbitMQ and EMQX have none there, an ACL may hide it) leaves it unknown, which is not
nought. Mosquitto 2.0 publishes it when it has changed and keeps it for a minute; who comes later hears when more is dropped,
so ingest listens all the time, and tells it in its heartbeat as `FIGURE`.
"""

from __future__ import annotations

import threading
from typing import Any, Final, Self

import paho.mqtt.client as paho

from ioc.mqtt import Client, Contact

TOPIC: Final = "$SYS/broker/publish/messages/dropped"
FIGURE: Final = "broker_dropped"


class Drops:
    """Listens for the count while inside, over a connection of its own that comes back by itself."""

    def __init__(self, contact: Contact) -> None:
        self._client = Client(contact)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 30)
        self._client.connect_async(contact.address.host, contact.address.port, keepalive=20)
        self._told = threading.Event()
        self._count: int | None = None

    def __enter__(self) -> Self:
        """Connect, in a thread of its own."""
        self._client.loop_start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave; a thread that is about to connect is not waited for."""
        connected = self._client.is_connected()
        self._client.disconnect()
        if connected:
            self._client.loop_stop()

    @property
    def count(self) -> int | None:
        """Messages dropped since the broker started; None = unknown: it is away, or does not tell."""
        return self._count

    def wait(self, timeout_s: float) -> int | None:
        """The count as soon as the broker tells it; None = it did not within that time."""
        self._told.wait(timeout_s)
        return self._count

    def _on_connect(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del userdata, flags, properties
        if not reason.is_failure:
            client.subscribe(TOPIC)

    def _on_disconnect(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, userdata, flags, reason, properties
        self._count = None

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        del client, userdata
        if message.payload.isdigit():
            self._count = int(message.payload)
            self._told.set()
