"""The dialect of the technicians' mappings: pure, up to the batch."""

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
from ingest.dialect import Dialect
from ingest.dialects import all_dialects, standing_filters
from ingest.dialects.mapped import Mapped
from ingest.dialects.native import Native
from ingest.intake import Intake
from ingest.message import QUARANTINE, Block
from ioc.errors import CommandError
from ioc.mapping import Item, TopicMapping, check
from ioc.model import REASONS, Device, Quality
from tests.decoding import make_device
from tests.ioc.test_mapped import MAPPINGS, SHAPED
from tests.ioc.test_mapping import make_mapping

RECEIVED = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_MS = round(RECEIVED.timestamp() * 1000)


class Desk:
    """A decoder with mappings."""

    def __init__(self, *mappings: TopicMapping, kinds: dict[str, str] | None = None) -> None:
        *others, mapped = all_dialects()
        assert isinstance(mapped, Mapped)
        self.mapped = mapped
        self.mapped.use(mappings)
        self.intake = Intake(kinds or {}, Clocks(ahead_s=300, behind_s=86_400))
        self.decoder = Decoder(
            self.intake, (*others, mapped), most_bytes=200_000, ahead=mapped.ahead, supplement=mapped.supplement
        )

    def map(self, *mappings: TopicMapping) -> None:
        """Work with these from now on, as ingest does when mappings change."""
        self.mapped.use(mappings)
        self.decoder.forget_routes()

    def decode(self, *messages: tuple[str, Any], replayed_at: datetime | None = None) -> Batch:
        """The batch that these messages make, one block of all of them, or each from quarantine."""
        raw = [
            (topic.encode(), payload if isinstance(payload, bytes) else json.dumps(payload).encode(), number, False)
            for number, (topic, payload) in enumerate(messages, 1)
        ]
        if replayed_at is None:
            self.decoder.decode(Block(1, RECEIVED, raw, 1))
        else:
            for number, one in enumerate(raw):
                at = replayed_at + timedelta(microseconds=number)
                self.decoder.decode(Block(0, at, [one], 0, QUARANTINE))
        return self.intake.take()


def stored(batch: Batch) -> list[tuple[str, str, float, int]]:
    return [(one.device, one.measure, one.value, one.quality) for one in batch.readings]


def reasons(batch: Batch) -> list[str]:
    return [one.reason for one in batch.rejected]


def test_mapped_message_becomes_readings() -> None:
    """The device is discovered once, its values are stored at their receive time."""
    desk = Desk(make_mapping(kind="air_station"))
    batch = desk.decode(("garden/bed-3/air", {"t": 24.5, "rh": 60}), ("garden/bed-3/air", {"t": 24.6}))
    assert stored(batch) == [
        ("map.bed-3", "temperature", 24.5, Quality.NO_TIME),
        ("map.bed-3", "relativeHumidity", 0.6, Quality.NO_TIME),
        ("map.bed-3", "temperature", 24.6, Quality.NO_TIME),
    ]
    assert not batch.rejected
    (met,) = batch.discovered.values()
    assert (met.device, met.dialect, met.kind, met.name) == ("map.bed-3", "mapped", "air_station", "bed-3")
    assert not desk.decode(("garden/bed-3/air", {"t": 24.5})).discovered


def test_mapped_message_with_its_own_time() -> None:
    """A time that is believed is the reading's; one that is not is kept as the device's."""
    desk = Desk(make_mapping(time_path="ts", time_format="epoch_s"))
    batch = desk.decode(("garden/x/air", {"t": 1, "ts": NOW_MS / 1000 - 60}), ("garden/x/air", {"t": 1, "ts": 0}))
    (reading,) = batch.readings
    assert (reading.time, reading.quality) == (RECEIVED - timedelta(seconds=60), Quality.GOOD)
    ((off, device_time),) = batch.clock_off
    assert (off.quality, device_time) == (Quality.CLOCK_OFF, datetime(1970, 1, 1, tzinfo=UTC))


def test_mapping_without_values_keeps_samples() -> None:
    """What comes where one only listens lies in quarantine, whatever it is."""
    batch = Desk(make_mapping(items=(), device="")).decode(("garden/x/air", {"t": 1}), ("garden/y/air", b"\xff\0"))
    assert reasons(batch) == ["mapping", "mapping"]
    assert [one.dialect for one in batch.rejected] == ["mapped", "mapped"]
    assert len({one.received for one in batch.rejected}) == 2
    assert not batch.seen


