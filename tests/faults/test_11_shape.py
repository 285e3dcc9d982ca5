"""Messages and devices change their shape: fields come, go and change their type, a device becomes another kind."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.process import IngestProcess
from tests.faults.proxy import Proxy
from tests.fix_ingest import eventually
from tests.fix_stack import Database
from tests.ledger import Fact, Ledger
from tests.soak import FACTOR


def shaped(name: str, number: int) -> Ledger:
    """One device after the other changes its messages; what can be stored is, the rest is kept with its reason."""
    ledger = Ledger(name)
    base = round(time.time() * 1000)

    def send(device: str, stamp: int, payload: object, good: dict[str, float], reason: str = "") -> None:
        topic = f"ioc/{device}/telemetry"
        facts: list[Fact] = ledger.facts_of(device, stamp, good) if good else []
        before = len(ledger.messages)
        ledger.message(topic, payload, *facts)
        if reason:
            ledger.facts[("quarantine", topic, reason, ledger.messages[before][1])] = [before]

    for index in range(number * FACTOR):
        device, stamp = f"{name}-{index % 7}", base - index
        usual = {"pm25": float(index % 500), "pm10": 20.0}
        match index % 10:
            case 0:  # a field of no measure, beside the others
                send(device, stamp, {"ts": stamp, "values": usual | {"firmwareLoad": index}}, usual, "measure")
            case 1:  # fields that are not values
                send(device, stamp, {"ts": stamp, "values": usual, "seq": index, "site": {"row": [1, None]}}, usual)
            case 2:  # a value is gone
                send(device, stamp, {"ts": stamp, "values": {"pm10": 20.0}}, {"pm10": 20.0})
            case 3:  # the time is gone
                send(device, stamp, {"values": usual, "seq": index}, {}, "time")
            case 4:  # all values are gone
                send(device, stamp, {"ts": stamp, "seq": index}, {}, "shape")
            case 5:  # a number became a text, the other one an integer
                send(device, stamp, {"ts": stamp, "values": {"pm25": f"{index}", "pm10": 20}}, {"pm10": 20.0}, "value")
            case 6:  # a number became an object
                send(
                    device,
                    stamp,
                    {"ts": stamp, "values": {"pm25": {"v": index}, "pm10": 20.5}},
                    {"pm10": 20.5},
                    "value",
                )
            case 7:  # values became a list
                send(device, stamp, {"ts": stamp, "values": [index, 20.0]}, {}, "shape")
            case 8:  # a message became a list of them
                items = [{"ts": stamp, "values": usual}, {"ts": stamp, "values": 7, "seq": index}]
                send(device, stamp, items, usual, "shape")
            case _:  # the time became a text
                moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(stamp // 1000)) + f".{stamp % 1000:03}Z"
                send(device, stamp, {"ts": moment, "values": usual}, usual)
    return ledger


def test_fields_change(spawn: Spawn, publish: Publish, db: Database, topic: str) -> None:
    """Under load, with a kill: what is good in a message is stored, what is not is kept once, with its reason."""
    process = spawn()
    load = publish(shaped(topic, 5000))
    load.wait_moving(db)
    process.kill()
    spawn(wait=False)
    load.finish(db)


def killed(process: IngestProcess, wire: Proxy) -> None:
    """It dies, and another one knows of the new kinds from the start."""
    process.kill()
    wire.forget(tell_target=True)


def disconnected(process: IngestProcess, wire: Proxy) -> None:
    """It loses its connection, and goes on over another one."""
    wire.cut()


def announced(ledger: Ledger, device: str, kind: str) -> None:
    """A device says what it is."""
    ledger.message(f"ioc/{device}/announce", {"kind": kind, "name": kind})


@pytest.mark.parametrize("end", [killed, disconnected])
def test_kind_changes_before_the_redelivery(
    end: Callable[[IngestProcess, Proxy], None],
    spawn: Spawn,
    publish: Publish,
    wired: dict[str, str],
    mqtt_wire: Proxy,
    db: Database,
    connection: Connection,
    live: Live,
    topic: str,
) -> None:
    """What was committed before its device became another kind comes again after it: stored, or in quarantine, not both."""
    introduction, ledger = Ledger(topic), Ledger(topic)
    base = round(time.time() * 1000)
    air, lamp = [f"{topic}-air{n}" for n in range(5)], [f"{topic}-lamp{n}" for n in range(5)]
    for device in air:
        announced(introduction, device, "air_station")
    for device in lamp:
        announced(introduction, device, "streetlight")
    for index in range(300):
        ledger.reading(air[index % 5], base - index, {"pm25": 1.0 + index})
        payload = b'{"ts":%d,"values":{"pm25":%d}}' % (base - index, index)
        ledger.poison(f"ioc/{lamp[index % 5]}/telemetry", payload, "measure")
    for device in air:
        announced(ledger, device, "streetlight")
    for device in lamp:
        announced(ledger, device, "air_station")
    process = spawn(**wired)
    stations = "SELECT array_agg(id ORDER BY id) FROM device WHERE id LIKE %s AND kind = 'air_station'"
    publish(introduction)
    eventually(lambda: connection.execute(stations, [f"{topic}-%"]).fetchone() == (air,))
    process.wait_idle(live)
    mqtt_wire.stall(down=False)
    load = publish(ledger, rate=None)
    eventually(lambda: connection.execute(stations, [f"{topic}-%"]).fetchone() == (lamp,))
    end(process, mqtt_wire)
    mqtt_wire.heal()
    if not process.alive:
        spawn(**wired)
    after = publish(Ledger.mixed(f"after-{topic}", 300, seed=1))
    after.finish(db)  # it comes behind all that comes again
    load.finish(db)
