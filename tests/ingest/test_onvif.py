"""ONVIF events as JSON: topics, items, properties that begin and end, and all of it through the real broker and database."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dialects.onvif import Onvif
from ioc.db.devices import device as registered
from ioc.db.events import events_of
from ioc.db.pool import Connection
from ioc.errors import CommandError, RejectedError
from ioc.live import Live
from tests.decoding import RECEIVED, Ear, reasons, sample
from tests.fix_ingest import Device, Spawn, eventually, wait_beating
from tests.ingest.hostile import check_sane, hostile

SAID = {one["what"]: (one["topic"], one["payload"]) for one in sample("onvif/events.json")}
CAMERA = "onvif.cam-cho"


def ago(seconds: float) -> datetime:
    return RECEIVED - timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("what", "kind", "local", "told"),
    [
        ("line crossed", "line", "RuleEngine/LineDetector/Crossed", {"Rule": "Vach 1", "ObjectId": 15}),
        ("zone entered", "zone", "RuleEngine/FieldDetector/ObjectsInside", {"IsInside": True, "VideoSource": 1}),
        ("motion", "motion", "VideoSource/MotionAlarm", {"State": True, "Source": "VideoSource_1"}),
        ("cell motion", "motion", "RuleEngine/CellMotionDetector/Motion", {"IsMotion": True}),
        ("scene changed", "tamper", "VideoSource/GlobalSceneChange/ImagingService", {"State": True}),
        ("too dark", "tamper", "VideoSource/ImageTooDark/ImagingService", {}),
        ("signal lost", "fault", "VideoSource/SignalLoss", {}),
        ("digital input", "input", "Device/Trigger/DigitalInput", {"InputToken": "DI-1", "LogicalState": "active"}),
        ("storage failed", "fault", "Device/HardwareFailure/StorageFailure", {"Failed": True}),
        ("temperature high", "other", "Device/Sensor/Temperature/High", {"Value": 333.15}),
        ("segments", "other", "RuleEngine/acme:Bien", {"Segments.Polyline.Point.1.@x": 1.0}),
    ],
)
def test_event(what: str, kind: str, local: str, told: dict[str, Any]) -> None:
    """Each well-known topic is an event of its kind, any other is one all the same."""
    batch = Ear(Onvif()).hear(*SAID[what])
    (event,) = batch.events
    assert not batch.rejected
    assert (event.device, event.kind, event.data["topic"]) == (CAMERA, kind, local)
    assert event.data.items() >= told.items()
    assert event.time == datetime.fromisoformat(SAID[what][1]["UtcTime"])
    assert event.source.startswith(local)
    assert batch.discovered[CAMERA].kind == "camera"
    assert batch.discovered[CAMERA].name == "cam-cho"
    assert batch.seen[CAMERA].fresh == event.time


def test_property_is_one_event() -> None:
    """An object enters and leaves: one event at its beginning, completed by its end."""
    onvif = Ear(Onvif())
    began, ended = onvif.hear(*SAID["zone entered"]), onvif.hear(*SAID["zone left"])
    (first,), (last,) = began.events, ended.events
    assert (first.device, first.time, first.kind, first.source) == (last.device, last.time, last.kind, last.source)
    assert first.time == ago(9)
    assert "end_time" not in first.data
    assert last.data == first.data | {"end_time": ago(2).isoformat()}
    assert not ended.undated
    assert ended.seen[CAMERA].ahead_s == pytest.approx(-2)


def test_property_with_other_objects() -> None:
    """While it holds, the list of objects may change: still one event."""
    topic, payload = SAID["zone entered"]
    other = copy.deepcopy(payload) | {"UtcTime": "2026-07-01T11:59:55Z"}
    other["Data"]["ObjectId"] = "15 17"
    onvif = Ear(Onvif())
    first, second = onvif.hear(topic, payload).events[0], onvif.hear(topic, other).events[0]
    assert (first.time, first.source) == (second.time, second.source)
    assert second.data["ObjectId"] == "15 17"
    assert onvif.hear(*SAID["zone left"]).events[0].data["ObjectId"] == "15 17"


def test_deleted_property_ends() -> None:
    """An empty payload ends what held, when it comes."""
    onvif = Ear(Onvif())
    topic, payload = SAID["motion"]
    onvif.hear(topic, payload)
    batch = onvif.hear(topic, b"")
    (event,) = batch.events
    assert event.data["end_time"] == RECEIVED.isoformat()
    assert batch.context == {topic: None}
    again = onvif.hear(topic, b"")
    assert not again.events
    assert not again.rejected


def test_end_without_beginning_is_nothing() -> None:
    """That there is no motion is no event; the camera spoke all the same."""
    topic, payload = SAID["motion"]
    batch = Ear(Onvif()).hear(topic, payload | {"Data": {"State": "false"}})
    assert not batch.events
    assert not batch.rejected
    assert batch.seen[CAMERA].ahead_s == pytest.approx(-4)


def test_beginning_is_remembered() -> None:
    """The next process knows what held when the last one ended."""
    first, second = Ear(Onvif()), Ear(Onvif())
    (kept,) = first.hear(*SAID["zone entered"]).context.items()
    assert kept[1] is not None
    second.hear(*kept)
    (event,) = second.hear(*SAID["zone left"]).events
    assert event.time == ago(9)
    assert event.data["end_time"] == ago(2).isoformat()


def test_wrong_clock_keeps_one_event() -> None:
    """A camera that lives in 1970 has its events at our time, and an end finds its beginning."""
    onvif = Ear(Onvif())
    topic, payload = SAID["motion"]
    began = onvif.hear(topic, payload | {"UtcTime": "1970-01-01T00:00:10Z"})
    ended = onvif.hear(
        topic,
        payload | {"UtcTime": "1970-01-01T00:00:15Z", "Data": {"State": "false"}},
        after_s=5,
    )
    assert began.events[0].time == ended.events[0].time == RECEIVED
    assert ended.events[0].data["end_time"] == (RECEIVED + timedelta(seconds=5)).isoformat()


@pytest.mark.parametrize("quoted", [True, False])
def test_quotes_are_optional(quoted: bool) -> None:
    """The same message with and without quotes is the same event."""
    payload = {
        "UtcTime": "2026-07-01T11:59:58Z",
        "Source": {"VideoSource": "1" if quoted else 1, "Rule": "007"},
        "Data": {"IsInside": "true" if quoted else True, "Level": "-0.5" if quoted else -0.5, "Name": "1e999"},
    }
    (event,) = Ear(Onvif()).hear("cam/onvif-ej/RuleEngine/FieldDetector/ObjectsInside/&1/007", payload).events
    assert event.source == "RuleEngine/FieldDetector/ObjectsInside/1/007"
    assert event.data == {
        "VideoSource": 1,
        "Rule": "007",
        "IsInside": True,
        "Level": -0.5,
        "Name": "1e999",
        "topic": "RuleEngine/FieldDetector/ObjectsInside",
    }


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("2026-07-01T11:59:58.5Z", ago(1.5)),
        ("2026-07-01T11:59:58.5", ago(1.5)),
        ("2026-07-01T18:59:58.5+07:00", ago(1.5)),
        (None, RECEIVED),
    ],
)
def test_time_is_utc(stamp: str | None, time: datetime) -> None:
    """UtcTime is UTC also without its Z; a message without it has the time at which it came."""
    topic, payload = SAID["line crossed"]
    batch = Ear(Onvif()).hear(topic, payload | {"UtcTime": stamp})
    assert [one.time for one in batch.events] == [time]


def test_objects_that_cross_together() -> None:
    """Two objects over one line in one instant are two events."""
    topic, payload = SAID["line crossed"]
    onvif = Ear(Onvif())
    sources = {onvif.hear(topic, payload | {"Data": {"ObjectId": str(n)}}).events[0].source for n in (15, 16)}
    assert len(sources) == 2


def test_long_rule_names_keep_apart() -> None:
    """What tells events apart is not cut off."""
    topic, payload = SAID["line crossed"]
    onvif = Ear(Onvif())
    sources = {onvif.hear(topic, payload | {"Source": {"Rule": "x" * 300 + end}}).events[0].source for end in "ab"}
    assert len(sources) == 2
    assert all(len(one) < 200 for one in sources)


def test_recognised_person_or_plate_is_not_stored() -> None:
    """That something was recognised is stored, who is not."""
    (event,) = Ear(Onvif()).hear(*SAID["plate read"]).events
    assert event.kind == "object"
    assert "51F" not in str(event)


def test_counters() -> None:
    """An occupancy counter whose rule bears the name of a measure is that; other counters wait for somebody to map them."""
    onvif = Ear(Onvif())
    (reading,) = onvif.hear(*SAID["occupancy"]).readings
    assert (reading.device, reading.measure, reading.value, reading.time) == (CAMERA, "peopleCount", 7.0, ago(4))
    batch = onvif.hear(*SAID["counter"])
    assert not batch.events
    assert reasons(batch) == ["measure"]
    assert "Counter Lan 2" in batch.rejected[0].detail


def test_administrative_topics_are_left_out() -> None:
    """The load of a camera's processor is nothing of the city; that it spoke is noted."""
    batch = Ear(Onvif()).hear(*SAID["load"])
    assert not batch.events
    assert not batch.rejected
    assert CAMERA in batch.seen