def test_mapping_that_is_disabled_or_gone_takes_nothing() -> None:
    """Its topic is nobody's again, also where the route was known."""
    desk = Desk(make_mapping())
    assert desk.mapped.wanted == {"garden/+/air"}
    assert stored(desk.decode(("garden/x/air", {"t": 1})))
    desk.map(make_mapping(enabled=False))
    assert desk.mapped.wanted == frozenset()
    assert reasons(desk.decode(("garden/x/air", {"t": 1}))) == ["topic"]


def test_mapping_is_not_in_the_way_of_a_dialect() -> None:
    """A filter that overlaps a built-in dialect's is not listened to beside it, and its devices keep their names."""
    desk = Desk(make_mapping(filter="+/x/telemetry"), make_mapping(filter="a/b", device="{a..b"))
    assert desk.mapped.wanted == frozenset()
    batch = desk.decode(("ioc/x/telemetry", {"ts": NOW_MS, "values": {"pm25": 1.0}}), ("ioc/map.x/telemetry", b"{}"))
    assert stored(batch) == [("x", "pm25", 1.0, 0)]
    assert reasons(batch) == ["device"]


def test_mapped_value_that_its_kind_does_not_report() -> None:
    """A person has said what the device is; then the mapping must fit it."""
    desk = Desk(make_mapping(), kinds={"map.x": "waste_bin"})
    batch = desk.decode(("garden/x/air", {"t": 20, "rh": 50}))
    assert stored(batch) == [("map.x", "temperature", 20.0, Quality.NO_TIME)]
    assert reasons(batch) == ["measure"]


SUPPLEMENT = TopicMapping(
    "thêm",
    "ioc/air/telemetry",
    items=(
        Item("values.tvoc", "pm10", scale=2),
        Item("values.fw", "ignore"),
        Item("values.hot", "temperature", unit="°F"),
    ),
)


def test_supplement_takes_what_the_dialect_cannot() -> None:
    """Named values are stored beside the dialect's own, at their time; ignored ones vanish; others are refused as before."""
    batch = Desk(SUPPLEMENT).decode(
        ("ioc/air/telemetry", {"ts": NOW_MS, "values": {"pm25": 5.0, "tvoc": 11, "fw": "1.2", "odd": 1, "hot": 86}})
    )
    assert stored(batch) == [("air", "pm25", 5.0, 0), ("air", "pm10", 22.0, 0), ("air", "temperature", 30.0, 0)]
    assert {reading.time for reading in batch.readings} == {RECEIVED}
    assert [(one.reason, one.detail) for one in batch.rejected] == [("measure", "'odd': not in the catalogue")]
    assert not batch.discovered


def test_supplement_leaves_other_topics_and_other_faults_alone() -> None:
    """It takes values without a measure, on its topics."""
    desk = Desk(SUPPLEMENT)
    other = desk.decode(("ioc/other/telemetry", {"ts": NOW_MS, "values": {"fw": 1}}))
    assert reasons(other) == ["measure"]
    wrong = desk.decode(("ioc/air/telemetry", {"ts": NOW_MS, "values": {"pm25": "x", "fw": 1, "tvoc": "much"}}))
    assert sorted(reasons(wrong)) == ["value"]
    assert "pm25" in wrong.rejected[0].detail
    assert "pm10" in wrong.rejected[0].detail


def test_supplement_of_a_measure_its_kind_does_not_report() -> None:
    """The kind of the device stays in force."""
    batch = Desk(SUPPLEMENT, kinds={"air": "streetlight"}).decode(
        ("ioc/air/telemetry", {"ts": NOW_MS, "values": {"tvoc": 1, "powerConsumption": 40}})
    )
    assert stored(batch) == [("air", "powerConsumption", 40.0, 0)]
    assert reasons(batch) == ["measure"]


def test_supplement_of_a_wrong_clock() -> None:
    """The value keeps the device's time as its identity, as those beside it do."""
    batch = Desk(SUPPLEMENT).decode(("ioc/air/telemetry", {"ts": 1000, "values": {"pm25": 5.0, "tvoc": 11}}))
    assert [(one.measure, at.timestamp()) for one, at in batch.clock_off] == [("pm25", 1.0), ("pm10", 1.0)]


CHIRPSTACK = "application/1/device/0102030405060708/event/up"


