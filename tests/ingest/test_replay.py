"""Replay of quarantined messages: which entries are settled how, and that it is done once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.claim import Claim
from ingest.flags import recall_flags
from ingest.inbox import Inbox
from ingest.message import QUARANTINE
from ingest.quarantine import MOST_KEPT
from ingest.registry import Registry
from ingest.replay import Replays, settled_rows
from ingest.store import Attempt, write
from ioc.db.context import all_context
from ioc.db.devices import device
from ioc.db.events import events_of
from ioc.db.pool import Connection, edition
from ioc.db.quarantine import Wanted, one, page, places
from ioc.db.replay import MOST, Row, ask, newest, stop, waiting
from ioc.errors import ActionError
from ioc.mapping import IGNORE, Item
from ioc.model import Rejected
from tests.fix_stack import Database
from tests.ingest.sparkplug_messages import make_metric, make_payload, session
from tests.ingest.test_mapped import Desk
from tests.ioc.test_mapping import make_mapping

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def make_row(key: int, reason: str, replay: int | None = 1, outcome: Any = "") -> Row:
    return Row(NOON, key, "garden/x/air", "", "mapped", reason, replay, outcome)


def make_rejected(reason: str) -> Rejected:
    return Rejected(NOON, "garden/x/air", "map.x", "mapped", reason, f"why {reason}", b"{}", 2)


def settled(rows: list[Row], fed: int, *again: str) -> dict[int, tuple[str, str, str | None]]:
    """What becomes of entries: outcome, reason and detail, by id."""
    found = settled_rows(rows, fed, [make_rejected(reason) for reason in again])
    return {change.row.id: (change.outcome, change.reason, change.detail) for change in found}


def test_settled_message_without_faults() -> None:
    """All its entries are done with, also those nobody asked for."""
    rows = [make_row(1, "measure"), make_row(2, "unit", replay=None)]
    assert settled(rows, 1) == {1: ("replayed", "measure", None), 2: ("replayed", "unit", None)}


def test_settled_message_refused_for_its_old_reason() -> None:
    """The entry stays, with what is said now; an entry whose reason is gone is done with."""
    rows = [make_row(1, "measure"), make_row(2, "range", replay=None)]
    assert settled(rows, 1, "range") == {1: ("replayed", "measure", None)}
    assert settled(rows, 1, "measure", "range") == {1: ("refused", "measure", "why measure")}
    assert settled(rows, 1, "measure") == {
        1: ("refused", "measure", "why measure"),
        2: ("replayed", "range", None),
    }


def test_settled_message_refused_for_a_new_reason() -> None:
    """The entry that was decoded takes it, with all that is new; the others wait for what becomes of it."""
    rows = [make_row(1, "topic"), make_row(2, "unit", replay=None)]
    assert settled(rows, 1, "value", "time") == {1: ("refused", "value", "why value; time: why time")}


def test_settled_of_entries_that_wait_together() -> None:
    """The first that is decoded settles both; the second one's turn changes nothing."""
    rows = [make_row(1, "measure"), make_row(2, "range")]
    assert settled(rows, 1, "range") == {1: ("replayed", "measure", None), 2: ("refused", "range", "why range")}
    assert settled([make_row(1, "measure", None, "replayed"), make_row(2, "range", None, "refused")], 2, "range") == {}


@given(
    st.lists(st.sampled_from(["topic", "measure", "unit", "range"]), min_size=1, max_size=4, unique=True),
    st.data(),
    st.lists(st.sampled_from(["topic", "measure", "unit", "range", "value", "time"]), max_size=6, unique=True),
)
def test_settled_rows_lose_no_fault(reasons: list[str], data: st.DataObject, again: list[str]) -> None:
    """Whatever is still wrong with a message stands in one of its entries that is not done with, and it waits no more."""
    rows = [
        make_row(key, reason, data.draw(st.sampled_from([None, 7])), data.draw(st.sampled_from(["", "refused"])))
        for key, reason in enumerate(reasons)
    ]
    fed = data.draw(st.sampled_from([row.id for row in rows]))
    rows[fed] = rows[fed]._replace(replay=7)
    changes = {change.row.id: change for change in settled_rows(rows, fed, [make_rejected(reason) for reason in again])}
    after = [changes[row.id].row_after if row.id in changes else row for row in rows]
    details = " ".join(f"{change.reason} {change.detail}" for change in changes.values())
    open_reasons = {row.reason for row in after if row.outcome != "replayed"}
    assert all(reason in open_reasons or reason in details for reason in again)
    assert after[fed].replay is None
    assert bool(again) == bool(open_reasons & set(again))


