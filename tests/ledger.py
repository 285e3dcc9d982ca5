"""What a publisher sent and the broker acknowledged, and the comparison of it with what is stored."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from ioc.db.pool import Connection, edition
from ioc.db.upkeep import roll_hours
from ioc.model import Quality
from tests.flood import Flood
from tests.soak import FACTOR, Comparison, tell

HOUR_MS = 3_600_000

#: One thing a message leaves in the database, as a tuple that names it: a reading by its key and value; a reading of a wrong
#: clock by its value, since it is stored at its receive time; a state; a last will, which has no time; an entry in quarantine by
#: topic, reason and bytes.
Fact = tuple[Any, ...]


class Difference(NamedTuple):
    """How the database differs from what was acknowledged.

    Attributes:
        lost: facts of acknowledged messages that are not stored.
        doubled: facts stored more often than they were sent.
        strange: facts that no message of the ledger leaves.
    """

    lost: list[Fact]
    doubled: list[Fact]
    strange: list[Fact]


class Ledger:
    """Messages in the order in which they are sent, and the facts each of them leaves.

    Devices are named `<name>-…`, so that what is stored of this ledger can be told from all else.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.messages: list[tuple[str, bytes]] = []
        #: Which messages leave a fact; exact copies of a reading or state leave it once between them.
        self.facts: dict[Fact, list[int]] = {}

    @classmethod
    def mixed(cls, name: str, number: int, *, seed: int) -> Ledger:
        """A stream of every kind.

        Of every hundred messages one is poison, one has a wrong clock, two are states; a tenth of the readings is hours late, so
        that finished hours change. In a soak it is several times as long.
        """
        number *= FACTOR
        ledger, chance = cls(name), random.Random(seed)
        base = round(time.time() * 1000) - number
        for index in range(number):
            device, kind, stamp = f"{name}-{index % 40}", index % 100, base + index
            if kind == 7:
                ledger.poison(f"ioc/{device}/telemetry", b"poison %d" % index, "json")
            elif kind == 8:
                ledger.clock_off(device, index * 1000, {"energyConsumed": float(index)})
            elif kind in (9, 10):
                ledger.state(device, stamp, "online" if kind == 9 else "maintenance")
            elif kind in (11, 61):
                ledger.will(f"{name}-w{index // 100}", "maintenance" if kind == 11 else "online")
            else:
                if chance.random() < 0.1:
                    stamp -= chance.randrange(1, 48) * HOUR_MS
                ledger.reading(device, stamp, {"powerConsumption": float(index)})
        return ledger

    @classmethod
    def readings_alone(cls, name: str, number: int) -> Ledger:
        """Readings of five devices and nothing else; published slowly they come in batches that are stored as one statement."""
        ledger, base = cls(name), round(time.time() * 1000) - number
        for index in range(number):
            ledger.reading(f"{name}-{index % 5}", base + index, {"powerConsumption": float(index)})
        return ledger

    def reading(self, device: str, stamp: int | str, values: Mapping[str, float], **more: Any) -> None:
        """Telemetry with a time that is believed: epoch milliseconds, or ISO-8601."""
        self._send(
            f"ioc/{device}/telemetry", {"ts": stamp, "values": values, **more}, self.facts_of(device, stamp, values)
        )

    @staticmethod
    def facts_of(device: str, stamp: int | str, values: Mapping[str, float]) -> list[Fact]:
        """The readings that telemetry leaves."""
        return [("reading", device, measure, _time(stamp), value) for measure, value in values.items()]

    def clock_off(self, device: str, stamp: int | str, values: Mapping[str, float]) -> None:
        """Telemetry with a time that is not believed; a device never sends a value twice with different times."""
        facts = [("clock_off", device, measure, value) for measure, value in values.items()]
        self._send(f"ioc/{device}/telemetry", {"ts": stamp, "values": values}, facts)

    def state(self, device: str, stamp: int, state: str) -> None:
        """A device says how it is."""
        payload = {"ts": stamp, "state": state, "reason": "test"}
        self._send(f"ioc/{device}/state", payload, [("state", device, _time(stamp), state)])

    def will(self, device: str, state: str) -> None:
        """What is true when it comes, and has nothing in it that would tell it from its repetition; each state once a device."""
        self._send(f"ioc/{device}/state", {"state": state, "reason": "will"}, [("will", device, state)])

    def excuse(self, payload: bytes) -> None:
        """That message may be lost: what it alone leaves is expected no more."""
        index = next(index for index, (_, sent) in enumerate(self.messages) if sent == payload)
        self.facts = {fact: indices for fact, indices in self.facts.items() if indices != [index]}

    def poison(self, topic: str, payload: bytes, reason: str) -> None:
        """What cannot be stored; each payload once, so that its second entry is seen as such."""
        self._send(topic, payload, [("quarantine", topic, reason, payload)])

    def message(self, topic: str, payload: object, *facts: Fact) -> None:
        """Any other message, with what it leaves."""
        self._send(topic, payload, facts)

    def _send(self, topic: str, payload: object, facts: Collection[Fact]) -> None:
        for fact in facts:
            self.facts.setdefault(fact, []).append(len(self.messages))
        self.messages.append((topic, payload if isinstance(payload, bytes) else json.dumps(payload).encode()))

    def progress(self, connection: Connection) -> int:
        """How many facts are stored."""
        row = connection.execute(_COUNT, {"like": f"{self.name}-%", "topic": f"ioc/{self.name}-%"}).fetchone()
        assert row is not None
        return int(row[0])

    def stored(self, connection: Connection) -> Counter[Fact]:
        """The facts that are stored, and how often each."""
        like = [f"{self.name}-%"]
        found: Counter[Fact] = Counter()
        readings = "SELECT device, measure, time, value, quality FROM reading WHERE device LIKE %s"
        for device, measure, stamp, value, quality in connection.execute(readings, like):
            off = quality == Quality.CLOCK_OFF
            found[("clock_off", device, measure, value) if off else ("reading", device, measure, stamp, value)] += 1
        states = "SELECT device, time, state, reason FROM device_state WHERE device LIKE %s AND reason <> 'data'"
        for device, stamp, state, reason in connection.execute(states, like):
            found[("will", device, state) if reason == "will" else ("state", device, stamp, state)] += 1
        poisons = "SELECT topic, reason, payload FROM quarantine WHERE topic LIKE %s"
        found.update(("quarantine", *row) for row in connection.execute(poisons, [f"ioc/{self.name}-%"]))
        return found

    def difference(self, connection: Connection, acknowledged: Collection[int]) -> Difference:
        """What is lost, doubled or strange; messages that were not acknowledged may be stored or not."""
        return self._compare(self.stored(connection), acknowledged)

    def _compare(self, stored: Counter[Fact], acknowledged: Collection[int]) -> Difference:
        lost = [
            fact
            for fact, indices in self.facts.items()
            if fact not in stored and any(i in acknowledged for i in indices)
        ]
        doubled = [fact for fact, times in stored.items() if fact in self.facts and times > 1]
        return Difference(lost, doubled, [fact for fact in stored if fact not in self.facts])

    def settle(self, connection: Connection, *, within_s: float = 120.0) -> None:
        """Wait until as much is stored as the whole ledger leaves, but no longer than that: what is missing, `check` says."""
        deadline = time.monotonic() + within_s
        while self.progress(connection) < len(self.facts) and time.monotonic() < deadline:
            time.sleep(0.1)

    def check(self, connection: Connection, flood: Flood) -> None:
        """Every message was acknowledged and is stored exactly once, value for value, and all that is derived agrees.

        What has no time, or one that is not believed, and was sent again by its sender may be kept twice: only the sender could
        tell that it is the same.
        """
        stored = self.stored(connection)
        lost, doubled, strange = self._compare(stored, flood.acknowledged)
        wrong = derived_faults(connection, self.name)
        tell(
            Comparison(
                self.name,
                acknowledged=len(flood.acknowledged),
                messages=len(self.messages),
                facts=len(self.facts),
                stored=stored.total(),
                distinct=len(stored),
                lost=len(lost),
                doubled=len(doubled),
                strange=len(strange),
                sent_again=flood.sent_again,
                rollups=not wrong,
            )
        )
        assert flood.acknowledged == set(range(len(self.messages))), "the publisher could not deliver everything"
        timeless = [fact for fact in doubled if fact[0] in ("clock_off", "quarantine", "will")]
        assert not lost, _some("lost", lost)
        assert not strange, _some("in no message", strange)
        assert len(doubled) == len(timeless), _some("doubled", doubled)
        assert len(timeless) <= flood.sent_again, _some("doubled", timeless)
        assert not wrong, wrong


