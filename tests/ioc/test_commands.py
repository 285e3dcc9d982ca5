"""Commands: what shows a target, who may be told what, and what becomes of a command whatever comes first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.catalog import MEASURES
from ioc.commands import CONFIRM_WITHIN, MOST_AT_ONCE, REASONS, light, shown
from ioc.db.audit import entries_after, newest_entry, verify_audit
from ioc.db.commands import (
    Failure,
    commands_below,
    commands_of,
    expire,
    hoped_for,
    mark_confirmed,
    mark_handed,
    mark_sent,
    mark_unsent,
    settle_answers,
    to_send,
)
from ioc.db.pool import Connection
from ioc.errors import ActionError
from ioc.model import Answer, Command, CommandsChanged, Reading
from tests.fix_stack import Database

NOW = datetime.now(UTC).replace(microsecond=0)
ANSWER = timedelta(seconds=30)
STATES = MEASURES["powerState"].states


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    with db.connect() as connection:
        yield connection
        connection.execute("DELETE FROM command")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def reading(measure: str, value: float, seconds: float, *, received: float | None = None) -> Reading:
    return Reading(at(seconds), "lamp", measure, value, 0, at(seconds if received is None else received))


def add(connection: Connection, key: str, kind: str = "streetlight", status: str = "active", parent: str = "") -> str:
    connection.execute(
        "INSERT INTO device (id, kind, name, status, parent) VALUES (%s, %s, %s, %s, %s)",
        (key, kind, key, status, parent),
    )
    return key


def told(connection: Connection, key: str, level: float = 1.0, seconds: float = 0.0) -> Command:
    """Tell one lamp, and return its command."""
    (change,) = light(connection, "Trực ban", level, devices=[key], now=at(seconds))
    assert isinstance(change, CommandsChanged)
    return next(one for one in change.commands if one.state == "requested")


def answer(connection: Connection, key: str, order: int | None, ok: bool = True, seconds: float = 2) -> list[Command]:
    return settle_answers(connection, [Answer(key, order, ok, "" if ok else "relay stuck", at(seconds))])


def only(connection: Connection, key: str) -> Command:
    (one,) = commands_of(connection, key)
    return one


# --- what shows a target ---------------------------------------------------------------------------------------------------


@given(
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 1)),
    st.one_of(st.none(), st.sampled_from(range(len(STATES)))),
)
def test_shown_level_decides_before_power(level: float, dimmed: float | None, power: int | None) -> None:
    """A light level within the tolerance shows the target; the lamp's state does where no level came."""
    readings = [reading("illuminanceLevel", dimmed, 5)] if dimmed is not None else []
    readings += [reading("powerState", float(power), 6)] if power is not None else []
    found = shown(level, NOW, readings)
    if dimmed is not None:
        assert (found is not None) == (abs(dimmed - level) <= 0.02 + 1e-9)
    elif power is not None:
        assert (found is not None) == (STATES[power] == ("off" if level == 0 else "on" if level >= 0.98 else "low"))
    else:
        assert found is None
    if found is not None:
        assert found > NOW


@pytest.mark.parametrize(("taken", "received"), [(-1, 5), (-1e-6, 5), (-0.001, 5), (5, 0), (5, -1)])
def test_shown_what_was_before_proves_nothing(taken: float, received: float) -> None:
    """A reading counts when it was taken and received after the command was sent: clocks differ, and messages wait."""
    assert shown(1.0, NOW, [reading("illuminanceLevel", 1.0, taken, received=received)]) is None


@pytest.mark.parametrize(
    ("stamp", "counts"),
    [(4.0, True), (3.0, False), (4.567, True), (4.566, False), (4.567892, True), (4.567890, False), (4.5678, False)],
)
def test_shown_by_a_clock_that_tells_whole_seconds_or_milliseconds(stamp: float, *, counts: bool) -> None:
    """A lamp that answers in the same tick of its clock in which it was told has answered: its stamp is cut off, ours is not."""
    answer = reading("illuminanceLevel", 1.0, stamp, received=4.57)
    assert (shown(1.0, at(4.567891), [answer]) is not None) == counts


