"""A street lamp for tests: an ordinary MQTT client that speaks the native dialect."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from tests.fix_ingest import now_ms
from tests.fix_stack import BrokerServer


class Lamp:
    """A street lamp: hears its commands, and does with them what the test says."""

    def __init__(self, broker: BrokerServer, key: str, parent: str = "") -> None:
        self.key = key
        self.name = f"Đèn {key}"
        self.heard: list[dict[str, Any]] = []
        self.reply: Callable[[dict[str, Any]], None] = lambda command: None
        self.ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(f"ioc/{key}/command", 1)
        self.client.on_subscribe = lambda *_: self.ready.set()
        self.client.on_message = self._on_message
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert self.ready.wait(30)
        place = {"lat": 10.8, "lon": 106.75, "parent": parent}
        self.say("announce", {"kind": "streetlight", "name": self.name, **place}, retain=True)

    def say(self, channel: str, body: Any, *, retain: bool = False) -> None:
        """Publish on one of its channels."""
        self.client.publish(f"ioc/{self.key}/{channel}", json.dumps(body), qos=1, retain=retain)

    def obey(self, command: dict[str, Any]) -> None:
        """Answer, and report the level."""
        self.accept(command)
        self.report(command["light"])

    def accept(self, command: dict[str, Any]) -> None:
        """Say yes."""
        self.say("command/result", {"id": command["id"], "ok": True})

    def refuse(self, command: dict[str, Any]) -> None:
        """Say no, and why."""
        self.say("command/result", {"id": command["id"], "ok": False, "detail": "kẹt rơ-le"})

    def report(self, level: float) -> None:
        """Tell at which level it shines."""
        self.say("telemetry", {"ts": now_ms(), "values": {"illuminanceLevel": level}})

    def close(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        command = json.loads(message.payload)
        self.heard.append(command)
        self.reply(command)
