"""The simulated city: it repeats itself, stays within what is possible, and speaks to a real broker as devices do."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from ingest.simulator import city, effects, footage, lighting, noise, storm, sun, tide, waste, weather
from ingest.simulator.effects import Control, Effect, Status, total
from ingest.simulator.orders import Orders
from ingest.simulator.world import REPORT_S, sample
from ioc import topics
from ioc.broker import BrokerAddress
from ioc.errors import BrokerError, SettingsError
from ioc.geo import ward_at
from ioc.mqtt import Contact
from ioc.values import MEASURES_OF, number_of

if TYPE_CHECKING:
    from tests.fix_stack import BrokerServer

LOCAL = timezone(timedelta(hours=7))
SEED = 2025
SMALL = city.build(SEED, 60)
SITES = st.sampled_from(SMALL.sites)
TIMES = st.floats(datetime(2025, 7, 1, tzinfo=LOCAL).timestamp(), datetime(2029, 1, 1, tzinfo=LOCAL).timestamp())
KINDS = st.sampled_from(["surge", "rain", "pond", "jam", "smoke"])


def at(*when: int) -> float:
    """Epoch second of a local time."""
    return datetime(*when, tzinfo=LOCAL).timestamp()


# --- the layout ---


def test_layout_gives_every_device_a_place_and_a_name() -> None:
    """Ids fit the topic grammar and are unique; every device stands in its ward; every lamp has its cabinet."""
    layout = city.build(SEED, 2000)
    ids = [site.id for site in layout.sites]
    assert len(set(ids)) == len(ids)
    assert all(topics.DEVICE_ID.fullmatch(device) for device in ids)
    for site in layout.sites:
        ward = ward_at(site.lat, site.lon)
        assert ward is not None
        assert site.kind == "cabinet" or ward.code == site.ward
    per_cabinet = Counter(lamp.parent for lamp in layout.lamps)
    assert per_cabinet == {cabinet.id: cabinet.number for cabinet in layout.cabinets}
    assert {cabinet.ward for cabinet in layout.cabinets} == {site.ward for site in layout.bins}
    assert len(layout.cameras) == 122
    assert layout.site("cab-26800-01") in layout.cabinets


@pytest.mark.parametrize("wish", [60, 500, 2000])
def test_layout_follows_the_wished_number_of_lamps(wish: int) -> None:
    """About as many lamps as asked for."""
    assert len(city.build(SEED, wish).lamps) == pytest.approx(wish, rel=0.1)


def test_layout_never_stands_lamps_closer_than_in_reality() -> None:
    """However many lamps are asked for, the roads of the city hold only so many."""
    assert len(city.build(SEED, 1_000_000).lamps) < 200_000 / city.REAL_SPACING_M


# --- the pure city ---


@given(SITES, TIMES)
@example_settings(deadline=None)
def test_sample_is_repeatable_whatever_was_asked_before(site: city.Site, t: float) -> None:
    """The same seed, device and time give the same values, with cold and with warm caches, after other questions too."""
    first = sample(SEED, site, t)
    sample(SEED + 1, site, t + 86_400)
    noise.unit.cache_clear()
    weather.cells.cache_clear()
    assert sample(SEED, site, t) == first


@given(SITES, TIMES)
@example_settings(deadline=None)
def test_sample_is_what_the_catalogue_allows(site: city.Site, t: float) -> None:
    """Every measure belongs to the device's kind, every number is possible, every state is named."""
    values = sample(SEED, site, t)
    assert (values == {}) == (site.kind == "camera")
    for key, value in values.items():
        number_of(MEASURES_OF[site.kind][key], value)


@given(SITES, TIMES, KINDS, st.floats(0, 1))
@example_settings(deadline=None)
def test_sample_stays_possible_in_a_story(site: city.Site, t: float, kind: effects.EffectKind, amount: float) -> None:
    """Effects as strong as a story makes them do not push a reading out of what is possible."""
    most = {"surge": 1.0, "rain": 150.0, "pond": 2.0, "jam": 1.0, "smoke": 300.0}[kind]
    effect = Effect(kind=kind, start=t - 600, end=t + 600, amount=amount * most, rise_s=0, fall_s=0)
    for key, value in sample(SEED, site, t, (effect,)).items():
        number_of(MEASURES_OF[site.kind][key], value)


def test_another_seed_is_another_city() -> None:
    """Seeds differ in weather and traffic."""
    detector = next(site for site in SMALL.sensors if site.kind == "traffic_detector")
    t = at(2026, 11, 23, 17, 30)
    assert sample(1, detector, t) != sample(2, detector, t)


