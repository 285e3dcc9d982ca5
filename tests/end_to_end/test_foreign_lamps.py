"""Lamps of other makers: ordered on the page, told in their dialect, and what comes of it, through a real broker and TimescaleDB.

The simulated city's guests answer, each over a connection of its own; for Home Assistant and Sparkplug real programs do.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import paho.mqtt.client as paho
import pytest
from ha_mqtt_discoverable import DeviceInfo
from ha_mqtt_discoverable import Settings as MakerSettings
from ha_mqtt_discoverable.sensors import Light, LightInfo
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ingest.simulator.guests import (
    FiwareLamp,
    Guest,
    LoraLamp,
    Said,
    TasmotaLamp,
    ThingsBoardGateway,
    ZigbeeLamp,
)
from ioc.commands import light
from ioc.db.commands import commands_of
from ioc.db.pool import Connection
from ioc.model import Command, CommandsChanged
from ioc.register import Entry, register
from ioc.settings import Settings
from tests.fix_ingest import eventually
from tests.fix_peers import StartPeer
from tests.fix_stack import BrokerServer

pytestmark = pytest.mark.usefixtures("ingest")
#: So that what is not answered expires while a test waits; long enough for a busy machine to answer in.
PATIENCE_S = 25.0


@pytest.fixture(scope="module")
def settings(settings: Settings) -> Settings:
    """With some patience."""
    return settings.model_copy(update={"command_answer_s": PATIENCE_S})


class Host:
    """A guest on a connection of its own.

    Args:
        deaf: it hears what it is told, and does nothing.
    """

    def __init__(self, broker: BrokerServer, guest: Guest, *, deaf: bool = False) -> None:
        self.guest, self._deaf = guest, deaf
        self.heard: list[str] = []
        self._ready = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe([(one, 1) for one in guest.subscriptions])
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_message = self._on_message
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        assert self._ready.wait(30)
        self._say(guest.hello(time.time()))

    def report(self) -> None:
        """Report, as it does now and then."""
        self._say(self.guest.report(time.time()))

    def close(self) -> None:
        """Say goodbye."""
        self.client.disconnect()
        self.client.loop_stop()

    def _say(self, messages: Iterable[Said]) -> None:
        for one in messages:
            self.client.publish(one.topic, one.payload, qos=1, retain=one.retain)

    def _on_message(self, client: Any, userdata: Any, message: paho.MQTTMessage) -> None:
        self.heard.append(message.topic)
        if not self._deaf:
            self._say(self.guest.told(message.topic, message.payload, time.time()))


class Lamp(NamedTuple):
    """A lamp that can be ordered: its id, and what makes it report."""

    key: str
    report: Callable[[], None]


class Street:
    """Where lamps of every dialect stand, adopted as a person does it."""

    def __init__(self, broker: BrokerServer, connection: Connection, peer: StartPeer) -> None:
        self._broker, self.connection, self._peer = broker, connection, peer
        self.hosts: list[Host] = []

    def guest(self, guest: Guest, *, deaf: bool = False) -> Lamp:
        """A guest's lamp: the device that it brings, and that tells of a light level."""
        host = Host(self._broker, guest, deaf=deaf)
        self.hosts.append(host)
        begun = time.time()
        host.report()
        dialect = guest.key.removesuffix("-lamp")
        query = (
            "SELECT latest.device FROM latest JOIN device ON device.id = latest.device WHERE measure = 'illuminanceLevel'"
            " AND dialect = %s AND latest.received >= to_timestamp(%s)"
        )
        (key,) = eventually(lambda: self.connection.execute(query, (dialect, begun)).fetchone())
        return self._adopted(Lamp(key, host.report))

    def home_assistant(self, *, deaf: bool = False) -> Lamp:
        """A light of `ha-mqtt-discoverable`."""
        name = uuid.uuid4().hex[:10]
        about = DeviceInfo(name=f"Đèn {name}", identifiers=name)
        info = LightInfo(
            name="Lamp", brightness=True, supported_color_modes=["brightness"], unique_id=f"{name}_lamp", device=about
        )

        def told(client: Any, userdata: Any, message: Any) -> None:
            order = json.loads(message.payload)
            if not deaf:
                made.brightness(order["brightness"]) if order["state"] == "ON" else made.off()

        made = Light(
            MakerSettings(mqtt=MakerSettings.MQTT(host=self._broker.host, port=self._broker.port), entity=info), told
        )
        levels = iter(range(1, 10_000))
        key = f"ha.{name}"

        def is_known() -> bool:
            made.brightness(next(levels) % 255 + 1)  # what is said before we listen is said to nobody
            query = "SELECT 1 FROM latest WHERE device = %s AND measure = 'illuminanceLevel'"
            return bool(self.connection.execute(query, (key,)).fetchone())

        eventually(is_known)
        return self._adopted(Lamp(key, lambda: None))

    def sparkplug(self, *, deaf: bool = False) -> Lamp:
        """A lamp behind an edge node of pysparkplug."""
        name = f"gw-{uuid.uuid4().hex[:8]}"
        node = self._peer("sparkplug", "sparkplug_node.py", "td", name)
        if not deaf:
            node.do("obey")
        key = f"spb.td.{name}.lamp-7"
        eventually(lambda: self.connection.execute("SELECT 1 FROM latest WHERE device = %s", (key,)).fetchone())
        return self._adopted(Lamp(key, partial(node.do, "power 40")))

    def order(self, lamp: Lamp, level: float) -> int:
        """Order a level; returns the command's number."""
        (change,) = light(self.connection, "Trực ban", level, devices=[lamp.key])
        assert isinstance(change, CommandsChanged)
        return next(one.id for one in change.commands if one.state == "requested")

    def ended(self, lamp: Lamp) -> Command:
        """The lamp's newest command, once it has ended; it reports meanwhile."""

        def look() -> Command | None:
            (command,) = commands_of(self.connection, lamp.key, most=1)
            if command.ended is None:
                lamp.report()
                time.sleep(0.3)
                return None
            return command

        return eventually(look, within_s=120)

    def _adopted(self, lamp: Lamp) -> Lamp:
        register(self.connection, "Kỹ thuật", Entry(lamp.key, "Đèn", "streetlight", 10.8, 106.75))
        return lamp


