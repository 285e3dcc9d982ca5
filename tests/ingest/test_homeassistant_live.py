"""Programs that announce themselves to Home Assistant, through a real broker into a real TimescaleDB.

`ha-mqtt-discoverable` is such a program: it is used as its users use it.
"""

from __future__ import annotations

import json
import queue
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from ha_mqtt_discoverable import DeviceInfo, Settings
from ha_mqtt_discoverable.sensors import BinarySensor, BinarySensorInfo, Light, LightInfo, Sensor, SensorInfo

from ingest.dialects import all_dialects
from ingest.dialects.homeassistant import HomeAssistant
from ioc.db.devices import device as registered
from ioc.db.pool import Connection
from ioc.model import Quality
from tests.decoding import sample
from tests.fix_ingest import Device, eventually
from tests.fix_stack import BrokerServer

pytestmark = pytest.mark.usefixtures("ingest")


@pytest.fixture
def mqtt(broker: BrokerServer) -> Settings.MQTT:
    """The library's connection settings, for this module's broker."""
    return Settings.MQTT(host=broker.host, port=broker.port)


@pytest.fixture
def about() -> DeviceInfo:
    """A device nobody else is."""
    key = uuid.uuid4().hex[:10]
    return DeviceInfo(name=f"Trạm {key}", identifiers=key, model="M1", manufacturer="Own make", sw_version="3.2")


def rows(connection: Connection, device: str) -> list[Any]:
    return connection.execute(
        "SELECT measure, value, quality FROM reading WHERE device = %s ORDER BY time, measure", [device]
    ).fetchall()


def said_until_stored(say: Callable[[int], Any], connection: Connection, device: str) -> list[Any]:
    """Say something new until the first of it is stored: what is said before we listen is said to nobody."""
    numbers = iter(range(1, 10_000))
    return eventually(lambda: (say(next(numbers)), rows(connection, device))[1])


def test_sensor_of_a_real_program(connection: Connection, mqtt: Settings.MQTT, about: DeviceInfo) -> None:
    """It appears as new with its name and firmware, its values are stored in our unit, and its availability is its state."""
    info = SensorInfo(
        name="Out",
        device_class="temperature",
        unit_of_measurement="°F",
        unique_id=f"{about.identifiers}_out",
        device=about,
    )
    sensor = Sensor(Settings(mqtt=mqtt, entity=info, manual_availability=True))
    key = f"ha.{about.identifiers}"
    measure, value, quality = said_until_stored(lambda n: sensor.set_state(86 + n / 1000), connection, key)[0]
    assert (measure, quality) == ("temperature", Quality.NO_TIME)
    assert value == pytest.approx(30, abs=1)
    found = registered(connection, key)
    assert (found.status, found.dialect, found.name, found.firmware) == ("new", "homeassistant", about.name, "3.2")
    assert (found.attrs["model"], found.attrs["manufacturer"]) == ("M1", "Own make")
    sensor.set_availability(True)
    eventually(lambda: registered(connection, key).state == "online")
    sensor.set_availability(False)
    eventually(lambda: registered(connection, key).state == "offline")
    sensor.set_availability(True)
    eventually(lambda: registered(connection, key).state == "online")
    sensor.delete()
    eventually(lambda: registered(connection, key).state_reason == "no longer announced")


def test_binary_sensor_of_a_real_program(connection: Connection, mqtt: Settings.MQTT, about: DeviceInfo) -> None:
    """Its changes are events, each once."""
    info = BinarySensorInfo(name="Lid", device_class="door", unique_id=f"{about.identifiers}_lid", device=about)
    lid = BinarySensor(Settings(mqtt=mqtt, entity=info))
    key = f"ha.{about.identifiers}"
    query = "SELECT data->>'state' FROM event WHERE device = %s AND kind = 'input' ORDER BY time"

    def states() -> list[str]:
        return [state for (state,) in connection.execute(query, [key])]

    eventually(lambda: (lid.on(), lid.off(), states())[2])
    for _ in range(20):  # read in few blocks, at few times
        lid.on()
        lid.off()
    lid.on()
    eventually(lambda: states()[-41:] == ["on", "off"] * 20 + ["on"])
    assert all(one != other for one, other in pairwise(states()))


def test_light_of_a_real_program_is_commanded(
    connection: Connection, device: Device, mqtt: Settings.MQTT, about: DeviceInfo
) -> None:
    """What it announces is enough to switch and dim it: the program receives the command, and its answer is stored."""
    commands: queue.Queue[dict[str, Any]] = queue.Queue()

    def obey(client: Any, userdata: Any, message: Any) -> None:
        commands.put(json.loads(message.payload))

    info = LightInfo(
        name="Lamp",
        brightness=True,
        supported_color_modes=["brightness"],
        unique_id=f"{about.identifiers}_lamp",
        device=about,
    )
    light = Light(Settings(mqtt=mqtt, entity=info), obey)
    key = f"ha.{about.identifiers}"
    said_until_stored(lambda n: light.brightness(n % 255 + 1), connection, key)
    lamp = registered(connection, key)
    assert lamp.kind == "streetlight"
    for level, expected in ((0.5, {"state": "ON", "brightness": 128}), (0, {"state": "OFF"})):
        for message in HomeAssistant().light(lamp, level, 1):
            device.send(message.topic, message.payload, retain=message.retain)
        assert commands.get(timeout=30) == expected
    light.brightness(51)
    eventually(lambda: ("illuminanceLevel", pytest.approx(0.2), Quality.NO_TIME) in rows(connection, key))
    light.off()
    eventually(lambda: ("powerState", 0.0, Quality.NO_TIME) in rows(connection, key))


