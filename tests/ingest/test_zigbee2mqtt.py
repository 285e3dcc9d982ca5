"""Zigbee2MQTT: pure, up to the batch.

The samples follow Zigbee2MQTT's documentation of MQTT topics and messages, exposes and availability.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dialects.zigbee2mqtt import Zigbee2Mqtt
from ioc.errors import CommandError
from ioc.model import REASONS, Quality
from tests.decoding import Ear, make_device, readings, reasons, sample, states

DEEP = "quận/khí hậu"


@pytest.fixture
def ear() -> Ear:
    """Zigbee2MQTT alone."""
    return Ear(Zigbee2Mqtt(), pace_s=60)


def climate_id(ear: Ear) -> str:
    """The id of the device whose name has a slash and diacritics."""
    route = Zigbee2Mqtt().route(f"zigbee2mqtt/{DEEP}")
    assert route is not None
    return route.device


def test_lamp_without_a_time(ear: Ear) -> None:
    """State and brightness are stored at their receive time; how the lamp is set is left out."""
    ear.hear("zigbee2mqtt/bridge/devices", sample("zigbee2mqtt/devices.json"))
    batch = ear.hear("zigbee2mqtt/den-12", sample("zigbee2mqtt/lamp.json"))
    assert readings(batch) == {("z2m.den-12", "powerState"): 1, ("z2m.den-12", "illuminanceLevel"): 0.5}
    assert {(one.time, one.quality) for one in batch.readings} == {(ear.received, Quality.NO_TIME)}
    assert not batch.rejected


def test_lamp_that_is_off_is_dark(ear: Ear) -> None:
    """Switched off, a lamp goes on to tell the brightness that it will have."""
    ear.hear("zigbee2mqtt/bridge/devices", sample("zigbee2mqtt/devices.json"))
    batch = ear.hear("zigbee2mqtt/den-12", sample("zigbee2mqtt/lamp.json") | {"state": "OFF"})
    assert readings(batch) == {("z2m.den-12", "powerState"): 0, ("z2m.den-12", "illuminanceLevel"): 0}


def test_last_seen_is_the_time(ear: Ear) -> None:
    """Where the bridge says when it heard the device, that is the values' time."""
    ear.hear("zigbee2mqtt/bridge/devices", sample("zigbee2mqtt/devices.json"))
    batch = ear.hear(f"zigbee2mqtt/{DEEP}", sample("zigbee2mqtt/climate.json"))
    assert {measure: value for (_, measure), value in readings(batch).items()} == {
        "temperature": 31.25,
        "relativeHumidity": pytest.approx(0.714),
        "batteryLevel": pytest.approx(0.87),
    }
    assert {one.time for one in batch.readings} == {datetime(2026, 7, 1, 12, 0, 59, 120_000, tzinfo=UTC)}
    assert not batch.rejected


@pytest.mark.parametrize(
    ("last_seen", "quality"),
    [
        (1_782_907_259_120, 0),
        ("2026-07-01T19:00:59.120+07:00", 0),
        ("5 minutes ago", Quality.NO_TIME),
        (True, Quality.NO_TIME),
    ],
)
def test_forms_of_last_seen(ear: Ear, last_seen: Any, quality: int) -> None:
    """Epoch milliseconds and ISO-8601 are times; words are not."""
    batch = ear.hear("zigbee2mqtt/x", {"temperature": 30, "last_seen": last_seen})
    assert [one.quality for one in batch.readings] == [quality]


def test_state_said_again_at_the_same_last_seen(ear: Ear) -> None:
    """The bridge repeats a device's state without having heard it: that is nothing new, but what differs in it is."""
    seen = {"last_seen": "2026-07-01T12:00:59.120Z"}
    said = [
        {"power": 40, "state": "ON"},
        {"power": 40, "state": "ON", "linkquality": 3},
        {"power": 40, "state": "OFF"},
        {"power": 40, "state": "ON"},
    ]
    batches = [ear.hear("zigbee2mqtt/x", {**one, **seen}) for one in said]
    assert [[(one.measure, one.value, one.quality) for one in batch.readings] for batch in batches] == [
        [("powerConsumption", 40, 0), ("powerState", 1, 0)],
        [],
        [("powerState", 0, Quality.NO_TIME)],
        [("powerState", 1, Quality.NO_TIME)],
    ]


