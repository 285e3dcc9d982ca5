"""The native dialect: pure, up to the batch."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.clock import Clocks
from ingest.decode import Decoder
from ingest.dialects.native import Native
from ingest.intake import Intake
from ingest.message import QUARANTINE, Block
from ioc.catalog import KINDS, MEASURES
from ioc.model import REASONS, Quality
from tests.ingest.test_jpeg import make_jpeg

RECEIVED = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_MS = round(RECEIVED.timestamp() * 1000)
KIND = {"air": "air_station", "lamp": "streetlight", "cam": "camera"}


def decode(topic: str | bytes, payload: Any, *, redelivered: bool = False) -> Batch:
    """The batch that one message makes."""
    intake = Intake(KIND, Clocks(ahead_s=300, behind_s=86_400))
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    name = topic if isinstance(topic, bytes) else topic.encode()
    Decoder(intake, [Native()], most_bytes=200_000).decode(Block(1, RECEIVED, [(name, raw, 1, redelivered)], len(raw)))
    return intake.take()


def reasons(batch: Batch) -> list[str]:
    return [one.reason for one in batch.rejected]


def good(**values: Any) -> dict[str, Any]:
    return {"ts": NOW_MS, "values": values}


def test_telemetry_becomes_readings() -> None:
    """Every value of a message is one reading at the device's time."""
    batch = decode("ioc/air/telemetry", {"ts": NOW_MS - 1500, "values": {"pm25": 12.5, "pm10": 30}, "seq": 4, "x": []})
    assert [(r.device, r.measure, r.value, r.quality) for r in batch.readings] == [
        ("air", "pm25", 12.5, 0),
        ("air", "pm10", 30.0, 0),
    ]
    assert batch.readings[0].time == RECEIVED - timedelta(milliseconds=1500)
    assert batch.readings[0].received == RECEIVED
    assert not batch.rejected
    assert batch.acks == {1: [1]}


def test_telemetry_list_with_a_bad_item() -> None:
    """A list is many messages in one: a bad item costs itself alone."""
    batch = decode("ioc/air/telemetry", [good(pm25=1.0), 7, {"values": {"pm25": 2.0}}, good(pm25=3.0)])
    assert [r.value for r in batch.readings] == [1.0, 3.0]
    assert sorted(reasons(batch)) == ["shape", "time"]


def test_telemetry_one_bad_value_among_good() -> None:
    """The good values of a message are stored, the bad one goes to quarantine with the message."""
    batch = decode("ioc/air/telemetry", good(pm25=12.5, pm10="lots", nonsense=1, no2=-5.0))
    assert [r.measure for r in batch.readings] == ["pm25"]
    assert sorted(reasons(batch)) == ["measure", "range", "value"]
    assert all(json.loads(one.payload)["values"]["pm25"] == 12.5 for one in batch.rejected)


def test_telemetry_not_a_number_beside_a_good_value() -> None:
    """NaN and 1e999 are no JSON for a strict parser; the good value beside them is stored all the same."""
    batch = decode("ioc/air/telemetry", b'{"ts": %d, "values": {"pm25": 12.5, "pm10": NaN, "o3": 1e999}}' % NOW_MS)
    assert [(r.measure, r.value) for r in batch.readings] == [("pm25", 12.5)]
    assert reasons(batch) == ["value"]


