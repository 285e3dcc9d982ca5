"""The engine's decisions and the operators' actions on a real database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from ioc.alarms import actions
from ioc.alarms.execute import Order, execute
from ioc.alarms.grouping import incident_state
from ioc.alarms.log import verify
from ioc.alarms.machine import Event
from ioc.alarms.world import Decision
from ioc.chain import canonical
from ioc.db import alarms as stored
from ioc.db.pool import Connection
from ioc.errors import ActionError
from ioc.model import Alarm, AlarmsChanged, Change, Device
from ioc.service import utc_now
from tests.fix_stack import Database
from tests.ioc.test_alarm_world import make_device


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection to a database without alarms."""
    with db.connect() as connection:
        connection.execute("ALTER TABLE incident_log DISABLE TRIGGER USER")
        connection.execute("DELETE FROM incident_log; DELETE FROM alarm; DELETE FROM incident; DELETE FROM device")
        connection.execute("ALTER TABLE incident_log ENABLE TRIGGER USER")
        yield connection


def register(connection: Connection, device: Device) -> Device:
    connection.execute(
        "INSERT INTO device (id, kind, name, lat, lon, ward, parent) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (device.id, device.kind, device.name, device.lat, device.lon, device.ward, device.parent),
    )
    return device


def opened(
    connection: Connection,
    device: str = "g",
    rule: str = "water_alert_3",
    *,
    now: datetime | None = None,
    **fields: Any,
) -> Alarm:
    """Open an alarm as the engine does."""
    kind = "flood_gauge" if rule.startswith("water") else "streetlight" if rule.startswith("lamp") else "cabinet"
    suppressed = fields.pop("suppressed", False)
    row = make_device(device, kind, **fields)
    if connection.execute("SELECT FROM device WHERE id = %s", (device,)).fetchone() is None:
        register(connection, row)
    order = Order(Decision(rule, device, "raise", suppressed=suppressed, value=1.7), row, None)
    (alarm,) = execute(connection, [order], now or utc_now()).alarms
    return alarm


def happen(connection: Connection, alarm: Alarm, event: Event) -> AlarmsChanged:
    return execute(connection, [Order(Decision(alarm.rule, alarm.device, event), None, alarm)], utc_now())


def kinds(connection: Connection, incident: int) -> list[str]:
    return [entry.kind for entry in stored.log_of(connection, incident)]


def state_of(connection: Connection, incident: int) -> str:
    return stored.incident_file(connection, incident).incident.state


def only(changes: list[Change]) -> AlarmsChanged:
    (change,) = changes
    assert isinstance(change, AlarmsChanged)
    return change


def test_life_of_an_incident(connection: Connection) -> None:
    """Detected, acknowledged, assigned, noted, returned, cleared, closed: each step in the log, the chain whole."""
    alarm = opened(connection)
    assert (alarm.state, alarm.priority, alarm.limit, alarm.value) == ("unacknowledged", 1, 1.60, 1.7)
    assert state_of(connection, alarm.incident) == "open"
    change = only(actions.acknowledge(connection, "trực ban", alarms=[alarm.id]))
    assert [(a.state, a.acknowledged_by) for a in change.alarms] == [("acknowledged", "trực ban")]
    assert [(i.state, i.alarms, i.active) for i in change.incidents] == [("acknowledged", 1, 1)]
    actions.assign(connection, alarm.incident, "Đội thoát nước 2", "trực ban")
    actions.dispatch(connection, alarm.incident, "Xe 51A", "trực ban")
    actions.note(connection, alarm.incident, "Đã cử người tới cống", "trực ban")
    done = happen(connection, change.alarms[0], "return")
    assert [a.state for a in done.alarms] == ["normal"]
    assert [i.state for i in done.incidents] == ["cleared"]
    only(actions.close(connection, alarm.incident, "trực ban"))
    file = stored.incident_file(connection, alarm.incident)
    assert [e.kind for e in file.log] == [
        "detected", "acknowledged", "assigned", "dispatched", "note", "returned", "cleared", "closed",
    ]  # fmt: skip
    assert file.fault is None
    assert file.incident.state == "closed"
    assert file.incident.closed is not None
    assert file.log[1].details["after_s"] >= 0


