"""A replay that is killed loses nothing and doubles nothing."""

from __future__ import annotations

import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from ioc.db.mappings import save
from ioc.db.quarantine import Wanted
from ioc.db.replay import ask, newest
from ioc.live import Live
from ioc.mapping import Item
from tests.end_to_end.test_mapping import WHO, held, mapping, readings
from tests.fix_ingest import Spawn, eventually, wait_beating
from tests.fix_stack import BrokerServer, Database
from tests.flood import Flood


def recent(**changes: Any) -> Wanted:
    now = datetime.now(UTC)
    return Wanted(now - timedelta(hours=2), now + timedelta(hours=1), **changes)


def test_sigkill_in_mid_replay(spawn: Spawn, broker: BrokerServer, db: Database, live: Live, topic: str) -> None:
    """Killed again and again while it replays, ingest stores each message once at its own time; no entry is left or doubled."""
    number, devices = 6000, 40
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with db.connect() as connection:
        made = save(connection, mapping(topic, items=(), device=""), WHO)
        process = spawn()
        wait_beating(live, process)
        # No time of their own, and several readings of one measure in a message: nothing in them tells one from another.
        messages = [
            (f"{topic}/{n % devices}/air", json.dumps({"s": [{"t": n / 1000}, {"t": 40 - n / 1000}]}).encode())
            for n in range(number)
        ]
        flood = Flood(broker.host, broker.port)
        publisher = threading.Thread(target=flood.publish, args=(messages,), kwargs={"rate": 2000})
        publisher.start()
        publisher.join()
        eventually(lambda: len(held(connection, f"{topic}/%")) >= number, within_s=120)
        entries = len(held(connection, f"{topic}/%"))
        items = (Item("s[*].t", "temperature"),)
        save(connection, mapping(topic, id=made.id, version=made.version, items=items), WHO)
        process.kill()
        process.wait()
        connection.execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.4); RETURN NULL; END $$"
        )
        connection.execute("CREATE TRIGGER slow AFTER INSERT ON latest FOR EACH STATEMENT EXECUTE FUNCTION slow()")

        def is_in_transaction() -> bool:
            query = "SELECT FROM pg_stat_activity WHERE application_name = 'ioc-ingest' AND wait_event = 'PgSleep'"
            return connection.execute(query).fetchone() is not None

        replay = ask(connection, WHO, recent(words=(topic,)), [f"{topic}/{n}/air" for n in range(devices)])
        assert replay.total == entries
        for moment in ("before the commit", "after a commit", "as it commits", "at random") * 2:
            process = spawn()
            before = newest(connection, 1)[0].waiting
            eventually(is_in_transaction)
            if moment == "after a commit":
                eventually(lambda before=before: newest(connection, 1)[0].waiting < before)
            if moment == "at random":
                time.sleep(chance.uniform(0, 1))
            while moment == "as it commits" and is_in_transaction():
                pass
            process.kill()
            process.wait()
        left = newest(connection, 1)[0].waiting
        assert 0 < left < number, "the kills were meant to hit it in the middle"
        connection.execute("DROP TRIGGER slow ON latest")
        spawn()
        eventually(lambda: newest(connection, 1)[0].ended, within_s=120)
        (done,) = newest(connection, 1)
        assert (done.replayed, done.refused, done.cut, done.waiting) == (entries, 0, 0, 0)
        assert held(connection, f"{topic}/%") == [("mapping", "replayed")] * entries
        values = [value for _, _, value in readings(connection, f"map.{topic}-%")]
        expected = [n / 1000 for n in range(number)] + [40 - n / 1000 for n in range(number)]
        assert len(values) == 2 * entries
        assert set(values) == set(expected)
        times = connection.execute(
            "SELECT count(*) FROM quarantine q WHERE topic LIKE %s AND NOT EXISTS (SELECT FROM reading r"
            " WHERE r.time = q.received AND r.device = 'map.' || %s || '-' || split_part(q.topic, '/', 2))",
            (f"{topic}/%", topic),
        ).fetchone()
        assert times == (0,)
        kept = connection.execute(
            "SELECT sum(messages), sum(replayed) FROM quarantine_hour WHERE place LIKE %s", (f"{topic}/%",)
        )
        assert kept.fetchone() == (entries, entries)