DEEP = b"[" * 20_000 + b"]" * 20_000
POISON: list[tuple[str, str | bytes, bytes, str]] = [
    ("empty", "ioc/air/telemetry", b"", "json"),
    ("blank", "ioc/air/telemetry", b" ", "json"),
    ("not json", "ioc/air/telemetry", b"pm25=12", "json"),
    ("cut off", "ioc/air/telemetry", b'{"ts":1,"values":{"pm25":', "json"),
    ("bad utf-8", "ioc/air/telemetry", b'{"ts":1,"values":{"pm\xff":1}}', "encoding"),
    ("bare bad utf-8", "ioc/air/telemetry", b"\xff\xfe", "encoding"),
    ("utf-16", "ioc/air/telemetry", "{}".encode("utf-16"), "encoding"),
    ("deep", "ioc/air/telemetry", DEEP, "json"),
    ("deep value", "ioc/air/telemetry", b'{"ts":%d,"values":{"pm25":%s}}' % (NOW_MS, DEEP), "json"),
    (
        "nested value",
        "ioc/air/telemetry",
        b'{"ts":%d,"values":{"pm25":%s}}' % (NOW_MS, b"[" * 500 + b"]" * 500),
        "value",
    ),
    ("nul in a measure", "ioc/air/telemetry", b'{"ts":%d,"values":{"pm\\u000025":1}}' % NOW_MS, "encoding"),
    ("nul in a value", "ioc/lamp/telemetry", b'{"ts":%d,"values":{"powerState":"o\\u0000n"}}' % NOW_MS, "encoding"),
    ("half a surrogate", "ioc/air/telemetry", b'{"ts":%d,"values":{"\\ud800":1}}' % NOW_MS, "measure"),
    ("20 digits", "ioc/air/telemetry", b'{"ts":%d,"values":{"pm25":12345678901234567890}}' % NOW_MS, "range"),
    ("5,000 digits", "ioc/air/telemetry", b'{"ts":%d,"values":{"pm25":%s}}' % (NOW_MS, b"9" * 5000), "json"),
    ("20-digit time", "ioc/air/telemetry", b'{"ts":12345678901234567890,"values":{"pm25":1}}', "time"),
    ("no time", "ioc/air/telemetry", b'{"values":{"pm25":1}}', "time"),
    ("no values", "ioc/air/telemetry", b'{"ts":%d}' % NOW_MS, "shape"),
    ("values a list", "ioc/air/telemetry", b'{"ts":%d,"values":[1]}' % NOW_MS, "shape"),
    ("a number", "ioc/air/telemetry", b"7", "shape"),
    ("a string", "ioc/air/telemetry", b'"hello"', "shape"),
    ("null", "ioc/air/telemetry", b"null", "shape"),
    ("empty list", "ioc/air/telemetry", b"[]", "shape"),
    ("long list", "ioc/air/telemetry", json.dumps([good(pm25=1.0)] * 1001).encode(), "size"),
    ("too large", "ioc/air/telemetry", b" " * 200_001, "size"),
    ("other device", "ioc/air/telemetry", b'{"device":"lamp","ts":%d,"values":{"pm25":1}}' % NOW_MS, "device"),
    ("our finding", "ioc/cam/telemetry", b'{"ts":%d,"values":{"pictureState":"ok"}}' % NOW_MS, "measure"),
    ("not its measure", "ioc/air/telemetry", b'{"ts":%d,"values":{"waterLevel":1.0}}' % NOW_MS, "measure"),
    ("bad topic", "ioc/air/gossip", b"{}", "topic"),
    ("short topic", "ioc/air", b"{}", "topic"),
    ("bad device", "ioc/../telemetry", b"{}", "topic"),
    ("topic of bad utf-8", b"ioc/\xff/telemetry", b"{}", "encoding"),
    ("command from a device", "ioc/air/command", b"{}", "topic"),
    ("unknown state", "ioc/air/state", b'{"ts":1,"state":"sleepy"}', "value"),
    ("state a list", "ioc/air/state", b'{"state":["online"]}', "value"),
    ("state without state", "ioc/air/state", b"{}", "shape"),
    ("state with a nul", "ioc/air/state", b'{"state":"offline","reason":"\\u0000"}', "encoding"),
    ("announce of nothing", "ioc/air/announce", b"{}", "shape"),
    ("announce of unknown kind", "ioc/air/announce", b'{"kind":"toaster","name":"x"}', "value"),
    ("announce off the earth", "ioc/air/announce", b'{"kind":"camera","name":"x","lat":91,"lon":0}', "range"),
    ("announce half a place", "ioc/air/announce", b'{"kind":"camera","name":"x","lat":10}', "value"),
    ("announce with a nul", "ioc/air/announce", b'{"kind":"camera","name":"a\\u0000"}', "encoding"),
    ("announce of a bad parent", "ioc/air/announce", b'{"kind":"camera","name":"a","parent":"/"}', "value"),
    ("announce of deep attrs", "ioc/air/announce", b'{"kind":"camera","name":"a","attrs":{"x":[1]}}', "shape"),
    ("frame of text", f"ioc/cam/frame/{NOW_MS}", b"hello", "shape"),
    ("frame of a lamp", f"ioc/lamp/frame/{NOW_MS}", make_jpeg(), "measure"),
    ("frame without time", "ioc/cam/frame/now", make_jpeg(), "topic"),
]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"), [case[1:] for case in POISON], ids=[case[0] for case in POISON]
)
def test_poison_goes_to_quarantine(topic: str | bytes, payload: bytes, reason: str) -> None:
    """Every kind of poison stores nothing, is kept with its reason, and is acknowledged; of a picture little is kept."""
    batch = decode(topic, payload)
    assert reasons(batch) == [reason]
    assert not batch.readings
    assert not batch.states
    assert not batch.frames
    assert not batch.announced
    assert batch.acks == {1: [1]}
    (rejected,) = batch.rejected
    assert rejected.detail
    assert rejected.size == len(payload)
    most = 16 if payload.startswith(b"\xff\xd8") else 65_536 if len(payload) > 200_000 else len(payload)
    assert rejected.payload == payload[:most]
    assert "\0" not in rejected.topic + rejected.detail
    (rejected.topic + rejected.detail).encode()


