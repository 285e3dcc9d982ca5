"""Poison of every sort among good messages, under load: each is kept once with its reason, and harms nobody beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import pytest

from ioc.db.pool import Connection
from ioc.live import Live
from tests.faults.conftest import Publish, Spawn
from tests.faults.gate import Gates, Place
from tests.fix_stack import Database
from tests.ledger import Ledger
from tests.soak import FACTOR

#: Reason in quarantine → payloads on a telemetry topic; %d makes each the only one of its kind.
POISON: Final = {
    "json": [
        b"no JSON %d",
        b'{"n":%d,"values":{"pm25":1',
        b"%%PDF %d",
        b'{"n":%d} {"n":2}',
        b'{"n":%d,"values":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
        b'{"n":%d,"x":' + b'{"a":' * 20_000,
    ],
    "encoding": [
        b'{"ts":%d,"values":{"pm25":"\xff\xfe"}}',
        b'{"ts":%d,"values":{"\xc3\x28":1}}',
        b'{"ts":%d,"values":{"\\u0000":1}}',
        b'{"ts":%d,"values":{"pm25":"a\\u0000b"}}',
        b"\xc3\x28 %d",
    ],
    "value": [
        b'{"ts":%d,"values":{"pm25":NaN}}',
        b'{"ts":%d,"values":{"pm25":1e999}}',
        b'{"ts":%d,"values":{"pm25":-Infinity}}',
        b'{"ts":%d,"values":{"pm25":"12"}}',
        b'{"ts":%d,"values":{"pm25":null}}',
        b'{"ts":%d,"values":{"pm25":[1]}}',
    ],
    "range": [
        b'{"ts":%d,"values":{"pm25":12345678901234567890}}',
        b'{"ts":%d,"values":{"pm25":-1}}',
    ],
    "measure": [b'{"ts":%d,"values":{"phlogiston":1}}'],
    "time": [
        b'{"n":%d,"values":{"pm25":1}}',
        b'{"n":%d,"ts":99999999999999999999,"values":{"pm25":1}}',
        b'{"n":%d,"ts":"yesterday","values":{"pm25":1}}',
        b'{"n":%d,"ts":1e999,"values":{"pm25":1}}',
        b'{"n":%d,"ts":true,"values":{"pm25":1}}',
    ],
    "shape": [b"[%d]", b'"%d"', b'{"ts":%d}', b'{"ts":%d,"values":[]}', b'{"ts":%d,"values":null}'],
    "device": [b'{"ts":%d,"values":{"pm25":1},"device":"another"}'],
}
#: What PostgreSQL alone refuses, since nothing before it knows of it.
REFUSED: Final = 666.25


@pytest.fixture
def choosy(connection: Connection) -> Iterator[None]:
    """A table that refuses one value."""
    connection.execute(f"ALTER TABLE reading ADD CONSTRAINT choosy CHECK (value <> {REFUSED})")
    yield
    connection.execute("ALTER TABLE reading DROP CONSTRAINT choosy")


def poisoned(name: str, number: int) -> Ledger:
    """A good message between any two bad ones; half of the bad ones come to one device, the others to many."""
    ledger = Ledger(name)
    base = round(time.time() * 1000)
    ledger.poison(f"ioc/{name}-empty/telemetry", b"", "json")
    fact = ledger.facts_of(f"{name}-odd", base, {"pm25": 1.0})
    ledger.message(f"ioc/{name}-odd/telemetry", b'{"ts":%d,"values":{"pm25":1},"not ours":"\xff"}' % base, *fact)
    bad = [(reason, payload) for reason, payloads in POISON.items() for payload in payloads]
    for index in range(number * FACTOR):
        device = f"{name}-{index % 40}"
        ledger.reading(device, base - index, {"pm25": index % 500 + 0.5, "pm10": 7.0})
        if index % 10 == 0:
            reason, payload = bad[index // 10 % len(bad)]
            ledger.poison(f"ioc/{name}-bad/telemetry", payload % (base + index), reason)
        if index % 250 == 3:
            stamp = base + 1000 + index
            fact = ledger.facts_of(device, stamp, {"o3": 5.0})
            ledger.message(
                f"ioc/{device}/telemetry",
                payload := b'{"ts":%d,"values":{"o3":5.0,"no2":%.2f}}' % (stamp, REFUSED),
                *fact,
                ("quarantine", f"ioc/{device}/telemetry", "storage", payload),
            )
    return ledger


def test_poison_under_load(spawn: Spawn, publish: Publish, choosy: None, db: Database, live: Live, topic: str) -> None:
    """Each is in quarantine once with its reason, every good value is stored, and ingest is as well as before."""
    process = spawn()
    load = publish(poisoned(topic, 4000))
    load.finish(db)
    process.wait_well(live)
    assert not process.said("decoder fault")
    process.wait_idle(live)


def test_poison_and_a_kill(
    spawn: Spawn, publish: Publish, choosy: None, gates: Gates, db: Database, topic: str
) -> None:
    """Killed before and in a commit with poison in it: it comes again, and is kept once all the same."""
    process = spawn()
    load = publish(poisoned(topic, 4000), first=1500)
    for place in Place:
        load.wait_moving(db)
        with gates.closed(place):
            load.go_on(1000)
            gates.wait_held()
            process.kill()
        process = spawn(wait=False)
    load.finish(db)
