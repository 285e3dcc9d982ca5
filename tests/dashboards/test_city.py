"""The fold of changes into the city's state."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from dashboards.city import CityState, Health
from ioc.model import (
    Alarm,
    AlarmsChanged,
    Change,
    Device,
    DevicesChanged,
    DeviceState,
    FrameArrived,
    Incident,
    Quality,
    Reading,
    ReadingsChanged,
    SceneSeen,
    StatesChanged,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START.timestamp()


def make_device(number: int = 1, *, kind: str = "flood_gauge", **more: object) -> Device:
    fields = {
        "id": f"device-{number}",
        "kind": kind,
        "name": f"Trạm {number}",
        "lat": 10.8,
        "lon": 106.75,
        "ward": "26824",
        "parent": "",
        "dialect": "native",
        "firmware": "",
        "attrs": {},
        "status": "active",
        "state": "unknown",
        "state_time": None,
        "state_reason": "",
        "last_seen": None,
        "clock_skew_s": None,
    }
    return Device(**(fields | more))


def make_reading(
    after_s: float, value: float = 1.0, *, number: int = 1, measure: str = "waterLevel", received_s: float | None = None
) -> Reading:
    received = START + timedelta(seconds=after_s if received_s is None else received_s)
    return Reading(START + timedelta(seconds=after_s), f"device-{number}", measure, value, Quality.GOOD, received)


def make_alarm(
    number: int = 1, *, state: str = "unacknowledged", changed_s: float = 0.0, opened_s: float = 0.0
) -> Alarm:
    return Alarm(
        id=number,
        rule="water_alert_1",
        device="device-1",
        measure="waterLevel",
        ward="26824",
        cause="flood",
        priority=3,
        state=state,
        value=1.45,
        limit=1.4,
        opened=START + timedelta(seconds=opened_s),
        changed=START + timedelta(seconds=changed_s),
        incident=7,
    )


def make_incident(*, state: str = "open", changed_s: float = 0.0) -> Incident:
    changed = START + timedelta(seconds=changed_s)
    return Incident(
        id=7,
        cause="flood",
        ward="26824",
        priority=3,
        state=state,
        opened=START,
        changed=changed,
        closed=None,
        alarms=1,
        active=1,
    )


def city_of(*changes: Change) -> CityState:
    city = CityState()
    for change in changes:
        city.fold(change)
    return city


changes = st.lists(
    st.one_of(
        st.builds(
            lambda rows: ReadingsChanged([make_reading(after, value, number=number) for after, value, number in rows]),
            st.lists(st.tuples(st.integers(0, 300), st.floats(-5, 10), st.integers(1, 3)), max_size=4),
        ),
        st.builds(
            lambda number, after, state: StatesChanged(
                [
                    DeviceState(
                        START + timedelta(seconds=after),
                        f"device-{number}",
                        state,
                        "",
                        START + timedelta(seconds=after),
                    )
                ]
            ),
            st.integers(1, 3),
            st.integers(0, 300),
            st.sampled_from(["online", "offline", "maintenance"]),
        ),
        st.builds(
            lambda number, state, after: AlarmsChanged([make_alarm(number, state=state, changed_s=after)], []),
            st.integers(1, 3),
            st.sampled_from(["unacknowledged", "acknowledged", "normal"]),
            st.integers(0, 300),
        ),
    ),
    max_size=12,
)
DEVICES = DevicesChanged([make_device(1), make_device(2, kind="streetlight"), make_device(3, kind="camera")])


@given(changes)
def test_fold_of_every_change_twice_is_fold_once(given: list[Change]) -> None:
    """A change given again, as after a reconnection, changes nothing."""
    once = city_of(DEVICES, *given)
    twice = city_of(DEVICES, *given, *given)
    assert twice.whole(NOW + 300)["value"] == once.whole(NOW + 300)["value"]
    assert twice.whole(NOW + 300)["time"] == once.whole(NOW + 300)["time"]


@given(changes, st.integers(0, 12))
def test_deltas_in_any_portions_lead_to_the_whole(given: list[Change], cut: int) -> None:
    """A page that takes every delta shows what a page that comes new shows."""
    city = city_of(DEVICES)
    health, value, time, alarms = {}, {}, {}, {}

    def apply(now: float) -> None:
        delta = city.delta(now)
        for at, state, figure, stamp in delta.get("d", []):
            health[at], value[at], time[at] = state, figure, stamp
        for row in delta.get("alarms", []):
            alarms.pop(row[0], None) if row[8] == "normal" else alarms.update({row[0]: row})

    apply(NOW)
    for part in (given[:cut], given[cut:]):
        for change in part:
            city.fold(change)
        apply(NOW + 300)
    whole = city.whole(NOW + 300)
    assert "".join(str(health[at]) for at in range(3)) == whole["health"]
    assert [value[at] for at in range(3)] == whole["value"]
    assert sorted(alarms.values()) == sorted(whole["alarms"])
    # A lamp's unchanged word is not sent again: its time may be older, never newer.
    assert all(time[at] <= whole["time"][at] for at in range(3))
    assert time[0] == whole["time"][0]


def test_reading_older_than_the_known_one_is_not_shown() -> None:
    """History that arrives late does not turn the figure back."""
    city = city_of(DEVICES, ReadingsChanged([make_reading(60, 1.5)]), ReadingsChanged([make_reading(30, 0.2)]))
    assert city.whole(NOW + 60)["value"][0] == 1.5


def test_zero_is_a_value_and_no_value_is_none() -> None:
    """Zero is not missing."""
    city = city_of(DEVICES, ReadingsChanged([make_reading(1, 0.0)]))
    assert city.whole(NOW + 1)["value"] == [0.0, None, None]


def test_health_by_age_is_online_late_silent_at_two_and_five_periods() -> None:
    """A flood gauge reports every 30 s: after 60 s it is late, after 150 s silent."""
    city = city_of(DEVICES, ReadingsChanged([make_reading(0)]))
    ages = {0: Health.ONLINE, 60: Health.ONLINE, 61: Health.LATE, 150: Health.LATE, 151: Health.SILENT}
    assert {age: city.health_of("device-1", NOW + age) for age in ages} == ages


def test_health_of_a_device_never_heard_is_unknown() -> None:
    """Missing is not offline, and not online either."""
    assert city_of(DEVICES).health_of("device-2", NOW) is Health.UNKNOWN


def test_health_when_the_device_says_offline_is_offline_however_fresh() -> None:
    """The device's own word, or its last will, stands above our reckoning."""
    offline = DeviceState(START, "device-1", "offline", "lwt", START)
    city = city_of(DEVICES, ReadingsChanged([make_reading(0)]), StatesChanged([offline]))
    assert city.health_of("device-1", NOW + 1) is Health.OFFLINE


