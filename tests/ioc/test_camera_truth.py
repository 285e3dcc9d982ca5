"""The ledger of cameras on a real TimescaleDB: intervals that never overlap, exactly once, whoever writes and restarts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from ioc.camera_view import ACCEPT_VIEW, accept_view
from ioc.catalog import PICTURE_STATES
from ioc.db.audit import entries_of
from ioc.db.camera_truth import (
    GRACE,
    Turn,
    begin_watch,
    conditions,
    keep_view,
    lessons,
    uptime,
    uptime_by_day,
    view_learnt,
    views,
    watch_on,
)
from ioc.db.devices import register_unannounced
from ioc.db.pool import Connection
from ioc.errors import ActionError
from tests.fix_stack import Database

NOW = datetime.now(UTC).replace(microsecond=0)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    with db.connect() as opened:
        opened.execute("DELETE FROM camera_watch")
        yield opened


def spans(connection: Connection, camera: str) -> list[tuple[str, float, float]]:
    """Condition, beginning and end in seconds before NOW."""
    return [
        (one.condition, (NOW - one.began).total_seconds(), (NOW - one.ended).total_seconds())
        for one in conditions(connection, camera, ago(90 * 86_400), NOW)
    ]


def write(connection: Connection, now: datetime, *turns: Turn) -> None:
    with connection.transaction():
        watch_on(connection, turns, now)


def begin(connection: Connection, now: datetime) -> dict[str, object]:
    with connection.transaction():
        return dict(begin_watch(connection, now))


def test_ledger_turns_follow_each_other(connection: Connection, topic: str) -> None:
    """Each interval ends where the next begins; the open one reaches to the end of the watch."""
    begin(connection, ago(1000))
    write(connection, ago(1000), Turn(topic, "ok", ago(1000)))
    write(connection, ago(400), Turn(topic, "frozen", ago(430)))
    write(connection, ago(100), Turn(topic, "ok", ago(110)))
    write(connection, ago(60))
    assert spans(connection, topic) == [("ok", 1000, 430), ("frozen", 430, 110), ("ok", 110, 60)]
    (found,) = uptime(connection, NOW, topic)
    assert found.day == pytest.approx((570 + 50) / 940)
    assert found.lost == {"frozen": 320}


def test_ledger_what_was_never_so_is_undone(connection: Connection, topic: str) -> None:
    """It was called well a moment ago, and had been frozen since before: it was never well, and what has ended stays."""
    begin(connection, ago(1000))
    write(connection, ago(1000), Turn(topic, "ok", ago(1000)))
    write(connection, ago(500), Turn(topic, "missing", ago(560)))
    write(connection, ago(400), Turn(topic, "ok", ago(400)))
    write(connection, ago(370), Turn(topic, "frozen", ago(420)))
    write(connection, NOW)
    assert spans(connection, topic) == [("ok", 1000, 560), ("missing", 560, 400), ("frozen", 400, 0)]


def test_ledger_goes_on_after_a_restart_and_not_after_a_long_absence(connection: Connection, topic: str) -> None:
    """A restart loses no second; what nobody watched for longer counts neither for nor against the camera."""
    begin(connection, ago(1000))
    write(connection, ago(900), Turn(topic, "ok", ago(1000)))
    assert begin(connection, ago(900 - GRACE.total_seconds() + 1))[topic] == "ok"
    write(connection, ago(700))
    assert begin(connection, ago(300))[topic] is None
    assert spans(connection, topic) == [("ok", 1000, 700)]
    write(connection, ago(300), Turn(topic, "missing", ago(650)))
    write(connection, ago(0))
    assert spans(connection, topic) == [("ok", 1000, 700), ("missing", 650, 0)]
    (found,) = uptime(connection, NOW, topic)
    assert found.month == pytest.approx(300 / 950)


def test_ledger_out_of_service_counts_neither_way(connection: Connection, topic: str) -> None:
    """A camera under maintenance is not watched."""
    begin(connection, ago(100))
    write(connection, ago(100), Turn(topic, "ok", ago(100)))
    write(connection, ago(60), Turn(topic, None, ago(60)))
    write(connection, ago(20), Turn(topic, "black", ago(20)))
    write(connection, NOW)
    assert spans(connection, topic) == [("ok", 100, 60), ("black", 20, 0)]
    (found,) = uptime(connection, NOW, topic)
    assert found.week == pytest.approx(40 / 60)


@pytest.mark.parametrize("seed", range(5))
def test_ledger_of_a_random_life_is_exact(connection: Connection, topic: str, seed: int) -> None:
    """Turns at random, some dated back, some handed in twice: no overlap, and the shares are those of a plain sum."""
    dice = random.Random(seed)
    times = sorted({round(40 * 86_400 * dice.random() ** 3) for _ in range(30)}, reverse=True)
    begin(connection, ago(times[0]))
    for second in times:
        back = dice.choice((0, 0, 30, 200))
        turn = Turn(topic, dice.choice(PICTURE_STATES), ago(second + back))
        for _ in range(dice.choice((1, 1, 2))):
            write(connection, ago(second), turn)
    write(connection, NOW)
    rows = spans(connection, topic)
    assert all(begin > end for _, begin, end in rows)
    assert all(one[2] >= two[1] for one, two in pairwise(rows))
    assert rows[-1][2] == 0
    (found,) = uptime(connection, NOW, topic)
    for share, span in ((found.day, 86_400), (found.week, 7 * 86_400), (found.month, 30 * 86_400)):
        parts = [(what, min(begin, span) - min(end, span)) for what, begin, end in rows]
        assert share == pytest.approx(sum(s for what, s in parts if what == "ok") / sum(s for _, s in parts))
    days = uptime_by_day(connection, NOW, topic)
    assert len(days) in (30, 31)
    assert all(0 <= share <= 1 for share in days.values())
    assert found in uptime(connection, NOW)


def test_uptime_by_day_is_of_the_citys_days(connection: Connection, topic: str) -> None:
    """A day begins at midnight in Ho Chi Minh City, and one that nobody watched is absent."""
    noon = datetime(2026, 3, 10, 5, tzinfo=UTC)  # 12:00 there
    begin(connection, noon - timedelta(hours=30))
    write(connection, noon - timedelta(hours=30), Turn(topic, "ok", noon - timedelta(hours=30)))
    write(connection, noon, Turn(topic, "moved", noon - timedelta(hours=6)))
    days = uptime_by_day(connection, noon, topic)
    midnight = datetime(2026, 3, 9, 17, tzinfo=UTC)
    assert days == {midnight - timedelta(days=1): 1.0, midnight: 0.5}


def test_view_of_an_older_lesson_is_not_kept(connection: Connection, topic: str) -> None:
    """A technician accepts another view while the old one is about to be written: it stays forgotten, the act is on record."""
    register_unannounced(connection, [topic], "native")
    connection.execute("UPDATE device SET kind = 'camera' WHERE id = %s", (topic,))
    keep_view(connection, topic, 0, b"old", ago(100))
    assert view_learnt(connection, topic) == ago(100)
    accept_view(connection, "Kỹ thuật viên", topic)
    keep_view(connection, topic, 0, b"old, followed", ago(1))
    assert view_learnt(connection, topic) is None
    assert lessons(connection)[topic] == 1
    keep_view(connection, topic, 1, b"new", NOW)
    assert (topic, 1, b"new") in views(connection)
    (entry,) = entries_of(connection, topic, (ACCEPT_VIEW,), 5)
    assert (entry.who, entry.after) == ("Kỹ thuật viên", {"lesson": 1})


def test_view_of_what_is_no_camera_is_refused(connection: Connection, topic: str) -> None:
    """No such camera, a lamp, no name: nothing is written."""
    register_unannounced(connection, [topic], "native")
    for who, camera in (("An", "nobody"), ("An", topic), ("An", "../x"), (" ", topic)):
        with pytest.raises(ActionError):
            accept_view(connection, who, camera)
    assert topic not in lessons(connection)
