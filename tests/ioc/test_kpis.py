"""Key figures on an empty and on a filled database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from zoneinfo import ZoneInfo

import pytest
from psycopg.types.json import Jsonb

from ioc import kpis
from ioc.db.copy import CAMERA_COUNT, DEVICE_STATE, READING, store
from ioc.db.pool import Connection
from ioc.kpis import KPIS, KpiValue, band
from ioc.model import CameraCount, DeviceState, Quality, Reading
from tests.fix_stack import Database

HOUR = timedelta(hours=1)
VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
#: Empty is nothing, except where a count of nothing is a fact.
COUNTS = {"incidents_p1", "incidents_p2", "incidents_p3", "alarms_10min", "quarantined_today"}


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A transaction on an empty, migrated database; nothing of it stays."""
    with db.connect() as connection, connection.transaction(force_rollback=True):
        yield connection


def now_of(connection: Connection) -> datetime:
    """What the key figures take for now: when the transaction began. Hours and days end in no test."""
    (now,) = connection.execute("SELECT now()").fetchone() or (None,)
    assert isinstance(now, datetime)
    return now


def values(connection: Connection) -> dict[str, KpiValue]:
    return {value.key: value for value in kpis.compute(connection)}


def add_device(
    connection: Connection, name: str, kind: str, state: str = "online", seen_s: float = 1, status: str = "active"
) -> None:
    now = now_of(connection)
    connection.execute(
        "INSERT INTO device (id, kind, name, state, last_seen, status) VALUES (%s, %s, %s, %s, %s, %s)",
        (name, kind, name, state, now - timedelta(seconds=seen_s), status),
    )


def add_reading(connection: Connection, device: str, measure: str, value: float, time: datetime) -> None:
    connection.execute(
        "INSERT INTO reading (time, device, measure, value, quality, received) VALUES (%s, %s, %s, %s, 0, %s)",
        (time, device, measure, value, time),
    )
    connection.execute(
        "INSERT INTO latest (time, device, measure, value, quality, received) VALUES (%s, %s, %s, %s, 0, %s)"
        " ON CONFLICT (device, measure) DO UPDATE SET time = excluded.time, value = excluded.value,"
        " received = excluded.received WHERE excluded.time > latest.time",
        (time, device, measure, value, time),
    )


def test_compute_on_an_empty_database(connection: Connection) -> None:
    """No data is no value, never zero; only counts of our own books are zero."""
    found = values(connection)
    assert list(found) == list(KPIS)
    assert {key: value.value for key, value in found.items()} == {key: 0 if key in COUNTS else None for key in KPIS}
    assert all(value.as_of is None and value.band == "" for key, value in found.items() if key not in COUNTS)


@pytest.mark.parametrize("key", KPIS)
def test_rows_are_complete(key: str) -> None:
    """Both languages, a note, and bands that are in order."""
    kpi = KPIS[key]
    assert kpi.label.vi
    assert kpi.label.en
    assert kpi.note.vi
    assert kpi.note.en
    assert bool(kpi.unit.vi) == bool(kpi.unit.en)
    if kpi.better == "low":
        assert kpi.watch <= kpi.bad
    elif kpi.better == "high":
        assert kpi.watch >= kpi.bad
    else:
        assert (kpi.watch, kpi.bad) == (0, 0)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("water_highest", 1.39, "good"),
        ("water_highest", 1.40, "watch"),
        ("water_highest", 1.60, "bad"),
        ("devices_online", 99.0, "good"),
        ("devices_online", 98.0, "watch"),
        ("devices_online", 90.0, "bad"),
        ("devices_online", None, ""),
        ("energy_today", 5.0, ""),
    ],
)
def test_band(key: str, value: float | None, expected: str) -> None:
    """A limit itself is already in the worse band; no value has none."""
    assert band(KPIS[key], value) == expected