def uplink(**values: Any) -> tuple[str, Any]:
    """A message of a gauge behind ChirpStack."""
    info = {"applicationId": "1", "deviceName": "g", "devEui": "0102030405060708"}
    return CHIRPSTACK, {"deviceInfo": info, "time": RECEIVED.isoformat(), "fPort": 2, "object": values}


@pytest.mark.parametrize("path", ["waterLevel", "object.waterLevel"])
def test_supplement_corrects_a_unit(path: str) -> None:
    """What a mapping names is read its way before the catalogue's unit is taken for granted; what it does not, as before."""
    items = (Item(path, "waterLevel", unit="cm"), Item("object.fillingLevel", "fillingLevel", unit="%"))
    values = {"waterLevel": 120, "fillingLevel": 55, "battery": 80, "temp": 30.0}
    plain = Desk().decode(uplink(**values))
    assert (len(plain.readings), reasons(plain)) == (2, ["range"])
    batch = Desk(TopicMapping("cm", CHIRPSTACK, items=items)).decode(uplink(**values), uplink(waterLevel=5))
    told = {(measure, value) for _, measure, value, _ in stored(batch)}
    assert told == {
        ("waterLevel", 1.2),
        ("fillingLevel", 0.55),
        ("batteryLevel", 0.8),
        ("temperature", 30.0),
        ("waterLevel", 0.05),
    }
    assert not batch.rejected


def test_supplement_corrects_by_the_measure_that_a_name_is_taken_for() -> None:
    """Quarantine and pages show a value under its measure, so a mapping may name it so."""
    mapping = TopicMapping("cm", CHIRPSTACK, items=(Item("waterLevel", "waterLevel", unit="cm"),))
    assert [one.value for one in Desk(mapping).decode(uplink(water_depth=5)).readings] == [0.05]


def test_supplement_corrects_its_own_topics_alone() -> None:
    """Another device with the same names is read as before, and so is this one once the mapping is gone."""
    desk = Desk(TopicMapping("F", "ioc/air/telemetry", items=(Item("values.temperature", "temperature", unit="°F"),)))
    message = {"ts": NOW_MS, "values": {"temperature": 50.0, "pm25": 1.0}}
    batch = desk.decode(("ioc/air/telemetry", message), ("ioc/other/telemetry", message))
    assert [(device, value) for device, measure, value, _ in stored(batch) if measure == "temperature"] == [
        ("air", 10.0),
        ("other", 50.0),
    ]
    desk.map()
    assert stored(desk.decode(("ioc/air/telemetry", message)))[0] == ("air", "temperature", 50.0, 0)


def test_supplement_leaves_out_what_it_names_and_not_the_rest() -> None:
    """A known value is left out where it is named; `$` means what nobody knows."""
    items = (Item("values.pm25", "ignore"), Item("$", "ignore"))
    batch = Desk(TopicMapping("x", "ioc/air/telemetry", items=items)).decode(
        ("ioc/air/telemetry", {"ts": NOW_MS, "values": {"pm25": 5.0, "temperature": 20.0, "odd": 1}})
    )
    assert stored(batch) == [("air", "temperature", 20.0, 0)]
    assert not batch.rejected


def test_supplement_that_makes_one_measure_of_two_values() -> None:
    """The second is refused aloud; a value that cannot be read costs itself alone."""
    items = (Item("values.pm25", "pm10"), Item("values.temperature", "temperature", unit="°F"))
    batch = Desk(TopicMapping("x", "ioc/air/telemetry", items=items)).decode(
        ("ioc/air/telemetry", {"ts": NOW_MS, "values": {"pm25": 5.0, "pm10": 6.0, "temperature": "warm"}})
    )
    assert stored(batch) == [("air", "pm10", 5.0, 0)]
    assert [one.reason for one in batch.rejected] == ["value"]
    assert "pm10" in batch.rejected[0].detail
    assert "warm" in batch.rejected[0].detail


def test_topic_without_a_supplement_keeps_its_route() -> None:
    """Messages that no mapping speaks of pass nothing that asks for one."""
    mapped = Desk(SUPPLEMENT).mapped
    for topic in ("ioc/other/telemetry", "ioc/air/state"):
        route = Native(frozenset()).route(topic)
        assert route is not None
        assert mapped.ahead(topic, route) is route


