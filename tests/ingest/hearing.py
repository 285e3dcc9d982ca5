"""Dialects heard without a broker: messages in, batches out, one intake over all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
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
SAMPLES = Path(__file__).parents[1] / "data" / "dialects"


class Ear:
    """Decodes what it hears with some dialects; every message is received a minute after the one before."""

    def __init__(self, dialects: Sequence[Dialect], *, kinds: dict[str, str] | None = None) -> None:
        self.intake = Intake(kinds or {}, Clocks(ahead_s=300, behind_s=30 * 86_400))
        self._decoder = Decoder(self.intake, dialects, most_bytes=1_048_576)
        self.received = RECEIVED

    def hear(self, topic: str, payload: Any, *, after_s: float = 60.0) -> Batch:
        """The batch that one message makes; bytes as they are, anything else as JSON."""
        self.received += timedelta(seconds=after_s)
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._decoder.decode(Block(1, self.received, [(topic.encode(), raw, 1, False)], len(raw)))
        return self.intake.take()


def sample(name: str) -> Any:
    """A payload under tests/data/dialects."""
    return json.loads((SAMPLES / name).read_text("utf-8"))


def reasons(batch: Batch) -> list[str]:
    """Why parts of a batch go to quarantine."""
    return [one.reason for one in batch.rejected]


def readings(batch: Batch) -> dict[tuple[str, str], float]:
    """Values of a batch by device and measure."""
    return {(one.device, one.measure): one.value for one in batch.readings}


def states(batch: Batch) -> list[tuple[str, str]]:
    """Devices of a batch and how they say they are."""
    return [(one.device, one.state) for one in batch.states]


def make_device(key: str, dialect: str, **attrs: Any) -> Device:
    """A registered device, with what its dialect noted at discovery."""
    return Device(
        id=key,
        kind="streetlight",
        name=key,
        lat=None,
        lon=None,
        ward="",
        parent="",
        dialect=dialect,
        firmware="",
        attrs=attrs,
        status="active",
        state="online",
        state_time=None,
        state_reason="",
        last_seen=None,
        clock_skew_s=None,
    )