topics = st.sampled_from(
    ["ioc/air/telemetry", "ioc/new/telemetry", "ioc/air/state", "ioc/air/announce", f"ioc/cam/frame/{NOW_MS}", "x"]
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["online", "camera", "on", NOW_MS]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["ts", "values", "state", "kind", "name", "lat", "lon", "reason", "pm25", *MEASURES])
            | st.text(),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=400)
@given(topics, st.binary(max_size=60) | json_values.map(lambda value: json.dumps(value).encode()))
def test_decode_anything(topic: str, payload: bytes) -> None:
    """No payload raises; what is taken is valid, what is not has a known reason."""
    batch = decode(topic, payload)
    assert set(reasons(batch)) <= set(REASONS)
    assert not any("the decoder failed" in one.detail for one in batch.rejected)
    for reading in batch.readings + [reading for reading, _ in batch.clock_off]:
        least, most = MEASURES[reading.measure].range
        assert least <= reading.value <= most
    assert all(announced is None or announced.kind in KINDS for announced in batch.announced.values())


@pytest.mark.parametrize(
    ("offset_s", "off"), [(0, False), (299, False), (301, True), (-86_399, False), (-86_401, True)]
)
def test_clock_off(offset_s: int, off: bool) -> None:
    """A time too far ahead or behind is stored at the receive time, with its quality and the device's own time."""
    batch = decode("ioc/air/telemetry", {"ts": NOW_MS + offset_s * 1000, "values": {"pm25": 12.5}})
    assert not batch.rejected
    if off:
        ((reading, device_time),) = batch.clock_off
        assert (reading.time, reading.quality) == (RECEIVED, Quality.CLOCK_OFF)
        assert device_time == RECEIVED + timedelta(seconds=offset_s)
    else:
        assert [reading.time for reading in batch.readings] == [RECEIVED + timedelta(seconds=offset_s)]
    assert batch.seen["air"].ahead_s == pytest.approx(offset_s)


def test_clock_off_in_a_list() -> None:
    """Readings of one message with a wrong clock keep apart."""
    batch = decode("ioc/air/telemetry", [{"ts": 1000 * n, "values": {"pm25": float(n)}} for n in range(20)])
    assert len({reading.time for reading, _ in batch.clock_off}) == 20


