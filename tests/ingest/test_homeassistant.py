"""Home Assistant's discovery: pure, up to the batch.

The samples follow Home Assistant's documentation of MQTT discovery, sensors, binary sensors, switches and lights.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.dialects import all_dialects
from ingest.dialects.homeassistant import HomeAssistant
from ingest.dialects.homeassistant.configurations import MOST_CONFIGURATIONS
from ingest.dialects.homeassistant.options import ABBREVIATIONS, DEVICE_ABBREVIATIONS
from ingest.dialects.homeassistant.uses import MOST_TOPICS_OF_ONE
from ioc.catalog import period_of
from ioc.errors import CommandError
from ioc.model import REASONS, Quality
from tests.decoding import Ear, make_device, readings, reasons, sample, states

PLAIN = {"stat_t": "t/x", "uniq_id": "x", "dev": {"ids": ["d"]}}


@pytest.fixture
def ear() -> Ear:
    """Every dialect there is, as in service."""
    return Ear(*all_dialects(), pace_s=60)


def announce(ear: Ear, config: Any, topic: str = "sensor/x") -> Batch:
    return ear.hear(f"homeassistant/{topic}/config", config)


# --- configurations ---------------------------------------------------------------------------------------------------


def test_sensor_is_discovered_listened_to_and_heard(ear: Ear) -> None:
    """A configuration names a topic; what is said there is stored under the measure it stands for, without a time."""
    batch = announce(ear, sample("homeassistant/sensor.json"), "sensor/aq7/pm25")
    (found,) = batch.discovered.values()
    assert (found.device, found.dialect, found.kind) == ("ha.aq7", "homeassistant", "air_station")
    # Home Assistant calls it unavailable after 300 s; we call it late after two periods.
    assert found.attrs == {"identifier": "aq7", "period_s": 150.0}
    assert period_of("air_station", found.attrs) == 150
    assert list(batch.context) == ["homeassistant/sensor/aq7/pm25/config"]
    assert ear.intake.wanted == {"aq7/state": False, "aq7/status": True}
    batch = ear.hear("aq7/state", {"pm25": 31.5})
    (reading,) = batch.readings
    assert (reading.device, reading.measure, reading.value) == ("ha.aq7", "pm25", 31.5)
    assert (reading.quality, reading.time) == (Quality.NO_TIME, ear.received)
    assert not batch.rejected


def test_period_that_is_stated_no_more_is_forgotten(ear: Ear) -> None:
    """What was derived from `expire_after` goes with it."""
    config = sample("homeassistant/sensor.json")
    announce(ear, config)
    batch = announce(ear, {key: value for key, value in config.items() if key != "exp_aft"})
    assert batch.discovered["ha.aq7"].attrs == {"identifier": "aq7", "period_s": None}
    assert period_of("air_station", batch.discovered["ha.aq7"].attrs) == 60


def test_device_configuration_with_all_its_entities(ear: Ear) -> None:
    """One message announces a device; one state message is decoded for all its entities at one receive time."""
    batch = announce(ear, sample("homeassistant/station.json"), "device/aq7")
    (found,) = batch.discovered.values()
    assert (found.name, found.firmware, found.kind) == ("Trạm đường Võ Văn Ngân", "2.1.0", "air_station")
    assert found.attrs["manufacturer"] == "Own make"
    assert set(ear.intake.wanted) == {"aq7/state", "aq7/status", "gateway/status"}
    batch = ear.hear(
        "aq7/state", {"pm25": 31.5, "air": {"temperature": 86.04, "humidity": 60}, "lid": True, "uptime": 9}
    )
    assert readings(batch) == {
        ("ha.aq7", "pm25"): 31.5,
        ("ha.aq7", "temperature"): pytest.approx(30.0),
        ("ha.aq7", "relativeHumidity"): 0.6,
    }
    (time,) = {one.time for one in batch.readings}
    assert time - ear.received < timedelta(milliseconds=1)
    (event,) = batch.events
    assert (event.kind, event.source, event.data["state"]) == ("input", "device/aq7/aq7_lid", "on")
    assert not batch.rejected


def test_state_said_again_is_no_event(ear: Ear) -> None:
    """Events are changes."""
    announce(ear, sample("homeassistant/station.json"), "device/aq7")
    seen = [ear.hear("aq7/state", {"pm25": 1, "lid": lid}).events for lid in (True, True, False, False, True)]
    assert [[one.data["state"] for one in some] for some in seen] == [["on"], [], ["off"], [], ["on"]]


def test_replayed_message_gives_what_it_gave(ear: Ear) -> None:
    """Of a flag and a value on one topic neither is stored anew; how it stood then is not taken for how it stands."""
    announce(ear, sample("homeassistant/station.json"), "device/aq7")
    first = ear.hear("aq7/state", {"pm25": 1, "lid": True, "air": {"humidity": 1000}})
    assert reasons(first) == ["range"]
    ear.hear("aq7/state", {"pm25": 1, "lid": False})
    again = ear.replay(first)
    assert [(one.time, one.value) for one in again.readings] == [(one.time, one.value) for one in first.readings]
    assert not again.events
    assert not ear.hear("aq7/state", {"pm25": 1, "lid": False}).events


def test_changes_read_in_one_block_are_each_kept(ear: Ear) -> None:
    """Messages without a time that are read together are told apart."""
    announce(ear, PLAIN | {"dev_cla": "door"}, "binary_sensor/door")
    events = [one for word in (b"ON", b"OFF", b"ON") for one in ear.hear("t/x", word, after_s=0).events]
    assert [one.data["state"] for one in events] == ["on", "off", "on"]
    assert [one.time for one in events] == sorted({one.time for one in events})


def test_part_of_a_message_is_enough(ear: Ear) -> None:
    """An entity of which a message says nothing has no value, and nothing is wrong."""
    announce(ear, sample("homeassistant/station.json"), "device/aq7")
    batch = ear.hear("aq7/state", {"pm25": 31.5, "lid": None})
    assert readings(batch) == {("ha.aq7", "pm25"): 31.5}
    assert not batch.rejected


@pytest.mark.parametrize("payload", [b'{"other": 1}', b"hello", b"[1]"])
def test_message_nobody_understands_is_kept(ear: Ear, payload: bytes) -> None:
    """A message in which no entity finds anything goes to quarantine."""
    announce(ear, sample("homeassistant/sensor.json"), "sensor/aq7/pm25")
    assert reasons(ear.hear("aq7/state", payload)) == ["shape"]


@pytest.mark.parametrize("payload", [b'{"pm25": null}', b'{"pm25": "unknown"}', b'{"pm25": "unavailable"}', b""])
def test_unknown_is_no_value(ear: Ear, payload: bytes) -> None:
    """What a device does not know is neither stored nor wrong."""
    announce(ear, sample("homeassistant/sensor.json"), "sensor/aq7/pm25")
    batch = ear.hear("aq7/state", payload)
    assert not batch.readings
    assert not batch.rejected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("lots", "value"),
        (True, "value"),
        (-5, "range"),
        ([1], "value"),
        ({"x": 1}, "value"),
        (1e999, "value"),
        (10**30, "range"),
    ],
)
def test_bad_value_is_quarantined(ear: Ear, value: Any, reason: str) -> None:
    """A bad value costs itself alone."""
    announce(ear, sample("homeassistant/station.json"), "device/aq7")
    batch = ear.hear("aq7/state", {"pm25": value, "air": {"humidity": 50}})
    assert reasons(batch) == [reason]
    assert readings(batch) == {("ha.aq7", "relativeHumidity"): 0.5}


def test_unit_that_cannot_be_converted(ear: Ear) -> None:
    """Units are passed on; one that cannot become the catalogue's is quarantined by that reason."""
    announce(ear, {**PLAIN, "dev_cla": "temperature", "unit_of_meas": "lx"})
    assert reasons(ear.hear("t/x", b"20")) == ["unit"]