def test_mapping_of_all_below_a_level_leaves_onvif_its_messages() -> None:
    """`sensors/#` is listened to; what a camera says below it is the camera's."""
    mapping = make_mapping(filter="sensors/#", device="{2}")
    desk = Desk(mapping)
    assert check(mapping, (), standing_filters(all_dialects())) == []
    assert desk.mapped.wanted == {"sensors/#"}
    said = {"UtcTime": RECEIVED.isoformat(), "Source": {"Source": "1"}, "Data": {"State": True}}
    batch = desk.decode(("sensors/onvif-ej/VideoSource/MotionAlarm/&1", said), ("sensors/bed-3", {"t": 24.5}))
    assert [(one.device, one.kind) for one in batch.events] == [("onvif.sensors", "motion")]
    assert stored(batch) == [("map.bed-3", "temperature", 24.5, Quality.NO_TIME)]
    assert not batch.rejected


@pytest.mark.parametrize(
    "pattern", ["zigbee2mqtt/+/set", "cmnd/+/X", "/json/+/+/foo", "v1/gateway/claim", "/+/+/cmd", "v1/gateway/rpc"]
)
def test_mapping_where_it_could_never_work(pattern: str) -> None:
    """One that was kept before it was refused is not listened to any more."""
    mapping = make_mapping(filter=pattern, device="x")
    assert [fault.field for fault in check(mapping, (), standing_filters(all_dialects()))] == ["filter"]
    assert Desk(mapping).mapped.wanted == frozenset()


@pytest.mark.parametrize("topic", ["zigbee2mqtt/hall/lamp", "homeassistant/room/x", "/json/k/d/attrs"])
def test_mapping_where_a_dialect_lets_it_speak(topic: str) -> None:
    """What the check takes is read with the mapping, on its own or beside the dialect."""
    mapping = make_mapping(filter=topic, device="x", items=(Item("odd", "pm25"),))
    assert check(mapping, (), standing_filters(all_dialects())) == []
    assert [(one.measure, one.value) for one in Desk(mapping).decode((topic, {"odd": 3})).readings] == [("pm25", 3.0)]


def test_mapping_of_all_below_a_level_leaves_commands_alone() -> None:
    """What a lamp of Home Assistant is told, on whatever topic it named, is no reading and nothing wrong."""
    config = {"state_topic": "esp/lamp/state", "command_topic": "esp/lamp/command", "unique_id": "l", "name": "L"}
    desk = Desk(make_mapping(filter="esp/#", device="{2}"))
    desk.decode(("homeassistant/light/l/config", config))
    batch = desk.decode(("esp/lamp/command", b"ON"), ("esp/lamp/state", b"ON"), ("esp/bed/air", {"t": 20}))
    assert stored(batch) == [
        ("ha.l", "powerState", 1.0, Quality.NO_TIME),
        ("map.bed", "temperature", 20.0, Quality.NO_TIME),
    ]
    assert not batch.rejected


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda one: one.name)
def test_no_mapping_hears_our_commands(dialect: Dialect) -> None:
    """Whatever a dialect sends a lamp is sent where no mapping may listen."""
    known: dict[str, Any] = {"topic": "l", "relay": 1, "friendly_name": "a/b", "switchable": True}
    known |= {
        "api_key": "k",
        "device": "l",
        "group": "g",
        "node": "n",
        "application": "1",
        "devEui": "0102030405060708",
    }
    known |= {"level_metric": "level", "level_type": 9, "level_unit": "1"}  # a float of Sparkplug
    try:
        sent = dialect.light(make_device("l", dialect.name, **known), 1.0, 7)
    except CommandError:
        assert dialect.name in ("frigate", "onvif", "homeassistant", "mapped")
        return
    for one in sent:
        mapping = make_mapping(filter=one.topic, device="x")
        assert [fault.field for fault in check(mapping, (), standing_filters(all_dialects()))] == ["filter"]


def test_replayed_message_has_the_times_it_had() -> None:
    """Of a message without a time, what was stored at first has the same key when it is decoded again."""
    desk = Desk(make_mapping(items=(Item("t", "temperature"),)))
    messages = [("garden/x/air", {"t": n, "new": n}) for n in range(3)]
    first = desk.decode(*messages)
    assert reasons(first) == ["measure"] * 3
    desk.map(make_mapping(items=(Item("t", "temperature"), Item("new", "pm25"))))
    for rejected, message, reading in zip(first.rejected, messages, first.readings, strict=True):
        again = desk.decode(message, replayed_at=rejected.received)
        assert (again.readings[0].time, again.readings[0].value) == (reading.time, reading.value)
        assert again.readings[1].time == reading.time
        assert not again.rejected
        assert again.acks == {}
        assert again.seen["map.x"].fresh is None


