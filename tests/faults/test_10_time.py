"""Times of every sort: each has a defined result, and the hourly figures are those of the readings at every moment."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

from ioc.db.pool import Connection
from ioc.db.upkeep import roll_hours
from tests.faults.conftest import Publish, Spawn
from tests.fix_stack import Database
from tests.ledger import HOUR_MS, Ledger
from tests.soak import FACTOR

DAY_MS = 24 * HOUR_MS


def timed(name: str, number: int, chance: random.Random) -> Ledger:
    """Readings of 20 devices at all sorts of times; values are whole, so that sums are exact in any order."""
    ledger = Ledger(name)
    base = round(time.time() * 1000)
    midnight = base // DAY_MS * DAY_MS
    # A time that no other sort of reading has, in the order of their sending and out of it.
    stamps = [base - 17 * index for index in range(number * FACTOR)]
    chance.shuffle(stamps)
    for index, stamp in enumerate(stamps):
        device, values = f"{name}-{index % 20}", {"powerConsumption": float(index)}
        match index % 12:
            case 0:  # twice, exactly the same
                ledger.reading(device, stamp, values)
                ledger.reading(device, stamp, values)
            case 1:  # twice, the same instant in two zones
                moment = datetime.fromtimestamp(stamp / 1000, UTC)
                ledger.reading(device, moment.isoformat(), values)
                ledger.reading(device, moment.astimezone().isoformat(), values)
            case 2:  # twice at one time with two values: the first one holds
                ledger.reading(device, stamp, values)
                ledger.message(f"ioc/{device}/telemetry", {"ts": stamp, "values": {"powerConsumption": 99_999}})
            case 3:  # a day late, and four weeks
                ledger.reading(device, stamp - DAY_MS, values)
                ledger.reading(f"{device}-slow", stamp - 28 * DAY_MS, values)
            case 4:  # later than is believed, sent twice: at its receive time, once
                ledger.clock_off(device, stamp - 40 * DAY_MS, values)
                ledger.clock_off(device, stamp - 40 * DAY_MS, values)
            case 5:  # from a future that is believed
                ledger.reading(device, stamp + 120_000 + 17 * number * FACTOR, values)
            case 6:  # from one that is not
                ledger.clock_off(device, stamp + 2 * DAY_MS, values)
            case 7 if index < 1200:  # around the edge of a chunk, to the microsecond
                edge = datetime.fromtimestamp((midnight - index * DAY_MS // 100 // DAY_MS * DAY_MS) / 1000, UTC)
                for micros in (-1, 0, 1):
                    moment = edge + timedelta(microseconds=micros)
                    ledger.reading(f"{name}-edge-{index}", moment.isoformat(), values)
            case 8 if index < 1200:  # around the edge of an hour
                for ms in (-1, 0, 1):
                    ledger.reading(
                        f"{name}-hour-{index}",
                        base // HOUR_MS * HOUR_MS - index * HOUR_MS // 10 // HOUR_MS * HOUR_MS + ms,
                        values,
                    )
            case _:
                ledger.reading(device, stamp, values)
    return ledger


def test_times(spawn: Spawn, publish: Publish, db: Database, connection: Connection, topic: str) -> None:
    """All sorts, while hours are rolled up again and again, with a kill in between."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    process = spawn()
    load = publish(timed(topic, 4000, random.Random(seed)))
    for _ in range(2):
        load.wait_moving(db)
        roll_hours(connection, datetime.now(UTC))
    process.kill()
    roll_hours(connection, datetime.now(UTC))
    process = spawn(wait=False)
    while load.publishing:
        roll_hours(connection, datetime.now(UTC))
        time.sleep(0.2)
    load.finish(db)
    assert process.alive
