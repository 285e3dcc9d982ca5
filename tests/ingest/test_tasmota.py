"""Tasmota: pure, up to the batch.

The samples follow Tasmota's documentation of MQTT, of JSON status responses and of its discovery.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dialects.tasmota import Tasmota
from ioc.errors import CommandError
from ioc.model import REASONS, Quality
from tests.decoding import Ear, make_device, readings, reasons, sample, states


@pytest.fixture
def ear() -> Ear:
    """Tasmota alone."""
    return Ear(Tasmota(), pace_s=60)


def test_sensors_in_their_units(ear: Ear) -> None:
    """Values of every sensor are stored in the catalogue's units; what is derived of them, and the chip's own, is not."""
    batch = ear.hear("tele/tram-1/SENSOR", sample("tasmota/sensor.json"))
    assert readings(batch) == {
        ("tasmota.tram-1", "temperature"): pytest.approx(30.0),
        ("tasmota.tram-1", "relativeHumidity"): pytest.approx(0.595),
        ("tasmota.tram-1", "pm25"): 31.5,
        ("tasmota.tram-1", "pm10"): 44.0,
    }
    assert not batch.rejected
    (found,) = batch.discovered.values()
    assert (found.device, found.dialect, found.name, found.kind) == (
        "tasmota.tram-1",
        "tasmota",
        "tram-1",
        "air_station",
    )


def test_local_time_without_a_zone_is_no_time(ear: Ear) -> None:
    """Nobody knows which zone the device is set to; the values are of when they came."""
    batch = ear.hear("tele/tram-1/SENSOR", sample("tasmota/sensor.json"))
    assert {(one.time.replace(microsecond=0), one.quality) for one in batch.readings} == {
        (ear.received, Quality.NO_TIME)
    }


@pytest.mark.parametrize(
    "time",
    [
        {"Time": "2026-07-01T19:00:30+07:00"},
        {"Time": "2026-07-01T19:00:30", "Epoch": 1_782_907_230},
        {"Time": 1_782_907_230},
    ],
)
def test_time_with_an_offset_or_as_epoch_is_the_devices(ear: Ear, time: dict[str, Any]) -> None:
    """Where the device says which instant it means, that is believed."""
    batch = ear.hear("tele/x/SENSOR", {**time, "AM2301": {"Temperature": 27.0}, "TempUnit": "C"})
    assert [(one.time, one.quality) for one in batch.readings] == [(datetime(2026, 7, 1, 12, 0, 30, tzinfo=UTC), 0)]


def test_second_message_of_the_same_second_is_kept(ear: Ear) -> None:
    """Seconds are coarse: another value at the same one is not the first sent again."""
    first = {"Time": 1_782_907_230, "ENERGY": {"Power": 40, "Voltage": 220}}
    second = {"Time": 1_782_907_230, "ENERGY": {"Power": 90, "Voltage": 220}}
    values = [
        [(r.measure, r.value, r.quality) for r in ear.hear("tele/x/SENSOR", said).readings] for said in (first, second)
    ]
    assert values == [[("powerConsumption", 40, 0), ("voltage", 220, 0)], [("powerConsumption", 90, Quality.NO_TIME)]]


def test_energy_meter(ear: Ear) -> None:
    """Power, voltage, current, factor and the total are stored; sums over days and products of them are not."""
    batch = ear.hear("tele/x/SENSOR", sample("tasmota/energy.json"))
    assert {measure: value for (_, measure), value in readings(batch).items()} == {
        "energyConsumed": 128.123,
        "powerConsumption": 41,
        "powerFactor": 0.89,
        "voltage": 223,
        "current": 0.206,
    }
    assert not batch.rejected


def test_energy_meter_of_three_phases(ear: Ear) -> None:
    """Lists are phases; what has no measure for a phase is kept for a technician."""
    batch = ear.hear("tele/x/SENSOR", sample("tasmota/energy_phases.json"))
    assert {measure: value for (_, measure), value in readings(batch).items()} == {
        "energyConsumed": 31.0,
        "powerConsumption": 1205,
        "voltageR": 221,
        "voltageS": 224,
        "voltageT": 219,
        "intensityR": 2.1,
        "intensityS": 1.9,
        "intensityT": 2.0,
    }
    assert reasons(batch) == ["measure"]


def test_second_sensor_of_a_measure(ear: Ear) -> None:
    """Two thermometers on one device: the first has the measure, the other is kept for a technician by its name."""
    said = {
        "DS18B20-1": {"Id": "0A", "Temperature": 30.0},
        "DS18B20-2": {"Id": "0B", "Temperature": 45.0},
        "TempUnit": "C",
    }
    batch = ear.hear("tele/x/SENSOR", said)
    assert readings(batch) == {("tasmota.x", "temperature"): 30.0}
    assert reasons(batch) == ["measure"]
    assert "DS18B20-2 Temperature" in batch.rejected[0].detail


def test_series_keeps_its_sensor(ear: Ear) -> None:
    """While it says nothing, is left out, or is lost so that names are given anew; also in the next process."""
    one, other = {"Id": "0A", "Temperature": 30.0}, {"Id": "0B", "Temperature": 22.2}
    first = ear.hear("tele/x/SENSOR", {"DS18B20-1": one, "DS18B20-2": other, "AM2301": {"Humidity": None}})
    context = {topic: payload for topic, payload in first.context.items() if payload is not None}
    later = Ear(Tasmota(), pace_s=60)
    later.recall(context)
    for again in (ear, later):
        for said in (
            {"DS18B20-1": None, "DS18B20-2": other},
            {"DS18B20-1": {"Id": "0A", "Temperature": None}, "DS18B20-2": other},
            {"DS18B20": other},
        ):
            batch = again.hear("tele/x/SENSOR", said)
            assert not batch.readings
            assert reasons(batch) == ["measure"]
            assert not batch.context
        assert readings(again.hear("tele/x/SENSOR", {"DS18B20": one})) == {("tasmota.x", "temperature"): 30.0}


def test_sensor_that_never_said_anything(ear: Ear) -> None:
    """One that is set up and not connected keeps no measure from the others."""
    said = {"AM2301": {"Temperature": None}, "DS18B20": {"Id": "0A", "Temperature": 30.0}}
    assert readings(ear.hear("tele/x/SENSOR", said)) == {("tasmota.x", "temperature"): 30.0}


def test_replaced_sensor_has_the_series(ear: Ear) -> None:
    """One that is new where the old one is gone takes it over, and the old one does not come back by a replay."""
    old = ear.hear("tele/x/SENSOR", {"AM2301": {"Temperature": 30.0, "Lumen": 5}})
    new = ear.hear("tele/x/SENSOR", {"SHT3X-0x44": {"Temperature": 31.0}})
    assert readings(new) == {("tasmota.x", "temperature"): 31.0}
    assert not ear.replay(old).readings
    assert readings(ear.hear("tele/x/SENSOR", {"AM2301": {"Temperature": 9}, "SHT3X-0x44": {"Temperature": 32.0}})) == {
        ("tasmota.x", "temperature"): 32.0
    }


def test_sensors_of_a_flood_of_names_are_bounded(ear: Ear) -> None:
    """What a device makes up is not remembered without end."""
    ear.hear("tele/x/SENSOR", {"T": {"Temperature": 20}})
    batch = ear.hear("tele/x/SENSOR", {"T": {"Temperature": 21}} | {f"S{n}": {"Temperature": n} for n in range(400)})
    assert readings(batch) == {("tasmota.x", "temperature"): 21}
    assert sum(map(len, filter(None, batch.context.values()))) < 2000


def test_status_of_a_lamp(ear: Ear) -> None:
    """Relay and dimmer are stored; a device with a dimmer is a lamp; the firmware's own figures are left out."""
    batch = ear.hear("tele/hem-5/STATE", sample("tasmota/state.json"))
    assert readings(batch) == {
        ("tasmota.hem-5", "powerState"): 1,
        ("tasmota.hem-5", "illuminanceLevel"): pytest.approx(0.6),
    }
    (found,) = batch.discovered.values()
    assert found.kind == "streetlight"
    assert found.attrs == {"topic": "hem-5", "relay": True, "dimmer": True}
    assert not batch.rejected


