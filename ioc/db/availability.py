"""Availability of devices, from what they and their last wills said."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec
from psycopg.rows import class_row

from ioc.db.pool import Connection

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
MONTH: Final = timedelta(days=30)


class Availability(msgspec.Struct, frozen=True):
    """Share of known time that a device was online, 0–1; None where nothing is known.

    Known time is what follows the first state ever stored; maintenance counts neither for nor against.
    """

    device: str
    day: float | None
    week: float | None
    month: float | None


_QUERY: Final = """
WITH change AS (
    -- The state that held when the longest span began, then every change in it.
    SELECT d.id AS device, held.time, held.state, held.received
    FROM device d CROSS JOIN LATERAL (
        SELECT time, state, received FROM device_state s WHERE s.device = d.id AND s.time < %(month)s
        ORDER BY time DESC, received DESC LIMIT 1
    ) AS held
    WHERE %(device)s::text IS NULL OR d.id = %(device)s
    UNION ALL
    SELECT device, time, state, received FROM device_state
    WHERE time >= %(month)s AND time <= %(now)s AND (%(device)s::text IS NULL OR device = %(device)s)
), held AS (
    SELECT device, state, time AS began,
           lead(time, 1, %(now)s::timestamptz) OVER (PARTITION BY device ORDER BY time, received) AS ended
    FROM change
), known AS (
    SELECT device, span, (state = 'online')::int AS up,
           greatest(0, extract(epoch FROM ended - greatest(began, since)))::float8 AS seconds
    FROM held CROSS JOIN (VALUES (1, %(day)s::timestamptz), (7, %(week)s::timestamptz), (30, %(month)s::timestamptz))
         AS spans (span, since)
    WHERE state IN ('online', 'offline')
)
SELECT device,
       sum(up * seconds) FILTER (WHERE span = 1) / nullif(sum(seconds) FILTER (WHERE span = 1), 0) AS day,
       sum(up * seconds) FILTER (WHERE span = 7) / nullif(sum(seconds) FILTER (WHERE span = 7), 0) AS week,
       sum(up * seconds) FILTER (WHERE span = 30) / nullif(sum(seconds) FILTER (WHERE span = 30), 0) AS month
FROM known GROUP BY device ORDER BY device
"""


def availability(connection: Connection, now: datetime, device: str | None = None) -> list[Availability]:
    """Availability over 24 hours, 7 and 30 days up to `now`, of one device or of all that ever said a state, by id."""
    with connection.cursor(row_factory=class_row(Availability)) as cursor:
        return cursor.execute(
            _QUERY, {"now": now, "day": now - DAY, "week": now - WEEK, "month": now - MONTH, "device": device}
        ).fetchall()
