"""What the desk pages read from TimescaleDB: lists, files of devices, evidence; and where nothing may be read from."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from dashboards.device_records import availability_of_all, device_file, table_facts
from dashboards.evidence import gather
from dashboards.incident_search import SHOWN, Filters, search
from ioc.db.alarms import alarms_of
from ioc.db.pool import Connection


@pytest.fixture
def now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def add_device(connection: Connection, *, kind: str = "flood_gauge", name: str = "Đo ngập", **more: object) -> str:
    """A device in An Khánh; returns its id."""
    key = f"d-{uuid.uuid4().hex[:10]}"
    row = {
        "id": key,
        "kind": kind,
        "name": name,
        "lat": 10.8,
        "lon": 106.75,
        "ward": "27094",
        "status": "active",
    } | more
    columns = ", ".join(row)
    places = ", ".join(["%s"] * len(row))
    connection.execute(f"INSERT INTO device ({columns}) VALUES ({places})", list(row.values()))
    return key


def add_incident(
    connection: Connection, device: str, *, state: str = "open", priority: int = 2, age_s: float = 60
) -> int:
    """An incident with one alarm of a flood gauge."""
    opened = datetime.now(UTC) - timedelta(seconds=age_s)
    (incident,) = connection.execute(
        "INSERT INTO incident (cause, ward, priority, state, opened, changed) VALUES ('flood', '27094', %s, %s, %s, %s)"
        " RETURNING id",
        (priority, state, opened, opened),
    ).fetchone() or (0,)
    connection.execute(
        'INSERT INTO alarm (rule, device, measure, ward, cause, priority, state, value, "limit", opened, changed, incident)'
        " VALUES ('water_alert_3', %s, 'waterLevel', '27094', 'flood', %s, %s, 1.7, 1.6, %s, %s, %s)",
        (device, priority, "normal" if state == "closed" else "unacknowledged", opened, opened, incident),
    )
    return int(incident)


def add_readings(connection: Connection, device: str, *values: float, quality: int = 0) -> None:
    """One reading a minute, the last one now."""
    now = datetime.now(UTC)
    for back, value in enumerate(reversed(values)):
        time = now - timedelta(minutes=back)
        row = (time, device, "waterLevel", value, quality, time)
        connection.execute("INSERT INTO reading VALUES (%s, %s, %s, %s, %s, %s)", row)
    connection.execute(
        "INSERT INTO latest (time, device, measure, value, quality, received) VALUES (%s, %s, 'waterLevel', %s, %s, %s)",
        (now, device, values[-1], quality, now),
    )


def test_search_shows_open_and_urgent_first_and_hides_closed(connection: Connection) -> None:
    """What waits comes before what is over; closed ones are asked for."""
    device = add_device(connection)
    closed, cleared = (
        add_incident(connection, device, state="closed"),
        add_incident(connection, add_device(connection), state="cleared"),
    )
    late, urgent = (
        add_incident(connection, add_device(connection)),
        add_incident(connection, add_device(connection), priority=1),
    )
    ids = [row.incident.id for row in search(connection, Filters()).rows]
    mine = [number for number in ids if number in {closed, cleared, late, urgent}]
    assert mine == [urgent, late, cleared]
    assert closed in [row.incident.id for row in search(connection, Filters(state="closed")).rows]


@pytest.mark.parametrize(
    "text", ["do ngap truong sa", "TRƯỜNG SA ngập", "an khanh muc nuoc bao dong truong sa", "water level truong sa"]
)
def test_search_finds_by_device_ward_and_rule(connection: Connection, text: str) -> None:
    """By what is in the incident, in either language, without diacritics."""
    incident = add_incident(connection, add_device(connection, name="Đo ngập Trường Sa"))
    assert incident in [row.incident.id for row in search(connection, Filters(text=text)).rows]
    assert search(connection, Filters(text=text + " khongco")).rows == []


def test_search_counts_what_it_does_not_show(connection: Connection) -> None:
    """A flood of incidents is cut, and the page says by how much."""
    for _ in range(SHOWN + 5):
        add_incident(connection, add_device(connection, name="flood-test"), priority=3)
    found = search(connection, Filters(priority=3))
    assert len(found.rows) == SHOWN
    assert found.total >= SHOWN + 5


def test_search_takes_text_as_text(connection: Connection) -> None:
    """What looks like SQL is a word that occurs nowhere."""
    assert search(connection, Filters(text="'; DROP TABLE incident; --")).rows == []
    assert connection.execute("SELECT count(*) FROM incident").fetchone() is not None


def test_facts_tell_link_quality_and_newness_apart(connection: Connection, now: datetime) -> None:
    """An open session says nothing about data, and a clock that is off is said."""
    add_device(connection, first_seen=now - timedelta(days=3))
    good = add_device(connection, state="online", first_seen=now - timedelta(days=3))
    wrong = add_device(
        connection, state="offline", clock_skew_s=4000.0, firmware="1.2", first_seen=now - timedelta(days=3)
    )
    fresh = add_device(connection, first_seen=now)
    retired = add_device(connection, status="retired")
    add_readings(connection, good, 1.0)
    add_readings(connection, wrong, 1.0, quality=1)
    facts = table_facts(connection, now)
    assert (facts[good][0], facts[good][2], facts[good][5]) == ("online", "good", "")
    assert (facts[wrong][0], facts[wrong][2], facts[wrong][3], facts[wrong][4]) == ("offline", "clock", 4000.0, "1.2")
    assert (facts[fresh][2], facts[fresh][5]) == ("none", "young")
    assert retired not in facts


@pytest.mark.parametrize(
    ("qualities", "said"), [((0, 3), "receipt"), ((3, 2), "manual"), ((1, 3), "clock"), ((0, 0), "good")]
)
def test_facts_name_the_worst_quality(
    connection: Connection, now: datetime, qualities: tuple[int, int], said: str
) -> None:
    """As the panel does: of a device's values the one that says most against its times."""
    device = add_device(connection, lat=None, lon=None)  # nobody's neighbour
    for measure, quality in zip(("waterLevel", "batteryLevel"), qualities, strict=True):
        connection.execute(
            "INSERT INTO latest (time, device, measure, value, quality, received) VALUES (%s, %s, %s, 0.5, %s, %s)",
            (now, device, measure, quality, now),
        )
    assert table_facts(connection, now)[device][2] == said