def test_state_older_than_the_known_one_is_ignored() -> None:
    """A last will that is delivered late does not put a device off again."""
    states = [
        DeviceState(START + timedelta(seconds=at), "device-1", state, "", START)
        for at, state in ((9, "online"), (5, "offline"))
    ]
    city = city_of(DEVICES, StatesChanged(states[:1]), StatesChanged(states[1:]))
    assert city.health_of("device-1", NOW) is Health.ONLINE


def test_delta_after_a_delta_is_empty() -> None:
    """Nothing is sent twice."""
    city = city_of(DEVICES, ReadingsChanged([make_reading(0)]), AlarmsChanged([make_alarm()], [make_incident()]))
    assert {"devices", "d", "alarms", "incidents"} <= city.delta(NOW).keys()
    assert city.delta(NOW) == {}


def test_delta_as_time_passes_names_those_that_turn_late() -> None:
    """Growing old is news too, though nothing arrived."""
    city = city_of(DEVICES, ReadingsChanged([make_reading(0)]))
    city.delta(NOW)
    assert [row[:2] for row in city.delta(NOW + 61)["d"]] == [(0, Health.LATE)]


def test_delta_when_a_lamp_repeats_itself_is_empty() -> None:
    """A lamp that says what it said is no news; a gauge's figure is shown with its age, so it is."""
    for number, measure, news in ((2, "powerState", False), (1, "waterLevel", True)):
        city = city_of(DEVICES, ReadingsChanged([make_reading(0, 1.0, number=number, measure=measure)]))
        city.delta(NOW)
        city.fold(ReadingsChanged([make_reading(5, 1.0, number=number, measure=measure)]))
        assert ("d" in city.delta(NOW + 5)) is news


def test_alarm_back_to_normal_leaves_and_is_said_once() -> None:
    """A page deletes what comes as normal."""
    city = city_of(DEVICES, AlarmsChanged([make_alarm()], []))
    city.delta(NOW)
    city.fold(AlarmsChanged([make_alarm(state="normal", changed_s=5)], []))
    assert [row[8] for row in city.delta(NOW)["alarms"]] == ["normal"]
    assert city.alarms == {}


def test_alarm_change_that_comes_out_of_order_is_ignored() -> None:
    """An acknowledgement is not undone by the older row."""
    rows = [make_alarm(state="acknowledged", changed_s=9), make_alarm(state="unacknowledged", changed_s=3)]
    city = city_of(DEVICES, *(AlarmsChanged([row], []) for row in rows))
    assert city.alarms[1].state == "acknowledged"


def test_keep_only_ends_what_ended_while_nobody_listened() -> None:
    """Alarms and incidents that TimescaleDB no longer has alive are ended, and the pages are told."""
    city = city_of(DEVICES, AlarmsChanged([make_alarm(1), make_alarm(2)], [make_incident()]))
    city.delta(NOW)
    city.keep_only([2], [])
    delta = city.delta(NOW)
    assert [(row[0], row[8]) for row in delta["alarms"]] == [(1, "normal")]
    assert [(row[0], row[4]) for row in delta["incidents"]] == [(7, "closed")]


