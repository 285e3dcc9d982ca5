"""ChirpStack: its own messages decoded, lamps told by downlink, and all of it through the real broker and database."""

from __future__ import annotations

import copy
import json
import time
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.dialects.chirpstack import Chirpstack
from ingest.service import Ingest
from ioc.commands import REASONS as COMMAND_REASONS
from ioc.db.devices import device as registered
from ioc.db.events import events_of
from ioc.db.pool import Connection
from ioc.errors import CommandError, RejectedError
from ioc.model import Answer
from ioc.model import Device as Registered
from tests.decoding import RECEIVED, Ear, make_device, reasons, sample, states
from tests.fix_ingest import Device, eventually
from tests.ingest.hostile import check_sane, hostile

LAMP, GAUGE, BIN = (f"lora.70b3d57ed0061a0{n}" for n in (1, 2, 3))
APPLICATION = "6a1f6c2e-7f0a-4b8e-9a55-0d3c1b2a4f10"
Printed = Literal["full", "terse"]

both = pytest.mark.parametrize("printed", ["full", "terse"])


def said(name: str, printed: Printed = "full") -> tuple[str, dict[str, Any]]:
    """Topic and payload of a sample, as a newer or an older ChirpStack prints it."""
    payload = sample(f"chirpstack/{name}.json")[printed]
    event = {"nack": "ack", "txack": "txack", "ack": "ack"}.get(name, name.partition("_")[0])
    return f"application/{APPLICATION}/device/{payload['deviceInfo']['devEui']}/event/{event}", payload


def values(batch: Batch) -> dict[str, float]:
    return {one.measure: one.value for one in batch.readings}


def at(second: int) -> datetime:
    return datetime(2026, 7, 1, 11, 59, second, 775023, tzinfo=UTC)


@both
def test_uplink_of_a_lamp(printed: Printed) -> None:
    """Decoded values are stored under the catalogue's names and units, nested ones by their last name."""
    batch = Ear(Chirpstack()).hear(*said("up_lamp", printed))
    assert values(batch) == {
        "powerConsumption": 41.5,
        "illuminanceLevel": 0.6,
        "powerState": 1.0,
        "voltage": 221.4,
        "current": 0.19,
    }
    assert {one.device for one in batch.readings} == {LAMP}
    assert {one.time for one in batch.readings} == {at(10)}
    assert not batch.rejected  # a lamp does not report its signal
    found = batch.discovered[LAMP]
    assert (found.name, found.kind, found.dialect) == ("Đèn Võ Nguyên Giáp 12", "streetlight", "chirpstack")
    assert found.attrs == {
        "kind": "streetlight",
        "light_port": "7",
        "application": APPLICATION,
        "devEui": "70b3d57ed0061a01",
        "profile": "Lamp controller",
    }


@both
def test_uplink_of_a_gauge(printed: Printed) -> None:
    """The best signal is stored of a kind that reports it; values whose names are not alone wait in quarantine."""
    batch = Ear(Chirpstack()).hear(*said("up_gauge", printed))
    assert values(batch) == {"waterLevel": 1.12, "batteryLevel": 0.88, "rssi": -87.0}
    assert reasons(batch) == ["measure"]
    assert "sensors.a.echo" in batch.rejected[0].detail
    assert "sensors.b.echo" in batch.rejected[0].detail
    assert batch.seen[GAUGE].fresh == at(12)


def test_uplink_with_two_of_one_name() -> None:
    """Of two temperatures in different places neither is taken for the device's."""
    topic, payload = said("up_gauge")
    payload["object"] = {"inside": {"temperature": 40}, "outside": {"temperature": 30}}
    batch = Ear(Chirpstack()).hear(topic, payload)
    assert set(values(batch)) == {"rssi"}
    assert reasons(batch) == ["measure"]


@both
def test_uplink_nobody_decoded(printed: Printed) -> None:
    """Without a codec the bytes wait in quarantine, with what is to be done; the signal is known all the same."""
    batch = Ear(Chirpstack()).hear(*said("up_without_codec", printed))
    (rejected,) = batch.rejected
    assert (rejected.reason, rejected.client, rejected.dialect) == ("measure", BIN, "chirpstack")
    assert rejected.detail == (
        "3 bytes on fPort 2 that were not decoded; give the device profile 'Bin sensor' a codec in ChirpStack"
    )
    assert json.loads(rejected.payload)["data"] == "qrvM"
    assert values(batch) == {"rssi": -87.0}
    assert batch.discovered[BIN].kind == ""


@both
def test_uplink_without_data(printed: Printed) -> None:
    """An uplink that only keeps the link alive lacks no codec."""
    batch = Ear(Chirpstack()).hear(*said("up_empty", printed))
    assert not batch.rejected
    assert batch.seen[BIN].fresh == at(15)