def test_shown_what_may_be_of_before_contradicts_nothing() -> None:
    """An older level of the same second does not hide that the lamp says it is on; a later one does."""
    on = reading("powerState", float(STATES.index("on")), 5.2, received=5.3)
    assert shown(1.0, at(4.5), [reading("illuminanceLevel", 0.2, 4.0, received=4.6), on]) == at(5.3)
    assert shown(1.0, at(4.5), [reading("illuminanceLevel", 0.2, 5.0, received=5.1), on]) is None


def test_reasons_are_in_both_languages() -> None:
    """Whatever ends a command can be read."""
    assert all(label.vi and label.en for label in REASONS.values())


# --- who may be told -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [-0.01, 1.01, float("nan"), float("inf")])
def test_light_refuses_a_level(connection: Connection, topic: str, level: float) -> None:
    """A target lies between off and full."""
    add(connection, topic)
    with pytest.raises(ActionError, match="level"):
        light(connection, "x", level, devices=[topic])


@pytest.mark.parametrize(
    ("kind", "status", "why"),
    [("cabinet", "active", "cannot be lit"), ("", "new", "no kind"), ("streetlight", "retired", "retired")],
)
def test_light_refuses_what_is_no_lamp(connection: Connection, topic: str, kind: str, status: str, why: str) -> None:
    """Only what can shine and is in service is told; nothing is written of the others either."""
    add(connection, topic, kind, status)
    lamp = add(connection, f"{topic}-lamp")
    before = newest_entry(connection)
    with pytest.raises(ActionError, match=why):
        light(connection, "x", 1.0, devices=[lamp, topic])
    assert commands_of(connection, lamp) == []
    assert newest_entry(connection) == before


@pytest.mark.parametrize(
    "devices", [[], ["no-such-lamp"], ["\x00"], [f"lamp-{number}" for number in range(MOST_AT_ONCE + 1)]]
)
def test_light_refuses_nothing_nobody_and_too_many(connection: Connection, devices: list[str]) -> None:
    """A request names lamps that there are, and not the whole country."""
    with pytest.raises(ActionError, match="device"):
        light(connection, "x", 1.0, devices=devices)


def test_light_refuses_without_a_name(connection: Connection, topic: str) -> None:
    """The log needs to know who acts."""
    with pytest.raises(ActionError, match="name"):
        light(connection, " ", 1.0, devices=[add(connection, topic)])


def test_light_below_a_cabinet_leaves_maintenance_out(connection: Connection, topic: str) -> None:
    """All lamps of a cabinet in one request, none that somebody works on, and one entry in the audit log."""
    cabinet = add(connection, topic, "cabinet")
    lamps = [add(connection, f"{topic}-{number}", parent=cabinet) for number in range(3)]
    add(connection, f"{topic}-worked-on", status="maintenance", parent=cabinet)
    add(connection, f"{topic}-gone", status="retired", parent=cabinet)
    add(connection, f"{topic}-gauge", "flood_gauge", parent=cabinet)
    before = newest_entry(connection)
    (change,) = light(connection, "Trực ban", 0.4, under=cabinet)
    assert isinstance(change, CommandsChanged)
    assert [one.device for one in change.commands] == lamps
    assert {(one.level, one.who, one.state) for one in change.commands} == {(0.4, "Trực ban", "requested")}
    (entry,) = entries_after(connection, before)
    assert (entry.who, entry.what, entry.subject) == ("Trực ban", "lamp.light", cabinet)
    assert entry.after == {"level": 0.4, "commands": {one.device: one.id for one in change.commands}}
    assert verify_audit(connection) is None
    assert commands_below(connection, cabinet) == change.commands
    with pytest.raises(ActionError, match="no lamp"):
        light(connection, "x", 1.0, under=lamps[0])


def test_light_again_supersedes(connection: Connection, topic: str) -> None:
    """One command of a lamp is open at a time; the older one has ended and says why."""
    add(connection, topic)
    first, second = told(connection, topic, 1.0), told(connection, topic, 0.0, 1)
    newest, older = commands_of(connection, topic)
    assert newest == second
    assert (older.id, older.state, older.reason, older.ended) == (first.id, "expired", "superseded", at(1))
    assert to_send(connection) == [second]


# --- what becomes of it --------------------------------------------------------------------------------------------------------