# --- on a real TimescaleDB ---------------------------------------------------------------------------------------------------


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection in autocommit to an empty quarantine."""
    with db.connect() as made:
        made.execute("DELETE FROM quarantine; DELETE FROM quarantine_hour; DELETE FROM replay; DELETE FROM delivery")
        yield made


def commit(connection: Connection, batch: Batch) -> None:
    """Store a batch as ingest does."""
    on = edition(connection)
    write(connection, on, batch, Registry(), [], attempt=Attempt(Claim("test")), all_new=False)


def feed(connection: Connection, desk: Desk) -> Batch:
    """Decode what waits, as the errand hands it over."""
    inbox = Inbox(most_bytes=10**9, most_messages=10**6)
    Replays(inbox)(connection)
    inbox.close()
    while (block := inbox.take(0)) is not None:
        assert (block.generation, block.source) == (0, QUARANTINE)
        desk.decoder.decode(block)
    return desk.intake.take()


def everything(**changes: Any) -> Wanted:
    return Wanted(NOON.replace(year=2020), NOON.replace(year=2035), **changes)


def entries(connection: Connection) -> list[tuple[str, str, int | None]]:
    rows = page(connection, everything(replayed=None), None)
    return sorted((row.reason, row.outcome, row.replay) for row in rows)


def counted(connection: Connection) -> list[Any]:
    """The counts, as they are kept and as the entries themselves say."""
    kept = connection.execute(
        "SELECT place, dialect, reason, sum(messages)::int, sum(replayed)::int FROM quarantine_hour GROUP BY 1, 2, 3"
        " HAVING sum(messages) <> 0 ORDER BY 1, 2, 3"
    ).fetchall()
    real = connection.execute(
        "SELECT CASE WHEN client = '' THEN topic ELSE client END, dialect, reason, count(*)::int,"
        " (count(*) FILTER (WHERE outcome = 'replayed'))::int FROM quarantine GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    ).fetchall()
    assert kept == real
    return kept


def readings(connection: Connection, device: str) -> list[Any]:
    return connection.execute(
        "SELECT measure, value, time FROM reading WHERE device = %s ORDER BY time, measure", (device,)
    ).fetchall()


def test_replay_stores_with_the_original_time_and_settles(connection: Connection, topic: str) -> None:
    """What no mapping knew is stored as of when it came, and its entries are done with; counts follow."""
    desk = Desk()
    first = desk.decode(*[(f"garden/{topic}/air", {"t": 20 + n}) for n in range(5)])
    commit(connection, first)
    assert entries(connection) == [("topic", "", None)] * 5
    counted(connection)
    desk.map(make_mapping(items=(Item("t", "temperature"),)))
    replay = ask(connection, "Kỹ thuật", everything(), None)
    assert (replay.total, replay.waiting, replay.ended) == (5, 5, None)
    commit(connection, feed(connection, desk))
    assert entries(connection) == [("topic", "replayed", None)] * 5
    assert [(value, time) for _, value, time in readings(connection, f"map.{topic}")] == [
        (20.0 + n, rejected.received) for n, rejected in enumerate(first.rejected)
    ]
    (done,) = newest(connection)
    assert (done.replayed, done.refused, done.waiting) == (5, 0, 0)
    assert done.ended is not None
    counted(connection)
    assert connection.execute("SELECT count(*) FROM delivery WHERE client = 'quarantine'").fetchone() == (0,)
    with pytest.raises(ActionError, match="nothing there can be replayed"):
        ask(connection, "Kỹ thuật", everything(replayed=None), None)


@pytest.mark.parametrize("way", ["zigbee2mqtt", "homeassistant"])
def test_replay_beside_a_flag_stores_nothing_twice(connection: Connection, topic: str, way: str) -> None:
    """A flag's event and a value that came in one message are there once, however often that is replayed."""
    desk = Desk()
    if way == "zigbee2mqtt":
        device, where = f"z2m.{topic}", f"zigbee2mqtt/{topic}"
    else:
        device, where = f"ha.{topic}", f"{topic}/state"
        parts = {
            "t": {"p": "sensor", "dev_cla": "temperature", "val_tpl": "{{value_json.temperature}}", "uniq_id": "t"},
            "c": {"p": "binary_sensor", "dev_cla": "door", "val_tpl": "{{value_json.contact}}", "uniq_id": "c"},
            "s": {"p": "sensor", "name": "soil_moisture", "val_tpl": "{{value_json.soil_moisture}}", "uniq_id": "s"},
        }
        parts["c"] |= {"pl_on": "True", "pl_off": "False"}
        told = {"dev": {"ids": [topic]}, "o": {"name": "x"}, "stat_t": where, "cmps": parts}
        assert not desk.decode((f"homeassistant/device/{topic}/config", told)).rejected
    said = {"contact": False, "temperature": 21.5, "soil_moisture": 30}
    first = desk.decode((where, said))
    assert (len(first.readings), len(first.events)) == (1, 1)
    commit(connection, first)
    for _ in range(2):
        ask(connection, "Kỹ thuật", everything(), None)
        commit(connection, feed(connection, desk))
    assert readings(connection, device) == [("temperature", 21.5, first.rejected[0].received)]
    assert len(events_of(connection, device, NOON.replace(year=2020))) == 1