def test_every_kind_that_reports_keeps_the_period_of_the_catalogue() -> None:
    """No device is late by design."""
    for kind, seconds in REPORT_S.items():
        site = next(site for site in SMALL.sites if site.kind == kind)
        slowest = min(MEASURES_OF[kind][key].period_s for key in sample(SEED, site, at(2026, 11, 23, 20)))
        assert seconds <= slowest


@given(TIMES)
def test_tide_stays_within_what_the_river_knows(t: float) -> None:
    """Between a low of −2.6 m and just under the first alert level; no jump within a minute."""
    level = tide.river_level(t)
    assert -2.6 < level < 1.40
    assert abs(tide.river_level(t + 60) - level) < 0.03


def test_tide_has_two_highs_most_days_and_springs_twice_a_month() -> None:
    """Mixed, mainly semidiurnal; the range grows and shrinks over a fortnight."""
    start = at(2026, 11, 1)
    levels = [tide.river_level(start + 600 * step) for step in range(30 * 144)]
    highs = sum(before < level >= after for before, level, after in zip(levels, levels[1:], levels[2:], strict=False))
    assert 50 <= highs <= 60
    ranges = [max(day) - min(day) for day in (levels[144 * n : 144 * (n + 1)] for n in range(30))]
    assert max(ranges) > 1.5 * min(ranges)


@pytest.mark.parametrize("month", range(1, 13))
def test_lamps_switch_at_dusk_and_dawn(month: int) -> None:
    """Lamps come on between 17:20 and 18:35 and go off between 5:15 and 6:30, all the year."""
    midnight = at(2026, month, 15)
    lit = [lighting.scheduled_level(midnight + 60 * minute) for minute in range(1440)]
    on = next(minute for minute in range(720, 1440) if lit[minute] > 0)
    off = next(minute for minute in range(1440) if lit[minute] == 0)
    assert 17 * 60 + 20 <= on <= 18 * 60 + 35
    assert 5 * 60 + 15 <= off <= 6 * 60 + 30
    assert lit[23 * 60 + 30] == lighting.DIMMED
    assert lit[22 * 60 + 30] == 1.0
    assert lit[12 * 60] == 0.0


def test_sun_is_overhead_in_april() -> None:
    """At 10.85° north the sun passes the zenith in mid-April."""
    assert max(sun.elevation(at(2026, 4, 18) + 60 * minute) for minute in range(1440)) > 89


@given(TIMES, st.floats(0, 7 * 86_400))
@example_settings(deadline=None)
def test_meter_never_runs_backwards(t: float, later: float) -> None:
    """Energy only grows."""
    first, second = (lighting.cabinet(SEED, "cab-1", 40, when).energy for when in (t, t + later))
    assert second >= first


@given(TIMES, st.integers(1, 10))
def test_bin_is_emptied_every_day_or_two(t: float, stop: int) -> None:
    """A bin's level falls at least once in two days and a half, and grows in between."""
    levels = [waste.filling(SEED, "bin-x", stop, t + 1800 * step) for step in range(120)]
    falls = [before - after for before, after in pairwise(levels) if after < before]
    assert 1 <= len(falls) <= 3
    assert min(falls) > 0.2


def test_rain_leaves_water_cools_the_air_and_slows_the_traffic() -> None:
    """A cell is felt by the gauge in the street, the thermometer and the detector under it."""
    t = at(2026, 2, 10, 17, 30)  # the dry season: nothing else rains
    gauge = next(site for site in SMALL.sensors if site.kind == "flood_gauge")
    cell = (Effect(kind="rain", start=t - 5400, end=t + 5400, amount=80, lat=gauge.lat, lon=gauge.lon, radius_m=3000),)

    def here(kind: str) -> city.Site:
        return msgspec.structs.replace(gauge, kind=kind)

    def differs(kind: str, key: str) -> float:
        return float(sample(SEED, here(kind), t, cell)[key]) - float(sample(SEED, here(kind), t)[key])

    assert differs("rain_gauge", "rainfall") > 60
    assert differs("flood_gauge", "waterLevel") > 0.1
    assert differs("air_station", "temperature") < -2
    assert differs("air_station", "pm25") < 0
    assert differs("traffic_detector", "averageVehicleSpeed") < 0