def test_bridge_tells_of_its_devices(ear: Ear) -> None:
    """Names, makers, firmware and lamps; names with slashes are listened to; a short form is remembered."""
    batch = ear.hear("zigbee2mqtt/bridge/devices", sample("zigbee2mqtt/devices.json"))
    found = batch.discovered["z2m.den-12"]
    assert (found.name, found.kind, found.firmware, found.parent) == ("den-12", "streetlight", "1.0.21", "z2m.bridge")
    assert found.attrs == {
        "friendly_name": "den-12",
        "ieee_address": "0x00158d0001e3a5c1",
        "vendor": "Own make",
        "model": "LD-1",
        "switchable": True,
        "dimmable": True,
    }
    assert set(batch.discovered) == {"z2m.bridge", "z2m.den-12", climate_id(ear)}
    assert ear.intake.wanted == {f"zigbee2mqtt/{DEEP}": False, f"zigbee2mqtt/{DEEP}/availability": True}
    (kept,) = batch.context.values()
    assert kept is not None
    again = Ear(Zigbee2Mqtt(), pace_s=60)
    other = again.hear("zigbee2mqtt/bridge/devices", kept)
    assert other.discovered == batch.discovered
    assert again.intake.wanted == ear.intake.wanted
    assert other.context == batch.context


def test_renamed_device_is_no_longer_listened_to(ear: Ear) -> None:
    """Subscriptions follow the names."""
    ear.hear("zigbee2mqtt/bridge/devices", sample("zigbee2mqtt/devices.json"))
    ear.hear("zigbee2mqtt/bridge/devices", [])
    assert not ear.intake.wanted


def test_unit_that_the_bridge_tells(ear: Ear) -> None:
    """An unusual unit is taken from what the device exposes."""
    exposes = [{"type": "numeric", "property": "temperature", "unit": "°F"}]
    ear.hear(
        "zigbee2mqtt/bridge/devices", [{"friendly_name": "x", "type": "Router", "definition": {"exposes": exposes}}]
    )
    assert readings(ear.hear("zigbee2mqtt/x", {"temperature": 86})) == {("z2m.x", "temperature"): pytest.approx(30)}


def test_groups_are_left_out(ear: Ear) -> None:
    """A group says what its members say."""
    ear.hear("zigbee2mqtt/bridge/groups", [{"id": 1, "friendly_name": "street", "members": []}])
    batch = ear.hear("zigbee2mqtt/street", {"state": "ON"})
    assert not batch.readings
    assert not batch.discovered


def test_what_the_bridge_says_else_is_left_out(ear: Ear) -> None:
    """Logs, events and answers are the bridge's own."""
    for topic in ("bridge/logging", "bridge/info", "bridge/event", "bridge"):
        batch = ear.hear(f"zigbee2mqtt/{topic}", {"state": "ON"})
        assert not batch.readings
        assert not batch.rejected


@pytest.mark.parametrize(
    ("online", "offline"), [(b'{"state":"online"}', b'{"state":"offline"}'), (b"online", b"offline")]
)
def test_availability(ear: Ear, online: bytes, offline: bytes) -> None:
    """As JSON, and as older versions said it."""
    assert states(ear.hear("zigbee2mqtt/x/availability", online)) == [("z2m.x", "online")]
    assert states(ear.hear("zigbee2mqtt/x/availability", offline)) == [("z2m.x", "offline")]
    assert reasons(ear.hear("zigbee2mqtt/x/availability", b"asleep")) == ["value"]


def test_bridge_away_takes_its_devices_along(ear: Ear) -> None:
    """While the bridge is away nobody hears its devices; when it is back they are as they said last."""
    ear.hear("zigbee2mqtt/a/availability", b"online")
    ear.hear("zigbee2mqtt/b/availability", b"offline")
    ear.hear("zigbee2mqtt/c", {"state": "ON"})
    batch = ear.hear("zigbee2mqtt/bridge/state", {"state": "offline"})
    assert states(batch) == [(f"z2m.{name}", "offline") for name in ("bridge", "a", "b", "c")]
    assert states(ear.hear("zigbee2mqtt/a/availability", b"online")) == [("z2m.a", "offline")]
    batch = ear.hear("zigbee2mqtt/bridge/state", {"state": "online"})
    assert states(batch) == [("z2m.bridge", "online"), ("z2m.a", "online"), ("z2m.b", "offline"), ("z2m.c", "online")]