@pytest.mark.parametrize(
    ("period", "online"),
    [(None, 0), ("soon", 0), ("", 0), ("0", 0), (900_000, 0), ("3600", 100), (3600, 100), (" 3600.5", 100)],
)
def test_devices_that_are_quiet_by_their_own_word(connection: Connection, period: object, online: float) -> None:
    """An hour is a long silence of a gauge, and none of one that speaks once an hour."""
    add_device(connection, "quiet", "flood_gauge", seen_s=3700)
    add_reading(connection, "quiet", "waterLevel", 1.0, now_of(connection) - timedelta(seconds=3700))
    if period is not None:
        connection.execute("UPDATE device SET attrs = %s WHERE id = 'quiet'", [Jsonb({"period_s": period})])
    found = values(connection)
    assert found["devices_online"].value == online
    assert found["values_alive"].value == online
    assert found["water_highest"].value == (1.0 if online else None)


def test_devices_online_needs_word_and_data(connection: Connection) -> None:
    """An open session without data is not online; retired devices are not counted."""
    add_device(connection, "a", "air_station")
    add_device(connection, "b", "air_station", seen_s=299)
    add_device(connection, "c", "air_station", seen_s=301)
    add_device(connection, "d", "air_station", state="offline")
    add_device(connection, "e", "air_station", state="offline", status="retired")
    found = values(connection)["devices_online"]
    assert found.value == 50
    assert found.band == "bad"


def test_device_that_speaks_of_events_alone_counts_neither_way_while_it_is_quiet(connection: Connection) -> None:
    """It raises the figure while it was just heard, and lowers it when it says that it goes, or we find its picture untrue."""
    add_device(connection, "c1", "camera")
    add_device(connection, "c2", "camera", state="offline")
    add_device(connection, "e", "camera", seen_s=3600)

    def share() -> float | None:
        return values(connection)["cameras_online"].value

    assert share() == pytest.approx(100 / 3)
    connection.execute("UPDATE device SET dialect = 'onvif' WHERE id = 'e'")
    assert share() == 50
    add_reading(connection, "e", "pictureState", 1, now_of(connection) - timedelta(seconds=1))
    assert share() == pytest.approx(100 / 3)
    add_reading(connection, "e", "pictureState", 0, now_of(connection))
    connection.execute("UPDATE device SET state = 'offline' WHERE id = 'e'")
    assert share() == pytest.approx(100 / 3)
    connection.execute("UPDATE device SET state = 'online', last_seen = now() WHERE id = 'e'")
    assert share() == pytest.approx(200 / 3)


def test_cameras_online_and_available_differ_by_those_never_seen(connection: Connection) -> None:
    """Camera points without footage count in one figure and not in the other."""
    add_device(connection, "c1", "camera")
    for name in ("c2", "c3", "c4"):
        add_device(connection, name, "camera", state="offline")
    now = now_of(connection)
    store(connection, DEVICE_STATE, [DeviceState(now - HOUR, "c2", "online", "", now - HOUR)])
    found = values(connection)
    assert (found["cameras_online"].value, found["cameras_available"].value) == (25, 50)
    assert kpis.online_by_kind(connection) == [kpis.KindOnline("camera", 4, 2, 1)]


def test_levels_leave_out_what_is_gone(connection: Connection) -> None:
    """A value older than five periods is no part of a figure."""
    now = now_of(connection)
    for name, measure, value, age in (
        ("g1", "waterLevel", 1.1, 10), ("g2", "waterLevel", 1.45, 20), ("g3", "waterLevel", 3.0, 151),
        ("r1", "rainfall", 12.5, 10), ("t1", "averageVehicleSpeed", 10, 5), ("t2", "averageVehicleSpeed", 30, 5),
        ("a1", "pm25", 20, 10), ("a2", "pm25", 40, 10), ("a3", "pm25", 900, 301),
    ):  # fmt: skip
        add_reading(connection, name, measure, value, now - timedelta(seconds=age))
    found = values(connection)
    assert (found["water_highest"].value, found["water_highest"].band) == (1.45, "watch")
    assert found["water_highest"].as_of == now - timedelta(seconds=10)
    assert found["rain_highest"].value == 12.5
    assert found["traffic_speed"].value == 20
    assert found["pm25_mean"].value == 30