@pytest.fixture
def street(broker: BrokerServer, connection: Connection, peer: StartPeer) -> Iterator[Street]:
    """A street without lamps yet."""
    made = Street(broker, connection, peer)
    yield made
    for host in made.hosts:
        host.close()


Make = Callable[..., Lamp]
LAMPS: dict[str, Callable[[Street], Make]] = {
    "zigbee2mqtt": lambda street: partial(street.guest, ZigbeeLamp()),
    "tasmota": lambda street: partial(street.guest, TasmotaLamp()),
    "chirpstack": lambda street: partial(street.guest, LoraLamp()),
    "thingsboard": lambda street: partial(street.guest, ThingsBoardGateway()),
    "fiware": lambda street: partial(street.guest, FiwareLamp()),
    "homeassistant": lambda street: street.home_assistant,
    "sparkplug": lambda street: street.sparkplug,
}
#: Whose answer is more than the light it then measures.
ANSWERING = {"tasmota", "chirpstack", "thingsboard", "fiware"}


@pytest.mark.parametrize("dialect", LAMPS)
def test_lamp_is_switched_on_dimmed_and_off(street: Street, dialect: str) -> None:
    """Every order ends confirmed by the light that was measured, and answered where the dialect has answers."""
    lamp = LAMPS[dialect](street)()
    for level in (0.4, 1.0, 0.0, 1.0):
        order = street.order(lamp, level)
        done = street.ended(lamp)
        assert (done.id, done.state, done.reason, done.level) == (order, "confirmed", "", level)
        assert done.sent is not None
        assert done.confirmed is not None
        assert done.requested <= done.sent < done.confirmed
        assert (done.answered is not None) == (dialect in ANSWERING)
    quarantined = street.connection.execute("SELECT reason, detail FROM quarantine WHERE client = %s", (lamp.key,))
    assert quarantined.fetchall() == []