def test_sighting_takes_the_least_delayed_message() -> None:
    """A device that empties its buffer is not taken for one whose clock is behind."""
    batch = decode("ioc/air/telemetry", [{"ts": NOW_MS - n * 1000, "values": {"pm25": 1.0}} for n in (50_000, 2, 9000)])
    assert batch.seen["air"].ahead_s == pytest.approx(-2)
    assert batch.seen["air"].fresh == RECEIVED - timedelta(seconds=2)


def test_sighting_of_late_data_only() -> None:
    """Data of an hour ago does not say that the device lives."""
    batch = decode("ioc/air/telemetry", {"ts": NOW_MS - 3_600_000, "values": {"pm25": 1.0}})
    assert batch.seen["air"].fresh is None
    assert batch.seen["air"].received == RECEIVED


def test_state_with_and_without_time() -> None:
    """A state has the device's time; a last will has none and takes ours."""
    (state,) = decode("ioc/air/state", {"ts": NOW_MS - 500, "state": "maintenance", "reason": "filter"}).states
    assert (state.time, state.state, state.reason) == (RECEIVED - timedelta(milliseconds=500), "maintenance", "filter")
    batch = decode("ioc/air/state", {"state": "offline", "reason": "lwt"}, redelivered=True)
    assert batch.states[0].time == RECEIVED
    assert batch.unstamped == batch.undated == {0}


def test_announce_then_measure() -> None:
    """A device's measures are those of its kind from its announcement on; retiring it forgets the kind."""
    intake = Intake({}, Clocks(ahead_s=300, behind_s=86_400))
    decoder = Decoder(intake, [Native()], most_bytes=1000)
    wrong = json.dumps(good(waterLevel=1.0)).encode()
    steps = [
        (b"ioc/new/telemetry", wrong),
        (b"ioc/new/announce", b'{"kind":"air_station","name":"Tr\xe1\xba\xa1m","lat":10.8,"lon":106.8}'),
        (b"ioc/new/telemetry", wrong),
        (b"ioc/new/announce", b""),
        (b"ioc/new/telemetry", wrong),
    ]
    decoder.decode(Block(1, RECEIVED, [(topic, payload, 1, False) for topic, payload in steps], 1))
    assert len(intake.batch.readings) == 2
    assert reasons(intake.batch) == ["measure"]
    assert intake.batch.announced == {"new": None}


def test_frame_newest_of_a_batch() -> None:
    """Of several pictures of a camera the newest is kept; a camera with a wrong clock is stamped with ours."""
    intake = Intake(KIND, Clocks(ahead_s=300, behind_s=86_400))
    pictures = [(NOW_MS - 100, make_jpeg(32, 32)), (NOW_MS - 50, make_jpeg(48, 48)), (NOW_MS - 80, make_jpeg(16, 16))]
    block = Block(1, RECEIVED, [(b"ioc/cam/frame/%d" % ms, jpeg, 0, False) for ms, jpeg in pictures], 1)
    Decoder(intake, [Native()], most_bytes=100_000).decode(block)
    frame = intake.batch.frames["cam"]
    assert (frame.time, frame.jpeg) == (RECEIVED - timedelta(milliseconds=50), pictures[1][1])
    wrong = decode(f"ioc/cam/frame/{NOW_MS + 10**9}", make_jpeg())
    assert wrong.frames["cam"].time == RECEIVED


def test_answer_becomes_an_answer() -> None:
    """What a device says to a command, with the command's number and its own words."""
    batch = decode("ioc/lamp/command/result", {"id": 7, "ok": False, "detail": "relay\0stuck"})
    (answer,) = batch.answers
    assert (answer.device, answer.order, answer.ok, answer.detail) == ("lamp", 7, False, "relay\\0stuck")
    assert (answer.received, "lamp" in batch.seen) == (RECEIVED, True)
    assert not batch.rejected


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"{}", "shape"),
        (b'{"id": "7", "ok": true}', "shape"),
        (b'{"id": 7, "ok": 1}', "shape"),
        (b'{"id": 7, "ok": true, "detail": 3}', "shape"),
        (b'{"id": 0, "ok": true}', "value"),
        (b'{"id": 9223372036854775808, "ok": true}', "value"),
        (b"ok", "json"),
        (b"", "json"),
    ],
)
def test_answer_that_is_none_is_quarantined(payload: bytes, reason: str) -> None:
    """An answer without the number of a command, or without a yes or no, says nothing."""
    batch = decode("ioc/lamp/command/result", payload)
    assert not batch.answers
    assert reasons(batch) == [reason]


