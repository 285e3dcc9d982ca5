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
    """Killed in transactions, as they end, and at random, ingest stores what the broker acknowledged once, sums too."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ledger = Ledger(topic, 30_000, seed=seed)
    flood = Flood(broker.host, broker.port)
    publisher = threading.Thread(target=flood.publish, args=(ledger.messages,), kwargs={"rate": 2000})
    with db.connect() as connection:
        # Between its COPY and its commit a batch spends long enough for us to see it there.
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.2); RETURN NULL; END $$"
        )
        connection.execute("CREATE TRIGGER slow AFTER INSERT ON latest FOR EACH STATEMENT EXECUTE FUNCTION slow()")

        def is_in_transaction() -> bool:
            query = "SELECT FROM pg_stat_activity WHERE application_name = 'ioc-ingest' AND wait_event = 'PgSleep'"
            return connection.execute(query).fetchone() is not None

        process = spawn()
        wait_beating(live, process)
        publisher.start()
        for moment in ("before the commit", "as it commits", "at random") * 2:
            before = ledger.stored(connection)
            eventually(lambda before=before: ledger.stored(connection) > before)
            if moment == "at random":
                time.sleep(chance.uniform(0, 1))
            else:
                eventually(is_in_transaction)
            while moment == "as it commits" and is_in_transaction():
                pass
            process.kill()
            process.wait()
            # Upkeep goes on meanwhile, so that late readings meet hours that are rolled up already.
            roll_hours(connection, datetime.now(UTC))
            process = spawn()
        publisher.join()
        eventually(lambda: ledger.stored(connection) == ledger.expected, within_s=120)
        ledger.check(connection, flood)
