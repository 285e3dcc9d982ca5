"""A Sparkplug edge node of another maker, through a real broker, ingest processes and TimescaleDB."""

from __future__ import annotations

import signal
import uuid
from typing import Any

import msgspec
import pytest

from ingest.dialects.sparkplug import Sparkplug
from ioc.db.devices import device as registered
from ioc.db.pool import Connection
from ioc.live import Live
from tests.fix_ingest import Device, Spawn, eventually, wait_beating
from tests.fix_peers import StartPeer


@pytest.fixture
def name() -> str:
    """An edge node's name that is this test's alone."""
    return f"gw-{uuid.uuid4().hex[:8]}"


def readings(connection: Connection, device: str, measure: str) -> list[float]:
    query = "SELECT value FROM reading WHERE device = %s AND measure = %s ORDER BY time"
    return [value for (value,) in connection.execute(query, [device, measure])]


def state(connection: Connection, device: str) -> Any:
    found = registered(connection, device)
    return found and found.state


def gaps(connection: Connection, device: str) -> list[Any]:
    return [
        data for (data,) in connection.execute("SELECT data FROM event WHERE device = %s AND kind = 'gap'", [device])
    ]


def test_life_of_an_edge_node(
    spawn: Spawn, live: Live, device: Device, connection: Connection, peer: StartPeer, name: str
) -> None:
    """Births, data by alias, a lost message and the rebirth it causes, a command, deaths, and the last will."""
    gateway, lamp = f"spb.td.{name}", f"spb.td.{name}.lamp-7"
    wait_beating(live, spawn())
    node = peer("sparkplug", "sparkplug_node.py", "td", name)
    eventually(lambda: state(connection, gateway) == state(connection, lamp) == "online")
    found = registered(connection, lamp)
    assert (found.status, found.dialect, found.parent, found.name) == ("new", "sparkplug", gateway, "lamp-7")
    assert registered(connection, gateway).firmware == "4.2"
    assert readings(connection, gateway, "voltage") == [228.5]
    node.do("power 43")
    eventually(lambda: readings(connection, lamp, "powerConsumption") == [41, 43])
    assert readings(connection, lamp, "illuminanceLevel") == [0.6]

    # Commanded before anything is lost: pysparkplug answers a rebirth with a new connection.
    (command,) = Sparkplug().light(msgspec.structs.replace(found, kind="streetlight"), 0.25, 1)
    device.send(command.topic, command.payload)
    assert node.wait_for("written") == {"Lamp/PowerState": True, "Lamp/Dimming": 25}

    node.do("die")
    eventually(lambda: state(connection, lamp) == "offline")
    assert state(connection, gateway) == "online"
    node.do("live")
    eventually(lambda: state(connection, lamp) == "online")

    node.do("lose")
    node.do("power 44")
    node.wait_for("rebirth")
    node.wait_for("born")  # before, it might number its messages in another order than it sends them
    eventually(lambda: gaps(connection, gateway))
    assert [data["missing"] for data in gaps(connection, gateway)] == [1]
    node.do("power 45")
    eventually(lambda: 45 in readings(connection, lamp, "powerConsumption"))
    assert 44 in readings(connection, lamp, "powerConsumption")
    eventually(lambda: state(connection, gateway) == state(connection, lamp) == "online")

    node.kill()
    eventually(lambda: state(connection, gateway) == state(connection, lamp) == "offline")
    assert len(gaps(connection, gateway)) == 1
    quarantined = connection.execute(
        "SELECT topic, reason, detail FROM quarantine WHERE client LIKE 'spb.%'"
    ).fetchall()
    assert quarantined == []


def test_births_survive_a_kill_of_ingest(
    spawn: Spawn, live: Live, connection: Connection, peer: StartPeer, name: str
) -> None:
    """After SIGKILL the next process understands aliases at once, calls nothing missing, and asks for all values anew."""
    gateway, lamp = f"spb.td.{name}", f"spb.td.{name}.lamp-7"
    first = spawn()
    wait_beating(live, first)
    node = peer("sparkplug", "sparkplug_node.py", "td", name)
    node.wait_for("connected")
    eventually(lambda: readings(connection, lamp, "powerConsumption") == [41])
    first.send_signal(signal.SIGKILL)
    first.wait(30)
    node.do("power 42")  # at QoS 0, while nobody listens: lost
    node.wait_for("done")
    wait_beating(live, spawn())
    node.do("power 43")
    node.wait_for("rebirth")
    eventually(lambda: {43} < set(readings(connection, lamp, "powerConsumption")))
    assert gaps(connection, gateway) == []
    eventually(lambda: state(connection, gateway) == state(connection, lamp) == "online")
    query = "SELECT detail FROM quarantine WHERE client IN (%s, %s)"
    assert connection.execute(query, [gateway, lamp]).fetchall() == []
