"""The ledger of cameras: when each picture could be trusted, and when and why not; and the views they are compared with.

One watcher writes, under an advisory lock that goes with its connection; intervals of a camera never overlap. What nobody watched
counts neither for nor against a camera.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
from psycopg.rows import class_row

from ioc.catalog import PictureState
from ioc.db.availability import DAY, MONTH, WEEK
from ioc.db.pool import Connection

#: A watcher that comes back within this time continues what was there; a longer absence is time that nobody watched.
GRACE: Final = timedelta(minutes=2)


class Condition(msgspec.Struct, frozen=True):
    """A span of time in which one thing was the matter with a camera; `ended` is when we last knew, while it lasts."""

    camera: str
    began: datetime
    ended: datetime
    condition: PictureState


class Turn(NamedTuple):
    """From `since` on another thing is the matter with a camera; None = nothing is known of it any more."""

    camera: str
    condition: PictureState | None
    since: datetime


class Uptime(msgspec.Struct, frozen=True):
    """Share of watched time in which a camera's picture could be trusted, 0-1; None where nobody watched.

    Attributes:
        lost: seconds of the last 30 days by what was the matter, worst first.
    """

    camera: str
    day: float | None
    week: float | None
    month: float | None
    lost: dict[str, float]


class StoredView(NamedTuple):
    """The view of a camera, packed, None while it is to be learnt; a new lesson forgets the one before."""

    camera: str
    lesson: int
    view: bytes | None


def begin_watch(connection: Connection, now: datetime) -> dict[str, PictureState | None]:
    """Begin to watch, after a start or a time of deafness; returns every camera of the ledger and what is the matter with it.

    After a long absence the open intervals end where the watch ended, and nothing is known (None). Within a transaction.
    """
    row = connection.execute(
        "INSERT INTO camera_watch (until) VALUES (%s) ON CONFLICT (one) DO UPDATE SET until = camera_watch.until"
        " RETURNING until",
        (now,),
    ).fetchone()
    assert row is not None
    if now - row[0] > GRACE:
        connection.execute("DELETE FROM camera_condition WHERE ended IS NULL AND began >= %(until)s", {"until": row[0]})
        connection.execute("UPDATE camera_condition SET ended = %s WHERE ended IS NULL", (row[0],))
    return dict(
        connection.execute(
            "SELECT camera, max(condition) FILTER (WHERE ended IS NULL) FROM camera_condition GROUP BY camera"
        ).fetchall()
    )


def watch_on(connection: Connection, turns: Iterable[Turn], now: datetime) -> None:
    """Everything was watched up to `now`, and these cameras have turned. Within a transaction; each camera once at most.

    A turn that began before the last one undoes that one, but no interval that has ended.
    """
    ordered = sorted(turns)
    cameras, sinces = [turn.camera for turn in ordered], [min(turn.since, now) for turn in ordered]
    if ordered:
        # What was said last, and was not true from its beginning, was never so.
        connection.execute(
            "DELETE FROM camera_condition c USING unnest(%s::text[], %s::timestamptz[]) AS turn (camera, since)"
            " WHERE c.camera = turn.camera AND c.ended IS NULL AND c.began >= turn.since",
            (cameras, sinces),
        )
        connection.execute(
            "UPDATE camera_condition c SET ended = turn.since FROM unnest(%s::text[], %s::timestamptz[])"
            " AS turn (camera, since) WHERE c.camera = turn.camera AND c.ended IS NULL",
            (cameras, sinces),
        )
        connection.execute(
            "INSERT INTO camera_condition (camera, condition, began)"
            " SELECT turn.camera, turn.condition, greatest(turn.since, (SELECT max(ended) FROM camera_condition c"
            " WHERE c.camera = turn.camera)) FROM unnest(%s::text[], %s::text[], %s::timestamptz[])"
            " AS turn (camera, condition, since) WHERE turn.condition IS NOT NULL",
            (cameras, [turn.condition for turn in ordered], sinces),
        )
    connection.execute("UPDATE camera_watch SET until = greatest(until, %s)", (now,))


_SPANS: Final = (
    "SELECT camera, began, greatest(began, coalesce(ended, (SELECT until FROM camera_watch))) AS ended, condition"
    " FROM camera_condition WHERE (%(camera)s::text IS NULL OR camera = %(camera)s) AND began < %(until)s"
    " AND (ended IS NULL OR ended > %(since)s)"
)


def conditions(connection: Connection, camera: str, since: datetime, until: datetime) -> list[Condition]:
    """What was the matter with a camera in a span of time, oldest first."""
    with connection.cursor(row_factory=class_row(Condition)) as cursor:
        return cursor.execute(
            f"{_SPANS} ORDER BY began".encode(), {"camera": camera, "since": since, "until": until}
        ).fetchall()


def uptime(connection: Connection, now: datetime, camera: str | None = None) -> list[Uptime]:
    """How long pictures could be trusted over 24 hours, 7 and 30 days up to `now`, of one camera or of all, by id."""
    rows = connection.execute(
        f"WITH span AS ({_SPANS}) SELECT camera, condition, "  # noqa: S608 - a constant of ours
        "sum(greatest(0, extract(epoch FROM least(ended, %(until)s) - greatest(began, %(day)s))))::float8,"
        "sum(greatest(0, extract(epoch FROM least(ended, %(until)s) - greatest(began, %(week)s))))::float8,"
        "sum(greatest(0, extract(epoch FROM least(ended, %(until)s) - greatest(began, %(since)s))))::float8"
        " FROM span GROUP BY camera, condition ORDER BY camera, 5 DESC".encode(),
        {"camera": camera, "until": now, "day": now - DAY, "week": now - WEEK, "since": now - MONTH},
    ).fetchall()
    spent: dict[str, dict[str, Sequence[float]]] = {}
    for key, condition, *seconds in rows:
        spent.setdefault(key, {})[condition] = seconds
    return [
        Uptime(
            key,
            _share(of, 0),
            _share(of, 1),
            _share(of, 2),
            {condition: seconds[2] for condition, seconds in of.items() if condition != "ok" and seconds[2] > 0},
        )
        for key, of in spent.items()
    ]


def uptime_by_day(connection: Connection, now: datetime, camera: str, days: int = 30) -> dict[datetime, float]:
    """The share of each day of the city's calendar up to `now`, by its beginning; days that nobody watched are absent."""
    rows = connection.execute(
        f"WITH span AS ({_SPANS}), day AS (SELECT generate_series("  # noqa: S608 - a constant of ours
        "date_trunc('day', %(until)s::timestamptz AT TIME ZONE 'Asia/Ho_Chi_Minh') - make_interval(days => %(days)s - 1),"
        " %(until)s::timestamptz AT TIME ZONE 'Asia/Ho_Chi_Minh', '1 day') AT TIME ZONE 'Asia/Ho_Chi_Minh' AS began),"
        " part AS (SELECT day.began, condition = 'ok' AS up, extract(epoch FROM"
        " least(span.ended, %(until)s, day.began + INTERVAL '1 day') - greatest(span.began, day.began)) AS seconds"
        " FROM day JOIN span ON span.began < day.began + INTERVAL '1 day' AND span.ended > day.began)"
        " SELECT began, (sum(seconds) FILTER (WHERE up) / nullif(sum(seconds), 0))::float8 FROM part"
        " GROUP BY began HAVING sum(seconds) > 0 ORDER BY began".encode(),
        {"camera": camera, "until": now, "since": now - timedelta(days=days), "days": days},
    ).fetchall()
    return {began: share or 0.0 for began, share in rows}