def test_signal_in_decibels_where_the_kind_reports_it() -> None:
    """`RSSI` is a percentage, `Signal` is dBm; only kinds that report a signal get it."""
    said = {"Wifi": {"RSSI": 72, "Signal": -64}}
    ear = Ear(Tasmota(), kinds={"tasmota.x": "flood_gauge", "tasmota.y": "rain_gauge"}, pace_s=60)
    assert readings(ear.hear("tele/x/STATE", said)) == {("tasmota.x", "rssi"): -64}
    assert not ear.hear("tele/y/STATE", said).rejected


def test_relay_told_twice_is_stored_once(ear: Ear) -> None:
    """A change is told on RESULT and, in the next moment, on POWER; a later one is another."""
    batches = [
        ear.hear("stat/x/RESULT", {"POWER": "ON"}),
        ear.hear("stat/x/POWER", b"ON", after_s=0.01),
        ear.hear("stat/x/RESULT", {"POWER": "OFF"}, after_s=0.2),
        ear.hear("stat/x/POWER", b"OFF", after_s=0.01),
        ear.hear("stat/x/POWER", b"OFF", after_s=5),
    ]
    assert [[one.value for one in batch.readings] for batch in batches] == [[1], [], [0], [], [0]]
    assert not any(batch.rejected for batch in batches)


