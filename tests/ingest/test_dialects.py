"""What holds for all dialects together."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import combinations

from ingest.clock import Clocks
from ingest.decode import Decoder
from ingest.dialects import all_dialects
from ingest.intake import Intake
from ingest.message import Block
from ioc.topics import covers


def test_subscriptions_never_overlap() -> None:
    """No topic matches two filters, or a message would arrive twice."""
    filters = [one.filter for dialect in all_dialects() for one in dialect.subscriptions]
    for one, other in combinations(filters, 2):
        assert not covers(one, other), (one, other)
        assert not covers(other, one), (one, other)


def test_names_and_prefixes_are_their_own() -> None:
    """A dialect is told by its name, and its devices by what their ids begin with."""
    dialects = all_dialects()
    assert len({dialect.name for dialect in dialects}) == len({dialect.prefix for dialect in dialects}) == len(dialects)
    assert all("." not in dialect.prefix for dialect in dialects)


def test_topic_with_a_nul() -> None:
    """A broker that lets a NUL through must not bring one into the database."""
    intake = Intake({}, Clocks(ahead_s=300, behind_s=86_400))
    message = (b"cam/onvif-ej/VideoSource/MotionAlarm/&\0", b"{}", 1, False)
    Decoder(intake, all_dialects(), most_bytes=1000).decode(Block(1, datetime.now(UTC), [message], 1))
    (rejected,) = intake.batch.rejected
    assert rejected.reason == "encoding"
    assert "\0" not in rejected.topic