def test_lamps_lit_is_a_figure_of_the_night(connection: Connection) -> None:
    """By night the share of lamps that are on or dimmed; by day no value, whatever they do."""
    now = now_of(connection)
    for name, state in (("l1", 1), ("l2", 2), ("l3", 0), ("l4", 3)):
        add_reading(connection, name, "powerState", state, now)
    local = now.astimezone(VIETNAM).time()
    is_day = clock(5, 15) <= local <= clock(18, 15)
    assert values(connection)["lamps_lit"].value == (None if is_day else 50)


def test_energy_today_survives_a_new_meter(connection: Connection) -> None:
    """Counters are differenced hour by hour; one that begins again at zero does not count backwards."""
    midnight = now_of(connection).astimezone(VIETNAM).replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    span = now_of(connection) - midnight
    add_device(connection, "c1", "cabinet")
    add_device(connection, "c2", "cabinet")
    add_reading(connection, "c1", "energyConsumed", 90, midnight - timedelta(minutes=1))
    # Evenly over what there is of today: 100 → 140 for one; 500 → 510, then a new meter 0 → 6 for the other.
    for step in range(41):
        add_reading(connection, "c1", "energyConsumed", 100 + step, midnight + span * step / 41)
    for step in range(11):
        add_reading(connection, "c2", "energyConsumed", 500 + step, midnight + span * 0.4 * step / 11)
    for step in range(7):
        add_reading(connection, "c2", "energyConsumed", step, midnight + span * (0.5 + 0.4 * step / 7))
    found = values(connection)["energy_today"]
    assert found.value is not None
    # Of the hour in which a meter is exchanged only one of the two is known; early in the day that is the whole day.
    lost = 4 if span > 3 * HOUR else 10
    assert 40 + 10 + 6 - lost <= found.value <= 40 + 10 + 6


def vn_aqi(hours: list[float | None]) -> int | None:
    """The index by the words of Decision 1459/QĐ-TCMT, from hourly means, the newest first."""
    if sum(c is not None for c in hours[:3]) < 2:
        return None
    present = [c for c in hours if c is not None]
    w = max(min(present) / max(present), 0.5)
    if w > 0.5:
        weights = [w**i if c is not None else 0 for i, c in enumerate(hours)]
        mean = sum(x * (c or 0) for x, c in zip(weights, hours, strict=True)) / sum(weights)
    else:
        mean = sum(0.5 ** (i + 1) * (c or 0) for i, c in enumerate(hours))
    limits, indices = [0, 25, 50, 80, 150, 250, 350, 500], [0, 50, 100, 150, 200, 300, 400, 500]
    steps = zip(limits, limits[1:], indices, indices[1:], strict=False)
    for c0, c1, i0, i1 in steps:
        if c0 <= mean < c1:
            return round((i1 - i0) / (c1 - c0) * (mean - c0) + i0)
    return 500


@pytest.mark.parametrize(
    "hours",
    [
        [25.0] * 12,
        [40, 42, 45, 39, 41, 44, 38, 40, 41, 42, 43, 44],
        [120, 30, 20, 15, 10, 12, 14, 15, 18, 22, 30, 35],
        [60, None, 55, 50, None, 48, 52, 51, 50, 49, 47, 46],
        [80, 85],
        [None, 85, 90, 95],
        [700] * 12,
    ],
)
def test_aqi_follows_the_decision(connection: Connection, hours: list[float | None]) -> None:
    """NowCast over finished hours, then the table: as computed by hand from the decision's text."""
    this_hour = now_of(connection).replace(minute=0, second=0, microsecond=0)
    add_device(connection, "a", "air_station")
    for age, mean in enumerate(hours, 1):
        if mean is not None:
            add_reading(connection, "a", "pm25", mean - 1, this_hour - age * HOUR + timedelta(minutes=10))
            add_reading(connection, "a", "pm25", mean + 1, this_hour - age * HOUR + timedelta(minutes=40))
    add_reading(connection, "a", "pm25", 500, this_hour)  # the running hour has no say
    assert values(connection)["aqi_worst"].value == vn_aqi(hours)