def test_answers_to_commands_are_left_out(ear: Ear) -> None:
    """RESULT carries the answer to every command; the lamp's alone are measured."""
    assert not ear.hear("stat/x/RESULT", {"TelePeriod": 300}).rejected
    batch = ear.hear("stat/x/RESULT", {"POWER": "ON", "Dimmer": 40, "Color": "66"})
    assert readings(batch) == {("tasmota.x", "powerState"): 1, ("tasmota.x", "illuminanceLevel"): pytest.approx(0.4)}
    batch = ear.hear("stat/x/POWER", {"POWER1": "OFF"})
    assert readings(batch) == {("tasmota.x", "powerState"): 0}
    assert reasons(ear.hear("stat/x/RESULT", {"POWER2": "ON"})) == ["measure"]


@pytest.mark.parametrize("off", ["OFF", "Tắt"])
def test_lamp_that_is_off_is_dark(ear: Ear, off: str) -> None:
    """Switched off, Tasmota goes on to tell the level that the lamp will have."""
    if off == "Tắt":
        ear.hear(
            "tasmota/discovery/0211223D5E26/config",
            {**sample("tasmota/discovery.json"), "t": "x", "state": [off, "Bật"]},
        )
    for channel in ("tele/x/STATE", "stat/x/RESULT"):
        batch = ear.hear(channel, {"POWER": off, "Dimmer": 40})
        assert readings(batch) == {("tasmota.x", "powerState"): 0, ("tasmota.x", "illuminanceLevel"): 0}


@pytest.mark.parametrize(
    ("topic", "said", "answer"),
    [
        ("RESULT", {"POWER": "ON"}, (True, "")),
        ("RESULT", {"POWER1": "OFF"}, (True, "")),
        ("RESULT", {"POWER": "ON", "Dimmer": 40}, (True, "")),
        ("POWER", {"POWER": "ON"}, (True, "")),
        ("POWER", b"ON", None),
        ("RESULT", {"Command": "Unknown"}, (False, "Command Unknown")),
        ("RESULT", {"Command": "Error", "Input": "DIMMER"}, (False, "Command Error DIMMER")),
        ("RESULT", {"Command": "Unknown", "Input": "POWER1"}, (False, "Command Unknown POWER1")),
        ("RESULT", {"Command": "Unknown", "Input": "REBOOT"}, None),
        ("RESULT", {"Command": "Unknown", "Input": 7}, None),
        ("RESULT", {"Command": "Done"}, None),
        ("RESULT", {"POWER2": "ON"}, None),
        ("RESULT", {"TelePeriod": 300}, None),
        ("RESULT", b"[]", None),
        ("RESULT", b"", None),
    ],
)
def test_answer_to_a_command(ear: Ear, topic: str, said: Any, answer: tuple[bool, str] | None) -> None:
    """How relay and dimmer are answers what was sent last, and so does that such a command is none; nothing else does."""
    batch = ear.hear(f"stat/x/{topic}", said)
    assert [(one.device, one.order, one.ok, one.detail) for one in batch.answers] == (
        [] if answer is None else [("tasmota.x", None, *answer)]
    )


def test_switches_are_inputs(ear: Ear) -> None:
    """A switch on the device is an event when it changes, whether told with the sensors or at once."""
    batches = [
        ear.hear("tele/x/SENSOR", {"Switch1": "OFF"}),
        ear.hear("stat/x/RESULT", {"Switch1": {"Action": "ON"}}),
        ear.hear("tele/x/SENSOR", {"Switch1": "ON"}),
    ]
    assert [[(one.kind, one.source, one.data) for one in batch.events] for batch in batches] == [
        [("input", "Switch1", {"state": "off"})],
        [("input", "Switch1", {"state": "on"})],
        [],
    ]


