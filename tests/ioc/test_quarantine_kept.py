"""Quarantine as pages look at it, on a real TimescaleDB: found, counted, paged; also when there is much of it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ioc.db.pool import Connection
from ioc.db.quarantine import (
    HOUR,
    SAMPLES_BYTES,
    Wanted,
    bars,
    count,
    dialects,
    kept_already,
    page,
    places,
    samples,
    samples_of_topics,
    store_rejected,
)
from ioc.db.upkeep import retain
from ioc.model import REASONS, Rejected
from ioc.settings import Settings
from tests.fix_stack import Database

#: Fixed, so that hours lie where the tests expect them.
NOW = datetime(2026, 7, 1, 12, 30, tzinfo=UTC)
DAY = Wanted(NOW.replace(minute=0) - 24 * HOUR, NOW)


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection in autocommit to an empty quarantine."""
    with db.connect() as made:
        made.execute("DELETE FROM quarantine; DELETE FROM quarantine_hour")
        yield made


def make_rejected(minutes: float, **changes: Any) -> Rejected:
    """A message that came so many minutes before NOW."""
    values = {
        "received": NOW - timedelta(minutes=minutes),
        "topic": "ioc/lamp-1/telemetry",
        "client": "lamp-1",
        "dialect": "native",
        "reason": "json",
        "detail": "expected JSON",
        "payload": b"{x",
        "size": 2,
    }
    return Rejected(**{**values, **changes})


def keep(connection: Connection, *rejected: Rejected) -> None:
    with connection.transaction():
        count(connection, store_rejected(connection, rejected))


def change(wanted: Wanted = DAY, **changes: Any) -> Wanted:
    return Wanted(**{**{name: getattr(wanted, name) for name in wanted.__struct_fields__}, **changes})