def test_command_whole_chain(connection: Connection, topic: str) -> None:
    """Requested, sent, accepted, confirmed, each with its time."""
    order = told(connection, add(connection, topic)).id
    (sent,) = mark_sent(connection, [(order, at(1))])
    assert (sent.state, sent.sent, sent.ended) == ("sent", at(1), None)
    (accepted,) = answer(connection, topic, order)
    assert (accepted.state, accepted.answered, accepted.ended) == ("accepted", at(2), None)
    ((hoped, latest),) = hoped_for(connection, NOW)
    assert (hoped, latest) == (accepted, [])
    (confirmed,) = mark_confirmed(connection, [(order, at(3))])
    assert (confirmed.state, confirmed.confirmed, confirmed.ended) == ("confirmed", at(3), at(3))
    assert hoped_for(connection, NOW) == []
    assert answer(connection, topic, order, ok=False) == []


def test_command_answer_before_the_acknowledgement(connection: Connection, topic: str) -> None:
    """A quick lamp answers before its command is marked as sent: neither undoes the other."""
    order = told(connection, add(connection, topic)).id
    (accepted,) = answer(connection, topic, order)
    assert (accepted.state, accepted.sent) == ("accepted", at(2))
    (sent,) = mark_sent(connection, [(order, at(1))])
    assert (sent.state, sent.sent) == ("accepted", at(1))


def test_command_refused(connection: Connection, topic: str) -> None:
    """The device's own words are the reason."""
    order = told(connection, add(connection, topic)).id
    mark_sent(connection, [(order, at(1))])
    (refused,) = answer(connection, topic, order, ok=False)
    assert (refused.state, refused.reason, refused.ended) == ("refused", "relay stuck", at(2))


def test_command_answer_of_another_device(connection: Connection, topic: str) -> None:
    """Nobody answers for somebody else."""
    order = told(connection, add(connection, topic)).id
    assert answer(connection, add(connection, f"{topic}-b"), order) == []
    assert only(connection, topic).state == "requested"


def test_command_answer_without_a_number(connection: Connection, topic: str) -> None:
    """It is meant for the one that is open and was sent; with none it means nothing, and the second one means nothing."""
    add(connection, topic)
    assert answer(connection, topic, None) == []
    order = told(connection, topic).id
    assert answer(connection, topic, None) == []
    assert to_send(connection) == [only(connection, topic)]
    assert mark_handed(connection, [order]) == {order}
    (accepted,) = answer(connection, topic, None)
    assert (accepted.id, accepted.state) == (order, "accepted")
    assert answer(connection, topic, None, ok=False) == []


def test_command_answer_without_a_number_that_is_late(connection: Connection, topic: str) -> None:
    """It answers neither a command that has ended nor the next one before that was sent; a reading may still confirm it."""
    add(connection, topic)
    late = told(connection, topic).id
    mark_handed(connection, [late])
    mark_sent(connection, [(late, at(1))])
    expire(connection, at(31), ANSWER, CONFIRM_WITHIN)
    assert answer(connection, topic, None, seconds=40) == []
    (confirmed,) = mark_confirmed(connection, [(late, at(41))])
    assert (confirmed.state, confirmed.answered) == ("confirmed", None)
    told(connection, topic, 0.0, 50)
    assert answer(connection, topic, None, seconds=51) == []


def test_command_is_not_handed_on_once_a_newer_one_came(connection: Connection, topic: str) -> None:
    """What was superseded while it was put into words is not said any more."""
    add(connection, topic)
    older, newer = told(connection, topic).id, told(connection, topic, 0.0, 1).id
    assert mark_handed(connection, [older, newer]) == {newer}


@pytest.mark.parametrize("sent", [True, False])
def test_command_of_which_the_network_gets_no_answer(connection: Connection, topic: str, sent: bool) -> None:
    """It expires at once, twice the same; a device that answers or shines all the same has done it."""
    order = told(connection, add(connection, topic)).id
    if sent:
        mark_sent(connection, [(order, at(1))])
    silence = [Answer(topic, order, None, "unacknowledged", at(9))]
    (expired,) = settle_answers(connection, silence)
    assert (expired.state, expired.reason, expired.answered, expired.ended) == (
        "expired",
        "unacknowledged",
        None,
        at(9),
    )
    assert expired.sent == at(1 if sent else 9)
    assert settle_answers(connection, silence) == []
    assert settle_answers(connection, [Answer(add(connection, f"{topic}-b"), order, None, "", at(9))]) == []
    assert [one.id for one, _ in hoped_for(connection, at(0))] == [order]
    (accepted,) = answer(connection, topic, order, seconds=10)
    assert (accepted.state, accepted.reason) == ("accepted", "")
    assert settle_answers(connection, silence) == []