def test_state_of_a_device_that_is_not_heard(ear: Ear) -> None:
    """What the bridge repeats of a device that it calls offline does not say that it lives."""
    said = {"state": "ON"}
    assert ear.hear("zigbee2mqtt/a", said).seen["z2m.a"].fresh is not None
    ear.hear("zigbee2mqtt/a/availability", b"offline")
    batch = ear.hear("zigbee2mqtt/a", said)
    assert readings(batch)
    assert batch.seen["z2m.a"].fresh is None


def test_flags_are_events_and_no_measures(ear: Ear) -> None:
    """`occupancy` of a motion detector is no occupancy of a road."""
    batches = [ear.hear("zigbee2mqtt/x", {"occupancy": on, "tamper": False}) for on in (True, True, False)]
    assert [[(one.kind, one.source) for one in batch.events] for batch in batches] == [
        [("motion", "occupancy"), ("input", "tamper")],
        [],
        [],
    ]
    assert not any(batch.readings or batch.rejected for batch in batches)


def test_flag_said_again_after_a_restart_is_no_event(ear: Ear) -> None:
    """The next process knows how it stands; what has changed since is an event."""
    kept: dict[str, bytes | None] = {}
    for on in (False, True):
        kept |= ear.hear("zigbee2mqtt/x", {"occupancy": on, "tamper": False}).context
    after = Ear(Zigbee2Mqtt())
    after.recall({topic: payload for topic, payload in kept.items() if payload is not None})
    batches = [after.hear("zigbee2mqtt/x", {"occupancy": True, "tamper": tamper}) for tamper in (False, True)]
    assert [[one.source for one in batch.events] for batch in batches] == [[], ["tamper"]]
    assert not after.hear("zigbee2mqtt/x", {"occupancy": True, "tamper": True}).context


def test_replayed_message_gives_what_it_gave(ear: Ear) -> None:
    """Flags, and values said at a `last_seen` that is over, are neither stored anew nor taken for what is said now."""
    said = {"contact": False, "temperature": 21.5, "soil_moisture": 30}
    first = ear.hear("zigbee2mqtt/x", said)
    assert first.events[0].time == first.readings[0].time == first.rejected[0].received
    again = ear.replay(first)
    assert [(one.time, one.value) for one in again.readings] == [(first.readings[0].time, 21.5)]
    assert (again.events, again.context) == ([], {})
    seen = {"last_seen": "2026-07-01T12:00:59.120Z"}
    first = ear.hear("zigbee2mqtt/y", said | seen)
    ear.hear("zigbee2mqtt/y", {"contact": True, "temperature": 22, "last_seen": "2026-07-01T12:01:59.120Z"})
    assert [one.time for one in ear.replay(first).readings] == [first.readings[0].time]
    now = ear.hear("zigbee2mqtt/y", {"contact": True, "temperature": 22, "last_seen": "2026-07-01T12:01:59.120Z"})
    assert (now.readings, now.events) == ([], [])


def test_replay_does_not_turn_back_what_the_bridge_told(ear: Ear) -> None:
    """An old list of devices, refused in part, stays in quarantine."""
    listed = [{"friendly_name": "x", "type": "Router"}]
    first = ear.hear("zigbee2mqtt/bridge/devices", [*listed, {"friendly_name": "", "type": "Router"}])
    again = ear.replay(first)
    assert [one.reason for one in again.again[0]] == ["time"]
    assert (again.discovered, again.context) == ({}, {})


def test_action_is_an_event_each_time(ear: Ear) -> None:
    """A button that is pressed twice has been pressed twice; that it is released says nothing."""
    batches = [ear.hear("zigbee2mqtt/x", {"action": action}) for action in ("single", "", "single", None)]
    assert [[one.data for one in batch.events] for batch in batches] == [
        [{"action": "single"}],
        [],
        [{"action": "single"}],
        [],
    ]


def test_contact_of_a_cabinet_is_its_door() -> None:
    """The magnet touches when the door is shut."""
    ear = Ear(Zigbee2Mqtt(), kinds={"z2m.x": "cabinet"}, pace_s=60)
    assert readings(ear.hear("zigbee2mqtt/x", {"contact": False})) == {("z2m.x", "cabinetDoor"): 1}


