"""Frigate: what its cameras are worth, what they see, and all of it through the real broker and database."""

from __future__ import annotations

import copy
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dialects.frigate import Frigate
from ioc.db.devices import device as registered
from ioc.db.devices import state_history
from ioc.db.events import events_of
from ioc.db.pool import Connection
from ioc.errors import CommandError
from ioc.live import Live
from ioc.model import Quality
from tests.decoding import RECEIVED, Ear, make_device, reasons, sample, states
from tests.fix_ingest import Device, Spawn, eventually, wait_beating
from tests.ingest.hostile import check_sane, hostile

CAMERA = "frigate.nga-tu-1"


def stats(**fps: Any) -> dict[str, Any]:
    return {"cameras": {name.replace("_", "-"): {"camera_fps": value} for name, value in fps.items()}}


def test_statistics_tell_which_cameras_deliver() -> None:
    """Every camera of the statistics is one, and one without pictures is offline."""
    batch = Ear(Frigate()).hear("frigate/stats", sample("frigate/stats.json"))
    assert states(batch) == [(CAMERA, "online"), ("frigate.cau-sai-gon", "offline")]
    assert batch.states[1].reason == "no pictures (camera_fps 0)"
    found = batch.discovered[CAMERA]
    assert (found.kind, found.dialect, found.name, found.attrs) == (
        "camera",
        "frigate",
        "nga-tu-1",
        {"camera": "nga-tu-1"},
    )
    assert not batch.rejected
    assert not batch.readings


def test_status_of_the_stream() -> None:
    """Each word of a stream is the camera's state."""
    frigate = Ear(Frigate())
    for word, state in (("online", "online"), ("offline", "offline"), ("disabled", "maintenance")):
        batch = frigate.hear("frigate/nga-tu-1/status/detect", word)
        assert states(batch) == [(CAMERA, state)]
    assert reasons(frigate.hear("frigate/nga-tu-1/status/detect", "sleepy")) == ["value"]


def test_unreachable_camera_stays_offline() -> None:
    """While a camera gives no pictures, a process that was started again does not make it online."""
    frigate = Ear(Frigate())
    frigate.hear("frigate/stats", stats(cam=0))
    said = [frigate.hear("frigate/cam/status/detect", word) for word in ("online", "offline", "online")]
    assert [states(batch) for batch in said] == [[("frigate.cam", "offline")]] * 3
    assert states(frigate.hear("frigate/stats", stats(cam=4.9))) == [("frigate.cam", "online")]


def test_switched_off_camera_is_not_lost() -> None:
    """A camera that is disabled gives no pictures and is under maintenance; enabled again it is what its stream says."""
    frigate = Ear(Frigate())
    frigate.hear("frigate/cam/status/detect", "disabled")
    assert states(frigate.hear("frigate/stats", stats(cam=0))) == [("frigate.cam", "maintenance")]
    assert states(frigate.hear("frigate/cam/status/detect", "online")) == [("frigate.cam", "online")]
    assert states(frigate.hear("frigate/cam/enabled/state", "OFF")) == [("frigate.cam", "maintenance")]
    assert states(frigate.hear("frigate/stats", stats(cam=0))) == [("frigate.cam", "maintenance")]
    assert states(frigate.hear("frigate/cam/enabled/state", "ON")) == []
    assert states(frigate.hear("frigate/stats", stats(cam=5))) == [("frigate.cam", "online")]


@pytest.mark.parametrize("word", ["offline", "stopped"])
def test_recorder_takes_its_cameras_along(word: str) -> None:
    """When Frigate is gone all its cameras are, and what their streams said before means nothing afterwards."""
    frigate = Ear(Frigate())
    frigate.hear("frigate/stats", stats(a=5, b=5))
    frigate.hear("frigate/a/status/detect", "online")
    batch = frigate.hear("frigate/available", word)
    assert states(batch) == [("frigate.a", "offline"), ("frigate.b", "offline")]
    assert {one.reason for one in batch.states} == {f"Frigate is {word}"}
    assert states(frigate.hear("frigate/available", "online")) == []
    assert states(frigate.hear("frigate/a/status/detect", "online")) == [("frigate.a", "online")]


