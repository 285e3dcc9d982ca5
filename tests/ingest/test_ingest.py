"""Messages through a real broker into a real TimescaleDB and a real Redis."""

from __future__ import annotations

import json
import random
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.service import Ingest
from ioc.db.devices import device as registered
from ioc.db.pool import Connection
from ioc.geo import ward_at
from ioc.live import Live
from ioc.model import DevicesChanged, MessagesRejected, Quality, ReadingsChanged, StatesChanged
from tests.fix_ingest import Device, eventually, now_ms
from tests.fix_stack import Database
from tests.ingest.test_jpeg import make_jpeg
from tests.ingest.test_native import POISON

pytestmark = pytest.mark.usefixtures("ingest")


def rows(connection: Connection, device: str) -> list[Any]:
    return connection.execute(
        "SELECT time, measure, value, quality FROM reading WHERE device = %s ORDER BY time, measure", [device]
    ).fetchall()


def at(stamp: int) -> datetime:
    return datetime.fromtimestamp(stamp / 1000, UTC)


def test_telemetry_is_stored(device: Device, connection: Connection, topic: str) -> None:
    """One message becomes one row for each value, and the latest values."""
    stamp = now_ms()
    device.send(f"ioc/{topic}/telemetry", {"ts": stamp, "values": {"pm25": 12.5, "powerState": "on"}})
    stored = eventually(lambda: rows(connection, topic))
    assert stored == [(at(stamp), "pm25", 12.5, 0), (at(stamp), "powerState", 1.0, 0)]
    latest = connection.execute("SELECT measure, value FROM latest WHERE device = %s ORDER BY 1", [topic]).fetchall()
    assert latest == [("pm25", 12.5), ("powerState", 1.0)]


def test_duplicates_change_nothing(device: Device, connection: Connection, topic: str) -> None:
    """The same message three times, and again within a list, is stored once."""
    message = {"ts": now_ms(), "values": {"pm25": 12.5}}
    for _ in range(3):
        device.send(f"ioc/{topic}/telemetry", message)
    device.send(f"ioc/{topic}/telemetry", [message, message, {"ts": message["ts"] + 1, "values": {"pm25": 13.0}}])
    eventually(lambda: len(rows(connection, topic)) == 2)
    assert [value for _, _, value, _ in rows(connection, topic)] == [12.5, 13.0]


def test_out_of_order_latest_stays(device: Device, connection: Connection, topic: str) -> None:
    """An older reading is stored and does not replace the latest."""
    stamp = now_ms()
    for late_s, value in ((0, 30.0), (3600, 10.0), (60, 20.0)):
        device.send(f"ioc/{topic}/telemetry", {"ts": stamp - late_s * 1000, "values": {"pm25": value}})
    eventually(lambda: len(rows(connection, topic)) == 3)
    assert connection.execute("SELECT value FROM latest WHERE device = %s", [topic]).fetchone() == (30.0,)


@pytest.mark.parametrize("offset_s", [400, -40 * 86_400])
def test_clock_off_is_stored_once(device: Device, connection: Connection, topic: str, offset_s: int) -> None:
    """A reading of a wrong clock is stored at its receive time, once however often it comes, and the skew is known."""
    stamp = now_ms() + offset_s * 1000
    for _ in range(3):
        device.send(f"ioc/{topic}/telemetry", {"ts": stamp, "values": {"pm25": 12.5}})
    device.send(f"ioc/{topic}/telemetry", {"ts": stamp + 1, "values": {"pm25": 13.5}})
    eventually(lambda: len(rows(connection, topic)) == 2)
    for time, _, _, quality in rows(connection, topic):
        assert quality == Quality.CLOCK_OFF
        assert abs(time - datetime.now(UTC)) < timedelta(seconds=120)
    skew = eventually(
        lambda: connection.execute(
            "SELECT clock_skew_s FROM device WHERE id = %s AND clock_skew_s IS NOT NULL", [topic]
        ).fetchone()
    )
    assert skew[0] == pytest.approx(offset_s, abs=60)


def test_poison_beside_good(device: Device, connection: Connection, topic: str) -> None:
    """Every poison lands in quarantine with its reason and bytes, and the good messages around it are stored."""
    sent = []
    for number, (name, where, payload, reason) in enumerate(POISON):
        # Bad topics a broker lets through have a test of their own; these are only poison to a device that has a kind.
        if reason not in ("topic", "measure", "size") and isinstance(where, str) and name != "empty":
            channel = where.split("/", 2)[2]
            device.send(f"ioc/{topic}/{channel}", payload)
            sent.append((reason, payload))
        device.send(f"ioc/{topic}-good/telemetry", {"ts": now_ms() + number, "values": {"pm25": 1.0}})
    eventually(lambda: len(rows(connection, f"{topic}-good")) == len(POISON))
    kept = connection.execute(
        "SELECT reason, payload, detail, client FROM quarantine WHERE topic LIKE %s", [f"ioc/{topic}/%"]
    ).fetchall()
    assert sorted((reason, payload) for reason, payload, _, _ in kept) == sorted(sent)
    assert all(detail and client == topic for _, _, detail, client in kept)