def test_unknown_measure_is_kept_for_a_technician(ear: Ear) -> None:
    """A value that no measure takes goes to quarantine under the name it has there."""
    announce(ear, {**PLAIN, "name": "Soil moisture", "dev_cla": "moisture"})
    batch = ear.hear("t/x", b"20")
    assert reasons(batch) == ["measure"]
    assert "Soil moisture" in batch.rejected[0].detail


def test_two_entities_of_one_measure(ear: Ear) -> None:
    """The first has the measure and keeps it; the other's values are not mixed into its series."""
    announce(ear, {**PLAIN, "name": "Air temperature", "dev_cla": "temperature"}, "sensor/a")
    announce(ear, {**PLAIN, "stat_t": "t/y", "uniq_id": "y", "name": "North", "dev_cla": "temperature"}, "sensor/b")
    assert readings(ear.hear("t/x", b"20")) == {("ha.d", "temperature"): 20}
    batch = ear.hear("t/y", b"25")
    assert not batch.readings
    assert reasons(batch) == ["measure"]
    assert "reports temperature already" in batch.rejected[0].detail


def test_whole_name_goes_before_a_class(ear: Ear) -> None:
    """Whichever is announced first, in one configuration or in two."""
    shade = {"p": "sensor", "name": "Shade", "val_tpl": "{{ value_json.s }}", "dev_cla": "temperature"}
    air = {"p": "sensor", "name": "Temperature", "val_tpl": "{{ value_json.t }}", "dev_cla": "temperature"}
    announce(ear, {"stat_t": "t/x", "dev": {"ids": ["d"]}, "cmps": {"a": shade, "b": air}}, "device/d")
    announce(ear, {"stat_t": "t/y", "dev": {"ids": ["e"]}, **shade}, "sensor/a")
    announce(ear, {"stat_t": "t/y", "dev": {"ids": ["e"]}, **air}, "sensor/b")
    for topic, device in (("t/x", "ha.d"), ("t/y", "ha.e")):
        batch = ear.hear(topic, {"s": 12.1, "t": 31.0})
        assert readings(batch) == {(device, "temperature"): 31.0}
        assert reasons(batch) == ["measure"]