class StuckTasmota(TasmotaLamp):
    """Its firmware was built without the commands of lamps."""

    def told(self, topic: str, payload: bytes, now: float) -> list[Said]:
        """What it answers."""
        return [Said(f"stat/{self._topic}/RESULT", b'{"Command":"Unknown","Input":"DIMMER"}')]


class StuckThingsBoard(ThingsBoardGateway):
    """Its gateway does not reach it."""

    def told(self, topic: str, payload: bytes, now: float) -> list[Said]:
        """What it answers."""
        call = json.loads(payload)
        if "id" in call:
            return []
        answer = {"device": call["device"], "id": call["data"]["id"], "data": {"success": False, "error": "kẹt rơ-le"}}
        return [Said("v1/gateway/rpc", json.dumps(answer).encode())]


class StuckFiware(FiwareLamp):
    """It says no."""

    def told(self, topic: str, payload: bytes, now: float) -> list[Said]:
        """What it answers."""
        return [Said(f"/json/{topic[1:-4]}/cmdexe", '{"light": "error: kẹt rơ-le"}'.encode())]


class FarLora(LoraLamp):
    """It hears nothing of what the gateway sends."""

    def told(self, topic: str, payload: bytes, now: float) -> list[Said]:
        """What it answers."""
        item = {"queueItemId": json.loads(payload)["id"], "fCntDown": 1}
        return [self.event("txack", now, **item), self.event("ack", now, acknowledged=False, **item)]


class FullLora(LoraLamp):
    """Its downlink is longer than its data rate takes."""

    def told(self, topic: str, payload: bytes, now: float) -> list[Said]:
        """What it answers."""
        context = {"queue_item_id": json.loads(payload)["id"]}
        why = {"level": "ERROR", "code": "DOWNLINK_PAYLOAD_SIZE", "description": "too long", "context": context}
        return [self.event("log", now, **why)]


@pytest.mark.parametrize(
    ("guest", "state", "reason"),
    [
        (StuckTasmota(), "refused", "Command Unknown DIMMER"),
        (StuckThingsBoard(), "refused", "kẹt rơ-le"),
        (StuckFiware(), "refused", "error: kẹt rơ-le"),
        (FullLora(), "refused", "too long"),
        (FarLora(), "expired", "unacknowledged"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Guest) else "",
)
def test_lamp_that_says_no(street: Street, guest: Guest, state: str, reason: str) -> None:
    """The order ends at once, with the reason that was given."""
    lamp = street.guest(guest)
    order = street.order(lamp, 0.25)
    done = street.ended(lamp)
    assert (done.id, done.state, done.reason) == (order, state, reason)
    assert done.sent is not None
    assert done.ended is not None
    assert (done.ended - done.sent).total_seconds() < PATIENCE_S


def test_lamps_that_never_answer(street: Street) -> None:
    """Told and not heard of: each order ends unanswered, once its time is over."""
    lamps = {dialect: make(street)(deaf=True) for dialect, make in LAMPS.items()}
    orders = {dialect: street.order(lamp, 0.1) for dialect, lamp in lamps.items()}
    for dialect, lamp in lamps.items():
        done = street.ended(lamp)
        assert (done.id, done.state, done.reason) == (orders[dialect], "expired", "unanswered"), dialect
        assert done.sent is not None
        assert done.ended is not None
        assert (done.ended - done.sent).total_seconds() >= PATIENCE_S
        assert done.answered is None
    assert all(host.heard for host in street.hosts)


def test_answer_for_another_lamp_settles_nothing(street: Street) -> None:
    """A gateway that answers with the number of another lamp's order has answered for none."""
    lamp, other = street.guest(ThingsBoardGateway(), deaf=True), street.guest(FiwareLamp(), deaf=True)
    order = street.order(other, 0.5)
    street.order(lamp, 0.5)
    (name,) = street.connection.execute("SELECT name FROM device WHERE id = %s", (lamp.key,)).fetchone() or ("",)
    answer = {"device": "Đèn công viên Cát Lái", "id": order, "data": {"success": True}}
    assert name
    street.hosts[0].client.publish("v1/gateway/rpc", json.dumps(answer), qos=1)
    assert [street.ended(one).reason for one in (lamp, other)] == ["unanswered", "unanswered"]