def test_statistics_prove_that_frigate_runs() -> None:
    """The word that Frigate is back is sent at QoS 0 and may be lost; its statistics say it too."""
    frigate = Ear(Frigate())
    frigate.hear("frigate/stats", stats(cam=5))
    frigate.hear("frigate/available", "offline")
    batch = frigate.hear("frigate/stats", stats(cam=5))
    assert states(batch) == [("frigate.cam", "online")]
    assert batch.context["frigate/available"] == b"online"


def test_recorder_gone_before_its_cameras_are_known() -> None:
    """At a first start the broker tells what it kept in any order."""
    frigate = Ear(Frigate())
    assert states(frigate.hear("frigate/available", "offline")) == []
    assert states(frigate.hear("frigate/cam/enabled/state", "ON")) == [("frigate.cam", "offline")]


def test_knowledge_outlives_the_process() -> None:
    """What the next process must know is remembered: cameras, which of them deliver, what their streams said."""
    first, second = Ear(Frigate()), Ear(Frigate())
    kept: dict[str, bytes | None] = {}
    for topic, payload in (
        ("frigate/stats", stats(a=5, b=0, c=0)),
        ("frigate/a/status/detect", "offline"),
        ("frigate/c/status/detect", "disabled"),
    ):
        kept.update(first.hear(topic, payload).context)
    assert first.hear("frigate/stats", stats(a=4.7, b=0, c=0)).context == {
        "frigate/stats": b'{"cameras":{"a":{"camera_fps":1},"b":{"camera_fps":0},"c":{}}}'
    }
    assert not first.hear("frigate/stats", stats(a=5.2, b=0, c=0)).context
    for topic, payload in kept.items():
        assert payload is not None
        assert not second.hear(topic, payload).rejected
    assert states(second.hear("frigate/b/status/detect", "online")) == [("frigate.b", "offline")]
    assert states(second.hear("frigate/c/status/detect", "disabled")) == [("frigate.c", "maintenance")]
    gone = second.hear("frigate/available", "offline")
    assert [device for device, _ in states(gone)] == ["frigate.a", "frigate.b", "frigate.c"]
    assert gone.context["frigate/a/status/detect"] is None


def test_recording_that_fails_is_a_fault() -> None:
    """The camera is still there; that its recording went is an event, once however often it is said."""
    frigate = Ear(Frigate())
    batches = [frigate.hear("frigate/cam/status/record", word) for word in ("online", "offline", "offline", "online")]
    assert [[(one.kind, one.source, one.data["status"]) for one in batch.events] for batch in batches] == [
        [],
        [("fault", "status/record", "offline")],
        [],
        [],
    ]
    assert not any(batch.states for batch in batches)
    assert not frigate.hear("frigate/cam/status/dream", "offline").events


def test_object_is_one_event() -> None:
    """New, updated, ended: the same event, with what was last known, and nothing that names a person."""
    frigate = Ear(Frigate())
    told = [frigate.hear("frigate/events", sample(f"frigate/event_{part}.json")) for part in ("new", "update", "end")]
    events = [batch.events[0] for batch in told]
    assert len({(one.device, one.time, one.kind, one.source) for one in events}) == 1
    assert (events[0].device, events[0].kind) == (CAMERA, "object")
    assert events[0].time == RECEIVED - timedelta(seconds=20)
    assert events[1].data["zones"] == ["via-he"]
    assert "end_time" not in events[1].data
    assert events[2].data == {
        "label": "person",
        "score": 0.62,
        "top_score": 0.88,
        "box": [520, 214, 560, 330],
        "zones": [],
        "entered_zones": ["via-he"],
        "stationary": False,
        "start_time": RECEIVED.timestamp() - 20,
        "end_time": RECEIVED.timestamp() - 5,
    }
    assert "Nguyen" not in str(events[2])
    assert not told[0].undated
    assert told[0].discovered[CAMERA].kind == "camera"