@pytest.mark.parametrize(
    ("config", "measure"),
    [
        ({"dev_cla": "pm25"}, "pm25"),
        ({"uniq_id": "aq7_pm10"}, "pm10"),
        ({"name": "Outdoor PM2.5"}, "pm25"),
        ({"name": "Voltage R", "dev_cla": "voltage"}, "voltageR"),
        ({"dev_cla": "signal_strength", "ent_cat": "diagnostic", "unit_of_meas": "dBm", "uniq_id": "q"}, "rssi"),
        ({"dev_cla": "power"}, "powerConsumption"),
        ({"dev_cla": "energy", "unit_of_meas": "Wh"}, "energyConsumed"),
        ({"dev_cla": "carbon_monoxide", "unit_of_meas": "ppm"}, "co"),
        ({"dev_cla": "power_factor", "unit_of_meas": "%"}, "powerFactor"),
        ({"dev_cla": "battery"}, "batteryLevel"),
        ({"uniq_id": "bin_fill_level"}, "fillingLevel"),
        ({"name": "Battery charge", "dev_cla": "battery"}, "batteryLevel"),
        ({"name": "Device battery"}, "batteryLevel"),
        ({"name": "Nhiệt độ", "uniq_id": "device_7_temperature"}, "temperature"),
        ({"name": "Occupancy"}, "occupancy"),
        ({"name": "Outside", "uniq_id": "water_gauge_7_t", "dev_cla": "temperature"}, "temperature"),
        ({"name": "Rain water level"}, "waterLevel"),
        ({"name": "Water pump power", "dev_cla": "power"}, "powerConsumption"),
    ],
)
def test_measure_of_a_sensor(ear: Ear, config: dict[str, Any], measure: str) -> None:
    """A whole name counts, else the class, else the last words of a name."""
    announce(ear, {"stat_t": "t/x", "uniq_id": "u", "dev": {"ids": ["d"]}, **config})
    batch = ear.hear("t/x", b"-0" if measure == "rssi" else b"1")
    assert [one.measure for one in batch.readings] == [measure]


@pytest.mark.parametrize(
    "config",
    [
        {"name": "Battery voltage", "dev_cla": "voltage", "unit_of_meas": "V"},
        {"name": "Battery voltage", "uniq_id": "q_voltage"},
        {"name": "Điện áp pin", "dev_cla": "voltage"},
        {"name": "CPU temperature", "dev_cla": "temperature", "unit_of_meas": "°C"},
        {"name": "Chip Temperature"},
        {"name": "Board temp"},
        {"name": "Internal temperature", "dev_cla": "temperature"},
        {"name": "Device temperature"},
        {"name": "T1", "uniq_id": "gate_cpu_temperature"},
        {"name": "Dew point", "dev_cla": "temperature"},
        {"name": "Dew point temperature", "uniq_id": "q_temperature"},
        {"name": "Water temperature", "dev_cla": "temperature"},
        {"name": "Water tank temperature"},
        {"name": "Target temperature", "dev_cla": "temperature"},
        {"name": "Soil humidity", "dev_cla": "humidity"},
        {"name": "Nhiệt độ nước", "dev_cla": "temperature"},
        {"name": "T2", "object_id": "dew_point", "dev_cla": "temperature"},
        {"name": "Signal intensity"},
        {"name": "Cloud occupancy", "unit_of_meas": "%"},
    ],
)
def test_name_that_only_ends_like_a_measure(ear: Ear, config: dict[str, Any]) -> None:
    """What is of the device itself, or of the sky, is no measure of the street: it waits for a technician."""
    announce(ear, {"stat_t": "t/x", "uniq_id": "u", "dev": {"ids": ["d"]}, **config})
    batch = ear.hear("t/x", b"0.5")
    assert not batch.readings
    assert reasons(batch) == ["measure"]
    assert config["name"] in batch.rejected[0].detail


def test_diagnosis_is_left_out(ear: Ear) -> None:
    """What Home Assistant files under diagnosis is not asked for."""
    announce(ear, {**PLAIN, "name": "Uptime", "ent_cat": "diagnostic"})
    assert not ear.intake.wanted


def test_signal_of_a_kind_that_reports_none() -> None:
    """How well a lamp is heard is not kept, and nothing is wrong with it."""
    ear = Ear(*all_dialects(), kinds={"ha.d": "streetlight"}, pace_s=60)
    announce(ear, PLAIN | {"dev_cla": "signal_strength", "ent_cat": "diagnostic", "unit_of_meas": "dBm"})
    batch = ear.hear("t/x", b"-61")
    assert not batch.readings
    assert not batch.rejected


def test_entity_without_a_device_belongs_to_its_node(ear: Ear) -> None:
    """Where no device is stated, the node in the topic is one."""
    announce(ear, {"state_topic": "garden/t", "name": "Temperature"}, "sensor/garden/temperature")
    announce(ear, {"state_topic": "garden/h", "name": "Humidity"}, "sensor/garden/humidity")
    assert readings(ear.hear("garden/t", b"30.5")) == {("ha.garden", "temperature"): 30.5}
    assert readings(ear.hear("garden/h", b"70")) == {("ha.garden", "relativeHumidity"): 0.7}