def test_prefix_is_a_name() -> None:
    """Any prefix becomes an id of ours, and stays the device's name."""
    batch = Ear(Onvif()).hear("E4:30:22:F3:31:AA/onvif-ej/VideoSource/MotionAlarm/&1", SAID["motion"][1])
    (found,) = batch.discovered.values()
    assert found.name == found.attrs["prefix"] == "E4:30:22:F3:31:AA"
    assert found.device.startswith("onvif.E4-30-22-F3-31-AA-")


@pytest.mark.parametrize(
    "topic", ["onvif-ej", "cam/onvif-mj/VideoAnalytics", "a/b/onvif-ej/VideoSource/MotionAlarm/&1"]
)
def test_topics_of_nobody(topic: str) -> None:
    """Other payloads of ONVIF, and prefixes of several levels, are not ours."""
    assert Onvif().route(topic) is None


@pytest.mark.parametrize(
    "topic", ["/onvif-ej/VideoSource/MotionAlarm/&1", "cam/onvif-ej", "cam/onvif-ej/&1", "cam/onvif-ej//&1"]
)
def test_topics_that_break_the_grammar(topic: str) -> None:
    """A topic of ours without a prefix or without a topic goes to quarantine."""
    with pytest.raises(RejectedError) as caught:
        Onvif().route(topic)
    assert caught.value.reason == "topic"


