"""What quarantine keeps, and keeps once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from ingest.quarantine import digest, printable, store_rejected
from ioc.model import Rejected
from tests.fix_stack import Database


def make_rejected(**changes: Any) -> Rejected:
    one = Rejected(datetime.now(UTC), "ioc/x/telemetry", "x", "native", "json", "expected JSON", b"\0\xff", 2)
    return msgspec.structs.replace(one, **changes)


@given(st.text(st.characters(), max_size=600))
def test_printable_anything(text: str) -> None:
    """Whatever text: PostgreSQL takes it, and it is not too long."""
    shown = printable(text)
    assert "\0" not in shown
    assert len(shown) <= 500
    shown.encode()


def test_digest_is_of_the_message() -> None:
    """The time of receipt does not change what a message is; topic, reason and payload do."""
    one = make_rejected()
    assert digest(one) == digest(make_rejected(received=one.received + timedelta(hours=1), redelivered=True))
    changes: list[dict[str, Any]] = [{"topic": "ioc/y/telemetry"}, {"reason": "shape"}, {"payload": b"\0\xff\0"}]
    assert len({digest(make_rejected(**change)) for change in changes} | {digest(one)}) == 4


def test_store_rejected_redelivery(db: Database, topic: str) -> None:
    """A redelivered message of the last hour is not doubled; a device that errs again is kept again."""
    name = f"ioc/{topic}/telemetry"

    def store(*rejected: Rejected) -> int:
        with db.connect() as connection, connection.transaction():
            return store_rejected(connection, rejected)

    first = make_rejected(topic=name, received=datetime.now(UTC) - timedelta(minutes=50))
    again = make_rejected(topic=name, redelivered=True)
    assert store(first) == 1
    assert store(again) == 0
    assert store(make_rejected(topic=name), again) == 1
    much_later = make_rejected(topic=name, redelivered=True, received=datetime.now(UTC) + timedelta(minutes=70))
    assert store(much_later) == 1
    with db.connect() as connection:
        kept = connection.execute("SELECT payload, size FROM quarantine WHERE topic = %s", [name]).fetchall()
    assert kept == [(b"\0\xff", 2)] * 3