def test_devices_are_one_by_any_common_identifier(ear: Ear) -> None:
    """Entities that share an identifier are of one device."""
    announce(ear, {"stat_t": "a", "name": "Temperature", "dev": {"ids": ["one", "two"]}}, "sensor/a")
    announce(ear, {"stat_t": "b", "name": "Humidity", "dev": {"ids": ["two", "three"]}}, "sensor/b")
    announce(ear, {"stat_t": "c", "name": "PM10", "dev": {"cns": [["mac", "three"]]}}, "sensor/c")
    assert {device for topic in "abc" for device, _ in readings(ear.hear(topic, b"1"))} == {"ha.one"}


def test_child_devices_stand_below_their_parent(ear: Ear) -> None:
    """Children of a device configuration are devices of their own, and may share its topic."""
    child = {
        "ids": ["meter-1"],
        "name": "Meter 1",
        "cmps": {"p": {"p": "sensor", "dev_cla": "power", "val_tpl": "{{ value_json.p1 }}"}},
    }
    batch = announce(
        ear, {"dev": {"ids": ["hub"]}, "o": {"name": "hub"}, "stat_t": "hub/state", "cdevs": [child]}, "device/hub"
    )
    (found,) = batch.discovered.values()
    assert (found.device, found.parent, found.name) == ("ha.meter-1", "ha.hub", "Meter 1")
    assert readings(ear.hear("hub/state", {"p1": 40})) == {("ha.meter-1", "powerConsumption"): 40}


def test_base_topic_at_either_end(ear: Ear) -> None:
    """`~` stands for the base at the beginning and the end of a topic, in availability topics too, and nowhere else."""
    announce(
        ear,
        {"~": "yard", "stat_t": "~/x", "avty": [{"t": "online/~"}], "name": "~", "dev_cla": "temperature"},
        "sensor/t",
    )
    assert ear.intake.wanted == {"yard/x": False, "online/yard": True}


def test_configuration_replaced_and_deleted(ear: Ear) -> None:
    """A new configuration takes the old one's place, an empty one ends it; topics follow."""
    announce(ear, PLAIN | {"dev_cla": "temperature"})
    announce(ear, PLAIN | {"dev_cla": "temperature", "stat_t": "t/new"})
    assert ear.intake.wanted == {"t/new": False}
    assert reasons(ear.hear("t/x", b"20")) == ["topic"]
    assert readings(ear.hear("t/new", b"20"))
    batch = announce(ear, b"")
    assert batch.context == {"homeassistant/sensor/x/config": None}
    assert states(batch) == [("ha.d", "offline")]
    assert not ear.intake.wanted
    assert not announce(ear, b"").context


def test_configuration_of_nothing_we_take_is_not_remembered(ear: Ear) -> None:
    """Buttons, triggers and the like bring no values."""
    batch = announce(
        ear, {"automation_type": "trigger", "topic": "x/action", "dev": {"ids": ["d"]}}, "device_automation/x"
    )
    assert not batch.context
    announce(ear, PLAIN | {"dev_cla": "temperature"})
    batch = announce(ear, PLAIN | {"dev_cla": "temperature", "ent_cat": "diagnostic"})
    assert batch.context == {"homeassistant/sensor/x/config": None}


def test_migration_ends_a_single_configuration(ear: Ear) -> None:
    """A device that moves to one configuration for all says so first."""
    announce(ear, PLAIN | {"dev_cla": "temperature"})
    announce(ear, {"migr_discvry": True})
    assert not ear.intake.wanted


def test_configuration_decoded_again_changes_nothing(ear: Ear) -> None:
    """At the next start it comes from memory, and then once more because it is retained."""
    config = sample("homeassistant/station.json")
    announce(ear, config, "device/aq7")
    wanted = dict(ear.intake.wanted)
    batch = announce(ear, config, "device/aq7")
    assert not batch.context
    assert not batch.discovered
    assert ear.intake.wanted == wanted


def test_template_that_is_not_evaluated(ear: Ear) -> None:
    """The entity is kept, its values go to quarantine with the template named; the others on the topic are stored."""
    batch = announce(ear, PLAIN | {"dev_cla": "temperature", "val_tpl": "{{ states('sensor.x') | float }}"})
    assert batch.discovered
    assert not batch.rejected
    announce(ear, PLAIN | {"dev_cla": "humidity", "uniq_id": "y", "val_tpl": "{{ value_json.h }}"}, "sensor/y")
    batch = ear.hear("t/x", {"h": 50})
    assert readings(batch) == {("ha.d", "relativeHumidity"): 0.5}
    assert reasons(batch) == ["shape"]
    assert "states('sensor.x')" in batch.rejected[0].detail
    assert "is not evaluated" in batch.rejected[0].detail


# --- binary sensors, switches, lights ---------------------------------------------------------------------------------