@pytest.mark.parametrize(("object_", "reason"), [(None, "measure"), ([1], "shape"), ("x", "shape")])
def test_uplink_with_no_object(object_: Any, reason: str) -> None:
    """`object` may be null, which is none; another shape is a fault of itself."""
    topic, payload = said("up_without_codec")
    batch = Ear(Chirpstack()).hear(topic, payload | {"object": object_})
    assert reasons(batch) == [reason]
    assert values(batch) == {"rssi": -87.0}


@both
def test_status(printed: Printed) -> None:
    """A battery level is per cent; a device on the mains, or that cannot tell, has none."""
    listener = Ear(Chirpstack())
    batch = listener.hear(*said("status", printed))
    assert values(batch) == {"batteryLevel": pytest.approx(0.883)}
    assert [one.time for one in batch.readings] == [at(20)]
    for name, device in (("status_mains", LAMP), ("status_unavailable", GAUGE)):
        batch = listener.hear(*said(name, printed))
        assert not batch.readings
        assert not batch.rejected
        assert device in batch.seen


@pytest.mark.parametrize(
    ("level", "stored", "reason"),
    [(255, {}, []), (0, {"batteryLevel": 0.0}, []), (101, {}, ["range"]), ("x", {}, ["value"])],
)
def test_status_levels(level: Any, stored: dict[str, float], reason: list[str]) -> None:
    """255 is the word of LoRaWAN for no level; what is no percentage is quarantined."""
    topic, payload = said("status")
    batch = Ear(Chirpstack()).hear(topic, payload | {"batteryLevel": level})
    assert values(batch) == stored
    assert reasons(batch) == reason


@both
def test_join(printed: Printed) -> None:
    """A device that joins is online, and an event tells of it."""
    batch = Ear(Chirpstack()).hear(*said("join", printed))
    assert [(one.kind, one.source, one.time) for one in batch.events] == [("joined", "00189440", at(1))]
    assert states(batch) == [(GAUGE, "online")]
    assert not batch.undated


@both
def test_log(printed: Printed) -> None:
    """An error of the network server is a fault of the device, and no sign that it lives; the rest is left out."""
    listener = Ear(Chirpstack())
    batch = listener.hear(*said("log_error", printed))
    (event,) = batch.events
    assert (event.kind, event.source, event.time) == ("fault", "UPLINK_MIC", at(30))
    assert event.data == {
        "code": "UPLINK_MIC",
        "description": "MIC is invalid",
        "deduplication_id": "3b6f5e6c-0d57-4a86-9a4c-6f0e55b9d1c2",
    }
    assert not batch.seen
    quiet = listener.hear(*said("log_info", printed))
    assert not quiet.events
    assert not quiet.rejected


@both
def test_ack(printed: Printed) -> None:
    """A downlink that arrived shows that the device lives; one that did not is a fault and shows nothing."""
    listener = Ear(Chirpstack())
    batch = listener.hear(*said("ack", printed))
    assert not batch.events
    assert LAMP in batch.seen
    assert batch.answers == [Answer(LAMP, 0x2A, True, "", RECEIVED)]
    batch = listener.hear(*said("nack", printed))
    (event,) = batch.events
    assert (event.kind, event.data["code"]) == ("fault", "DOWNLINK_NOT_ACKNOWLEDGED")
    assert event.data["queueItemId"].endswith("2b")
    assert not batch.seen
    assert batch.answers == [Answer(LAMP, 0x2B, None, "unacknowledged", RECEIVED)]
    assert batch.answers[0].detail in COMMAND_REASONS


