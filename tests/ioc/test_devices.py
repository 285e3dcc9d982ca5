"""Devices in a real TimescaleDB."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec

from ioc.db.devices import (
    Placed,
    Sight,
    all_devices,
    announce,
    device,
    noting,
    recover_sights,
    register_unannounced,
    retire,
    state_history,
    store_states,
)
from ioc.db.pool import Connection
from ioc.model import Announcement, DeviceState, State

NOW = datetime.now(UTC).replace(microsecond=0)


def make_announcement(key: str) -> Announcement:
    return Announcement(key, "cabinet", "Tủ 7", 10.8, 106.7, attrs={"phases": 3, "ok": True, "note": None})


def make_state(key: str, ago_s: float, state: State, reason: str = "") -> DeviceState:
    return DeviceState(NOW - timedelta(seconds=ago_s), key, state, reason, NOW)


def test_announce_again_changes_nothing(connection: Connection, topic: str) -> None:
    """An announcement that says nothing new writes nothing; a changed one does."""
    announcement = make_announcement(topic)
    (new,) = announce(connection, [Placed(announcement, "26824")])
    assert (new.id, new.status, new.state, new.ward, new.attrs) == (
        topic,
        "active",
        "unknown",
        "26824",
        announcement.attrs,
    )
    assert announce(connection, [Placed(announcement, "26824")]) == []
    (changed,) = announce(connection, [Placed(msgspec.structs.replace(announcement, firmware="2"), "26824")])
    assert changed.firmware == "2"
    assert device(connection, topic) == changed
    assert changed in all_devices(connection)
    assert device(connection, f"{topic}-none") is None


def test_status_through_a_life(connection: Connection, topic: str) -> None:
    """New by its data, active by its announcement, kept under maintenance by a person, retired, and active again."""
    (new,) = register_unannounced(connection, [topic], "native")
    assert (new.status, new.kind) == ("new", "")
    assert register_unannounced(connection, [topic], "native") == []
    placed = Placed(make_announcement(topic), "")
    assert [one.status for one in announce(connection, [placed])] == ["active"]
    connection.execute("UPDATE device SET status = 'maintenance' WHERE id = %s", [topic])
    moved = Placed(msgspec.structs.replace(placed.announcement, lat=10.9), "")
    assert [one.status for one in announce(connection, [moved])] == ["maintenance"]
    assert [one.status for one in retire(connection, [topic])] == ["retired"]
    assert retire(connection, [topic]) == []
    assert [one.status for one in announce(connection, [moved])] == ["active"]


def test_store_states_newest_holds(connection: Connection, topic: str) -> None:
    """Every state is stored once; the device has the newest by time, whatever came last."""
    register_unannounced(connection, [topic], "native")
    states = [
        make_state(topic, 10, "offline", "lwt"),
        make_state(topic, 5, "online"),
        make_state(topic, 7, "maintenance"),
    ]
    with connection.transaction():
        assert store_states(connection, states) == 3
    with connection.transaction():
        assert store_states(connection, [*states, make_state(topic, 20, "offline")]) == 1
    with connection.transaction():
        assert store_states(connection, []) == 0
    found = device(connection, topic)
    assert found is not None
    assert (found.state, found.state_time) == ("online", NOW - timedelta(seconds=5))


def test_state_history_begins_with_what_held(connection: Connection, topic: str) -> None:
    """A span begins with the state that held then, not with the first change in it."""
    register_unannounced(connection, [topic], "native")
    with connection.transaction():
        store_states(
            connection, [make_state(topic, ago, "offline" if ago % 200 else "online") for ago in (400, 300, 200, 100)]
        )
    span = state_history(connection, topic, NOW - timedelta(seconds=250), NOW - timedelta(seconds=150))
    assert [(state.state, (NOW - state.time).total_seconds()) for state in span] == [("offline", 300), ("online", 200)]


def test_sights_never_move_back(connection: Connection, topic: str) -> None:
    """`last_seen` moves forward only; a sighting that states no time leaves the skew; a crash is made good from `latest`."""
    register_unannounced(connection, [topic], "native")
    connection.execute(*noting([Sight(topic, NOW, 2.5)]))
    connection.execute(*noting([Sight(topic, NOW - timedelta(seconds=9), None)]))
    found = device(connection, topic)
    assert found is not None
    assert (found.last_seen, found.clock_skew_s) == (NOW, 2.5)
    later = NOW + timedelta(seconds=3)
    connection.execute("INSERT INTO latest VALUES (%s, 'pm25', %s, 1, 0, %s)", [topic, NOW, later])
    assert recover_sights(connection) == 1
    assert recover_sights(connection) == 0
    found = device(connection, topic)
    assert found is not None
    assert found.last_seen == later