def test_motion_happens_and_its_end_does_not(ear: Ear) -> None:
    """Motion is an event when it begins."""
    announce(ear, PLAIN | {"dev_cla": "motion", "name": "Yard"}, "binary_sensor/yard")
    seen = [ear.hear("t/x", word).events for word in (b"OFF", b"ON", b"OFF", b"ON")]
    assert [[one.kind for one in some] for some in seen] == [[], ["motion"], [], ["motion"]]


def test_door_of_a_cabinet_is_a_measure() -> None:
    """A door sensor in a lighting cabinet is the cabinet's door; elsewhere it is an input."""
    ear = Ear(*all_dialects(), kinds={"ha.d": "cabinet"}, pace_s=60)
    announce(ear, PLAIN | {"dev_cla": "door"}, "binary_sensor/door")
    assert readings(ear.hear("t/x", b"ON")) == {("ha.d", "cabinetDoor"): 1}


def test_switch_is_a_power_state_and_no_lamp(ear: Ear) -> None:
    """A switch says on or off; that it is a lamp's is for a person to say."""
    batch = announce(
        ear, PLAIN | {"cmd_t": "t/set", "pl_on": "go", "pl_off": "stop", "stat_on": "1", "stat_off": "0"}, "switch/x"
    )
    (found,) = batch.discovered.values()
    assert found.kind == ""
    assert readings(ear.hear("t/x", b"1")) == {("ha.d", "powerState"): 1}
    assert reasons(ear.hear("t/x", b"maybe")) == ["value"]
    device = make_device(found.device, "homeassistant", **found.attrs)
    assert HomeAssistant().light(device, 1, 0) == [("t/set", b"go", False)]
    with pytest.raises(CommandError, match="cannot be dimmed"):
        HomeAssistant().light(device, 0.5, 0)


def test_json_light(ear: Ear) -> None:
    """The JSON schema: state and brightness in one message, scaled, and commanded the same way."""
    batch = announce(ear, sample("homeassistant/light_json.json"), "light/lamp3")
    (found,) = batch.discovered.values()
    assert (found.kind, found.name) == ("streetlight", "Đèn sân 3")
    batch = ear.hear("yard/lamp-3", {"state": "ON", "brightness": 127, "color_mode": "brightness"})
    assert readings(batch) == {("ha.lamp3", "powerState"): 1, ("ha.lamp3", "illuminanceLevel"): 0.5}
    dark = ear.hear("yard/lamp-3", {"state": "OFF", "brightness": 127})
    assert readings(dark) == {("ha.lamp3", "powerState"): 0, ("ha.lamp3", "illuminanceLevel"): 0}
    device = make_device(found.device, "homeassistant", **found.attrs)
    orders = [HomeAssistant().light(device, level, 0) for level in (0, 0.001, 1)]
    assert [(one.topic, json.loads(one.payload)) for (one,) in orders] == [
        ("yard/lamp-3/set", {"state": "OFF"}),
        ("yard/lamp-3/set", {"state": "ON", "brightness": 1}),
        ("yard/lamp-3/set", {"state": "ON", "brightness": 254}),
    ]


def test_basic_light_on_separate_topics(ear: Ear) -> None:
    """The default schema: state and brightness on topics of their own, commanded in the order that is asked for."""
    batch = announce(ear, sample("homeassistant/light_basic.json"), "light/lamp4")
    (found,) = batch.discovered.values()
    assert readings(ear.hear("yard/lamp-4/light/status", b"1")) == {("ha.lamp4", "powerState"): 1}
    assert readings(ear.hear("yard/lamp-4/brightness/status", b"25")) == {("ha.lamp4", "illuminanceLevel"): 0.25}
    device = make_device(found.device, "homeassistant", **found.attrs)
    assert [(one.topic, one.payload) for one in HomeAssistant().light(device, 0.4, 0)] == [
        ("yard/lamp-4/light/switch", b"1"),
        ("yard/lamp-4/brightness/set", b"40"),
    ]
    assert [(one.topic, one.payload) for one in HomeAssistant().light(device, 0, 0)] == [
        ("yard/lamp-4/light/switch", b"0")
    ]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"on_command_type": "last"}, [b"128", b"ON"]),
        ({"on_command_type": "first"}, [b"ON", b"128"]),
        ({"on_command_type": "brightness"}, [b"128"]),
        ({}, [b"128", b"ON"]),
    ],
)
def test_order_of_brightness_and_on(ear: Ear, told: dict[str, Any], expected: list[bytes]) -> None:
    """As `on_command_type` asks; brightness first where it does not."""
    batch = announce(ear, {"cmd_t": "l/set", "bri_cmd_t": "l/bri", "dev": {"ids": ["l"]}, **told}, "light/l")
    (found,) = batch.discovered.values()
    device = make_device(found.device, "homeassistant", **found.attrs)
    assert [one.payload for one in HomeAssistant().light(device, 0.5, 0)] == expected


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({}, "names no command topic"),
        ({"cmd_t": "l/#"}, "is not one topic"),
        ({"cmd_t": "ioc/lamp-1/command"}, "belongs to a dialect of its own"),
        ({"cmd_t": "cmnd/other/POWER"}, "belongs to a dialect of its own"),
        ({"cmd_t": "zigbee2mqtt/other/set"}, "belongs to a dialect of its own"),
        ({"cmd_t": "homeassistant/light/x/config"}, "belongs to a dialect of its own"),
        ({"cmd_t": "application/a/device/0102030405060708/command/down"}, "of dialect chirpstack"),
        ({"cmd_t": "/key/lamp-1/cmd"}, "of dialect fiware"),
        ({"cmd_t": "frigate/cam1/enabled/set"}, "of dialect frigate"),
        ({"cmd_t": "frigate/restart"}, "of dialect frigate"),
        ({"cmd_t": "v1/devices/me/rpc/request/1"}, "of dialect thingsboard"),
        ({"cmd_t": "homeassistant/status"}, "of dialect homeassistant"),
        ({"cmd_t": "l/set", "bri_cmd_t": "frigate/cam1/ptz"}, "of dialect frigate"),
        ({"cmd_t": "other/state"}, "is a topic of ha.other already"),
        ({"cmd_t": "other/set"}, "is a topic of ha.other already"),
        ({"cmd_t": "l/set", "schema": "template", "cmd_on_tpl": "on"}, "template"),
        ({"cmd_t": "l/set", "cmd_tpl": "{{ value | upper }}"}, "template"),
        ({"cmd_t": "l/set", "pl_on": "\n"}, "printable"),
    ],
)
def test_lamp_that_cannot_be_commanded(ear: Ear, told: dict[str, Any], why: str) -> None:
    """A command reaches the lamp's own topic or none; the reason is noted at discovery and said when it is commanded."""
    announce(ear, {"stat_t": "other/state", "cmd_t": "other/set", "dev": {"ids": ["other"]}}, "light/other")
    batch = announce(ear, {"stat_t": "l/state", "dev": {"ids": ["l"]}, **told}, "light/l")
    found = batch.discovered.get("ha.l")
    device = make_device("ha.l", "homeassistant", **(found.attrs if found else {}))
    with pytest.raises(CommandError, match=why):
        HomeAssistant().light(device, 1, 0)