def test_command_expires_unsent(connection: Connection, topic: str) -> None:
    """What could not be sent in time is not sent."""
    told(connection, add(connection, topic))
    assert expire(connection, at(29), ANSWER, CONFIRM_WITHIN) == []
    (expired,) = expire(connection, at(30), ANSWER, CONFIRM_WITHIN)
    assert (expired.state, expired.reason, expired.sent, expired.ended) == ("expired", "unsent", None, at(30))
    assert to_send(connection) == []


def test_command_acknowledged_after_its_time(connection: Connection, topic: str) -> None:
    """The broker had it in time and said so late: it has expired, but not unsent."""
    order = told(connection, add(connection, topic)).id
    expire(connection, at(30), ANSWER, CONFIRM_WITHIN)
    (sent,) = mark_sent(connection, [(order, at(1))])
    assert (sent.state, sent.reason, sent.sent) == ("expired", "unanswered", at(1))


def test_command_late_answer_and_late_proof_are_heard(connection: Connection, topic: str) -> None:
    """A lamp that answers after its time did it all the same; the times say that it was late."""
    order = told(connection, add(connection, topic)).id
    mark_sent(connection, [(order, at(1))])
    (expired,) = expire(connection, at(31), ANSWER, CONFIRM_WITHIN)
    assert (expired.state, expired.reason) == ("expired", "unanswered")
    assert [one.id for one, _ in hoped_for(connection, at(0))] == [order]
    assert hoped_for(connection, at(31)) == []
    (accepted,) = answer(connection, topic, order, seconds=40)
    assert (accepted.state, accepted.reason, accepted.ended) == ("accepted", "", None)
    (late,) = expire(connection, at(40) + CONFIRM_WITHIN, ANSWER, CONFIRM_WITHIN)
    assert (late.state, late.reason) == ("expired", "unconfirmed")
    (confirmed,) = mark_confirmed(connection, [(order, at(400))])
    assert (confirmed.state, confirmed.reason, confirmed.ended) == ("confirmed", "", at(400))


def test_command_superseded_is_not_revived(connection: Connection, topic: str) -> None:
    """What an older command was told is over once a newer one was given."""
    add(connection, topic)
    older = told(connection, topic, 1.0).id
    mark_sent(connection, [(older, at(1))])
    newer = told(connection, topic, 0.0, 2)
    assert answer(connection, topic, older, seconds=3) == []
    assert mark_confirmed(connection, [(older, at(4))]) == []
    assert only_open(connection, topic) == newer


def only_open(connection: Connection, key: str) -> Command:
    (one,) = [one for one in commands_of(connection, key) if one.ended is None]
    return one


@pytest.mark.parametrize(("state", "reason"), [("failed", "unheard"), ("expired", "unsent")])
def test_command_that_could_not_be_sent(connection: Connection, topic: str, state: str, reason: str) -> None:
    """It ends with its reason, unless it got an answer after all."""
    order = told(connection, add(connection, topic)).id
    (ended,) = mark_unsent(connection, [Failure(order, state, reason, at(1))])
    assert (ended.state, ended.reason, ended.ended) == (state, reason, at(1))
    other = add(connection, f"{topic}-b")
    order = told(connection, other).id
    answer(connection, other, order)
    assert mark_unsent(connection, [Failure(order, state, reason, at(3))]) == []


def test_hoped_for_brings_the_latest(connection: Connection, topic: str) -> None:
    """What the lamp measures now, by which it is judged."""
    order = told(connection, add(connection, topic)).id
    mark_sent(connection, [(order, at(1))])
    connection.execute(
        "INSERT INTO latest (device, measure, time, value, quality, received) VALUES (%s, 'illuminanceLevel', %s, 1, 0, %s),"
        " (%s, 'voltage', %s, 220, 0, %s)",
        (topic, at(5), at(6), topic, at(5), at(6)),
    )
    ((command, readings),) = hoped_for(connection, NOW)
    assert command.id == order
    assert command.sent is not None
    assert shown(command.level, command.sent, readings) == at(6)