@given(TIMES)
@example_settings(deadline=None)
def test_blocked_road_is_a_jam_at_any_hour(t: float) -> None:
    """A blocked road is occupied and slow by night too, as the catalogue's rules understand it."""
    detector = next(site for site in SMALL.sensors if site.kind == "traffic_detector")
    jam = Effect(kind="jam", start=t - 60, end=t + 60, amount=1.0, rise_s=0, fall_s=0)
    blocked = sample(SEED, detector, t, (jam,))
    assert float(blocked["occupancy"]) > 0.6
    assert float(blocked["averageVehicleSpeed"]) < 15


# --- stories ---


@given(st.floats(-2000, 2000), st.floats(0, 600), st.floats(0, 600))
def test_effect_is_nothing_outside_its_time(offset: float, rise: float, fall: float) -> None:
    """Strength is 0 before the beginning and from the end on, and between 0 and 1 always."""
    effect = Effect(kind="surge", start=0, end=1000, amount=2, rise_s=rise, fall_s=fall)
    strength = effect.strength(offset)
    assert 0 <= strength <= 1
    if not 0 <= offset < 1000:
        assert strength == 0
        assert total((effect,), "surge", offset, 10.8, 106.7) == 0


@given(TIMES, st.sampled_from([60.0, 360.0, 3600.0]))
@example_settings(max_examples=40)
def test_storm_floods_the_low_ward_and_leaves_nothing_behind(start: float, length: float) -> None:
    """At any state of the tide the gauge passes the third alert level; every effect ends with the story."""
    cast = storm.choose(SMALL, ("cam-tth-1.1", "cam-tth-21.12"))
    plan = storm.plan(SEED, cast, start, length)
    assert cast.camera is not None
    assert cast.gauge.ward == "27094"
    peak = max(float(sample(SEED, cast.gauge, start + length * part, plan)["waterLevel"]) for part in (0.4, 0.5, 0.6))
    assert 1.60 < peak < 2.2
    assert max(effect.end for effect in plan) <= start + length
    assert effects.lost(plan, start + 0.6 * length) == {cast.cabinet.id, cast.camera.id}
    assert effects.lost(plan, start + length) == frozenset()


def test_storm_without_footage_loses_no_camera() -> None:
    """A camera that shows nothing cannot be lost."""
    cast = storm.choose(SMALL, ())
    assert cast.camera is None
    assert {effect.kind for effect in storm.plan(SEED, cast, 0, 60)} == {"surge", "rain", "pond", "jam", "cabinet_lost"}
    assert [beat.at for beat in storm.narrate(cast)] == sorted(beat.at for beat in storm.narrate(cast))


# --- orders ---


@given(TIMES, st.floats(0, 1))
@example_settings(deadline=None)
def test_lamp_does_as_it_was_told(t: float, level: float) -> None:
    """A sound lamp shines as told, its neighbour as scheduled, and what both measure is possible."""
    orders = Orders()
    lamp, other = (site for site in SMALL.lamps[:2] if lighting.fault(SEED, site.id) == "ok")
    orders.tell(lamp, level, t)
    values = sample(SEED, lamp, t, (), orders.told(lamp, t))
    assert values["illuminanceLevel"] == round(level, 2)
    assert (values["powerState"] == "off") == (level == 0)
    for key, value in values.items():
        number_of(MEASURES_OF["streetlight"][key], value)
    assert sample(SEED, other, t, (), orders.told(other, t)) == sample(SEED, other, t)


def test_order_holds_until_the_schedule_says_something_new() -> None:
    """A lamp lit by hand at noon is the schedule's again at dusk."""
    lamp, noon = SMALL.lamps[0], at(2026, 11, 23, 12)
    orders = Orders()
    orders.tell(lamp, 0.5, noon)
    assert orders.told(lamp, noon + 3600) == {lamp.number: 0.5}
    assert orders.told(lamp, at(2026, 11, 23, 20)) == {}


def test_broken_lamp_stays_dark() -> None:
    """It takes the order, and what it measures says that nothing came of it."""
    seed = next(seed for seed in range(10_000) if lighting.fault(seed, SMALL.lamps[0].id) == "defectiveLamp")
    noon = at(2026, 11, 23, 12)
    values = sample(seed, SMALL.lamps[0], noon, (), {SMALL.lamps[0].number: 1.0})
    assert (values["powerState"], values["illuminanceLevel"]) == ("off", 0.0)