def test_log_cannot_be_changed_by_sql_and_shows_it_when_it_was(connection: Connection) -> None:
    """The table refuses; a superuser who gets around that is found out."""
    alarm = opened(connection)
    actions.note(connection, alarm.incident, "một", "a")
    actions.note(connection, alarm.incident, "hai", "a")
    for statement in ("UPDATE incident_log SET text = 'x'", "DELETE FROM incident_log", "TRUNCATE incident_log"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            connection.execute(statement)
    assert stored.incident_file(connection, alarm.incident).fault is None
    connection.execute("ALTER TABLE incident_log DISABLE TRIGGER USER")
    connection.execute("UPDATE incident_log SET text = 'ba' WHERE text = 'hai'")
    connection.execute("ALTER TABLE incident_log ENABLE TRIGGER USER")
    fault = stored.incident_file(connection, alarm.incident).fault
    assert fault is not None
    assert (fault.seq, fault.why) == (3, "was changed after it was written")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
        max_size=6,
    )
)  # fmt: skip
def test_canonical_survives_the_database(connection: Connection, details: dict[str, Any]) -> None:
    """What goes through jsonb hashes as it did before: numbers and key order are spelt anew there."""
    (back,) = connection.execute("SELECT %s::jsonb", (Jsonb(details),)).fetchone() or (None,)
    assert canonical(back) == canonical(details)


def test_second_opening_of_the_same_is_none(connection: Connection) -> None:
    """An engine that forgot, or a second one, cannot double an alarm."""
    alarm = opened(connection)
    again = opened(connection)
    assert again.id == alarm.id
    assert len(stored.alive_alarms(connection)) == 1
    assert kinds(connection, alarm.incident) == ["detected"]


def test_opening_of_what_returned_raises_it_again(connection: Connection) -> None:
    """Returned and never seen, then back: the same alarm asks again."""
    alarm = opened(connection)
    happen(connection, alarm, "return")
    assert opened(connection).id == alarm.id
    assert [a.state for a in stored.alive_alarms(connection)] == ["unacknowledged"]
    assert kinds(connection, alarm.incident) == ["detected", "returned", "raised"]


def test_incidents_by_cause_and_ward(connection: Connection) -> None:
    """Two gauges of a ward are one incident, of two wards two; another cause is another."""
    one, two = opened(connection, "g1"), opened(connection, "g2", "water_alert_1")
    far, other = opened(connection, "g3", ward="26800"), opened(connection, "c1", "cabinet_door_open")
    assert one.incident == two.incident
    assert len({one.incident, far.incident, other.incident}) == 3
    assert stored.incident_file(connection, one.incident).incident.priority == 1


def test_lamps_of_a_cabinet_are_one_incident_across_wards(connection: Connection) -> None:
    """Forty lamps behind one cabinet are one ticket, on both sides of a border."""
    cabinet = opened(connection, "cab", "cabinet_offline", ward="26800")
    lamps = [opened(connection, f"l{n}", "lamp_offline", ward="26803", parent="cab", suppressed=True) for n in range(3)]
    assert {lamp.incident for lamp in lamps} == {cabinet.incident}
    assert {lamp.state for lamp in lamps} == {"suppressed"}
    assert state_of(connection, cabinet.incident) == "open"


def test_many_at_once_make_one_incident_in_one_transaction(connection: Connection) -> None:
    """A storm of lamps is one incident with every record, none dropped."""
    devices = [register(connection, make_device(f"s{n}", "streetlight", parent="x")) for n in range(120)]
    orders = [Order(Decision("lamp_offline", d.id, "raise", suppressed=n > 0), d, None) for n, d in enumerate(devices)]
    change = execute(connection, orders, utc_now())
    (incident,) = change.incidents
    assert (incident.alarms, incident.active, len(change.alarms)) == (120, 120, 120)
    file = stored.incident_file(connection, incident.id)
    assert (len(file.log), file.fault) == (120, None)


def test_old_incident_takes_no_new_device(connection: Connection) -> None:
    """What has been quiet for half an hour is another matter; the same device escalating is not."""
    before = utc_now() - timedelta(minutes=40)
    old = opened(connection, "g1", "water_alert_1", now=before)
    assert opened(connection, "g2").incident != old.incident
    assert opened(connection, "g1", "water_alert_2").incident == old.incident


def test_closed_incident_takes_no_alarm(connection: Connection) -> None:
    """After closing, the next alarm is a new incident."""
    alarm = opened(connection)
    actions.acknowledge(connection, "a", incident=alarm.incident)
    happen(connection, alarm, "return")
    actions.close(connection, alarm.incident, "a")
    assert opened(connection).incident != alarm.incident