def test_replayed_switch_says_nothing_of_now(ear: Ear) -> None:
    """Neither of its input nor of its relay, whose second telling is told by the first."""
    first = ear.hear("stat/x/RESULT", {"Switch1": "ON", "POWER": "ON", "Dimmer": 300})
    ear.hear("tele/x/SENSOR", {"Switch1": "OFF"}, after_s=60)
    ear.hear("stat/x/RESULT", {"POWER": "OFF"}, after_s=60)
    again = ear.replay(first)
    assert [one.time for one in again.readings] == [one.time for one in first.readings]
    assert not again.events
    assert not ear.hear("tele/x/SENSOR", {"Switch1": "OFF"}, after_s=0).events
    assert not ear.hear("stat/x/POWER", "OFF", after_s=0).readings


def test_last_will(ear: Ear) -> None:
    """`LWT` says whether the device is there."""
    assert states(ear.hear("tele/x/LWT", b"Online")) == [("tasmota.x", "online")]
    assert states(ear.hear("tele/x/LWT", b"Offline")) == [("tasmota.x", "offline")]
    assert reasons(ear.hear("tele/x/LWT", b"Maybe")) == ["value"]
    assert not ear.hear("tele/x/LWT", b"").rejected


# --- its own discovery ------------------------------------------------------------------------------------------------


def test_announcement_names_and_guesses(ear: Ear) -> None:
    """Name, firmware, model and that it is a lamp; remembered for the next process; gone when it is empty."""
    batch = ear.hear("tasmota/discovery/0211223D5E26/config", sample("tasmota/discovery.json"))
    (found,) = batch.discovered.values()
    assert (found.device, found.name, found.kind, found.firmware) == (
        "tasmota.hem-5",
        "Đèn hẻm 5",
        "streetlight",
        "14.2.0",
    )
    assert found.attrs == {"topic": "hem-5", "mac": "0211223D5E26", "model": "Dimmer 1", "relay": True, "dimmer": True}
    assert list(batch.context) == ["tasmota/discovery/0211223D5E26/config"]
    batch = ear.hear("tasmota/discovery/0211223D5E26/config", b"")
    assert batch.context == {"tasmota/discovery/0211223D5E26/config": None}


def test_own_words_for_on_and_off(ear: Ear) -> None:
    """StateText changes what a relay says; the announcement tells the words."""
    ear.hear(
        "tasmota/discovery/0211223D5E26/config", {**sample("tasmota/discovery.json"), "state": ["Tắt", "Bật", "?", "?"]}
    )
    assert readings(ear.hear("stat/hem-5/RESULT", {"POWER": "Bật"})) == {("tasmota.hem-5", "powerState"): 1}
    assert readings(ear.hear("stat/hem-5/RESULT", {"POWER": "Tắt"})) == {("tasmota.hem-5", "powerState"): 0}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"t": "a/b"}, "value"),
        ({"t": "#"}, "value"),
        ({"t": None}, "value"),
        ({"mac": "AABBCCDDEEFF"}, "device"),
        ({"ft": "%topic%/%prefix%/"}, "topic"),
        ({"tp": ["cmnd", "stat", "ioc"]}, "topic"),
    ],
)
def test_announcement_that_is_refused(ear: Ear, change: dict[str, Any], reason: str) -> None:
    """Topics that do not come to us, names that are none, and a device that speaks for another."""
    batch = ear.hear("tasmota/discovery/0211223D5E26/config", {**sample("tasmota/discovery.json"), **change})
    assert reasons(batch) == [reason]
    assert not batch.discovered
    assert not batch.context


def test_topic_claimed_by_two_devices(ear: Ear) -> None:
    """Two devices with one topic cannot be told apart: the second is told so."""
    ear.hear("tasmota/discovery/0211223D5E26/config", sample("tasmota/discovery.json"))
    other = {**sample("tasmota/discovery.json"), "mac": "0211223D5E27"}
    assert reasons(ear.hear("tasmota/discovery/0211223D5E27/config", other)) == ["device"]
    ear.hear("tasmota/discovery/0211223D5E26/config", b"")
    assert not ear.hear("tasmota/discovery/0211223D5E27/config", other).rejected