def test_cabinet_feeds_the_lamps_that_were_told() -> None:
    """Lamps lit at noon draw current from their cabinet, on their own phase."""
    cabinet, noon = SMALL.cabinets[0], at(2026, 11, 23, 12)
    dark, lit = (sample(SEED, cabinet, noon, (), told) for told in ({}, {3: 1.0, 6: 1.0}))
    more = {key for key in dark if key.startswith("intensity") and float(lit[key]) > float(dark[key])}
    assert more == {"intensityR"}


# --- footage ---


def test_footage_is_cut_once_and_kept(tmp_path: Path) -> None:
    """A video becomes JPEGs at two a second; a second start reads the same files."""
    media = tmp_path / "media"
    media.mkdir()
    _write_video(media / "vtest.avi", seconds=8)
    clips = footage.find(media, tmp_path / "none", media / "frames")
    assert list(clips) == list(footage.SHOWING[:4])
    frames = [frame for clip in clips.values() for frame in clip.frames]
    assert len(frames) == len(set(frames)) == 16
    made = {frame: frame.stat().st_mtime_ns for frame in frames}
    again = footage.find(media, tmp_path / "none", media / "frames")
    assert again == clips
    assert {frame: frame.stat().st_mtime_ns for frame in frames} == made
    assert cv2.imread(str(frames[0])).shape == (120, 160, 3)


def test_footage_is_none_where_there_is_none(tmp_path: Path) -> None:
    """Empty folders give no camera a picture; an unreadable video neither."""
    assert footage.find(tmp_path, tmp_path, tmp_path / "frames") == {}
    (tmp_path / "vtest.avi").write_bytes(b"not a video")
    assert footage.find(tmp_path, tmp_path, tmp_path / "frames") == {}