def test_facts_travel_as_json(connection: Connection, now: datetime) -> None:
    """Dash sends them to the browser as they are."""
    add_device(connection, last_seen=now)
    assert json.loads(json.dumps(table_facts(connection, now)))


def test_device_file_holds_family_alarms_and_quarantine(connection: Connection, now: datetime) -> None:
    """Everything about one device, and nothing about its neighbour."""
    cabinet = add_device(connection, kind="cabinet", name="Tủ 1")
    lamp = add_device(connection, kind="streetlight", name="Đèn 1", parent=cabinet)
    add_readings(connection, lamp, 1.0, 1.1)
    incident = add_incident(connection, lamp)
    other = add_device(connection, kind="streetlight")
    for device in (lamp, other):
        connection.execute(
            "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size)"
            " VALUES (now(), %s, '', 'native', 'json', 'not JSON', %s, 3)",
            (f"ioc/{device}/telemetry", b"\xff{x"),
        )
    file = device_file(connection, lamp, now)
    assert file is not None
    assert [alarm.incident for alarm in file.alarms] == [incident]
    assert [one.topic for one in file.rejected] == [f"ioc/{lamp}/telemetry"]
    assert file.parent is not None
    assert file.parent.name == "Tủ 1"
    assert sum(file.heard.values()) == 2
    above = device_file(connection, cabinet, now)
    assert above is not None
    assert [child.id for child in above.children] == [lamp]
    assert device_file(connection, "nobody", now) is None


def test_availability_is_of_known_time(connection: Connection, now: datetime) -> None:
    """Half an hour online of one known hour is a half, whatever was before."""
    device = add_device(connection)
    for minutes, state in ((60, "online"), (30, "offline")):
        time = now - timedelta(minutes=minutes)
        connection.execute("INSERT INTO device_state VALUES (%s, %s, %s, '', %s)", (time, device, state, time))
    assert availability_of_all(connection, now)[device] == pytest.approx(0.5, abs=0.01)


def test_evidence_reaches_before_the_alarm_and_names_neighbours(connection: Connection, now: datetime) -> None:
    """The readings that led to it, and what the nearest of its kind measure."""
    device = add_device(connection)
    near, far = add_device(connection, lat=10.801, name="gần"), add_device(connection, lat=10.82, name="xa")
    for key in (device, near, far):
        add_readings(connection, key, *[1.0 + minute / 100 for minute in range(20)])
    alarm = alarms_of(connection, add_incident(connection, device, age_s=300))[0]
    evidence = gather(connection, alarm, "", now + timedelta(seconds=1))
    assert evidence.since < alarm.opened - timedelta(minutes=15)
    assert len([point for point in evidence.points if point.time < alarm.opened]) >= 10
    order = [one.id for one in evidence.neighbours]
    assert device not in order
    assert order.index(near) < order.index(far) if far in order else near in order
