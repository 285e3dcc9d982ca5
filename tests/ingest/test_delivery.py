"""What is noted of deliveries, and when it is void; on a real database. With real brokers: tests/faults."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest.batch import ID_SLICE, Batch
from ingest.claim import Claim
from ingest.delivery import settle_deliveries
from ingest.dialects.native import Native
from ingest.message import Block, Raw
from ingest.registry import Registry
from ingest.store import Attempt, write
from ioc.db.pool import Connection, edition
from ioc.db.readings import SENT_AGAIN
from tests.decoding import Ear

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def on(mid: int, *, again: bool = False, word: bytes = b"ON") -> Raw:
    """A message that nothing in it tells from the next one."""
    return b"t", word, mid, again


def make_block(client: str, *messages: Raw, begins: bytes = b"", segment: str = "") -> Block:
    return Block(0 if segment else 1, NOW, list(messages), 0, client, segment, 0, begins)


def store(connection: Connection, *blocks: Block) -> list[int]:
    """Commit them as one batch, all of them without a time; returns the packet ids of those that are new."""
    batch = Batch()
    for block in blocks:
        batch.open(block)
    batch.undated = set(range(len(batch)))
    with connection.transaction():
        settle_deliveries(connection, batch, in_order=False)
    return [batch.messages[origin][2] for origin in sorted(batch.undated)]


def commit(connection: Connection, batch: Batch) -> int:
    """Store a batch as ingest does; returns how many readings were new."""
    on, attempt = edition(connection), Attempt(Claim("test"))
    return write(connection, on, batch, Registry(), [], attempt=attempt, all_new=False).stored


def test_new_session_voids_what_was_noted(connection: Connection, topic: str) -> None:
    """Of the old session what comes again is told, to its end; then the same packet id is another message."""
    store(connection, make_block(topic, on(1), on(2), begins=b"session1"))
    assert store(connection, make_block(topic, on(1, again=True), on(2, again=True))) == []
    assert store(connection, make_block(topic, on(1, again=True), begins=b"session2")) == [1]
    assert store(connection, make_block(topic, on(1, again=True), on(2, again=True))) == [2]


def test_old_session_and_new_one_in_one_batch(connection: Connection, topic: str) -> None:
    """Each is held against its own."""
    store(connection, make_block(topic, on(1), on(2)))
    old = make_block(topic, on(2, again=True), on(3), on(4))
    new = make_block(topic, on(2, again=True), on(3, again=True), on(2, again=True), begins=b"session2")
    assert store(connection, old, new) == [3, 4, 2, 3]
    assert store(connection, make_block(topic, on(3, again=True), on(4, again=True))) == [4]


def test_session_begins_once(connection: Connection, topic: str) -> None:
    """A process that was killed before it could forget the beginning tells it to the next one, which says it again."""
    store(connection, make_block(topic, on(1), begins=b"session1"))
    assert store(connection, make_block(topic, on(1, again=True), begins=b"session1")) == []


def test_session_begins_for_its_client_alone(connection: Connection, topic: str) -> None:
    """Others, the marks of its own spool and that of its process stay."""
    other, mark = f"{topic}-other", f"{topic} spool 1"
    connection.execute("INSERT INTO delivery VALUES (%s, 0, 'mark')", [topic])
    store(connection, make_block(other, on(1)), make_block(topic, on(1), segment=mark))
    store(connection, make_block(topic, on(5), begins=b"session1"))
    assert store(connection, make_block(other, on(1, again=True))) == []
    assert store(connection, make_block(topic, on(1), segment=mark)) == []
    assert connection.execute("SELECT digest FROM delivery WHERE client = %s AND mid = 0", [topic]).fetchone()


@pytest.mark.parametrize("begins", [1, 60_000])
def test_packet_ids_come_round(connection: Connection, topic: str, begins: int) -> None:
    """Before an id is used for another message what was noted of it is void; what may come again is told until then."""
    store(connection, make_block(topic, on(begins)))
    for step in range(1, 65_535):
        mid = (begins + step - 1) % 65_535 + 1
        if mid % ID_SLICE == 0:
            # In between come messages that have a time, of which nothing is noted.
            store(connection, make_block(topic, on(mid, word=b"%d" % step)))
        if step == 30_000:
            assert store(connection, make_block(topic, on(begins, again=True))) == []
    assert store(connection, make_block(topic, on(begins, again=True))) == [begins]


@pytest.mark.parametrize("stamp", [0, 1_500_000])
def test_wrong_clock_is_delivered_again_after_long(connection: Connection, topic: str, stamp: int) -> None:
    """What was committed and not acknowledged is told from its redelivery however long ingest was away."""
    ear, away_s = Ear(Native()), 50 * SENT_AGAIN.total_seconds()
    said = f"ioc/{topic}/telemetry", {"ts": stamp, "values": {"pm25": 21.0}}
    assert commit(connection, ear.hear(*said)) == 1
    assert commit(connection, ear.hear(*said, redelivered=True, after_s=away_s)) == 0
    assert commit(connection, ear.hear(*said, after_s=away_s)) == 1  # another message, by a clock that stands still
    assert commit(connection, ear.hear(*said, redelivered=True, after_s=away_s)) == 0


def test_steady_value_of_a_clock_that_stands_still(connection: Connection, topic: str) -> None:
    """Half an hour of messages, one a minute, each of them also sent again by the device itself: thirty readings."""
    ear, said = Ear(Native()), {"ts": 0, "values": {"pm25": 21.0}}
    pauses_s = [60.0, 2.0] * 30
    stored = [commit(connection, ear.hear(f"ioc/{topic}/telemetry", said, after_s=pause_s)) for pause_s in pauses_s]
    assert stored == [1, 0] * 30
