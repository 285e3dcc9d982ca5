"""A stopped database stops the reading: the broker keeps what ingest cannot take, and the session does not break over it."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

import pytest

from ingest import service
from ingest.identity import Identity
from ingest.inbox import Inbox
from ingest.message import Block
from ingest.metrics import RECONNECTS
from ingest.service import Ingest
from ioc.live import Live
from ioc.service import Service
from ioc.settings import Settings
from tests.fix_ingest import eventually, now_ms
from tests.fix_stack import BrokerServer, Database
from tests.flood import Flood


def make_block(messages: int, size: int) -> Block:
    return Block(1, datetime.now(UTC), [(b"t", b"", 1, False)] * messages, size)


@pytest.mark.parametrize(("messages", "size", "room"), [(9, 99, True), (10, 1, False), (1, 100, False)])
def test_inbox_has_room(messages: int, size: int, room: bool) -> None:
    """It is full by messages or by bytes, and has room again when a block is taken."""
    inbox = Inbox(most_bytes=100, most_messages=10)
    inbox.put(make_block(messages, size))
    assert inbox.has_room is room
    assert inbox.messages == messages
    inbox.take(0)
    assert inbox.has_room


def test_inbox_closed_is_drained_first() -> None:
    """What lies in a closed inbox can still be taken; then there is nothing, without waiting."""
    inbox = Inbox(most_bytes=100, most_messages=10)
    block = make_block(1, 1)
    inbox.put(block)
    inbox.close()
    assert not inbox.is_drained
    assert inbox.take(60) is block
    assert inbox.take(60) is None
    assert inbox.is_drained


def test_stopped_database_stops_the_reading(
    settings: Settings, live: Live, broker: BrokerServer, db: Database, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory stays bounded while the database stands still, the broker is kept awake, and everything is stored in the end."""
    monkeypatch.setattr(service, "_INBOX_BYTES", 60_000)
    monkeypatch.setattr(service, "_BATCH_BYTES", 30_000)
    settings = settings.model_copy(update={"mqtt_keepalive_s": 5})
    padding = "x" * 2000
    messages = [
        (f"ioc/{topic}/telemetry", f'{{"ts":{now_ms() + n},"values":{{"pm25":1}},"x":"{padding}"}}'.encode())
        for n in range(3000)
    ]
    with Service("ingest", settings) as shell, db.connect() as connection:
        running = Ingest(shell, Identity("back-pressure"), live)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            assert running.wait_ready(60)
            reconnects = RECONNECTS._value.get()
            most = 0.0
            with connection.transaction():
                connection.execute("LOCK TABLE reading IN ACCESS EXCLUSIVE MODE")
                Flood(broker.host, broker.port).publish(messages)
                until = time.monotonic() + 14  # a broker gives a silent client up after 1.5 times its keep-alive
                while time.monotonic() < until:
                    most = max(most, running.figures()["queue"])
                    time.sleep(0.1)
            # One block read over the bound, beside what the inbox and the batches hold.
            assert 0 < most < 60_000 / 2000 + 2 * 30_000 / 2000 + 2 * 262_144 / 2000
            count = "SELECT count(*) FROM reading WHERE device = %s"
            eventually(lambda: connection.execute(count, [topic]).fetchone() == (3000,), within_s=180)
            assert RECONNECTS._value.get() == reconnects
        finally:
            shell.stopping.set()
            thread.join(60)