def seen(start: float, now: float, end: float | None = None) -> dict[str, Any]:
    return {"after": {"camera": "cam", "id": "a", "start_time": start, "frame_time": now, "end_time": end}}


def test_object_that_came_before_what_is_believed_is_one_event() -> None:
    """A car that has been parked for forty days came when it came: the recorder's clock is right."""
    start = RECEIVED.timestamp() - 40 * 86_400
    frigate = Ear(Frigate(), pace_s=60)
    told = [frigate.hear("frigate/events", seen(start, RECEIVED.timestamp() + 60 * n)) for n in range(3)]
    assert {one.time for batch in told for one in batch.events} == {RECEIVED - timedelta(days=40)}


def test_object_by_a_clock_that_is_wrong_is_one_event() -> None:
    """It happened when it was told of first; the next one that has its id, after its end, is another."""
    ahead = RECEIVED.timestamp() + 3600
    frigate = Ear(Frigate(), pace_s=60)
    said = [seen(ahead, ahead + 60 * n, ahead + 60 if n == 3 else None) for n in range(5)]
    for topic in ("frigate/events", "frigate/reviews"):
        began = frigate.received + timedelta(seconds=60)
        told = [frigate.hear(topic, one) for one in said]
        times = [one.time for batch in told for one in batch.events]
        assert times == [began] * 4 + [began + timedelta(seconds=240)]


def test_replayed_statistics_say_nothing_of_now() -> None:
    """What was refused in part stays in quarantine; the camera that is lost stays lost."""
    frigate = Ear(Frigate(), pace_s=60)
    first = frigate.hear("frigate/stats", stats(cam=5, bad="x"))
    frigate.hear("frigate/available", "offline")
    again = frigate.replay(first)
    assert (states(again), again.context) == ([], {})
    assert [one.reason for one in again.again[0]] == ["time"]
    # Had the replay been believed, Frigate would run again, and this word say so.
    assert states(frigate.hear("frigate/cam/enabled/state", "ON")) == [("frigate.cam", "offline")]


def test_object_of_long_ago_says_that_its_camera_lives_now() -> None:
    """A car that has stood for hours was seen just now; the clock is judged by that, not by when it came."""
    said = sample("frigate/event_update.json")
    said["after"]["start_time"] -= 20 * 3600
    batch = Ear(Frigate()).hear("frigate/events", said)
    assert batch.events[0].time == RECEIVED - timedelta(hours=20, seconds=20)
    assert batch.seen[CAMERA].ahead_s == pytest.approx(-12)
    assert batch.seen[CAMERA].fresh is not None


def test_false_positive_is_no_event() -> None:
    """What Frigate itself does not believe is not stored."""
    said = sample("frigate/event_new.json")
    said["after"]["false_positive"] = True
    batch = Ear(Frigate()).hear("frigate/events", said)
    assert not batch.events
    assert not batch.rejected


def test_review_is_one_event() -> None:
    """A review is stored with its severity and what belongs to it; it proves no life of the camera."""
    batch = Ear(Frigate()).hear("frigate/reviews", sample("frigate/review.json"))
    (event,) = batch.events
    assert (event.kind, event.time, event.data["severity"]) == ("review", RECEIVED - timedelta(seconds=20), "alert")
    assert event.data["detections"] == [sample("frigate/event_new.json")["after"]["id"]]
    assert "Nguyen" not in str(event)
    assert not batch.seen


def test_persons_of_a_camera() -> None:
    """The count of persons is a measure of a camera, at the time at which it came."""
    frigate = Ear(Frigate())
    frigate.hear("frigate/stats", stats(cam=5))
    batch = frigate.hear("frigate/cam/person", "3")
    (reading,) = batch.readings
    assert (reading.device, reading.measure, reading.value, reading.quality) == (
        "frigate.cam",
        "peopleCount",
        3.0,
        Quality.NO_TIME,
    )
    assert reading.time == RECEIVED
    assert reasons(frigate.hear("frigate/cam/person", "many")) == ["value"]
    assert reasons(frigate.hear("frigate/cam/person", "-1")) == ["range"]