POISON: list[tuple[str, Any, str]] = [
    ("text", "motion!", "json"),
    ("bad utf-8", b'{"UtcTime":"\xff"}', "encoding"),
    ("a list", [1], "shape"),
    ("source a list", {"UtcTime": "2026-07-01T11:59:58Z", "Source": [1]}, "shape"),
    ("data a text", {"UtcTime": "2026-07-01T11:59:58Z", "Source": {}, "Data": "x"}, "shape"),
    ("no such time", {"UtcTime": "yesterday", "Source": {}, "Data": {}}, "time"),
    ("time a list", {"UtcTime": [], "Source": {}, "Data": {}}, "time"),
    ("end at no time", {"UtcTime": "0000-00-00T00:00:00Z", "Source": {}, "Data": {"State": False}}, "time"),
    ("many items", {"UtcTime": "2026-07-01T11:59:58Z", "Data": {str(n): n for n in range(600)}}, "size"),
]


@pytest.mark.parametrize(("payload", "reason"), [case[1:] for case in POISON], ids=[case[0] for case in POISON])
def test_poison_goes_to_quarantine(payload: Any, reason: str) -> None:
    """What cannot be understood is kept with its reason."""
    batch = Ear(Onvif()).hear("cam/onvif-ej/VideoSource/MotionAlarm/&1", payload)
    assert reasons(batch) == [reason]
    assert not batch.events