def test_close_needs_cleared_or_a_reason(connection: Connection) -> None:
    """What still holds is not closed in passing."""
    alarm = opened(connection)
    with pytest.raises(ActionError, match="is open with 1 alarms alive: wait until it is cleared, or give a reason"):
        actions.close(connection, alarm.incident, "a")
    change = only(actions.close(connection, alarm.incident, "a", reason="Thiết bị thử nghiệm"))
    assert [i.state for i in change.incidents] == ["closed"]
    assert [a.state for a in change.alarms] == ["acknowledged"]
    assert actions.close(connection, alarm.incident, "b") == []
    happen(connection, alarm, "return")
    assert state_of(connection, alarm.incident) == "closed"
    assert kinds(connection, alarm.incident) == ["detected", "closed", "returned"]


def test_closed_incident_reopens_when_a_shelved_alarm_asks(connection: Connection) -> None:
    """Closing does not bury what comes back by itself."""
    alarm = opened(connection)
    actions.shelve(connection, [alarm.id], utc_now() + timedelta(minutes=5), "bảo trì", "a")
    actions.close(connection, alarm.incident, "a", reason="xong")
    happen(connection, alarm, "unshelve")
    assert state_of(connection, alarm.incident) == "open"
    assert kinds(connection, alarm.incident)[-2:] == ["unshelved", "reopened"]


def test_shelve_needs_a_reason_and_an_end(connection: Connection) -> None:
    """Timed, with a reason: otherwise it is not shelving."""
    alarm = opened(connection)
    soon = utc_now() + timedelta(minutes=5)
    with pytest.raises(ActionError, match="expected a reason"):
        actions.shelve(connection, [alarm.id], soon, "  ", "a")
    for until in (utc_now() - timedelta(seconds=1), utc_now() + timedelta(days=2)):
        with pytest.raises(ActionError, match="within the next"):
            actions.shelve(connection, [alarm.id], until, "lý do", "a")
    change = only(actions.shelve(connection, [alarm.id], soon, "lý do", "a"))
    assert [(a.state, a.shelved_until, a.shelve_reason) for a in change.alarms] == [("shelved", soon, "lý do")]
    assert actions.shelve(connection, [alarm.id], soon, "lý do", "a") == []
    assert [a.state for a in only(actions.unshelve(connection, [alarm.id], "a")).alarms] == ["unacknowledged"]
    assert actions.unshelve(connection, [alarm.id], "a") == []


ACTIONS: list[tuple[str, Callable[[Connection, Alarm], list[Change]]]] = [
    ("acknowledged", lambda c, a: actions.acknowledge(c, "a", alarms=[a.id])),
    ("acknowledged", lambda c, a: actions.acknowledge(c, "a", incident=a.incident)),
    ("note", lambda c, a: actions.note(c, a.incident, "x", "a")),
    ("assigned", lambda c, a: actions.assign(c, a.incident, "x", "a")),
    ("dispatched", lambda c, a: actions.dispatch(c, a.incident, "x", "a")),
    ("closed", lambda c, a: actions.close(c, a.incident, "a", reason="x")),
]


@pytest.mark.parametrize(("kind", "act"), ACTIONS)
def test_action_twice_is_once(
    connection: Connection, kind: str, act: Callable[[Connection, Alarm], list[Change]]
) -> None:
    """A double click, or a form sent again, leaves one entry and nothing to publish."""
    alarm = opened(connection)
    assert act(connection, alarm) != []
    assert act(connection, alarm) == []
    assert kinds(connection, alarm.incident).count(kind) == 1