def test_replayed_birth_and_data_leave_a_dead_node_dead(connection: Connection, topic: str) -> None:
    """Neither its state nor what is remembered of its births changes."""
    desk, node = Desk(), f"spb.td.{topic}"
    metrics = [make_metric("Power", 1.0, 10, alias=1), make_metric("Sludge", 5.0, 10, alias=2)]
    commit(connection, desk.decode((f"spBv1.0/td/NBIRTH/{topic}", make_payload(session(1), *metrics, seq=0))))
    commit(connection, desk.decode((f"spBv1.0/td/NDEATH/{topic}", make_payload(session(1)))))
    ask(connection, "Kỹ thuật", everything(), None)
    commit(connection, feed(connection, desk))
    found = device(connection, node)
    assert found is not None
    assert found.state == "offline"
    assert not [kept for kept, _ in all_context(connection) if topic in kept]
    assert entries(connection) == [("measure", "refused", None)]


def test_flags_are_known_to_the_next_process(connection: Connection, topic: str) -> None:
    """What it recalls is what was committed."""
    said = (f"zigbee2mqtt/{topic}", {"occupancy": True})
    for events in (1, 0):
        desk = Desk()
        assert all(kept == f"$flags/z2m.{topic}" for kept, _ in recall_flags(desk.intake, all_context(connection)))
        batch = desk.decode(said)
        assert len(batch.events) == events
        commit(connection, batch)


def test_replay_refused_again_stays_one_entry(connection: Connection, topic: str) -> None:
    """It says the new reason, under the device that is now known, and can be replayed again when that is mended."""
    desk = Desk()
    commit(connection, desk.decode((f"garden/{topic}/air", {"t": 86, "rh": 50})))
    for items, reason in (
        ((Item("t", "temperature"),), "range"),
        ((Item("rh", "relativeHumidity", unit="%"),), "measure"),
    ):
        desk.map(make_mapping(items=items))
        ask(connection, "Kỹ thuật", everything(), None)
        commit(connection, feed(connection, desk))
        assert entries(connection) == [(reason, "refused", None)]
        assert [place for _, place, *_ in [("", *row) for row in counted(connection)]] == [f"map.{topic}"]
    desk.map(make_mapping(items=(Item("t", "temperature", unit="°F"), Item("rh", "relativeHumidity", unit="%"))))
    ask(connection, "Kỹ thuật", everything(), None)
    commit(connection, feed(connection, desk))
    assert entries(connection) == [("measure", "replayed", None)]
    assert sorted(row[:2] for row in readings(connection, f"map.{topic}")) == [
        ("relativeHumidity", 0.5),
        ("temperature", 30.0),
    ]
    counted(connection)


