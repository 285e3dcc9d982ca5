"""A stream of messages of every kind with a ledger, and the comparison of both with what is stored."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime

from ioc.db.pool import Connection
from ioc.db.upkeep import roll_hours
from tests.flood import Flood

HOUR_MS = 3_600_000


class Ledger:
    """Messages, and what must be in the database once they were acknowledged.

    Of every hundred messages one is poison, one has a wrong clock, two are states; a tenth of the readings is hours late, so that
    finished hours change.
    """

    def __init__(self, name: str, number: int, *, seed: int) -> None:
        chance = random.Random(seed)
        base = round(time.time() * 1000) - number
        self.name = name
        self.messages: list[tuple[str, bytes]] = []
        self.readings: dict[int, float] = {}
        self.clock_off: dict[int, float] = {}
        self.states: set[int] = set()
        self.poison: set[int] = set()
        for index in range(number):
            device, kind = f"{name}-{index % 40}", index % 100
            stamp = base + index
            if kind == 7:
                self.poison.add(index)
                self._add(f"ioc/{device}/telemetry", b"poison %d" % index)
            elif kind == 8:
                self.clock_off[index] = float(index)
                self._add_json(f"ioc/{device}/telemetry", {"ts": index * 1000, "values": {"energyConsumed": index}})
            elif kind in (9, 10):
                self.states.add(index)
                state = "online" if kind == 9 else "maintenance"
                self._add_json(f"ioc/{device}/state", {"ts": stamp, "state": state, "reason": "test"})
            else:
                if chance.random() < 0.1:
                    stamp -= chance.randrange(1, 48) * HOUR_MS
                self.readings[index] = float(index)
                self._add_json(f"ioc/{device}/telemetry", {"ts": stamp, "values": {"powerConsumption": index}})

    def _add(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic, payload))

    def _add_json(self, topic: str, payload: object) -> None:
        self._add(topic, json.dumps(payload).encode())

    def stored(self, connection: Connection) -> tuple[int, int, int, int]:
        """How many readings, readings of a wrong clock, states and poisons are stored."""
        counts = []
        for query in (
            "SELECT count(*) FROM reading WHERE device LIKE %s AND quality = 0",
            "SELECT count(*) FROM reading WHERE device LIKE %s AND quality = 1",
            "SELECT count(*) FROM device_state WHERE device LIKE %s AND reason = 'test'",
            "SELECT count(DISTINCT payload) FROM quarantine WHERE client LIKE %s",
        ):
            row = connection.execute(query, [f"{self.name}-%"]).fetchone()
            assert row is not None
            counts.append(row[0])
        return counts[0], counts[1], counts[2], counts[3]

    @property
    def expected(self) -> tuple[int, int, int, int]:
        """What `stored` gives when all is there once."""
        return len(self.readings), len(self.clock_off), len(self.states), len(self.poison)

    def check(self, connection: Connection, flood: Flood) -> None:
        """Every message the broker acknowledged is stored exactly once, value for value, and the hourly figures agree.

        A poison that its sender had to send again may be kept twice: only the sender could tell that it is the same.
        """
        assert flood.acknowledged == set(range(len(self.messages)))
        like = [f"{self.name}-%"]
        values = connection.execute(
            "SELECT value, quality FROM reading WHERE device LIKE %s ORDER BY value", like
        ).fetchall()
        assert values == sorted([(v, 0) for v in self.readings.values()] + [(v, 1) for v in self.clock_off.values()])
        poisons = [row[0] for row in connection.execute("SELECT payload FROM quarantine WHERE client LIKE %s", like)]
        assert set(poisons) == {b"poison %d" % index for index in self.poison}
        assert len(poisons) <= len(self.poison) + flood.sent_again
        assert self.stored(connection) == self.expected
        # Once as the view computes them now, once after the job has rolled every hour up.
        for _ in range(2):
            hours = connection.execute(
                "SELECT sum(readings)::int, sum(total) FROM reading_hour WHERE device LIKE %s", like
            ).fetchone()
            everything = [*self.readings.values(), *self.clock_off.values()]
            assert hours == (len(everything), sum(everything))
            roll_hours(connection, datetime.now(UTC))
        newest = connection.execute(
            "SELECT count(*) FROM latest l WHERE device LIKE %s AND time = (SELECT max(time) FROM reading r"
            " WHERE r.device = l.device AND r.measure = l.measure)",
            like,
        ).fetchone()
        kept = connection.execute("SELECT count(*) FROM latest WHERE device LIKE %s", like).fetchone()
        assert newest == kept
