"""A killed ingest loses nothing and doubles nothing."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime

from ioc.db.upkeep import roll_hours
from ioc.live import Live
from tests.fix_ingest import Spawn, eventually, wait_beating
from tests.fix_stack import BrokerServer, Database
from tests.flood import Flood
from tests.ledger import Ledger


def test_sigkill_in_mid_stream(spawn: Spawn, broker: BrokerServer, db: Database, live: Live, topic: str) -> None:
    """Ingest is killed again and again under load; what the broker acknowledged to the publisher is stored once, sums too."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ledger = Ledger(topic, 30_000, seed=seed)
    process = spawn()
    wait_beating(live, process)
    flood = Flood(broker.host, broker.port)
    publisher = threading.Thread(target=flood.publish, args=(ledger.messages,), kwargs={"rate": 3000})
    publisher.start()
    with db.connect() as connection:
        kills = 0
        while publisher.is_alive() or kills < 4:
            before = ledger.stored(connection)
            time.sleep(chance.uniform(0.2, 2.5))
            process.kill()
            process.wait()
            kills += 1
            # Upkeep goes on meanwhile, so that late readings meet hours that are rolled up already.
            roll_hours(connection, datetime.now(UTC))
            process = spawn()
            # At least something is stored between two kills, or the test would only show that a dead ingest loses nothing.
            eventually(
                lambda before=before: ledger.stored(connection) > before or ledger.stored(connection) == ledger.expected
            )
        publisher.join()
        eventually(lambda: ledger.stored(connection) == ledger.expected, within_s=120)
        ledger.check(connection, flood)
