"""Speaks to the broker for a camera that cannot: announcement, state, last will and frames, as a device would."""

from __future__ import annotations

import threading
import time
from typing import Any, Final

import msgspec
import paho.mqtt.client as paho

from ioc import topics
from ioc.model import State
from ioc.mqtt import Client, Contact

#: So long after it has granted the subscription the broker may take to hand over a retained announcement; then it has none.
_RETAINED_S: Final = 1.0
_LAST_WILL: Final = msgspec.json.encode({"state": "offline", "reason": "lwt"})


class CameraVoice:
    """One camera on the broker; every call returns at once, and what is said while the broker is away is the state alone.

    Raises:
        TopicError: the camera's id breaks the grammar of topics.
    """

    def __init__(self, camera: str, contact: Contact) -> None:
        self.camera = camera
        self._announce_topic = topics.build(camera, "announce")
        self._state_topic = topics.build(camera, "state")
        self._state: bytes | None = None
        self._announcing: threading.Timer | None = None
        self._announced = False
        self._client = Client(contact, f"capture-{camera}")
        self._client.will_set(self._state_topic, _LAST_WILL, qos=1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 30)
        # It connects, and connects again, in its own thread.
        self._client.connect_async(contact.address.host, contact.address.port, keepalive=20)
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._client.is_connected()

    def frame(self, time_ms: int, jpeg: bytes) -> bool:
        """Send a frame, unless the broker is away: the next one will be newer. Returns whether it was sent."""
        if not self.connected:
            return False
        self._client.publish(topics.build(self.camera, "frame", time_ms), jpeg, qos=0)
        return True

    def say(self, state: State, reason: str = "") -> None:
        """Say how the camera is; said again whenever the broker comes back."""
        self._state = msgspec.json.encode({"ts": time.time_ns() // 1_000_000, "state": state, "reason": reason})
        if self.connected:
            self._client.publish(self._state_topic, self._state, qos=1)

    def close(self, reason: str) -> None:
        """Say that the camera is offline, and leave."""
        if self._announcing is not None:
            self._announcing.cancel()
        if self.connected:
            last = msgspec.json.encode({"ts": time.time_ns() // 1_000_000, "state": "offline", "reason": reason})
            self._client.publish(self._state_topic, last, qos=1).wait_for_publish(2)
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del userdata, flags, properties
        if reason.is_failure:
            return
        # Whoever announced the camera before knows its name and place; ours would overwrite them.
        self._announced = False
        client.subscribe(self._announce_topic, qos=1)
        if self._state is not None:
            client.publish(self._state_topic, self._state, qos=1)

    def _on_subscribe(self, client: paho.Client, userdata: Any, mid: int, reasons: Any, properties: Any) -> None:
        del client, userdata, mid, reasons, properties
        if not self._announced:
            self._announcing = threading.Timer(_RETAINED_S, self._announce)
            self._announcing.daemon = True
            self._announcing.start()

    def _on_message(self, client: paho.Client, userdata: Any, message: paho.MQTTMessage) -> None:
        del client, userdata
        if message.payload:
            self._announced = True
            if self._announcing is not None:
                self._announcing.cancel()

    def _announce(self) -> None:
        said = msgspec.json.encode({"kind": "camera", "name": self.camera, "attrs": {"source": "capture"}})
        self._client.publish(self._announce_topic, said, qos=1, retain=True)