def test_topic_outside_the_grammar(device: Device, connection: Connection) -> None:
    """A device id that breaks the grammar is kept under its topic."""
    device.send("ioc/đèn 7/telemetry", {"ts": now_ms(), "values": {"pm25": 1.0}})
    found = eventually(
        lambda: connection.execute(
            "SELECT reason, client FROM quarantine WHERE topic = 'ioc/đèn 7/telemetry'"
        ).fetchone()
    )
    assert found == ("topic", "")


def test_announce_registers_and_retires(device: Device, connection: Connection, topic: str) -> None:
    """A device is new by its data, active by its announcement, placed in its ward, and retired by an empty one."""
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 12.5}})
    found = eventually(lambda: registered(connection, topic))
    assert (found.kind, found.status) == ("", "new")
    place = {"lat": 10.8506, "lon": 106.7719}
    announcement = {"kind": "air_station", "name": "Trạm Thủ Đức", **place, "firmware": "1.2", "attrs": {"lot": 7}}
    device.send(f"ioc/{topic}/announce", announcement, retain=True)
    found = eventually(lambda: (d := registered(connection, topic)) and d.status == "active" and d)
    ward = ward_at(**place)
    assert ward is not None
    assert (found.kind, found.name, found.ward, found.attrs) == ("air_station", "Trạm Thủ Đức", ward.code, {"lot": 7})
    device.send(f"ioc/{topic}/announce", b"", retain=True)
    eventually(lambda: registered(connection, topic).status == "retired")


def test_last_seen_final_sighting_is_written(device: Device, connection: Connection, topic: str) -> None:
    """`last_seen` is not written for every message, but ends at the last one."""
    for _ in range(3):
        device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 12.5}})
    sent = datetime.now(UTC) - timedelta(milliseconds=5)
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 13.5}})
    eventually(lambda: (d := registered(connection, topic)) and d.last_seen and d.last_seen >= sent)


def test_states_and_last_will(device: Device, connection: Connection, topic: str) -> None:
    """States are stored each once, the newest is the device's, and data after a last will brings it back."""
    stamp = now_ms() - 10_000
    for _ in range(2):
        device.send(f"ioc/{topic}/state", {"ts": stamp, "state": "online", "reason": "boot"})
    device.send(f"ioc/{topic}/state", {"ts": stamp - 5000, "state": "maintenance"})
    eventually(lambda: (d := registered(connection, topic)) and d.state == "online")
    for _ in range(2):
        device.send(f"ioc/{topic}/state", {"state": "offline", "reason": "lwt"})
    eventually(lambda: registered(connection, topic).state_reason == "lwt")
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms() + 1, "values": {"pm25": 1.0}})
    eventually(lambda: registered(connection, topic).state_reason == "data")
    states = connection.execute(
        "SELECT state, reason FROM device_state WHERE device = %s ORDER BY time", [topic]
    ).fetchall()
    assert states == [("maintenance", ""), ("online", "boot"), ("offline", "lwt"), ("online", "data")]


def test_state_of_a_wrong_clock_is_stored_once(device: Device, connection: Connection, topic: str) -> None:
    """A state whose time is not believed is stored at its receive time, and again only when it says something new."""
    for state in ("maintenance", "maintenance", "offline", "offline", "maintenance"):
        device.send(f"ioc/{topic}/state", {"ts": 1000, "state": state})
    query = "SELECT state FROM device_state WHERE device = %s ORDER BY time"
    eventually(lambda: len(connection.execute(query, [topic]).fetchall()) == 3)
    device.send(f"ioc/{topic}/state", {"ts": now_ms(), "state": "online"})
    eventually(lambda: len(connection.execute(query, [topic]).fetchall()) == 4)
    states = [state for (state,) in connection.execute(query, [topic])]
    assert states[:3] == ["maintenance", "offline", "maintenance"]


def test_frame_reaches_the_live_view(device: Device, connection: Connection, live: Live, topic: str) -> None:
    """A picture lies in Redis, its camera counts as online, and an older picture does not replace it."""
    stamp, jpeg = now_ms(), make_jpeg()
    device.send(f"ioc/{topic}/frame/{stamp}", jpeg, qos=0)
    frame = eventually(lambda: live.frame(topic))
    assert (frame.time, frame.jpeg) == (at(stamp), jpeg)
    device.send(f"ioc/{topic}/frame/{stamp - 1000}", make_jpeg(32, 32), qos=0)
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"intensity": 3.0}})
    eventually(lambda: rows(connection, topic))
    assert live.frame(topic) == frame
    assert registered(connection, topic).state == "online"