def views(connection: Connection) -> list[StoredView]:
    """Every camera's view."""
    return [StoredView(*row) for row in connection.execute("SELECT camera, lesson, view FROM camera_view").fetchall()]


def lessons(connection: Connection) -> dict[str, int]:
    """The number of each camera's lesson."""
    return dict(connection.execute("SELECT camera, lesson FROM camera_view").fetchall())


def keep_view(connection: Connection, camera: str, lesson: int, view: bytes, now: datetime) -> None:
    """Keep a view that was learnt, or followed the light, in that lesson; after a newer one began it changes nothing."""
    connection.execute(
        "INSERT INTO camera_view (camera, lesson, learnt, view) VALUES (%s, %s, %s, %s) ON CONFLICT (camera) DO UPDATE"
        " SET learnt = excluded.learnt, view = excluded.view WHERE camera_view.lesson = excluded.lesson",
        (camera, lesson, now, view),
    )


def view_learnt(connection: Connection, camera: str) -> datetime | None:
    """When the view of a camera was learnt or last followed the light; None while it is to be learnt."""
    row = connection.execute("SELECT learnt FROM camera_view WHERE camera = %s", (camera,)).fetchone()
    return None if row is None else row[0]


def next_lesson(connection: Connection, camera: str) -> int:
    """Forget the view of a camera, so that it is learnt anew; returns the number of the lesson. Within a transaction."""
    row = connection.execute(
        "INSERT INTO camera_view (camera, lesson) VALUES (%s, 1) ON CONFLICT (camera) DO UPDATE"
        " SET lesson = camera_view.lesson + 1, learnt = NULL, view = NULL RETURNING lesson",
        (camera,),
    ).fetchone()
    assert row is not None
    return int(row[0])


def _share(of: dict[str, Sequence[float]], span: int) -> float | None:
    watched = sum(seconds[span] for seconds in of.values())
    return of["ok"][span] / watched if watched and "ok" in of else 0.0 if watched else None