def test_recent_openings_counts_ten_minutes() -> None:
    """An alarm counts from its opening for ten minutes, also after it went."""
    city = city_of(
        DEVICES,
        AlarmsChanged([make_alarm(1, opened_s=0), make_alarm(2, opened_s=300)], []),
        AlarmsChanged([make_alarm(2, state="normal", changed_s=310, opened_s=300)], []),
    )
    assert [city.recent_openings(NOW + at) for at in (310, 599, 600, 899, 900)] == [2, 2, 1, 1, 0]


def test_retired_device_is_said_to_be_retired() -> None:
    """A device taken out of the register disappears from the pages, and its number is not given to another."""
    city = city_of(DEVICES, DevicesChanged([make_device(1, status="retired")]), DevicesChanged([make_device(9)]))
    assert city.health_of("device-1", NOW) is Health.RETIRED
    assert city.number["device-9"] == 3


def test_scene_or_frame_of_a_camera_shows_that_it_lives() -> None:
    """A camera sends pictures, not readings."""
    for change in (FrameArrived("device-3", START), SceneSeen("device-3", START, {"car": 2}, 20.0, 50.0)):
        assert city_of(DEVICES, change).health_of("device-3", NOW + 5) is Health.ONLINE


def test_simulated_devices_are_counted_by_their_own_word() -> None:
    """The wall says how many of its devices are simulated."""
    city = city_of(DevicesChanged([make_device(1, attrs={"simulated": True}), make_device(2)]))
    assert len(city.simulated) == 1
    city.fold(DevicesChanged([make_device(1)]))
    assert len(city.simulated) == 0


def test_numbers_hold_beyond_the_first_thousand_devices() -> None:
    """The columns grow without moving anybody."""
    city = city_of(
        DevicesChanged([make_device(n) for n in range(3000)]), ReadingsChanged([make_reading(0, 2.0, number=2999)])
    )
    whole = city.whole(NOW)
    assert whole["columns"]["id"] == [f"device-{n}" for n in range(3000)]
    assert whole["value"][2999] == 2.0
    assert set(itertools.islice(whole["health"], 2999)) == {"0"}


def test_camera_whose_picture_is_untrue_is_not_online_and_a_finding_is_no_sign_of_life() -> None:
    """A frozen camera that sends on is not well; one that sends nothing is silent, however often we say that it is missing."""
    city = city_of(DevicesChanged([make_device(kind="camera")]), FrameArrived("device-1", START))
    assert city.health_of("device-1", NOW + 1) == Health.ONLINE
    city.fold(ReadingsChanged([make_reading(2, 3.0, measure="pictureState")]))
    assert city.health_of("device-1", NOW + 3) == Health.UNTRUE
    assert city.delta(NOW + 3)["d"] == [(0, int(Health.UNTRUE), 3.0, int(NOW + 2))]
    city.fold(ReadingsChanged([make_reading(200, 1.0, measure="pictureState")]))
    assert city.health_of("device-1", NOW + 201) == Health.SILENT
    assert city.newest == 0.0
    city.fold(FrameArrived("device-1", START + timedelta(seconds=300)))
    city.fold(ReadingsChanged([make_reading(301, 0.0, measure="pictureState")]))
    assert city.health_of("device-1", NOW + 302) == Health.ONLINE
    city.fold(ReadingsChanged([make_reading(250, 2.0, measure="pictureState")]))
    assert city.health_of("device-1", NOW + 302) == Health.ONLINE


def test_device_that_speaks_of_events_alone_is_neither_silent_nor_online_for_long() -> None:
    """Nobody knows whether it lives, unless its pictures come; what it says itself and what we find stand above that."""
    city = city_of(DevicesChanged([make_device(kind="camera", dialect="onvif")]))
    assert city.health_of("device-1", NOW) is Health.UNKNOWN
    city.fold(ReadingsChanged([make_reading(0, measure="peopleCount")]))
    ages = {0: Health.ONLINE, 20: Health.ONLINE, 21: Health.QUIET, 90_000: Health.QUIET}
    assert {age: city.health_of("device-1", NOW + age) for age in ages} == ages
    for second in range(100, 200, 10):
        city.fold(FrameArrived("device-1", START + timedelta(seconds=second)))
        assert city.health_of("device-1", NOW + second + 9) is Health.ONLINE
    city.fold(ReadingsChanged([make_reading(260, 1.0, measure="pictureState")]))
    assert city.health_of("device-1", NOW + 260) is Health.UNTRUE
    city.fold(ReadingsChanged([make_reading(261, 0.0, measure="pictureState")]))
    city.fold(StatesChanged([DeviceState(START + timedelta(seconds=262), "device-1", "offline", "", START)]))
    assert city.health_of("device-1", NOW + 262) is Health.OFFLINE


def test_device_with_a_period_of_its_own_is_aged_by_it_whatever_its_dialect() -> None:
    """Then it has a heartbeat."""
    device = make_device(kind="camera", dialect="onvif", attrs={"period_s": 60})
    city = city_of(DevicesChanged([device]), ReadingsChanged([make_reading(0, measure="peopleCount")]))
    assert city.health_of("device-1", NOW + 121) is Health.LATE
    assert city.health_of("device-1", NOW + 301) is Health.SILENT