def _write_video(path: Path, seconds: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for number in range(10 * seconds):
        writer.write(np.full((120, 160, 3), number * 3 % 256, np.uint8))
    writer.release()


# --- over a real broker ---


class Listener:
    """An ordinary MQTT client that keeps what it hears."""

    def __init__(self, broker: BrokerServer) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, bytes(message.payload), message.retain)
        )
        self.client.on_connect = lambda client, *rest: client.subscribe([("ioc/#", 1), ("sim/#", 1)])
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()

    def on(self, channel: str) -> list[tuple[str, Any]]:
        """Device and decoded payload of every message on one channel."""
        return [
            (topics.parse(topic).device, msgspec.json.decode(payload))
            for topic, payload, _ in list(self.heard)
            if topic.startswith("ioc/") and topics.parse(topic).channel == channel
        ]

    def wait(self, until: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until something has been heard."""
        deadline = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < deadline, Counter(topic.rpartition("/")[2] for topic, _, _ in self.heard)
            time.sleep(0.1)

    def close(self) -> None:
        """Leave."""
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def listener(broker: BrokerServer) -> Iterator[Listener]:
    """A client on this module's broker."""
    client = Listener(broker)
    yield client
    client.close()


@contextmanager
def running(broker: BrokerServer, home: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The simulator as a process of its own."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("IOC_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest.simulator", "run", "--lamps", "60", *options],
        env=inherited | {"IOC_MQTT_URL": broker.url, "IOC_HOME": str(home), "IOC_DATA_DIR": str(home / "none")},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_simulator_speaks_as_devices_do(broker: BrokerServer, listener: Listener, tmp_path: Path) -> None:
    """Everything is announced, reports what the catalogue knows, tells its past, and leaves in order on SIGTERM."""
    with running(broker, tmp_path, "--history", "1") as process:
        listener.wait(lambda: len({device for device, _ in listener.on("announce")}) == len(SMALL.sites))
        announced = dict(listener.on("announce"))
        assert set(announced) == {site.id for site in SMALL.sites}
        assert all(said["attrs"]["simulated"] for said in announced.values())
        listener.wait(lambda: len({device for device, _ in listener.on("state")}) == len(SMALL.sites))
        states = dict(listener.on("state"))
        dark = {device for device, said in states.items() if said["state"] == "offline"}
        assert dark == {camera.id for camera in SMALL.cameras}
        assert {states[device]["reason"] for device in dark} == {"no_signal"}
        listener.wait(lambda: any(isinstance(said, list) for _, said in listener.on("telemetry")))
        listener.wait(lambda: len({device for device, _ in listener.on("telemetry")}) > 50)
        for device, said in listener.on("telemetry"):
            for reading in said if isinstance(said, list) else [said]:
                assert reading["ts"] <= time.time() * 1000
                for key, value in reading["values"].items():
                    number_of(MEASURES_OF[announced[device]["kind"]][key], value)
        assert not [topic for topic, _, _ in listener.heard if "/frame/" in topic]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        left = {site.id for site in (*SMALL.cabinets, *SMALL.sensors, *SMALL.bins)}
        listener.wait(lambda: {d for d, said in listener.on("state") if said["state"] == "maintenance"} == left)
        assert not [said for _, said in listener.on("state") if said.get("reason") == "lwt"]


def test_lamp_answers_its_command_and_reports(broker: BrokerServer, listener: Listener, tmp_path: Path) -> None:
    """A lamp behind its cabinet takes a command, says so, and reports the level at once; what is no command is refused."""
    lamp = next(lamp for lamp in SMALL.lamps if lighting.fault(SEED, lamp.id) == "ok")
    with running(broker, tmp_path, "--history", "0"):
        listener.wait(lambda: lamp.id in dict(listener.on("state")))
        for order, level in ((7, 0.35), (8, 3)):
            listener.client.publish(
                topics.build(lamp.id, "command"), msgspec.json.encode({"id": order, "light": level}), 1
            )
        listener.wait(lambda: len(listener.on("command/result")) == 2)
        (_, done), (_, refused) = listener.on("command/result")
        assert done == {"id": 7, "ok": True}
        assert (refused["id"], refused["ok"]) == (8, False)
        assert "light" in refused["detail"]
        listener.wait(
            lambda: any(
                d == lamp.id and said["values"]["illuminanceLevel"] == 0.35 for d, said in listener.on("telemetry")
            )
        )


def test_simulator_shows_footage_and_survives_the_broker(
    broker: BrokerServer, listener: Listener, tmp_path: Path
) -> None:
    """Frames are JPEGs; a lost circuit is told by its last will; after a broker's restart all report again."""
    (tmp_path / "media").mkdir()
    _write_video(tmp_path / "media" / "vtest.avi", seconds=4)
    with running(broker, tmp_path, "--history", "0"):
        listener.wait(lambda: any("/frame/" in topic for topic, _, _ in listener.heard))
        topic, jpeg, _ = next(heard for heard in listener.heard if "/frame/" in heard[0])
        assert topics.parse(topic).device in footage.SHOWING
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (120, 160, 3)
        listener.wait(lambda: any(topic == effects.STATUS_TOPIC and payload for topic, payload, _ in listener.heard))
        status = next(payload for topic, payload, _ in listener.heard if topic == effects.STATUS_TOPIC and payload)
        assert msgspec.json.decode(status, type=Status).wish == 60

        cabinet = SMALL.cabinets[0]
        listener.wait(lambda: cabinet.id in dict(listener.on("state")))
        now = time.time()
        cut = Control((Effect(kind="cabinet_lost", start=now - 1, end=now + 3600, target=cabinet.id),))
        listener.client.publish(effects.CONTROL_TOPIC, msgspec.json.encode(cut), qos=1)
        listener.wait(lambda: dict(listener.on("state"))[cabinet.id] == {"state": "offline", "reason": "lwt"})
        listener.client.publish(effects.CONTROL_TOPIC, msgspec.json.encode(Control()), qos=1)
        listener.wait(lambda: dict(listener.on("state"))[cabinet.id]["state"] == "online")

        broker.stop()
        listener.heard.clear()
        broker.start()
        # States are not retained, and the listener may be back after the devices: what repeats proves the return.
        often = {site.id for site in SMALL.sites if REPORT_S.get(site.kind, 3600) <= 20}
        listener.wait(lambda: {device for device, _ in listener.on("telemetry")} >= often)
        listener.wait(lambda: any("/frame/" in topic for topic, _, _ in listener.heard))


def test_storm_without_a_simulator_says_what_to_start(broker: BrokerServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A story needs a city."""
    monkeypatch.setattr(storm, "HELLO_S", 1.0)
    with pytest.raises(BrokerError, match=r"python -m ingest\.simulator run"):
        asyncio.run(storm.tell(Contact(BrokerAddress.parse(broker.url)), 60, "en"))


@pytest.mark.parametrize("url", ["http://x", "mqtt://", "tcp://127.0.0.1:1883"])
def test_broker_address_of_another_form_is_refused(url: str) -> None:
    """An error names what was expected."""
    with pytest.raises(SettingsError, match="expected mqtt://"):
        BrokerAddress.parse(url)


def test_broker_address_keeps_user_and_password() -> None:
    """Credentials may carry escaped characters."""
    address = BrokerAddress.parse("mqtts://a%40b:p%2Fw@broker.example")
    assert address == BrokerAddress("broker.example", 8883, "a@b", "p/w", True)