@pytest.mark.parametrize(
    "item",
    [
        "", "x", None, 42, "b4a2f6de-8d2a-4d51-9d7e-2f3a8f6f1a90",  # another application's
        "74687564-7563-2d69-0000-000000000000", "74687564-7563-2d69-ffff-ffffffffffff",  # a number that no command has
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["ack", "nack"])
def test_ack_of_what_is_not_ours(name: str, item: Any) -> None:
    """A downlink of somebody else is no command of ours, whatever became of it."""
    topic, payload = said(name)
    batch = Ear(Chirpstack()).hear(topic, payload | {"queueItemId": item})
    assert not batch.answers
    assert not batch.rejected
    assert bool(batch.events) == (name == "nack")


def test_log_that_a_downlink_is_discarded() -> None:
    """What the network server cannot send is refused in its words, and says nothing of the device."""
    topic, payload = said("log_error")
    item = {"queue_item_id": "74687564-7563-2d69-0000-00000000002a", "item_size": "300"}
    why = {"code": "DOWNLINK_PAYLOAD_SIZE", "description": "Queue-item exceeds the max. payload size", "context": item}
    batch = Ear(Chirpstack()).hear(topic, payload | why)
    assert batch.answers == [Answer(GAUGE, 0x2A, False, "Queue-item exceeds the max. payload size", RECEIVED)]
    assert [one.source for one in batch.events] == ["DOWNLINK_PAYLOAD_SIZE"]
    assert not batch.seen


@both
@pytest.mark.parametrize("name", ["txack", "location"])
def test_administrative_events(name: str, printed: Printed) -> None:
    """What gateways did, and where the network guesses that a device is, is not stored."""
    batch = Ear(Chirpstack()).hear(*said(name, printed))
    assert not batch.events
    assert not batch.readings
    assert not batch.rejected
    assert not batch.seen


def test_device_that_claims_to_be_another() -> None:
    """Topic and payload must name the same device in the same application."""
    topic, payload = said("up_gauge")
    listener = Ear(Chirpstack())
    for key, name in (("devEui", "70b3d57ed0061a01"), ("applicationId", "other"), ("devEui", None)):
        other = copy.deepcopy(payload)
        other["deviceInfo"][key] = name
        batch = listener.hear(topic, other)
        assert reasons(batch) == ["device"]
        assert not batch.readings
        assert not batch.discovered
    upper = listener.hear(topic.replace("70b3d57ed0061a02", "70B3D57ED0061A02"), payload)
    assert set(upper.discovered) == {GAUGE}


@pytest.mark.parametrize(
    "topic",
    [
        "application/a/device/xyz/event/up",
        "application/a/device/70b3d57ed0061a0/event/up",
        "application/a/device/70b3d57ed0061a01/event/gossip",
    ],
)
def test_topics_that_break_the_grammar(topic: str) -> None:
    """A topic of ours with another devEui or event goes to quarantine."""
    with pytest.raises(RejectedError) as caught:
        Chirpstack().route(topic)
    assert caught.value.reason == "topic"


@pytest.mark.parametrize("topic", ["application/a/device/70b3d57ed0061a01/command/down", "gateway/a/event/up"])
def test_topics_of_nobody(topic: str) -> None:
    """Commands and gateways are not ours."""
    assert Chirpstack().route(topic) is None


def lamp(kind: str = "streetlight", **attrs: Any) -> Registered:
    known = {"application": APPLICATION, "devEui": "70b3d57ed0061a01"}
    return make_device(LAMP, "chirpstack", kind, **known | attrs)


@pytest.mark.parametrize(
    ("attrs", "port", "object_"),
    [
        ({}, 10, {"light": 0.6, "dim": 60}),
        ({"light_port": "7"}, 7, {"light": 0.6, "dim": 60}),
        ({"light_port": 223, "light_key": "brightness"}, 223, {"brightness": 60}),
    ],
)
def test_light(attrs: dict[str, Any], port: int, object_: dict[str, Any]) -> None:
    """A lamp is told by a confirmed downlink whose id carries the order."""
    (message,) = Chirpstack().light(lamp(**attrs), 0.6, 42)
    assert message.topic == f"application/{APPLICATION}/device/70b3d57ed0061a01/command/down"
    assert not message.retain
    assert json.loads(message.payload) == {
        "id": "74687564-7563-2d69-0000-00000000002a",
        "devEui": "70b3d57ed0061a01",
        "confirmed": True,
        "fPort": port,
        "object": object_,
    }


@pytest.mark.parametrize(
    ("device", "why"),
    [
        (lamp("flood_gauge"), "expected a lamp"),
        (lamp(""), "expected a lamp"),
        (lamp(application=None), "not known"),
        (lamp(devEui=""), "not known"),
        (lamp(light_port="0"), "light_port"),
        (lamp(light_port="224"), "light_port"),
        (lamp(light_port="٧٧"), ""),
        (lamp(light_port="9" * 5000), "light_port"),
        (lamp(light_port=7.5), "light_port"),
    ],
)
def test_light_refused(device: Registered, why: str) -> None:
    """What is no lamp, or cannot be reached, is not told anything."""
    if not why:
        (message,) = Chirpstack().light(device, 0, 1)
        assert json.loads(message.payload)["fPort"] == 77
        return
    with pytest.raises(CommandError, match=why):
        Chirpstack().light(device, 1, 1)


POISON: list[tuple[str, Any, str]] = [
    ("protobuf", b"\n\x24\x33\x62\xff", "encoding"),
    ("text", "up", "json"),
    ("a list", [1], "shape"),
    ("no device", {"time": "2026-07-01T11:59:58Z"}, "shape"),
    ("device a text", {"deviceInfo": "x"}, "shape"),
]


@pytest.mark.parametrize(("payload", "reason"), [case[1:] for case in POISON], ids=[case[0] for case in POISON])
def test_poison_goes_to_quarantine(payload: Any, reason: str) -> None:
    """What cannot be understood is kept with its reason."""
    topic, _ = said("up_gauge")
    batch = Ear(Chirpstack()).hear(topic, payload)
    assert reasons(batch) == [reason]
    assert not batch.discovered


@pytest.mark.parametrize("event", ["up", "join", "log", "ack", "status"])
def test_bad_time_goes_to_quarantine(event: str) -> None:
    """A time that is none costs the message."""
    topic, payload = said({"up": "up_gauge", "log": "log_error", "ack": "nack"}.get(event, event))
    batch = Ear(Chirpstack()).hear(topic, payload | {"time": "soon"})
    assert "time" in reasons(batch)
    assert not batch.readings
    assert not batch.events


GIVEN = (
    "deviceInfo",
    "time",
    "object",
    "data",
    "rxInfo",
    "rssi",
    "tags",
    "level",
    "code",
    "context",
    "batteryLevel",
    "kind",
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["up", "status", "join", "log", "ack", "txack", "location", "integration"]), hostile(*GIVEN))
def test_decode_anything(event: str, payload: bytes) -> None:
    """No payload raises, with or without the right device in it; what is taken can be stored."""
    _, known = said("up_gauge")
    topic = f"application/{APPLICATION}/device/{known['deviceInfo']['devEui']}/event/{event}"
    listener = Ear(Chirpstack())
    check_sane(listener.hear(topic, payload))
    try:
        more = json.loads(payload)
    except (ValueError, RecursionError):
        return
    info = dict(known["deviceInfo"])
    if isinstance(more, dict):
        info |= {key: more[key] for key in more if key not in ("devEui", "applicationId")}
        check_sane(listener.hear(topic, json.dumps(known | more | {"deviceInfo": info}).encode()))
    check_sane(listener.hear(topic, json.dumps(known | {"object": more, "rxInfo": more, "context": more}).encode()))


