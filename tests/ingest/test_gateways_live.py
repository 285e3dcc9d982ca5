"""ThingsBoard's own gateway client, and FIWARE devices, through a real broker, ingest and TimescaleDB."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest

from ingest.dialects.fiware import Fiware
from ioc.commands import light
from ioc.db.commands import commands_of
from ioc.db.devices import device as registered
from ioc.db.pool import Connection
from ioc.model import CommandsChanged, Quality
from ioc.naming import device_id
from tests.fix_ingest import Device, eventually, now_ms
from tests.fix_peers import StartPeer

pytestmark = pytest.mark.usefixtures("ingest")


def readings(connection: Connection, device: str) -> list[Any]:
    query = "SELECT measure, value, quality FROM reading WHERE device = %s ORDER BY time, measure"
    return connection.execute(query, [device]).fetchall()


def state(connection: Connection, device: str) -> Any:
    found = registered(connection, device)
    return found and found.state


def test_thingsboard_gateway(device: Device, connection: Connection, peer: StartPeer, topic: str) -> None:
    """ThingsBoard's own client connects a lamp, reports it, is told to light it, answers, and disconnects it."""
    name = f"Đèn {topic}"
    key = device_id("tb", name)
    gateway = peer("thingsboard", "thingsboard_gateway.py", name)
    gateway.wait_for("connected")
    gateway.do("connect")
    eventually(lambda: state(connection, key) == "online")
    found = registered(connection, key)
    assert (found.status, found.dialect, found.name, found.attrs) == (
        "new",
        "thingsboard",
        name,
        {"device": name, "type": "lamp"},
    )
    gateway.do("telemetry " + json.dumps({"ts": now_ms(), "values": {"power": 41, "relay": "ON"}}))
    eventually(lambda: len(readings(connection, key)) == 2)
    gateway.do("telemetry " + json.dumps({"power": 42}))
    gateway.do("attributes " + json.dumps({"fw_version": "1.0", "battery": 87, "pole": "TD-0412"}))
    eventually(lambda: len(readings(connection, key)) == 4)
    assert readings(connection, key) == [
        ("powerConsumption", 41.0, Quality.GOOD),
        ("powerState", 1.0, Quality.GOOD),
        ("powerConsumption", 42.0, Quality.NO_TIME),
        ("batteryLevel", 0.87, Quality.NO_TIME),
    ]
    eventually(lambda: registered(connection, key).firmware == "1.0")
    assert registered(connection, key).attrs["pole"] == "TD-0412"
    connection.execute("UPDATE device SET kind = 'streetlight' WHERE id = %s", [key])
    (change,) = light(connection, "Trực ban", 0.4, devices=[key])
    assert isinstance(change, CommandsChanged)
    called = gateway.wait_for("called")
    order = change.commands[0].id
    assert called == {"device": name, "data": {"id": order, "method": "setLight", "params": 0.4}}
    eventually(lambda: [one.state for one in commands_of(connection, key)] == ["accepted"])
    gateway.do("disconnect")
    eventually(lambda: state(connection, key) == "offline")
    assert connection.execute("SELECT reason FROM quarantine WHERE topic LIKE 'v1/gateway/%'").fetchall() == []


def test_states_of_one_moment(device: Device, connection: Connection, topic: str) -> None:
    """Of what is said in one moment the last word holds: what was disconnected at once is not shown online."""
    key = f"tb.{topic}"
    for _ in range(20):
        for word in ("connect", "disconnect"):
            device.client.publish(f"v1/gateway/{word}", json.dumps({"device": topic}), qos=1)
    device.send("v1/gateway/telemetry", {f"{topic}-end": [{"ts": now_ms(), "values": {"power": 1}}]})
    eventually(lambda: readings(connection, f"tb.{topic}-end"))
    eventually(lambda: state(connection, key) == "offline")
    query = "SELECT state FROM device_state WHERE device = %s ORDER BY time"
    states = [one for (one,) in connection.execute(query, [key])]
    assert states == ["online", "offline"] * 20


def test_fiware_device(device: Device, connection: Connection, topic: str) -> None:
    """A device of a service reports in objects, lists and single values, and can be commanded under its own name."""
    key = device_id("fiware", topic, hashlib.sha256(b"s3cret").hexdigest()[:8])
    device.send(
        f"/json/s3cret/{topic}/attrs", {"temperature": 31.5, "humidity": 70, "TimeInstant": "2020-01-01T00:00:00Z"}
    )
    device.send(f"/json/s3cret/{topic}/attrs", [{"power": 41}, {"power": 42}])
    device.send(f"/json/s3cret/{topic}/attrs/powerState", b"on")
    eventually(lambda: len(readings(connection, key)) == 5)
    assert sorted(readings(connection, key)) == [
        ("powerConsumption", 41.0, Quality.NO_TIME),
        ("powerConsumption", 42.0, Quality.NO_TIME),
        ("powerState", 1.0, Quality.NO_TIME),
        ("relativeHumidity", 0.7, Quality.CLOCK_OFF),
        ("temperature", 31.5, Quality.CLOCK_OFF),
    ]
    found = registered(connection, key)
    assert (found.status, found.dialect, found.name) == ("new", "fiware", topic)
    (command,) = Fiware().light(msgspec.structs.replace(found, kind="streetlight"), 1.0, 3)
    assert command.topic == f"/s3cret/{topic}/cmd"
    device.send(f"/json/s3cret/{topic}/cmdexe", {"light": "done"})
    device.send(f"/json/s3cret/{topic}/attrs", b"poison")
    eventually(
        lambda: connection.execute("SELECT reason FROM quarantine WHERE client = %s", [key]).fetchone() == ("json",)
    )