@pytest.mark.parametrize("order", [None, 7])
def test_answer_that_names_no_command_is_told_by_its_delivery(order: int | None) -> None:
    """Delivered again it must not answer the next command; one that names its command may come as often as it likes."""
    intake = Intake(KIND, Clocks(ahead_s=300, behind_s=86_400))
    message = (b"x", b"y", 1, False)
    intake.open(Block(1, RECEIVED, [message], 1))
    intake.answer("lamp", order, ok=True)
    batch = intake.take()
    assert batch.undated == (set() if order else {0})
    batch.drop({0})
    assert (batch.answers, batch.answers_of) == ([], [])


@pytest.mark.parametrize("order", [None, 7])
def test_answer_that_lay_in_quarantine(order: int | None) -> None:
    """Recalled, it answers the command that it names, and none where it was meant for one of that time."""
    intake = Intake(KIND, Clocks(ahead_s=300, behind_s=86_400))
    message = (b"x", b"y", 1, True)
    intake.open(Block(0, RECEIVED, [message], 1, QUARANTINE))
    intake.answer("lamp", order, ok=True)
    assert [one.order for one in intake.take().answers] == ([order] if order else [])


def test_more_values_than_any_device_has() -> None:
    """A thousand are taken, more are refused together before a single one is looked at."""
    names = [f"x{number}" for number in range(1001)]
    most = decode("ioc/air/telemetry", good(pm25=1.0, **dict.fromkeys(names[:999], 1.0)))
    assert (len(most.readings), reasons(most)) == (1, ["measure"])
    batch = decode("ioc/air/telemetry", good(**dict.fromkeys(names, 1.0)))
    assert (batch.readings, reasons(batch)) == ([], ["size"])


def test_name_without_end_is_nobodys() -> None:
    """Whoever maps unknown names is not asked for one that nobody gives a value."""
    asked: list[str] = []
    intake = Intake(KIND, Clocks(ahead_s=300, behind_s=86_400))
    decoder = Decoder(
        intake,
        [Native()],
        most_bytes=200_000,
        supplement=lambda topic, told: asked.extend(one.name for one in told.take_unknown()),
    )
    raw = json.dumps(good(**{"a" * 200: 1.0, "b." * 50_000: 1.0})).encode()
    decoder.decode(Block(1, RECEIVED, [(b"ioc/air/telemetry", raw, 1, False)], len(raw)))
    assert asked == ["a" * 200]
    assert reasons(intake.take()) == ["measure"]


def test_supplement_that_fails_costs_its_message_alone() -> None:
    """A fault of ours in what a mapping adds is told of the message, and the next one is decoded."""

    def supplement(topic: str, told: Intake) -> None:
        raise ZeroDivisionError

    intake = Intake(KIND, Clocks(ahead_s=300, behind_s=86_400))
    raws = [json.dumps(good(strange=1.0)).encode(), json.dumps(good(pm25=1.0)).encode()]
    messages = [(b"ioc/air/telemetry", raw, mid, False) for mid, raw in enumerate(raws, 1)]
    decoder = Decoder(intake, [Native()], most_bytes=200_000, supplement=supplement)
    decoder.decode(Block(1, RECEIVED, messages, sum(map(len, raws))))
    batch = intake.take()
    assert [one.measure for one in batch.readings] == ["pm25"]
    assert "ZeroDivisionError" in "".join(one.detail for one in batch.rejected if one.reason == "shape")
