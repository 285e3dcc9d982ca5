"""An unknown payload is listened to, mapped and replayed, through the real broker."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from ingest.service import Ingest
from ioc.db.mappings import save, standing_filters, switch
from ioc.db.pool import Connection
from ioc.db.replay import ask, newest
from ioc.mapping import Item, TopicMapping
from tests.fix_ingest import Device, eventually, now_ms

WHO = "Kỹ thuật viên"


def held(connection: Connection, like: str) -> list[tuple[str, str]]:
    return connection.execute(
        "SELECT reason, outcome FROM quarantine WHERE topic LIKE %s ORDER BY received, id", (like,)
    ).fetchall()


def readings(connection: Connection, like: str) -> list[tuple[str, str, float]]:
    return connection.execute(
        "SELECT device, measure, value FROM reading WHERE device LIKE %s ORDER BY device, time, measure", (like,)
    ).fetchall()


def mapping(topic: str, **changes: Any) -> TopicMapping:
    good = TopicMapping(topic, f"{topic}/+/air", device=f"{topic}-{{2}}", items=(Item("t", "temperature"),))
    return msgspec.structs.replace(good, **changes)


def test_unknown_topic_is_listened_to_mapped_and_replayed(
    device: Device, ingest: Ingest, connection: Connection, topic: str
) -> None:
    """From a topic nobody knows to readings of a device, old and new messages alike, without a restart."""
    draft = save(connection, mapping(topic, items=(), device=""), WHO)
    eventually(lambda: listened(device, connection, topic))
    device.send(f"{topic}/bed/air", {"t": 21.5, "sent": now_ms()})
    eventually(lambda: held(connection, f"{topic}/bed/air"))
    assert held(connection, f"{topic}/bed/air") == [("mapping", "")]
    save(connection, msgspec.structs.replace(mapping(topic), id=draft.id, version=draft.version), WHO)
    (received,) = connection.execute(
        "SELECT received FROM quarantine WHERE topic = %s", (f"{topic}/bed/air",)
    ).fetchone() or (None,)
    eventually(lambda: replayed(connection, f"{topic}/bed/air"))
    # "sent" is named by nobody: the message stays, for that alone, and what is named was stored.
    assert held(connection, f"{topic}/bed/air") == [("measure", "refused")]
    stored = connection.execute(
        "SELECT time, value, quality FROM reading WHERE device = %s", (f"map.{topic}-bed",)
    ).fetchall()
    assert stored == [(received, 21.5, 3)]
    found = connection.execute(
        "SELECT status, dialect, name FROM device WHERE id = %s", (f"map.{topic}-bed",)
    ).fetchone()
    assert found == ("new", "mapped", f"{topic}-bed")
    device.send(f"{topic}/bed/air", {"t": 22.5})
    eventually(lambda: (f"map.{topic}-bed", "temperature", 22.5) in readings(connection, f"map.{topic}-bed"))


def listened(device: Device, connection: Connection, topic: str) -> bool:
    """Whether ingest has subscribed; a message tells."""
    device.send(f"{topic}/probe/air", {"t": 1})
    time.sleep(0.2)
    return bool(held(connection, f"{topic}/probe/air"))


def replayed(connection: Connection, name: str) -> bool:
    """Whether the messages of a topic have been decoded again; asked for as long as ingest works with an older mapping."""
    rows = connection.execute(
        "SELECT received, id FROM quarantine WHERE topic = %s AND outcome <> 'replayed'", (name,)
    ).fetchall()
    if rows and not any(one.waiting for one in newest(connection, 20)):
        ask(connection, WHO, rows, None)
        eventually(lambda: not any(one.waiting for one in newest(connection, 20)))
    return ("mapping", "") not in held(connection, name) and ("mapping", "refused") not in held(connection, name)


def test_disabled_mapping_is_unsubscribed(device: Device, ingest: Ingest, connection: Connection, topic: str) -> None:
    """Its messages do not even arrive any more."""
    made = save(connection, mapping(topic), WHO)
    eventually(lambda: device.send(f"{topic}/a/air", {"t": 20}) or readings(connection, f"map.{topic}-a"))
    # Behind all that were sent meanwhile, of which the last may still be on its way.
    device.send(f"{topic}/a/air", {"t": 21})
    eventually(lambda: (f"map.{topic}-a", "temperature", 21.0) in readings(connection, f"map.{topic}-a"))
    switch(connection, made.id, WHO, enabled=False)
    eventually(lambda: f"{topic}/+/air" not in ingest._link._held.names)
    device.send(f"{topic}/a/air", {"t": 30})
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 1}})
    eventually(lambda: readings(connection, topic))
    assert not held(connection, f"{topic}/%")
    assert all(value < 30 for _, _, value in readings(connection, f"map.{topic}-a"))


def test_supplement_beside_native(device: Device, ingest: Ingest, connection: Connection, topic: str) -> None:
    """A value that the native dialect has no measure for is taken from the next message on; the rest is as before."""
    assert standing_filters(connection)["ioc/+/telemetry"] == "native"
    message = {"pm25": 5.0, "tvoc": 11, "fw": "1"}
    items = (Item("values.tvoc", "pm10"), Item("values.fw", "ignore"))
    save(connection, TopicMapping(topic, f"ioc/{topic}/telemetry", items=items), WHO)

    def taken() -> bool:
        device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": message})
        time.sleep(0.1)
        return (topic, "pm10", 11.0) in readings(connection, topic)

    eventually(taken)
    left = held(connection, f"ioc/{topic}/telemetry")
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": message})
    eventually(lambda: len(readings(connection, topic)) >= 4)
    assert held(connection, f"ioc/{topic}/telemetry") == left