def test_value_without_a_measure_is_kept(ear: Ear) -> None:
    """What the catalogue has no measure for goes to quarantine, the rest is stored."""
    batch = ear.hear("zigbee2mqtt/x", {"temperature": 30, "co2": 600, "state": "OPEN"})
    assert readings(batch) == {("z2m.x", "temperature"): 30}
    assert reasons(batch) == ["measure"]


def test_light_commands() -> None:
    """`set` with state, and brightness where there is one."""
    dialect = Zigbee2Mqtt()
    lamp = make_device("z2m.x", "zigbee2mqtt", friendly_name="a/x", switchable=True, dimmable=True)
    plug = make_device("z2m.x", "zigbee2mqtt", friendly_name="x", switchable=True, dimmable=False)
    orders = [dialect.light(lamp, level, 0)[0] for level in (0, 0.5, 1)]
    assert [(one.topic, json.loads(one.payload)) for one in orders] == [
        ("zigbee2mqtt/a/x/set", {"state": "OFF"}),
        ("zigbee2mqtt/a/x/set", {"state": "ON", "brightness": 127}),
        ("zigbee2mqtt/a/x/set", {"state": "ON", "brightness": 254}),
    ]
    assert json.loads(dialect.light(plug, 1, 0)[0].payload) == {"state": "ON"}
    with pytest.raises(CommandError, match="cannot be dimmed"):
        dialect.light(plug, 0.5, 0)
    with pytest.raises(CommandError, match="cannot be switched"):
        dialect.light(make_device("z2m.x", "zigbee2mqtt", friendly_name="x"), 1, 0)
    with pytest.raises(CommandError, match="cannot be switched"):
        dialect.light(make_device("z2m.x", "zigbee2mqtt", friendly_name="#", switchable=True), 1, 0)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("x", b"ON", "json"),
        ("x", b"[1]", "shape"),
        ("x", b"\xff", "encoding"),
        ("x", b'{"temperature":"warm"}', "value"),
        ("x", b'{"temperature":[1]}', "value"),
        ("x", b'{"brightness":%s}' % (b"9" * 400), "value"),
        ("x", b'{"brightness":{}}', "value"),
        ("x/set", b"{}", "topic"),
        ("x/get", b"{}", "topic"),
        ("x/set/state", b"ON", "topic"),
        ("", b"{}", "topic"),
        ("bridge/state", b"perhaps", "value"),
        ("bridge/devices", b"{}", "shape"),
        ("bridge/devices", b"[1]", "shape"),
        ("bridge/devices", b"[" * 20_000, "json"),
        ("bridge/devices", b'[{"friendly_name":"#"}]', "value"),
        ("bridge/devices", b'[{"friendly_name":"a\\u0000"}]', "value"),
        ("bridge/devices", b'[{"friendly_name":"bridge/logging"}]', "value"),
        ("bridge/devices", b'[{"friendly_name":7}]', "value"),
        ("bridge/devices", b'[{"friendly_name":"a"},{"friendly_name":"a"}]', "device"),
        ("bridge/devices", json.dumps([{}] * 5001).encode(), "size"),
    ],
)
def test_poison_goes_to_quarantine(ear: Ear, topic: str, payload: bytes, reason: str) -> None:
    """Every kind of poison stores nothing and is kept with its reason."""
    batch = ear.hear(f"zigbee2mqtt/{topic}", payload)
    assert reasons(batch) == [reason]
    assert not batch.readings
    assert not ear.intake.wanted


topics = st.sampled_from(["x", "a/b", "x/availability", "bridge/state", "bridge/devices", "bridge/groups"])
keys = st.sampled_from(
    [
        "state",
        "brightness",
        "temperature",
        "last_seen",
        "action",
        "occupancy",
        "battery",
        "voltage",
        "contact",
        "friendly_name",
        "definition",
        "exposes",
        "features",
        "property",
        "unit",
        "category",
        "type",
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["ON", "online", "a/b", "light"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=5),
    max_leaves=15,
)
payloads = st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(topics, payloads), min_size=1, max_size=4))
def test_hears_anything(said: list[tuple[str, bytes]]) -> None:
    """No payload raises."""
    ear = Ear(Zigbee2Mqtt(), pace_s=60)
    for topic, payload in said:
        batch = ear.hear(f"zigbee2mqtt/{topic}", payload)
        assert set(reasons(batch)) <= set(REASONS)
        assert not any("decoder failed" in one.detail for one in batch.rejected)