def test_aqi_needs_two_of_the_newest_three_hours(connection: Connection) -> None:
    """With one there is no index; of two stations the worse one is told."""
    this_hour = now_of(connection).replace(minute=0, second=0, microsecond=0)
    for name, level in (("a", 20.0), ("b", 60.0)):
        add_device(connection, name, "air_station")
        add_reading(connection, name, "pm25", level, this_hour - HOUR)
    assert values(connection)["aqi_worst"].value is None
    for name, level in (("a", 20.0), ("b", 60.0)):
        add_reading(connection, name, "pm25", level, this_hour - 3 * HOUR)
    found = values(connection)["aqi_worst"]
    assert (found.value, found.band) == (vn_aqi([60.0, None, 60.0]), "watch")


def test_vehicles_are_a_mean_of_pictures(connection: Connection) -> None:
    """Frames of a camera's minute count once, whatever classes were seen; people are no vehicles."""
    now = now_of(connection)
    minute = now.replace(second=0, microsecond=0) - timedelta(minutes=2)
    rows = [
        CameraCount(minute, "c", "motorbike", 10, 30, 5), CameraCount(minute, "c", "car", 10, 10, 2),
        CameraCount(minute, "c", "person", 10, 90, 9), CameraCount(minute + timedelta(minutes=1), "c", "car", 30, 0, 0),
        CameraCount(minute - 2 * HOUR, "c", "car", 30, 900, 40),
    ]  # fmt: skip
    store(connection, CAMERA_COUNT, rows)
    found = values(connection)
    assert found["vehicles_in_view"].value == 1
    assert found["pictures_seen"].value == 40
    assert found["pictures_seen"].as_of == minute + timedelta(minutes=2)


def test_own_books(connection: Connection) -> None:
    """Incidents, alarms, acknowledgements, quarantine and readings of the last minute."""
    now = now_of(connection)
    for priority, state in ((1, "open"), (2, "acknowledged"), (2, "open"), (2, "cleared"), (3, "closed")):
        connection.execute(
            "INSERT INTO incident (cause, ward, priority, state, opened, changed) VALUES ('flood', '', %s, %s, %s, %s)",
            (priority, state, now, now),
        )
    for number, (minutes, took, who, state) in enumerate(
        [
            (5, 1, "a", "acknowledged"),
            (5, 3, "a", "normal"),
            (60, 20, "b", "normal"),
            (5, 0, "system", "normal"),
            (5, 9, "", "suppressed"),
        ]
    ):
        opened = now - timedelta(minutes=minutes)
        connection.execute(
            "INSERT INTO alarm (rule, device, measure, ward, cause, priority, state, opened, changed, acknowledged,"
            " acknowledged_by, incident) SELECT 'r', %s, '', '', 'flood', 1, %s, %s, %s, %s, %s, min(id) FROM incident",
            (f"d{number}", state, opened, now, opened + timedelta(minutes=took) if who else None, who),
        )
    connection.execute(
        "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size)"
        " VALUES (%s, 't', '', 'native', 'json', '', '', 0)",
        (now,),
    )
    readings = [Reading(now - timedelta(seconds=s), "d", "rssi", 1, Quality.GOOD, now) for s in (1, 20, 40, 70)]
    store(connection, READING, readings)
    connection.execute(
        "INSERT INTO latest SELECT device, measure, time, value, quality, received FROM reading ORDER BY time DESC LIMIT 1"
    )
    add_device(connection, "d", "flood_gauge")
    found = {key: value.value for key, value in values(connection).items()}
    assert [found[f"incidents_p{priority}"] for priority in (1, 2, 3)] == [1, 2, 0]
    assert found["alarms_10min"] == 3
    assert found["acknowledge_median"] == 3
    assert found["quarantined_today"] == 1
    assert found["readings_minute"] == 3
    assert found["values_alive"] == 100


def test_compute_reads_only(db: Database) -> None:
    """A page's connection in a read-only transaction is enough."""
    with db.connect() as connection, connection.transaction():
        connection.execute("SET TRANSACTION READ ONLY")
        assert len(kpis.compute(connection)) == len(KPIS)