def test_changes_follow_the_commit(device: Device, connection: Connection, live: Live, topic: str) -> None:
    """What was committed is told on the change stream: readings, states, devices, and that messages were rejected."""
    after = live.last_id()
    device.send(f"ioc/{topic}/announce", {"kind": "air_station", "name": "x"})
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 12.5}})
    device.send(f"ioc/{topic}/telemetry", b"poison")
    seen: set[type] = set()

    def told() -> bool:
        nonlocal after
        for entry, change in live.changes(after, block_ms=100):
            after = entry
            match change:
                case ReadingsChanged(readings) if any(reading.device == topic for reading in readings):
                    assert rows(connection, topic), "told before it was committed"
                    seen.add(type(change))
                case StatesChanged(states) if any(state.device == topic for state in states):
                    seen.add(type(change))
                case DevicesChanged(devices) if any(one.id == topic for one in devices):
                    seen.add(type(change))
                case MessagesRejected(reasons) if reasons.get("json"):
                    seen.add(type(change))
        return len(seen) == 4

    eventually(told)


def test_storage_fault_is_bisected(device: Device, connection: Connection, topic: str) -> None:
    """Rows the database refuses go to quarantine with its message; every other row of the batch is stored."""
    connection.execute("ALTER TABLE reading ADD CONSTRAINT no_666 CHECK (value <> 666)")
    try:
        bad = {7, 8, 120, 199}
        newest = now_ms()
        items = [{"ts": newest - n, "values": {"pm25": 666.0 if n in bad else float(n), "o3": 5.5}} for n in range(200)]
        device.send(f"ioc/{topic}/telemetry", items)
        device.send(f"ioc/{topic}-other/telemetry", {"ts": now_ms(), "values": {"pm25": 666.0, "pm10": 1.0}})
        device.send(f"ioc/{topic}-good/telemetry", {"ts": now_ms(), "values": {"pm25": 1.0}})
        eventually(lambda: len(rows(connection, topic)) == 400 - len(bad))
        eventually(lambda: rows(connection, f"{topic}-good") and rows(connection, f"{topic}-other"))
        kept = connection.execute("SELECT topic, detail, payload FROM quarantine WHERE reason = 'storage'").fetchall()
        assert sorted(name for name, _, _ in kept) == [f"ioc/{topic}-other/telemetry", f"ioc/{topic}/telemetry"]
        assert all("no_666" in detail for _, detail, _ in kept)
        assert {json.dumps(items).encode()} <= {payload for _, _, payload in kept}
    finally:
        connection.execute("ALTER TABLE reading DROP CONSTRAINT no_666")


@pytest.mark.parametrize("refused", ["dialect_context", "device"])
def test_what_goes_beside_the_rows_is_refused(device: Device, connection: Connection, topic: str, refused: str) -> None:
    """What a dialect remembers, or a device that is met, may be what the database will not have: the others are stored."""
    column = {"dialect_context": "topic", "device": "id"}[refused]
    connection.execute(f"ALTER TABLE {refused} ADD CONSTRAINT choosy CHECK ({column} NOT LIKE '%{topic}-bad%')")
    try:
        holding = {
            "UtcTime": datetime.now(UTC).isoformat(),
            "PropertyOperation": "Initialized",
            "Data": {"State": True},
        }
        device.send(f"{topic}-bad/onvif-ej/VideoSource/MotionAlarm/&1", holding)
        device.send(f"ioc/{topic}-bad/telemetry", {"ts": now_ms(), "values": {"pm25": 1.0}})
        device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 1.0}})
        eventually(lambda: rows(connection, topic))
        registered(connection, topic)
    finally:
        connection.execute(f"ALTER TABLE {refused} DROP CONSTRAINT choosy")


def test_topic_without_end(device: Device, connection: Connection, topic: str) -> None:
    """No index holds what would be remembered under it: it goes to quarantine, and what comes after it is stored."""
    longest = f"{topic}/onvif-ej/VideoSource/MotionAlarm/&" + "".join(random.Random(1).choices("abcdefghijkl", k=6000))
    device.send(longest, {"UtcTime": datetime.now(UTC).isoformat(), "Data": {"State": True}})
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 1.0}})
    eventually(lambda: rows(connection, topic))
    query = "SELECT reason, detail FROM quarantine WHERE topic LIKE %s"
    ((reason, detail),) = eventually(lambda: connection.execute(query, [f"{topic}/onvif-ej/%"]).fetchall())
    assert reason == "topic"
    assert "bytes, most is" in detail


def test_locked_table_is_waited_for(device: Device, db: Database, connection: Connection, topic: str) -> None:
    """A lock on the table delays a commit and loses nothing; nothing goes to quarantine for it."""
    with db.connect() as other:
        with other.transaction():
            other.execute("LOCK TABLE reading IN ACCESS EXCLUSIVE MODE")
            device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 12.5}})
            threading.Event().wait(1.5)
        eventually(lambda: rows(connection, topic))
    assert connection.execute("SELECT count(*) FROM quarantine WHERE topic LIKE %s", [f"ioc/{topic}%"]).fetchone() == (
        0,
    )


def test_figures_name_what_is_shown(ingest: Ingest, device: Device, topic: str) -> None:
    """The heartbeat carries rates, queue and what is not acknowledged."""
    device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 12.5}})
    eventually(lambda: ingest.figures()["inflight"] == 0)
    eventually(lambda: ingest.figures().get("broker_dropped") == 0)
    names = {"messages_s", "rows_s", "queue", "inflight", "quarantined", "spool_mb", "broker_dropped"}
    assert set(ingest.figures()) == names