def test_page_goes_down_and_finds_each_once(connection: Connection) -> None:
    """Page after page, newest first, also where many came at one moment."""
    keep(connection, *(make_rejected(1 + n // 7 * 40, detail=f"{n}") for n in range(70)))
    seen: list[str] = []
    after = None
    while rows := page(connection, DAY, None, after=after, most=9):
        seen += [row.detail for row in rows]
        after = (rows[-1].received, rows[-1].id)
        assert len(rows) == min(9, 70 - len(seen) + len(rows))
    assert sorted(map(int, seen)) == list(range(70))
    assert [int(text) // 7 for text in seen] == sorted(int(text) // 7 for text in seen)


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, 5),
        ({"reason": "json"}, 3),
        ({"reason": "size"}, 0),
        ({"dialect": "native"}, 4),
        ({"dialect": "-"}, 1),
        ({"reason": "topic", "dialect": "-"}, 1),
        ({"since": NOW.replace(minute=0)}, 2),
        ({"until": NOW - timedelta(hours=2)}, 1),
        ({"replayed": None}, 6),
        ({"replayed": True}, 1),
    ],
)
def test_filters(connection: Connection, changes: dict[str, Any], number: int) -> None:
    """Rows and counts say the same."""
    keep(
        connection,
        make_rejected(1),
        make_rejected(2, reason="range"),
        make_rejected(100),
        make_rejected(110, topic="nhà/bếp", client="", dialect="", reason="topic"),
        make_rejected(200),
        make_rejected(20, reason="size"),
    )
    connection.execute("UPDATE quarantine SET outcome = 'replayed' WHERE reason = 'size'")
    connection.execute("UPDATE quarantine_hour SET replayed = 1 WHERE reason = 'size'")
    wanted = change(**changes)
    assert len(page(connection, wanted, None)) == number
    hourly = change(wanted, until=NOW) if wanted.until == NOW else wanted
    counted = sum(bar.messages for bar in bars(connection, hourly, HOUR, None) if wanted.reason in ("", bar.reason))
    if wanted.until == NOW:
        assert counted == number
        finely = bars(connection, wanted, timedelta(minutes=2), None)
        assert sum(bar.messages for bar in finely if wanted.reason in ("", bar.reason)) == number
    assert sum(number for _, number in places(connection, hourly)) == counted


@pytest.mark.parametrize(
    ("words", "devices", "expected"),
    [
        (("lamp",), (), {"lamp-1", "lamp-2"}),
        (("lamp", "2"), (), {"lamp-2"}),
        (("nha", "bep"), (), {"nhà/bếp"}),
        (("xyz",), ("lamp-2",), {"lamp-2"}),
        (("%",), (), {"100%"}),
        (("_",), (), set()),
        (("\\",), (), set()),
        (("'; DROP TABLE quarantine; --",), (), set()),
    ],
)
def test_places_by_words(
    connection: Connection, words: tuple[str, ...], devices: tuple[str, ...], expected: set[str]
) -> None:
    """Found as it is typed in a hurry, and nothing that is typed is a pattern."""
    keep(
        connection,
        make_rejected(1),
        make_rejected(2, client="lamp-2"),
        make_rejected(3, client="", topic="nhà/bếp"),
        make_rejected(4, client="", topic="100%"),
    )
    found = [place for place, _ in places(connection, change(words=words, devices=devices))]
    assert set(found) == expected
    rows = page(connection, DAY, found)
    assert {row.client or row.topic for row in rows} == expected
    assert sum(bar.messages for bar in bars(connection, DAY, HOUR, found)) == len(rows)


def test_bars_of_days_begin_at_the_citys_midnight(connection: Connection) -> None:
    """A day is the city's, not Greenwich's."""
    keep(connection, make_rejected(0), make_rejected(12 * 60), make_rejected(20 * 60))
    wanted = change(since=NOW - timedelta(days=9))
    days = [(bar.time, bar.messages) for bar in bars(connection, wanted, timedelta(days=1), None)]
    midnight = datetime(2026, 6, 30, 17, tzinfo=UTC)
    assert days == [(midnight - timedelta(days=1), 1), (midnight, 2)]


def test_samples_are_messages_not_entries(connection: Connection) -> None:
    """A message with two reasons is one sample; several topics are looked at together."""
    keep(connection, make_rejected(1, reason="range"), make_rejected(1, reason="measure"), make_rejected(2))
    keep(connection, *(make_rejected(n, client="", topic=f"t/{n}", payload=b"%d" % n) for n in range(5)))
    assert len(samples(connection, "lamp-1", NOW - HOUR, 10)) == 2
    found = samples_of_topics(connection, [f"t/{n}" for n in range(5)], NOW - HOUR, 3)
    assert [held.payload for held in found] == [b"0", b"1", b"2"]


def test_samples_of_large_messages_are_few(connection: Connection) -> None:
    """Each is read whole: the newest, and so many more as fit."""
    large = b"x" * (SAMPLES_BYTES // 2)
    keep(connection, *(make_rejected(n, payload=large, size=len(large)) for n in range(5)))
    assert [held.received for held in samples(connection, "lamp-1", NOW - HOUR, 10)] == [
        NOW,
        NOW - timedelta(minutes=1),
    ]
    assert len(samples(connection, "lamp-1", NOW - HOUR, 1)) == 1


def test_dialects_that_have_messages(connection: Connection) -> None:
    """What the filter offers."""
    keep(connection, make_rejected(1), make_rejected(2, dialect=""), make_rejected(60 * 40, dialect="tasmota"))
    assert dialects(connection, DAY) == ["", "native"]


def test_kept_already_is_what_lies_here_or_comes_before(connection: Connection) -> None:
    """Word for word and for the same reason, in the table or in the list itself."""
    keep(connection, make_rejected(5))
    asked = [make_rejected(1), *[make_rejected(1, payload=b"{y")] * 2, make_rejected(1, payload=b"{y", reason="shape")]
    with connection.transaction():
        assert kept_already(connection, asked) == [True, False, True, False]


def test_counts_go_with_their_messages(connection: Connection) -> None:
    """Retention takes both."""
    keep(connection, make_rejected(1), make_rejected(60 * 24 * 40))
    retain(connection, Settings(retention_quarantine_days=30), NOW)
    assert connection.execute("SELECT count(*) FROM quarantine").fetchone() == (1,)
    assert connection.execute("SELECT sum(messages) FROM quarantine_hour").fetchone() == (1,)


def test_many_messages_are_counted_without_being_read(connection: Connection) -> None:
    """A page of hundreds of thousands reads a few hours of them, and counts none of them one by one."""
    chance = random.Random(7)
    connection.execute(
        "INSERT INTO quarantine (received, topic, client, dialect, reason, detail, payload, size) SELECT"
        " %s::timestamptz - n * INTERVAL '400 milliseconds', 'ioc/lamp-' || n %% 500 || '/telemetry', 'lamp-' || n %% 500,"
        " 'native', (%s::text[])[1 + n %% 13], '', '{}', 2 FROM generate_series(1, 200000) AS n",
        (NOW, list(REASONS)),
    )
    connection.execute(
        "INSERT INTO quarantine_hour SELECT date_trunc('hour', received), client, dialect, reason, count(*), 0"
        " FROM quarantine GROUP BY 1, 2, 3, 4"
    )
    connection.execute("ANALYZE quarantine; ANALYZE quarantine_hour")
    lamp = f"lamp-{chance.randrange(500)}"
    for wanted, found in ((DAY, None), (change(reason="size"), None), (DAY, [lamp]), (change(reason="size"), [lamp])):
        with connection.transaction(force_rollback=True):
            connection.execute("SELECT pg_stat_force_next_flush()")
            before = buffers(connection)
            rows = page(connection, wanted, found, most=100)
            assert len(rows) >= min(100, 25)
            read = buffers(connection) - before
        # 200,000 messages fill some 4,000 blocks; each statement's own blocks and those of the counts are in it.
        assert read < 3000, (wanted, found, read)
    total = Counter(bar.reason for bar in bars(connection, DAY, HOUR, None))
    assert len(total) == 13


def buffers(connection: Connection) -> int:
    """Blocks of tables and indexes of quarantine that this transaction has touched."""
    row = connection.execute(
        "SELECT sum(pg_stat_get_xact_blocks_fetched(relid))::bigint FROM pg_stat_all_tables WHERE schemaname LIKE '%timescaledb%'"
    ).fetchone()
    assert row is not None
    return int(row[0] or 0)