def derived_faults(connection: Connection, name: str) -> list[str]:
    """Where the hourly figures and the latest values of these devices are not those that their readings give.

    The figures are compared as they are read now, and again after the job has rolled every hour up.
    """
    like = {"like": f"{name}-%"}
    found = []
    for _ in range(2):
        if wrong := connection.execute(_HOURS, like).fetchall():
            found.append(_some("wrong hours", wrong))
        if edition(connection) == "apache":
            roll_hours(connection, datetime.now(UTC))
    if wrong := connection.execute(_LATEST, like).fetchall():
        found.append(_some("wrong latest values", wrong))
    return found


def _time(stamp: int | str) -> datetime:
    return datetime.fromtimestamp(stamp / 1000, UTC) if isinstance(stamp, int) else datetime.fromisoformat(stamp)


def _some(what: str, rows: list[Any]) -> str:
    return f"{len(rows)} {what}: {rows[:5]}"


_COUNT = """
SELECT (SELECT count(*) FROM reading WHERE device LIKE %(like)s)
     + (SELECT count(*) FROM device_state WHERE device LIKE %(like)s AND reason <> 'data')
     + (SELECT count(*) FROM (SELECT DISTINCT topic, reason, payload FROM quarantine WHERE topic LIKE %(topic)s) AS once)
"""
_HOURS = """
WITH kept AS (
    SELECT h.bucket, h.device, m.measure, h.readings, h.total, h.least, h.most
    FROM (SELECT measure, array_agg(device) AS devices FROM latest WHERE device LIKE %(like)s GROUP BY measure) AS m
    CROSS JOIN LATERAL hours_of(m.devices, m.measure, '-infinity', 'infinity', true) AS h
), meant AS (
    SELECT time_bucket('1 hour', time), device, measure, count(*), sum(value), min(value), max(value)
    FROM reading WHERE device LIKE %(like)s GROUP BY 1, 2, 3
)
(TABLE kept EXCEPT ALL TABLE meant) UNION ALL (TABLE meant EXCEPT ALL TABLE kept)
"""
_LATEST = """
WITH kept AS (
    SELECT device, measure, time, value, quality FROM latest WHERE device LIKE %(like)s
), meant AS (
    SELECT DISTINCT ON (device, measure) device, measure, time, value, quality
    FROM reading WHERE device LIKE %(like)s ORDER BY device, measure, time DESC
)
(TABLE kept EXCEPT ALL TABLE meant) UNION ALL (TABLE meant EXCEPT ALL TABLE kept)
"""