def test_zone_is_no_camera() -> None:
    """A zone has the same topic; a name waits in quarantine until the statistics tell, then zones are left out."""
    frigate = Ear(Frigate())
    batch = frigate.hear("frigate/via-he/person", "2")
    assert reasons(batch) == ["device"]
    assert not batch.discovered
    frigate.hear("frigate/stats", stats(cam=5))
    later = frigate.hear("frigate/via-he/person", "2")
    assert not later.rejected
    assert not later.readings
    assert not later.discovered
    assert not later.seen


def test_camera_taken_out_of_frigate() -> None:
    """When its retained settings are cleared, the camera is none any more."""
    frigate = Ear(Frigate())
    frigate.hear("frigate/cam/enabled/state", "ON")
    frigate.hear("frigate/cam/status/detect", "online")
    batch = frigate.hear("frigate/cam/enabled/state", b"")
    assert batch.context == {"frigate/cam/status/detect": None}
    assert states(frigate.hear("frigate/available", "offline")) == []
    assert not frigate.hear("frigate/available", b"").rejected


@pytest.mark.parametrize(
    "topic", ["frigate", "frigate/restart", "frigate/cam/motion", "frigate/cam/car", "frigate/cam/car/snapshot"]
)
def test_topics_of_nobody(topic: str) -> None:
    """What is not subscribed to is not ours."""
    assert Frigate().route(topic) is None


POISON: list[tuple[str, str, Any, str]] = [
    ("name", "frigate/a b/status/detect", "online", "device"),
    ("word", "frigate/available", "perhaps", "value"),
    ("bad utf-8", "frigate/available", b"\xff", "encoding"),
    ("switch", "frigate/cam/enabled/state", "MAYBE", "value"),
    ("stats of old", "frigate/stats", {"cam": {"camera_fps": 5}}, "shape"),
    ("stats a list", "frigate/stats", [1], "shape"),
    ("cameras a list", "frigate/stats", {"cameras": [1]}, "shape"),
    ("many cameras", "frigate/stats", {"cameras": {f"c{n}": {} for n in range(1001)}}, "size"),
    ("fps a word", "frigate/stats", {"cameras": {"cam": {"camera_fps": "fast"}}}, "value"),
    ("figures a number", "frigate/stats", {"cameras": {"cam": 5}}, "value"),
    ("camera a path", "frigate/stats", {"cameras": {"../cam": {"camera_fps": 5}}}, "device"),
    ("event without after", "frigate/events", {"type": "new"}, "shape"),
    ("event without camera", "frigate/events", {"after": {"id": "1-a", "start_time": 1.0}}, "device"),
    ("event without id", "frigate/events", {"after": {"camera": "cam", "start_time": 1.0}}, "value"),
    ("event without time", "frigate/events", {"after": {"camera": "cam", "id": "1-a"}}, "time"),
    ("event before time", "frigate/events", {"after": {"camera": "cam", "id": "1-a", "start_time": -5}}, "time"),
    ("review without json", "frigate/reviews", "nothing", "json"),
]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"), [case[1:] for case in POISON], ids=[case[0] for case in POISON]
)
def test_poison_goes_to_quarantine(topic: str, payload: Any, reason: str) -> None:
    """What cannot be understood is kept with its reason."""
    batch = Ear(Frigate()).hear(topic, payload)
    assert reasons(batch) == [reason]
    assert not batch.events
    assert not batch.states


def test_bad_figure_costs_itself_alone() -> None:
    """One camera without a figure does not hide the others."""
    batch = Ear(Frigate()).hear("frigate/stats", stats(a="x", b=5))
    assert reasons(batch) == ["value"]
    assert states(batch) == [("frigate.b", "online")]


