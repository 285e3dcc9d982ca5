"""Dialects heard without a broker: messages in, batches out; nothing is stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from ingest.batch import Batch
from ingest.clock import Clocks
from ingest.decode import Decoder
from ingest.dialect import Dialect
from ingest.flags import recall_flags
from ingest.intake import Intake
from ingest.message import QUARANTINE, Block
from ioc.model import Device

RECEIVED = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_MS = round(RECEIVED.timestamp() * 1000)
SAMPLES = Path(__file__).parent / "data" / "dialects"


def sample(name: str) -> Any:
    """A payload as its system documents it: what a .json file holds, the bytes of any other."""
    path = SAMPLES / name
    return json.loads(path.read_text("utf-8")) if path.suffix == ".json" else path.read_bytes()


class Ear:
    """Hears with some dialects, one intake over all of them.

    Args:
        dialects: in the order they are asked whose a topic is.
        kinds: kind of each device that a person has said it of.
        pace_s: every message is received so long after the one before.
    """

    def __init__(self, *dialects: Dialect, kinds: Mapping[str, str] | None = None, pace_s: float = 0.0) -> None:
        self.intake = Intake(kinds or {}, Clocks(ahead_s=300, behind_s=30 * 86_400))
        self._decoder = Decoder(self.intake, dialects, most_bytes=1_048_576)
        self._pace_s = pace_s
        self.received = RECEIVED

    def hear(self, topic: str, payload: Any, *, redelivered: bool = False, after_s: float | None = None) -> Batch:
        """The batch that one message makes: bytes as they are, text as UTF-8, anything else as JSON."""
        self.received += timedelta(seconds=self._pace_s if after_s is None else after_s)
        raw = payload.encode() if isinstance(payload, str) else payload
        raw = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
        self._decoder.decode(Block(1, self.received, [(topic.encode(), raw, 1, redelivered)], len(raw)))
        return self.intake.take()

    def replay(self, batch: Batch) -> Batch:
        """The batch that a batch's first message in quarantine makes when it is decoded again."""
        one = batch.rejected[0]
        self._decoder.decode(Block(0, one.received, [(one.topic.encode(), one.payload, 1, True)], 0, QUARANTINE))
        return self.intake.take()

    def recall(self, context: Mapping[str, bytes]) -> None:
        """Decode what was remembered, as a new process does before the first message."""
        messages = [
            (topic.encode(), payload, 0, True) for topic, payload in recall_flags(self.intake, sorted(context.items()))
        ]
        self._decoder.decode(Block(0, self.received, messages, 0))
        self.intake.take()


def values(batch: Batch) -> list[tuple[str, str, float]]:
    """Device, measure and value of a batch's readings."""
    return [(one.device, one.measure, one.value) for one in batch.readings]


def readings(batch: Batch) -> dict[tuple[str, str], float]:
    """Values of a batch by device and measure."""
    return {(device, measure): value for device, measure, value in values(batch)}


def reasons(batch: Batch) -> list[str]:
    """Why what is in quarantine is there."""
    return sorted(one.reason for one in batch.rejected)


def states(batch: Batch) -> list[tuple[str, str]]:
    """Devices of a batch and how they say they are."""
    return [(one.device, one.state) for one in batch.states]


def make_device(key: str, dialect: str, kind: str = "streetlight", **attrs: Any) -> Device:
    """A device as it is registered, in service, with what its dialect noted at discovery."""
    return Device(
        id=key, kind=kind, name=key, lat=None, lon=None, ward="", parent="", dialect=dialect, firmware="", attrs=attrs,
        status="active", state="online", state_time=None, state_reason="", last_seen=None, clock_skew_s=None,
    )  # fmt: skip


def device_of(batch: Batch, key: str, kind: str = "streetlight") -> Device:
    """A device as it is registered once a batch that discovered it is stored and a person has said its kind."""
    found = batch.discovered[key]
    return msgspec.structs.replace(make_device(key, found.dialect, kind), name=found.name, attrs=found.attrs)