# --- through the broker and the database ---


@pytest.mark.usefixtures("ingest")
def test_chirpstack_through_ingest(device: Device, ingest: Ingest, connection: Connection) -> None:
    """Devices appear with their names and tags, what they measure is stored once, and a lamp can be told."""
    shift = time.time() - RECEIVED.timestamp()

    def now(name: str) -> tuple[str, dict[str, Any]]:
        topic, payload = said(name)
        moment = datetime.fromisoformat(payload["time"]).timestamp() + shift
        return topic, payload | {"time": datetime.fromtimestamp(moment, UTC).isoformat()}

    for name in ("join", "up_gauge", "up_lamp", "status", "up_without_codec", "log_error", "nack"):
        topic, payload = now(name)
        device.send(topic, payload)
        if not name.startswith("up_without"):
            device.send(topic, payload)

    def readings(key: str) -> dict[str, int]:
        return dict(
            connection.execute("SELECT measure, count(*) FROM reading WHERE device = %s GROUP BY 1", [key]).fetchall()
        )

    eventually(lambda: connection.execute("SELECT 1 FROM event WHERE device = %s", [LAMP]).fetchone())
    assert readings(GAUGE) == {"waterLevel": 1, "batteryLevel": 2, "rssi": 1}
    assert readings(LAMP) == dict.fromkeys(
        ("powerConsumption", "illuminanceLevel", "powerState", "voltage", "current"), 1
    )
    told = events_of(connection, GAUGE, datetime(2026, 1, 1, tzinfo=UTC))
    assert sorted(one.kind for one in told) == ["fault", "joined"]
    found = registered(connection, LAMP)
    assert found is not None
    assert (found.status, found.kind, found.name, found.state) == (
        "new",
        "streetlight",
        "Đèn Võ Nguyên Giáp 12",
        "online",
    )
    kept = connection.execute("SELECT client, reason, count(*) FROM quarantine GROUP BY 1, 2 ORDER BY 1").fetchall()
    assert kept == [(GAUGE, "measure", 2), (BIN, "measure", 1)]

    (message,) = Chirpstack().light(found, 0.6, 42)
    heard: list[Any] = []
    granted: list[Any] = []
    device.client.on_message = lambda client, userdata, message: heard.append(message)
    device.client.on_subscribe = lambda client, userdata, mid, codes, properties: granted.append(codes)
    device.client.subscribe("application/+/device/+/command/+", 1)
    eventually(lambda: granted)
    ingest._link.publish(message)
    command = json.loads(eventually(lambda: heard)[0].payload)
    assert (command["fPort"], command["object"]) == (7, {"light": 0.6, "dim": 60})
    assert msgspec.json.decode(message.payload) == command
