"""One dialect, decoding message after message into batches; nothing is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ingest.batch import Batch
from ingest.clock import Clocks
from ingest.decode import Decoder
from ingest.dialect import Dialect
from ingest.intake import Intake
from ingest.message import Block
from ioc.model import Device

RECEIVED = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_MS = round(RECEIVED.timestamp() * 1000)
SAMPLES = Path(__file__).parent / "data" / "dialects"


def sample(name: str) -> bytes:
    """A payload as its system documents it."""
    return (SAMPLES / name).read_bytes()


class Decoding:
    """A decoder of one dialect.

    Args:
        dialect: the one.
        kinds: kind of each device that a person has said it of.
    """

    def __init__(self, dialect: Dialect, kinds: dict[str, str] | None = None) -> None:
        self._intake = Intake(kinds or {}, Clocks(ahead_s=300, behind_s=86_400))
        self._decoder = Decoder(self._intake, [dialect], most_bytes=200_000)

    def say(self, topic: str, payload: Any, *, redelivered: bool = False, after_s: float = 0) -> Batch:
        """The batch that one message makes."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        received = RECEIVED + timedelta(seconds=after_s)
        self._decoder.decode(Block(1, received, [(topic.encode(), raw, 1, redelivered)], len(raw)))
        return self._intake.take()

    def recall(self, context: dict[str, bytes]) -> None:
        """Decode what was remembered, as a new process does before the first message."""
        messages = [(topic.encode(), payload, 0, True) for topic, payload in sorted(context.items())]
        self._decoder.decode(Block(0, RECEIVED, messages, 0))
        self._intake.take()


def values(batch: Batch) -> list[tuple[str, str, float]]:
    """Device, measure and value of a batch's readings."""
    return [(one.device, one.measure, one.value) for one in batch.readings]


def reasons(batch: Batch) -> list[str]:
    """Why what is in quarantine is there."""
    return sorted(one.reason for one in batch.rejected)


def states(batch: Batch) -> list[tuple[str, str]]:
    """Device and state of a batch's states."""
    return [(one.device, one.state) for one in batch.states]


def device_of(batch: Batch, key: str, kind: str = "streetlight") -> Device:
    """A device as it is registered once a batch that discovered it is stored and a person has said its kind."""
    found = batch.discovered[key]
    return Device(
        id=key, kind=kind, name=found.name, lat=None, lon=None, ward="", parent=found.parent, dialect=found.dialect,
        firmware=found.firmware, attrs=found.attrs, status="active", state="unknown", state_time=None, state_reason="",
        last_seen=None, clock_skew_s=None,
    )  # fmt: skip