def test_zigbee2mqtt_beside_its_configurations(connection: Connection, device: Device) -> None:
    """A lamp that the bridge announces in both ways is one device, and each message is stored once."""
    device.send(
        "homeassistant/light/0x00158d0001e3a5c1/light/config",
        sample("homeassistant/zigbee2mqtt_light.json"),
        retain=True,
    )
    device.send("zigbee2mqtt/bridge/devices", sample("zigbee2mqtt/devices.json"), retain=True)
    device.send("zigbee2mqtt/den-12/availability", {"state": "online"}, retain=True)
    device.send("zigbee2mqtt/den-12", sample("zigbee2mqtt/lamp.json"))
    stored = eventually(lambda: rows(connection, "z2m.den-12"))
    assert stored == [("illuminanceLevel", 0.5, Quality.NO_TIME), ("powerState", 1.0, Quality.NO_TIME)]
    found = eventually(lambda: (d := registered(connection, "z2m.den-12")) and d.state == "online" and d)
    assert (found.status, found.dialect, found.kind, found.parent) == (
        "new",
        "zigbee2mqtt",
        "streetlight",
        "z2m.bridge",
    )
    assert connection.execute("SELECT count(*) FROM device WHERE id LIKE 'ha.zigbee%'").fetchone() == (0,)
    slashed = next(route.device for one in all_dialects() if (route := one.route("zigbee2mqtt/quận/khí hậu")))
    climate = {**sample("zigbee2mqtt/climate.json"), "last_seen": None}
    eventually(lambda: (device.send("zigbee2mqtt/quận/khí hậu", climate), rows(connection, slashed))[1])
    device.send("zigbee2mqtt/bridge/state", {"state": "offline"}, retain=True)
    eventually(lambda: registered(connection, "z2m.den-12").state_reason == "bridge offline")


def test_tasmota_beside_its_configurations(connection: Connection, device: Device) -> None:
    """So is a Tasmota lamp: its own topics store, whatever announces it."""
    device.send("homeassistant/switch/3D5E26_RL_1/config", sample("homeassistant/tasmota_switch.json"), retain=True)
    device.send("tasmota/discovery/0211223D5E26/config", sample("tasmota/discovery.json"), retain=True)
    device.send("tele/hem-5/LWT", b"Online", retain=True)
    device.send("tele/hem-5/STATE", sample("tasmota/state.json"))
    device.send("stat/hem-5/RESULT", {"POWER": "OFF"})
    device.send("stat/hem-5/POWER", b"OFF")
    device.send("tele/hem-5/SENSOR", {"ENERGY": {"Power": 41}})
    eventually(lambda: len(rows(connection, "tasmota.hem-5")) >= 4)
    stored = [(measure, value) for measure, value, _ in rows(connection, "tasmota.hem-5")]
    assert [value for measure, value in stored if measure == "powerState"] == [1.0, 0.0]
    assert ("illuminanceLevel", pytest.approx(0.6)) in stored
    assert ("powerConsumption", 41.0) in stored
    assert len(stored) == 4
    found = eventually(lambda: (d := registered(connection, "tasmota.hem-5")) and d.state == "online" and d)
    assert (found.status, found.name, found.kind, found.firmware) == ("new", "Đèn hẻm 5", "streetlight", "14.2.0")
    assert connection.execute("SELECT count(*) FROM device WHERE id = 'ha.3D5E26'").fetchone() == (0,)


def test_hostile_configuration_gets_nothing(connection: Connection, device: Device, topic: str) -> None:
    """A configuration that names a native device's topic, or everything, is quarantined; ingest goes on listening."""
    device.send(f"ioc/{topic}/telemetry", {"ts": 1, "values": {}})
    for number, stolen in enumerate((f"ioc/{topic}/telemetry", "#", "$SYS/#", "a\u0007b")):
        config = {"stat_t": stolen, "dev_cla": "temperature", "dev": {"ids": [f"thief-{topic}"]}}
        device.send(f"homeassistant/sensor/{topic}-{number}/config", config)
    query = "SELECT reason FROM quarantine WHERE topic LIKE %s ORDER BY reason"
    like = f"homeassistant/sensor/{topic}-%"
    eventually(lambda: len(connection.execute(query, [like]).fetchall()) == 4)
    assert [reason for (reason,) in connection.execute(query, [like])] == ["device", "topic", "topic", "topic"]
    assert registered(connection, f"ha.thief-{topic}") is None
    device.send("stat/after/RESULT", {"POWER": "ON"})
    eventually(lambda: rows(connection, "tasmota.after"))