def test_lamp_forgets_how_it_was_commanded(ear: Ear) -> None:
    """What is not known any more is noted as nothing, or a command would go where nobody listens."""
    announce(ear, sample("homeassistant/light_json.json"), "light/lamp3")
    announce(ear, {"stat_t": "yard/t", "dev_cla": "temperature", "dev": {"ids": "lamp3"}}, "sensor/t")
    batch = announce(ear, b"", "light/lamp3")
    assert batch.discovered["ha.lamp3"].attrs["command_topic"] is None


# --- availability -----------------------------------------------------------------------------------------------------


def test_availability_all_of_several(ear: Ear) -> None:
    """With mode `all` the device is there when every topic has said so, and gone when one says otherwise."""
    announce(ear, sample("homeassistant/station.json"), "device/aq7")
    said = [
        ("aq7/status", b"online"),
        ("gateway/status", b"up"),
        ("aq7/status", b"offline"),
        ("aq7/status", b"online"),
        ("gateway/status", b"down"),
    ]
    assert [states(ear.hear(topic, word)) for topic, word in said] == [
        [],
        [("ha.aq7", "online")],
        [("ha.aq7", "offline")],
        [("ha.aq7", "online")],
        [("ha.aq7", "offline")],
    ]
    assert reasons(ear.hear("aq7/status", b"asleep")) == ["value"]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("any", [["online"], ["online"], ["online"], ["offline"]]),
        ("latest", [["online"], ["offline"], ["online"], ["offline"]]),
        (None, [["online"], ["offline"], ["online"], ["offline"]]),
    ],
)
def test_availability_any_and_latest(ear: Ear, mode: str | None, expected: list[list[str]]) -> None:
    """`any`: one topic is enough; `latest`, which is the default: the last word counts."""
    config = PLAIN | {"dev_cla": "temperature", "avty": [{"t": "a"}, {"t": "b"}]}
    announce(ear, config if mode is None else {**config, "avty_mode": mode})
    said = [("a", b"online"), ("b", b"offline"), ("b", b"online"), ("b", b"offline")]
    got = [[state for _, state in states(ear.hear(topic, word))] for topic, word in said[:3]]
    if mode == "any":
        ear.hear("a", b"offline")
    assert [*got, [state for _, state in states(ear.hear("b", b"offline"))]] == expected


def test_availability_by_template_and_shared_by_devices(ear: Ear) -> None:
    """A gateway's status counts for every device behind it; templates and own words are followed."""
    for name in ("one", "two"):
        told = {"avty_t": "gw", "avty_tpl": "{{ value_json.state }}", "pl_avail": "running", "pl_not_avail": "stopped"}
        announce(ear, {"stat_t": f"s/{name}", "dev_cla": "power", "dev": {"ids": [name]}, **told}, f"sensor/{name}")
    batch = ear.hear("gw", {"state": "stopped"})
    assert sorted(states(batch)) == [("ha.one", "offline"), ("ha.two", "offline")]