def test_concurrent_acknowledgements_leave_one_entry(connection: Connection, db: Database) -> None:
    """Two operators press A at the same moment: one of them did it, the log says who."""
    for round_ in range(5):
        alarm = opened(connection, f"g{round_}", ward=f"w{round_}")
        results: dict[str, list[Change]] = {}
        barrier = threading.Barrier(4)

        def press(who: str, alarm: Alarm = alarm, results: dict[str, list[Change]] = results) -> None:
            with db.connect() as mine:
                barrier.wait()  # noqa: B023 - each round waits for its own
                results[who] = actions.acknowledge(mine, who, alarms=[alarm.id])

        threads = [threading.Thread(target=press, args=(who,)) for who in ("a", "b", "c", "d")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [who for who, changes in results.items() if changes]
        assert len(winners) == 1
        entries = [e for e in stored.log_of(connection, alarm.incident) if e.kind == "acknowledged"]
        assert [e.who for e in entries] == winners
        assert stored.alarm(connection, alarm.id).acknowledged_by == winners[0]


def test_concurrent_engine_and_operators_keep_the_chain(connection: Connection, db: Database) -> None:
    """The log of one incident stays one chain, whoever writes into it at once."""
    alarms = [opened(connection, f"g{n}") for n in range(8)]
    (incident,) = {alarm.incident for alarm in alarms}

    def engine() -> None:
        with db.connect() as mine:
            for event in ("return", "raise", "return"):
                for alarm in alarms:
                    happen(mine, alarm, event)  # type: ignore[arg-type]

    def operator(who: str) -> None:
        with db.connect() as mine:
            for number, alarm in enumerate(alarms):
                actions.acknowledge(mine, who, alarms=[alarm.id])
                actions.note(mine, incident, f"{number}", who)

    threads = [threading.Thread(target=engine), *(threading.Thread(target=operator, args=(who,)) for who in ("a", "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = stored.log_of(connection, incident)
    assert verify(entries) is None
    assert sum(entry.kind == "note" for entry in entries) == 16
    assert [entry.time for entry in entries] == sorted(entry.time for entry in entries)


def test_action_on_many_incidents_is_one(connection: Connection) -> None:
    """A whole screen is acknowledged at once: all of it is published as one change, or nothing is done."""
    alarms = [opened(connection, f"g{n}", ward=f"w{n}") for n in range(3)]
    with pytest.raises(ActionError, match="there are none"):
        actions.acknowledge(connection, "a", alarms=[*(alarm.id for alarm in alarms), 999999])
    assert {alarm.state for alarm in stored.alive_alarms(connection)} == {"unacknowledged"}
    change = only(actions.acknowledge(connection, "a", alarms=[alarm.id for alarm in alarms]))
    assert {alarm.state for alarm in change.alarms} == {"acknowledged"}
    assert {incident.state for incident in change.incidents} == {"acknowledged"}
    assert len(change.incidents) == 3


def test_work_on_many_incidents_at_once_does_not_deadlock(connection: Connection, db: Database) -> None:
    """Engine and operators take the same incidents in different orders, and lock them in one."""
    alarms = [opened(connection, f"g{n}", ward=f"w{n}") for n in range(6)]
    events: list[Event] = ["return", "raise"] * 8

    def engine(order: int) -> None:
        with db.connect() as mine:
            for event in events:
                orders = [Order(Decision(a.rule, a.device, event), None, a) for a in alarms[::order]]
                execute(mine, orders, utc_now())

    def operator(order: int) -> None:
        with db.connect() as mine:
            for _ in events:
                actions.shelve(mine, [a.id for a in alarms[::order]], utc_now() + timedelta(minutes=1), "lý do", "a")
                actions.unshelve(mine, [a.id for a in alarms[::order]], "a")

    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(do, order) for do in (engine, operator) for order in (1, -1)]
        assert [one.result() for one in work] == [None] * 4
    assert all(verify(stored.log_of(connection, alarm.incident)) is None for alarm in alarms)


SUBJECTS = [("water_alert_3", "g1"), ("water_alert_1", "g1"), ("water_alert_3", "g2"), ("lamp_offline", "l1")]
deeds = st.one_of(
    st.tuples(
        st.just("engine"), st.sampled_from(["raise", "return", "suppress", "release", "remove", "restore", "unshelve"])
    ),
    st.tuples(
        st.just("operator"), st.sampled_from(["acknowledge", "whole", "shelve", "unshelve", "note", "close", "force"])
    ),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(deeds, st.sampled_from(SUBJECTS)), min_size=5, max_size=30))
def test_any_story_keeps_the_books_straight(connection: Connection, story: list[Any]) -> None:
    """Engine and operators in any order: states follow from alarms, priorities are the worst, every chain holds."""
    with connection.transaction(force_rollback=True):
        for (who, what), (rule, device) in story:
            alive = {(a.rule, a.device): a for a in stored.alive_alarms(connection)}
            alarm = alive.get((rule, device))
            if who == "engine" and alarm is None:
                opened(connection, device, rule)
            elif who == "engine" and alarm is not None:
                happen(connection, alarm, what)
            elif alarm is not None:
                operate(connection, alarm, what)
        page = stored.incidents(connection, limit=1000)
        assert page.total == len(page.incidents)
        for incident in page.incidents:
            file = stored.incident_file(connection, incident.id)
            assert file.fault is None
            states = [alarm.state for alarm in file.alarms]
            assert incident.state == incident_state(states, closed=incident.closed is not None)
            assert incident.priority == min(alarm.priority for alarm in file.alarms)
            assert (incident.alarms, incident.active) == (len(states), sum(a.returned is None for a in file.alarms))
            assert incident.changed == file.log[-1].time
            ends = [entry.kind for entry in file.log if entry.kind in ("closed", "reopened", "cleared")]
            assert (incident.state == "closed") == (ends[-1:] == ["closed"])


def operate(connection: Connection, alarm: Alarm, what: str) -> None:
    """One of the things an operator does."""
    if what == "acknowledge":
        actions.acknowledge(connection, "a", alarms=[alarm.id])
    elif what == "whole":
        actions.acknowledge(connection, "a", incident=alarm.incident)
    elif what == "shelve":
        actions.shelve(connection, [alarm.id], utc_now() + timedelta(minutes=5), "lý do", "a")
    elif what == "unshelve":
        actions.unshelve(connection, [alarm.id], "a")
    elif what == "note":
        actions.note(connection, alarm.incident, "ghi chú", "a")
    elif what == "force":
        actions.close(connection, alarm.incident, "a", reason="xong")
    elif state_of(connection, alarm.incident) == "closed":
        assert actions.close(connection, alarm.incident, "a") == []
    else:
        with pytest.raises(ActionError, match="wait until it is cleared"):
            actions.close(connection, alarm.incident, "a")


def test_action_names_what_is_missing(connection: Connection) -> None:
    """An id that does not exist, and a nameless operator, are refused with the reason."""
    with pytest.raises(ActionError, match=r"alarms \[999999\]: there are none"):
        actions.acknowledge(connection, "a", alarms=[999999])
    with pytest.raises(ActionError, match="incident 999999: there is none"):
        actions.note(connection, 999999, "x", "a")
    alarm = opened(connection)
    with pytest.raises(ActionError, match="expected a name"):
        actions.acknowledge(connection, " \x00", alarms=[alarm.id])
    with pytest.raises(ActionError, match="at most 4000"):
        actions.note(connection, alarm.incident, "x" * 4001, "a")
    assert kinds(connection, alarm.incident) == ["detected"]


def test_failed_decision_leaves_nothing(connection: Connection) -> None:
    """Alarm, incident and log are one transaction: what fails at its end leaves nothing of its beginning."""
    connection.execute("ALTER TABLE incident_log ADD CONSTRAINT no_more CHECK (kind <> 'detected') NOT VALID")
    try:
        with pytest.raises(Exception, match="no_more"):
            opened(connection)
    finally:
        connection.execute("ALTER TABLE incident_log DROP CONSTRAINT no_more")
    assert stored.alive_alarms(connection) == []
    assert stored.incidents(connection).total == 0


def test_incidents_filters_and_pages(connection: Connection) -> None:
    """State, cause, ward, priority and time filter; the total counts what the page does not show."""
    opened(connection, "g1", ward="w1")
    opened(connection, "g2", "water_alert_1", ward="w2")
    door = opened(connection, "c1", "cabinet_door_open", ward="w1", now=utc_now() - timedelta(hours=2))
    actions.acknowledge(connection, "a", incident=door.incident)

    def wards(**filters: Any) -> list[tuple[str, str]]:
        return [(i.ward, i.cause) for i in stored.incidents(connection, **filters).incidents]

    assert wards() == [("w2", "flood"), ("w1", "flood"), ("w1", "lighting")]
    assert wards(order="urgent") == [("w1", "flood"), ("w2", "flood"), ("w1", "lighting")]
    assert wards(states=["acknowledged"]) == [("w1", "lighting")]
    assert wards(causes=["flood"], wards=["w2"]) == [("w2", "flood")]
    assert wards(priorities=[1]) == [("w1", "flood")]
    assert wards(opened_before=utc_now() - timedelta(hours=1)) == [("w1", "lighting")]
    assert wards(opened_from=utc_now() - timedelta(hours=1), limit=1, offset=1) == [("w1", "flood")]
    assert stored.incidents(connection, limit=1).total == 3
    assert [i.priority for i in stored.open_incidents(connection)] == [1, 2, 3]


def test_alarm_rate_counts_what_asked(connection: Connection) -> None:
    """Suppressed alarms are no load on an operator."""
    for number in range(11):
        opened(connection, f"g{number}")
    opened(connection, "g99", suppressed=True)
    opened(connection, "old", ward="w2", now=utc_now() - timedelta(minutes=11))
    found = stored.alarm_rate(connection, utc_now(), target=1, flood=10)
    assert (found.opened, found.level) == (11, "flood")