# --- commands ---------------------------------------------------------------------------------------------------------


def test_light_commands() -> None:
    """Power alone for a relay; the dimmer first where there is one."""
    relay = make_device("tasmota.x", "tasmota", topic="x", relay=True)
    dimmer = make_device("tasmota.x", "tasmota", topic="x", relay=True, dimmer=True)
    dialect = Tasmota()
    assert [one[:2] for one in dialect.light(relay, 1, 0)] == [("cmnd/x/Power", b"ON")]
    assert [one[:2] for one in dialect.light(relay, 0, 0)] == [("cmnd/x/Power", b"OFF")]
    assert [one[:2] for one in dialect.light(dimmer, 0.4, 0)] == [("cmnd/x/Dimmer", b"40"), ("cmnd/x/Power", b"ON")]
    assert [one[:2] for one in dialect.light(dimmer, 0, 0)] == [("cmnd/x/Power", b"OFF")]
    with pytest.raises(CommandError, match="cannot be dimmed"):
        dialect.light(relay, 0.5, 0)
    with pytest.raises(CommandError, match="no relay"):
        dialect.light(make_device("tasmota.x", "tasmota", topic="x"), 1, 0)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("tele/x/SENSOR", b"hello", "json"),
        ("tele/x/SENSOR", b"[1]", "shape"),
        ("tele/x/SENSOR", b"\xff", "encoding"),
        ("tele/x/SENSOR", b'{"A":{"Temperature":"warm"}}', "value"),
        ("tele/x/SENSOR", b'{"A":{"Temperature":true}}', "value"),
        ("tele/x/SENSOR", b'{"A":{"Temperature":{"x":1}}}', "value"),
        ("tele/x/SENSOR", b'{"A":{"Temperature":20},"TempUnit":"furlong"}', "unit"),
        ("tele/x/SENSOR", b'{"ENERGY":{"Power":[1e308,1e308,1e308]}}', "value"),
        ("tele/x/SENSOR", b'{"ENERGY":{"Total":[%s,1]}}' % (b"9" * 400), "value"),
        ("tele/x/SENSOR", b'{"Time":-5,"A":{"Temperature":20}}', "time"),
        ("tele/x/STATE", b'{"POWER":{"a":1}}', "value"),
        ("tele/x/STATE", b'{"Dimmer":400}', "range"),
        ("stat/x/POWER", b"\xff", "encoding"),
        ("stat/x/POWER", b"BLINK", "value"),
        ("cmnd/x/POWER", b"ON", "topic"),
        ("tele/x/INFO1", b"{}", "topic"),
        ("tele//SENSOR", b"{}", "topic"),
    ],
)
def test_poison_goes_to_quarantine(ear: Ear, topic: str, payload: bytes, reason: str) -> None:
    """Every kind of poison stores nothing and is kept with its reason."""
    batch = ear.hear(topic, payload)
    assert reasons(batch) == [reason]
    assert not batch.readings


topics = st.sampled_from(
    [
        "tele/x/SENSOR",
        "tele/x/STATE",
        "tele/x/LWT",
        "stat/x/RESULT",
        "stat/x/POWER",
        "tasmota/discovery/0211223D5E26/config",
    ]
)
keys = st.sampled_from(
    [
        "Time",
        "Epoch",
        "ENERGY",
        "AM2301",
        "Temperature",
        "Power",
        "Voltage",
        "Total",
        "TempUnit",
        "POWER",
        "POWER3",
        "Dimmer",
        "Switch1",
        "Wifi",
        "Signal",
        "t",
        "mac",
        "ft",
        "tp",
        "rl",
        "state",
        "dn",
        "fn",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(["ON", "C", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=4), inner, max_size=5),
    max_leaves=15,
)
payloads = st.binary(max_size=40) | values.map(lambda value: json.dumps(value).encode())


@settings(max_examples=150)
@given(st.lists(st.tuples(topics, payloads), min_size=1, max_size=4))
def test_hears_anything(said: list[tuple[str, bytes]]) -> None:
    """No payload raises."""
    ear = Ear(Tasmota(), pace_s=60)
    for topic, payload in said:
        batch = ear.hear(topic, payload)
        assert set(reasons(batch)) <= set(REASONS)
        assert not any("decoder failed" in one.detail for one in batch.rejected)