NAMES = (
    "after",
    "camera",
    "id",
    "start_time",
    "frame_time",
    "cameras",
    "camera_fps",
    "data",
    "box",
    "current_zones",
    "cam",
    "label",
)
TOPICS = st.sampled_from(
    [
        "frigate/available",
        "frigate/stats",
        "frigate/events",
        "frigate/reviews",
        "frigate/cam/status/detect",
        "frigate/cam/status/record",
        "frigate/cam/enabled/state",
        "frigate/cam/person",
    ]
)
SEEN = st.fixed_dictionaries(
    {"camera": st.just("cam"), "id": st.text(min_size=1, max_size=300), "start_time": st.just(RECEIVED.timestamp())}
)


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            TOPICS, hostile(*NAMES) | st.sampled_from([b"online", b"offline", b"disabled", b"ON", b"OFF", b"3", b""])
        ),
        max_size=5,
    ),
    SEEN,
    hostile(*NAMES),
)
def test_decode_anything(messages: list[tuple[str, bytes]], seen: dict[str, Any], more: bytes) -> None:
    """No payload raises, whatever came before; what is taken can be stored."""
    frigate = Ear(Frigate())
    for topic, payload in messages:
        check_sane(frigate.hear(topic, payload))
    try:
        extra = json.loads(more)
    except (ValueError, RecursionError):
        extra = {}
    if isinstance(extra, dict):
        check_sane(frigate.hear("frigate/events", json.dumps({"after": extra | seen}).encode()))
        check_sane(frigate.hear("frigate/reviews", json.dumps({"after": seen | {"data": extra}}).encode()))


def test_camera_has_no_lamp() -> None:
    """A camera cannot be told to shine."""
    with pytest.raises(CommandError, match=CAMERA):
        Frigate().light(make_device(CAMERA, "frigate", "camera"), 1.0, 1)


# --- through the broker and the database ---


def moved(said: Any, by_s: float) -> Any:
    """The sample at another time."""
    said = copy.deepcopy(said)
    for part in (said["before"], said["after"]):
        for key in ("start_time", "frame_time", "end_time"):
            if part.get(key):
                part[key] += by_s
    return said


def test_frigate_through_ingest(device: Device, spawn: Spawn, live: Live, connection: Connection) -> None:
    """Cameras appear, what they see is stored once, and all go with the recorder, also when ingest was killed between."""
    device.send("frigate/nga-tu-1/enabled/state", b"ON", retain=True)
    device.send("frigate/available", b"online", retain=True)
    ingest = spawn()
    wait_beating(live, ingest)
    eventually(lambda: registered(connection, CAMERA))
    device.send("frigate/stats", sample("frigate/stats.json"))
    shift = time.time() - RECEIVED.timestamp()
    for part in ("new", "update", "end"):
        for _ in range(2):
            device.send("frigate/events", moved(sample(f"frigate/event_{part}.json"), shift))
    device.send("frigate/reviews", moved(sample("frigate/review.json"), shift))
    device.send("frigate/nga-tu-1/person", b"2")

    def camera() -> Any:
        return registered(connection, CAMERA)

    eventually(lambda: camera().state == "online")
    assert (camera().status, camera().kind, camera().dialect) == ("new", "camera", "frigate")
    counted = eventually(
        lambda: connection.execute(
            "SELECT value, quality FROM reading WHERE device = %s AND measure = 'peopleCount'", [CAMERA]
        ).fetchall()
    )
    assert counted == [(2.0, Quality.NO_TIME)]
    events = {one.kind: one for one in events_of(connection, CAMERA, datetime(2026, 1, 1, tzinfo=UTC))}
    assert set(events) == {"object", "review"}
    assert events["object"].data["end_time"] == pytest.approx(RECEIVED.timestamp() - 5 + shift)
    assert registered(connection, "frigate.cau-sai-gon").state == "offline"  # type: ignore[union-attr]

    ingest.kill()
    ingest.wait()
    device.send("frigate/available", b"offline", retain=True)
    wait_beating(live, spawn())
    eventually(lambda: camera().state == "offline")
    assert camera().state_reason == "Frigate is offline"
    history = state_history(connection, CAMERA, datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1))
    assert [one.state for one in history] == ["online", "offline"]
    rejected = connection.execute("SELECT topic, reason, detail FROM quarantine").fetchall()
    assert rejected == []