def test_availability_and_state_on_one_topic(ear: Ear) -> None:
    """A topic may say both; then what is retained there is not asked for, because it may be an old state."""
    announce(ear, {"stat_t": "x", "dev_cla": "temperature", "avty_t": "x", "dev": {"ids": ["d"]}})
    assert ear.intake.wanted == {"x": False}
    assert states(ear.hear("x", b"offline")) == [("ha.d", "offline")]
    assert readings(ear.hear("x", b"21")) == {("ha.d", "temperature"): 21}


# --- Zigbee2MQTT and Tasmota announce in this way too -------------------------------------------------------------------


def test_zigbee2mqtt_device_is_one_device(ear: Ear) -> None:
    """Its own dialect stores; the configuration adds what the bridge's list has not told, and no second device."""
    batch = announce(ear, sample("homeassistant/zigbee2mqtt_light.json"), "light/0x00158d0001e3a5c1/light")
    assert not batch.rejected
    assert not ear.intake.wanted
    batch = ear.hear("zigbee2mqtt/den-12", sample("zigbee2mqtt/lamp.json"))
    assert readings(batch) == {("z2m.den-12", "powerState"): 1, ("z2m.den-12", "illuminanceLevel"): 0.5}
    found = batch.discovered["z2m.den-12"]
    assert (found.dialect, found.kind, found.attrs["vendor"], found.attrs["dimmable"]) == (
        "zigbee2mqtt",
        "streetlight",
        "Own make",
        True,
    )


def test_configuration_of_a_bridge_itself_is_left_out(ear: Ear) -> None:
    """Zigbee2MQTT announces its own bridge in this way: that is its administration."""
    config = {"stat_t": "zigbee2mqtt/bridge/info", "val_tpl": "{{ value_json.version }}", "dev": {"ids": ["bridge"]}}
    batch = announce(ear, config, "sensor/bridge/version")
    assert not batch.rejected
    assert not batch.discovered


def test_tasmota_device_is_one_device(ear: Ear) -> None:
    """The same for Tasmota; a further entity of the device, on a topic of its own, is stored under the same device."""
    announce(ear, sample("homeassistant/tasmota_switch.json"), "switch/3D5E26_RL_1")
    batch = ear.hear("tele/hem-5/STATE", sample("tasmota/state.json"))
    assert readings(batch)["tasmota.hem-5", "powerState"] == 1
    found = batch.discovered["tasmota.hem-5"]
    assert (found.dialect, found.name, found.firmware, found.attrs["model"]) == (
        "tasmota",
        "Đèn hẻm 5",
        "9.5.0",
        "Relay 1",
    )
    announce(ear, {"stat_t": "own/volts", "dev_cla": "voltage", "dev": {"ids": ["3D5E26"]}}, "sensor/own")
    assert set(readings(ear.hear("own/volts", b"221"))) == {("tasmota.hem-5", "voltage")}


# --- hostile ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("#", "topic"),
        ("+/x", "topic"),
        ("$SYS/broker/uptime", "topic"),
        ("$share/g/x", "topic"),
        ("a\0b", "topic"),
        ("a\x07b", "topic"),
        ("\ud800", "topic"),
        ("a\uffff", "topic"),
        ("x" * 501, "shape"),
        ("ioc/air-1/telemetry", "device"),
        ("ioc/anything", "device"),
        ("homeassistant/sensor/other/config", "device"),
        ("homeassistant/sensor/a/b/config", "device"),
        ({"a": 1}, "shape"),
    ],
)
def test_topic_that_no_configuration_gets(ear: Ear, topic: Any, reason: str) -> None:
    """Wildcards, the broker's own, what a broker would hang up for, and topics that a dialect takes already."""
    batch = announce(ear, PLAIN | {"dev_cla": "temperature", "stat_t": topic})
    assert reasons(batch) == [reason]
    assert not ear.intake.wanted
    assert not batch.discovered


def test_topic_of_another_device(ear: Ear) -> None:
    """A state topic belongs to the device that named it first, until that one gives it up."""
    announce(ear, {"stat_t": "a/state", "dev_cla": "temperature", "dev": {"ids": ["a"]}}, "sensor/a")
    thief = {"stat_t": "a/state", "dev_cla": "temperature", "dev": {"ids": ["b"]}}
    batch = announce(ear, thief, "sensor/b")
    assert reasons(batch) == ["device"]
    assert "ha.a already" in batch.rejected[0].detail
    assert set(readings(ear.hear("a/state", b"20"))) == {("ha.a", "temperature")}
    announce(ear, b"", "sensor/a")
    announce(ear, {**thief, "name": "T"}, "sensor/b")
    assert set(readings(ear.hear("a/state", b"20"))) == {("ha.b", "temperature")}


def test_devices_behind_one_gateway_share_its_topic(ear: Ear) -> None:
    """A gateway says in one message what the devices behind it measured."""
    for name in ("s1", "s2"):
        config = {"stat_t": "gw/state", "val_tpl": f"{{{{ value_json.{name}.t }}}}", "dev_cla": "temperature"}
        batch = announce(ear, {**config, "dev": {"ids": [name], "via_device": "gw"}}, f"sensor/{name}")
        assert batch.discovered[f"ha.{name}"].parent == "ha.gw"
    assert readings(ear.hear("gw/state", {"s1": {"t": 20}, "s2": {"t": 21}})) == {
        ("ha.s1", "temperature"): 20,
        ("ha.s2", "temperature"): 21,
    }


