"""The second limit: the one COPY writer with rows from memory. Nothing is received, decoded, checked or kept as latest."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime

from ioc.db.copy import READING, store
from ioc.db.pool import connect
from ioc.model import Reading
from tests.bench.arena import Arena
from tests.bench.messages import Series

BATCH = 5000


def bare_copy(arena: Arena, series: Series) -> dict[str, float]:
    """Rows a second of the readings of a series."""
    now = datetime.now(UTC)
    rows = [
        Reading(datetime.fromtimestamp(stamp / 1000, UTC), device, measure, value, 0, now)
        for index in range(series.number)
        for device, stamp in [series.key(index)]
        for measure, value in series.payload(index)["values"].items()
    ]
    with closing(connect(arena.urls.database_url)) as connection:
        connection.autocommit = True
        began = time.monotonic()
        for at in range(0, len(rows), BATCH):
            with connection.transaction():
                store(connection, READING, rows[at : at + BATCH])
        return {"rows_s": len(rows) / (time.monotonic() - began)}