LEVELS = st.sampled_from(
    [
        "RuleEngine/LineDetector/Crossed",
        "VideoSource/MotionAlarm",
        "RuleEngine/CountAggregation/OccupancyCounter",
        "Monitoring/X",
    ]
)
GIVEN = ("UtcTime", "Source", "Data", "SimpleItem", "Name", "Value", "State", "IsMotion", "Rule", "Count", "ObjectId")


@settings(max_examples=150)
@given(st.lists(st.tuples(LEVELS, st.just(b"") | hostile(*GIVEN)), max_size=5), hostile(*GIVEN), st.booleans())
def test_decode_anything(messages: list[tuple[str, bytes]], items: bytes, holds: bool) -> None:
    """No payload raises, whatever came before; what is taken can be stored."""
    onvif = Ear(Onvif())
    for local, payload in messages:
        check_sane(onvif.hear(f"cam/onvif-ej/{local}/&1", payload))
    try:
        more = json.loads(items)
    except (ValueError, RecursionError):
        more = {}
    said = {"UtcTime": "2026-07-01T11:59:58Z", "Source": more, "Data": {"State": holds, "More": more}}
    check_sane(onvif.hear("cam/onvif-ej/VideoSource/MotionAlarm/&1", json.dumps(said).encode()))
    check_sane(onvif.hear("cam/onvif-ej/VideoSource/MotionAlarm/&1", b""))


@given(st.text(max_size=30).map(lambda text: text.replace("\0", "")))
def test_route_any_topic(rest: str) -> None:
    """A topic is ours, nobody's, or against the grammar; nothing else comes of it."""
    try:
        route = Onvif().route(f"cam/onvif-ej/{rest}")
    except RejectedError:
        return
    assert route is not None
    assert route.device == "onvif.cam"


# --- through the broker and the database ---


def test_onvif_through_ingest(device: Device, spawn: Spawn, live: Live, connection: Connection) -> None:
    """A camera appears and is online, a property that held when ingest was killed ends as the event it began."""
    ingest = spawn()
    wait_beating(live, ingest)
    topic, payload = SAID["zone entered"]
    start = datetime.now(UTC)
    # Properties are retained by the standard; that they are must not double them.
    device.send(topic, payload | {"UtcTime": start.isoformat()}, retain=True)
    device.send(*SAID["line crossed"])

    def stored() -> Any:
        return events_of(connection, CAMERA, datetime(2026, 1, 1, tzinfo=UTC))

    eventually(lambda: len(stored()) == 2)
    camera = registered(connection, CAMERA)
    assert camera is not None
    assert (camera.status, camera.kind, camera.dialect, camera.state) == ("new", "camera", "onvif", "online")
    with pytest.raises(CommandError, match=CAMERA):
        Onvif().light(camera, 1.0, 1)

    ingest.kill()
    ingest.wait()
    end = datetime.now(UTC)
    left = {"UtcTime": end.isoformat(), "Source": payload["Source"], "Data": {"IsInside": "false"}}
    device.send(topic, left, retain=True)
    wait_beating(live, spawn())
    zone = eventually(lambda: [one for one in stored() if "end_time" in one.data])
    assert len(stored()) == 2
    assert [one.kind for one in zone] == ["zone"]
    assert datetime.fromisoformat(zone[0].data["end_time"]) - zone[0].time == end - start
    assert connection.execute("SELECT count(*) FROM dialect_context").fetchone() == (0,)
    assert connection.execute("SELECT topic, reason, detail FROM quarantine").fetchall() == []