def test_replay_twice_in_hand_is_done_once(connection: Connection, topic: str) -> None:
    """Two processes that hold the same messages: whoever commits second finds nothing waiting."""
    desk, other = Desk(), Desk()
    commit(connection, desk.decode(*[(f"garden/{topic}/air", {"t": n}) for n in range(3)]))
    for each in (desk, other):
        each.map(make_mapping(items=(Item("t", "temperature"),)))
    ask(connection, "Kỹ thuật", everything(), None)
    batches = [feed(connection, each) for each in (desk, other)]
    for batch in batches:
        assert len(batch.readings) == 3
        commit(connection, batch)
        assert sorted(batch.fed) == sorted(batches[0].fed)
    assert batches[1].readings == []
    assert len(readings(connection, f"map.{topic}")) == 3
    (done,) = newest(connection)
    assert (done.replayed, done.waiting) == (3, 0)
    counted(connection)


def test_replay_of_a_large_message(connection: Connection, topic: str) -> None:
    """What may be sent is kept whole: of 900 readings none is lost, wherever in the message it stands."""
    desk = Desk()
    said = [{"n": n, "t": n / 100, "note": "x" * 80} for n in range(900)]
    first = desk.decode((f"garden/{topic}/air", said))
    assert first.rejected[0].size > MOST_KEPT
    commit(connection, first)
    items = (Item("[*].t", "temperature"), Item("[*].note", IGNORE), Item("[*].n", IGNORE))
    desk.map(make_mapping(device=f"{topic}-{{[*].n}}", items=items))
    assert ask(connection, "Kỹ thuật", everything(), None).waiting == 1
    commit(connection, feed(connection, desk))
    assert entries(connection) == [("topic", "replayed", None)]
    query = "SELECT count(*), max(value) FROM reading WHERE starts_with(device, %s)"
    assert connection.execute(query, [f"map.{topic}"]).fetchone() == (900, 8.99)


def test_waiting_messages_are_fetched_by_bytes(connection: Connection, topic: str) -> None:
    """Large ones a few at a time, and each of them however large it is."""
    desk = Desk()
    commit(connection, desk.decode(*[(f"garden/{topic}/{n}", b"x" * 1000) for n in range(4)]))
    ask(connection, "Kỹ thuật", everything(), None)
    assert [len(waiting(connection, (), 3, most)) for most in (1, 1000, 1001, 10**6)] == [1, 1, 2, 3]
    assert waiting(connection, (), 4, 2500) == waiting(connection, (), 3, 10**6)


def test_replay_of_what_was_not_kept_whole(connection: Connection, topic: str) -> None:
    """A payload that was cut, or a topic that is no text, cannot be decoded again, and says so."""
    desk = Desk()
    commit(
        connection,
        desk.decode((f"garden/{topic}/air", b"x" * 200_001), (f"garden/{topic}/air", {"t": 1}), ("x" * 600, b"{}")),
    )
    replay = ask(connection, "Kỹ thuật", everything(), None)
    assert (replay.total, replay.cut, replay.waiting) == (3, 2, 1)
    assert sorted(outcome for _, outcome, _ in entries(connection)) == ["", "cut", "cut"]
    only = [(row.received, row.id) for row in page(connection, everything(), None) if row.outcome == "cut"]
    with pytest.raises(ActionError, match="not kept whole"):
        ask(connection, "Kỹ thuật", only, None)


def test_replay_of_chosen_messages_and_stop(connection: Connection, topic: str) -> None:
    """Of many, those that were chosen; and those that wait can be left where they are."""
    desk = Desk()
    commit(connection, desk.decode(*[(f"garden/{topic}/{n}", {"t": n}) for n in range(4)]))
    rows = page(connection, everything(), None)
    replay = ask(connection, "Kỹ thuật", [(row.received, row.id) for row in rows[:2]], None)
    assert {one.id for one in waiting(connection, (), 10, 10**6)} == {row.id for row in rows[:2]}
    assert waiting(connection, [rows[0].id], 10, 10**6)[0].id == rows[1].id
    stopped = stop(connection, "Kỹ thuật", replay.id)
    assert (stopped.stopped, stopped.waiting) == (2, 0)
    assert waiting(connection, (), 10, 10**6) == []
    with pytest.raises(ActionError, match="not running"):
        stop(connection, "Kỹ thuật", replay.id)
    said = connection.execute("SELECT what FROM audit ORDER BY seq DESC LIMIT 2").fetchall()
    assert said == [("quarantine.stop",), ("quarantine.replay",)]