def test_topics_of_one_device_are_bounded(ear: Ear) -> None:
    """A device that names too many topics gets the first of them."""
    for number in range(MOST_TOPICS_OF_ONE):
        announce(ear, {"stat_t": f"t/{number}", "dev_cla": "power", "dev": {"ids": ["d"]}}, f"sensor/s{number}")
    batch = announce(ear, {"stat_t": "t/more", "dev_cla": "power", "dev": {"ids": ["d"]}}, "sensor/more")
    assert reasons(batch) == ["size"]
    assert len(ear.intake.wanted) == MOST_TOPICS_OF_ONE


def test_topics_of_all_devices_are_bounded(ear: Ear, monkeypatch: pytest.MonkeyPatch) -> None:
    """So are those of all together, and the configurations."""
    monkeypatch.setattr("ingest.dialects.homeassistant.uses.MOST_TOPICS", 3)
    monkeypatch.setattr("ingest.dialects.homeassistant.configurations.MOST_CONFIGURATIONS", 5)
    seen = [
        reasons(announce(ear, {"stat_t": f"t/{n}", "dev_cla": "power", "dev": {"ids": [f"d{n}"]}}, f"sensor/s{n}"))
        for n in range(7)
    ]
    assert seen == [[], [], [], ["size"], ["size"], ["size"], ["size"]]
    assert len(ear.intake.wanted) == 3
    assert MOST_CONFIGURATIONS > 5


DEEP = b'{"dev":' + b"[" * 20_000 + b"]" * 20_000 + b"}"


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("sensor/x", b"{", "json"),
        ("sensor/x", b"\xff\xfe", "encoding"),
        ("sensor/x", b"[]", "shape"),
        ("sensor/x", DEEP, "json"),
        ("sensor/x", b'{"avty":' + b'[{"avty":' * 400 + b"1" + b"}]" * 400 + b"}", ""),
        ("sensor/x", b" " * 300_000, "size"),
        ("sensor/x", b'{"stat_t":"x","dev_cla":["a"]}', "shape"),
        ("sensor/x", b'{"stat_t":"x","dev":{"name":{}}}', "shape"),
        ("light/x", b'{"stat_t":"x","bri_scl":0}', "shape"),
        ("light/x", b'{"stat_t":"x","bri_scl":1e999}', "shape"),
        ("device/x", b'{"cmps":{"a":7}}', "shape"),
        ("device/x", b'{"cmps":{"a":{"p":"sensor","stat_t":[]}}}', "shape"),
        ("device/x", b'{"cmps":[1],"cdevs":[{"cmps":{}}]}', "shape"),
        ("vacuum/x", b'{"stat_t":"x"}', ""),
        ("sensor/x", b'{"dev":7,"stat_t":7}', ""),
    ],
)
def test_malformed_configuration(ear: Ear, topic: str, payload: bytes, reason: str) -> None:
    """A configuration that cannot be used is quarantined by its reason, and never more than that happens."""
    batch = announce(ear, payload, topic)
    assert reasons(batch) == ([reason] if reason else [])
    assert not any("decoder failed" in one.detail for one in batch.rejected)


def test_topic_outside_the_grammar(ear: Ear) -> None:
    """Characters that Home Assistant does not allow in a configuration's topic."""
    assert reasons(ear.hear("homeassistant/sensor/a b/config", b"{}")) == ["topic"]


names = st.sampled_from([*ABBREVIATIONS, *ABBREVIATIONS.values(), *DEVICE_ABBREVIATIONS, "~", "name", "schema"])
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
words = st.sampled_from(
    ["~/x", "t/x", "x/~", "{{ value_json.a }}", "ON", "light", "sensor", "json", "temperature", "°C", "all"]
)
values = st.recursive(
    plain | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=6),
    max_leaves=20,
)
configs = st.dictionaries(names, values, max_size=12)
components = st.sampled_from(["sensor/x", "light/n/x", "switch/x", "binary_sensor/x", "device/x"])


@settings(max_examples=120)
@given(
    st.lists(st.tuples(components, configs), min_size=1, max_size=4),
    st.binary(max_size=20) | values.map(lambda v: json.dumps(v).encode()),
)
def test_hears_anything(announced: list[tuple[str, Any]], said: bytes) -> None:
    """No configuration and nothing said on the topics it names raises; what is stored is valid."""
    ear = Ear(*all_dialects(), pace_s=60)
    batches = [announce(ear, config, topic) for topic, config in announced]
    batches += [ear.hear(topic, said) for topic in list(ear.intake.wanted)]
    batches += [announce(ear, b"", topic) for topic, _ in announced]
    for batch in batches:
        assert set(reasons(batch)) <= set(REASONS)
        assert not any("decoder failed" in one.detail for one in batch.rejected)
    assert not ear.intake.wanted