def test_replayed_lists_never_meet() -> None:
    """Elements of lists that came in one block and were refused as a whole are all different when they are decoded again."""
    desk = Desk()
    payload = {"s": [{"t": n} for n in range(20)]}
    first = desk.decode(*[("garden/x/air", payload)] * 5)
    desk.map(make_mapping(items=(Item("s[*].t", "temperature"),)))
    times = [
        reading.time
        for rejected in first.rejected
        for reading in desk.decode(("garden/x/air", payload), replayed_at=rejected.received).readings
    ]
    assert len(set(times)) == 100


def test_replayed_message_refused_again_is_no_new_entry() -> None:
    """It stays the one that it is, and is not told to the sender."""
    desk = Desk()
    batch = desk.decode(("garden/x/air", {"t": 1}), replayed_at=RECEIVED)
    assert not batch.rejected
    assert [one.reason for one in batch.again[0]] == ["topic"]
    assert batch.replays == {0: (RECEIVED, 1)}
    batch.drop({0})
    assert (batch.replays, batch.again, batch.fed) == ({}, {}, [1])


def test_replayed_message_says_nothing_of_now() -> None:
    """A last will of then ends nothing, and an event that goes on does so."""
    desk, motion = Desk(), "cam/onvif-ej/VideoSource/MotionAlarm/&1"
    announced = {
        "name": "Temperature", "unique_id": "t1", "device_class": "temperature", "unit_of_measurement": "°C",
        "device": {"identifiers": ["g1"], "name": "Vườn"}, "state_topic": "g1/air",
        "availability": [{"topic": "g1/here", "payload_available": "1", "payload_not_available": "0"}],
    }  # fmt: skip
    assert not desk.decode(("homeassistant/sensor/g1/config", announced)).rejected
    assert [one.state for one in desk.decode(("g1/here", 0)).states] == ["offline"]
    batch = desk.decode(("g1/here", 1), replayed_at=RECEIVED)
    assert (batch.states, [one.reason for one in batch.again[0]]) == ([], ["time"])
    batch = desk.decode(("ioc/x/state", {"state": "offline"}), replayed_at=RECEIVED)
    assert (batch.states, [one.reason for one in batch.again[0]]) == ([], ["time"])
    began = desk.decode((motion, {"Data": {"State": True}}))
    for holds in (True, False):
        batch = desk.decode((motion, {"Data": {"State": holds}}), replayed_at=RECEIVED - timedelta(hours=1))
        assert (len(batch.events), batch.context) == (holds, {})
    ended = desk.decode((motion, {"Data": {"State": False}}))
    assert [one.time for one in ended.events] == [one.time for one in began.events]
    assert ended.context == {motion: None}


def test_mapped_device_takes_no_commands() -> None:
    """A mapping says how to read alone."""
    device = Device(
        "map.x", "streetlight", "x", None, None, "", "", "mapped", "", {}, "new", "unknown", None, "", None, None
    )
    with pytest.raises(CommandError, match="not how to command"):
        Mapped().light(device, 1.0, 1)


@settings(max_examples=300)
@given(
    st.lists(MAPPINGS, max_size=2),
    st.binary(max_size=60) | SHAPED.map(lambda value: json.dumps(value).encode()),
    st.sampled_from(["garden/x/air", "garden/\0/air", "ioc/air/telemetry", "garden/\ud7ff/air"]),
    st.booleans(),
)
def test_decode_anything_mapped(mappings: list[TopicMapping], payload: bytes, topic: str, again: bool) -> None:
    """No payload and no mapping raises; what is not taken has a known reason."""
    batch = Desk(*mappings).decode((topic, payload), replayed_at=RECEIVED if again else None)
    said = batch.rejected + [one for rejected in batch.again.values() for one in rejected]
    assert {one.reason for one in said} <= set(REASONS)
    assert not any("the decoder failed" in one.detail for one in said)
    times = [(one.device, one.measure, one.time) for one in [*batch.readings, *(one for one, _ in batch.clock_off)]]
    assert len(set(times)) == len(times) or any(mapping.time_format != "none" for mapping in mappings)