def test_stopped_message_in_hand_is_not_stored(connection: Connection, topic: str) -> None:
    """What was handed over already when it was stopped changes nothing."""
    desk = Desk()
    commit(connection, desk.decode((f"garden/{topic}/air", {"t": 1})))
    desk.map(make_mapping(items=(Item("t", "temperature"),)))
    replay = ask(connection, "Kỹ thuật", everything(), None)
    batch = feed(connection, desk)
    stop(connection, "Kỹ thuật", replay.id)
    commit(connection, batch)
    assert entries(connection) == [("topic", "", None)]
    assert readings(connection, f"map.{topic}") == []


def test_replay_beside_live_messages(connection: Connection, topic: str) -> None:
    """A batch may hold both; a device heard of now stays heard of now."""
    desk = Desk()
    commit(connection, desk.decode((f"garden/{topic}/air", {"t": 1, "x": 1})))
    desk.map(make_mapping(items=(Item("t", "temperature"),)))
    ask(connection, "Kỹ thuật", everything(), None)
    inbox = Inbox(most_bytes=10**9, most_messages=10**6)
    Replays(inbox)(connection)
    live = json.dumps({"t": 2}).encode()
    block = inbox.take(0)
    assert block is not None
    later = block.received + timedelta(minutes=5)
    desk.decoder.decode(
        block._replace(
            generation=1, received=later, messages=[(f"garden/{topic}/air".encode(), live, 0, False)], source=""
        )
    )
    desk.decoder.decode(block)
    batch = desk.intake.take()
    assert batch.seen[f"map.{topic}"].received == later
    commit(connection, batch)
    assert [value for _, value, _ in readings(connection, f"map.{topic}")] == [1.0, 2.0]
    assert entries(connection) == [("measure", "refused", None)]
    counted(connection)


def test_errand_feeds_no_more_than_is_in_hand(connection: Connection, topic: str) -> None:
    """The rest waits in the database until what is in hand was committed; a full inbox gets nothing."""
    rows = [(NOON + timedelta(microseconds=n), f"t/{topic}", f"{n}".encode()) for n in range(1600)]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size)"
            " VALUES (%s, %s, '', '', 'topic', '', %s, length(%s))",
            [(*row, row[2]) for row in rows],
        )
    ask(connection, "Kỹ thuật", everything(), None)
    inbox = Inbox(most_bytes=10**9, most_messages=10**6)
    errand = Replays(inbox)
    for _ in range(4):
        errand(connection)
    assert inbox.messages == 1000
    taken = [inbox.take(0) for _ in range(1000)]
    assert [block.received for block in taken if block] == [received for received, _, _ in rows[:1000]]
    errand(connection)
    assert inbox.messages == 0
    errand.done(block.messages[0][2] for block in taken if block)
    full = Replays(Inbox(most_bytes=0, most_messages=0))
    full(connection)
    assert not full._in_hand
    assert MOST >= 100_000


def test_replay_whose_messages_grew_too_old_ends(connection: Connection, topic: str) -> None:
    """Retention takes what waits; the replay does not wait for it."""
    commit(connection, Desk().decode((f"garden/{topic}/air", {"t": 1})))
    ask(connection, "Kỹ thuật", everything(), None)
    connection.execute("SELECT drop_chunks('quarantine', older_than => '2035-01-01'::timestamptz)")
    Replays(Inbox(most_bytes=1, most_messages=1))(connection)
    (done,) = newest(connection)
    assert (done.stopped, done.waiting) == (1, 0)
    assert done.ended is not None


def test_one_and_places(connection: Connection, topic: str) -> None:
    """A message is found whole, and under the place it is counted at."""
    commit(connection, Desk().decode((f"vườn/{topic}", b'{"t": 1}')))
    (row,) = page(connection, everything(), None)
    whole = one(connection, row.received, row.id)
    assert whole is not None
    assert (whole.payload, whole.is_whole) == (b'{"t": 1}', True)
    assert places(connection, everything(words=("vuon", topic[:4]))) == [(f"vườn/{topic}", 1)]
