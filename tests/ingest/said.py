"""What dialects are given in tests, and the batch that they make of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.clock import Clocks
from ingest.decode import Decoder
from ingest.dialect import Dialect
from ingest.intake import Intake
from ingest.message import Block
from ioc.catalog import EVENTS, MEASURES
from ioc.model import REASONS, Device

SAMPLES = Path(__file__).parents[1] / "data" / "dialects"
RECEIVED = datetime(2026, 7, 1, 12, tzinfo=UTC)
NOW_MS = round(RECEIVED.timestamp() * 1000)


def sample(dialect: str, name: str) -> Any:
    """A message as its system documents it."""
    return json.loads((SAMPLES / dialect / f"{name}.json").read_text("utf-8"))


class Listener:
    """A dialect and its intake, for several messages one after another."""

    def __init__(self, dialect: Dialect, kinds: Mapping[str, str] | None = None) -> None:
        self.intake = Intake(kinds or {}, Clocks(ahead_s=300, behind_s=30 * 86_400))
        self._decoder = Decoder(self.intake, [dialect], most_bytes=200_000)

    def hear(self, topic: str, payload: Any, *, received: datetime = RECEIVED) -> Batch:
        """The batch that one message makes: bytes as they are, text as UTF-8, anything else as JSON."""
        raw = payload if isinstance(payload, bytes) else payload.encode() if isinstance(payload, str) else None
        raw = json.dumps(payload).encode() if raw is None else raw
        self._decoder.decode(Block(1, received, [(topic.encode(), raw, 1, False)], len(raw)))
        return self.intake.take()


def registered_device(key: str, kind: str, dialect: str, **attrs: Any) -> Device:
    """A device as it is registered, in service."""
    return Device(
        id=key,
        kind=kind,
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


def reasons(batch: Batch) -> list[str]:
    """Why something of the batch is in quarantine."""
    return [one.reason for one in batch.rejected]


def states(batch: Batch) -> list[tuple[str, str]]:
    """What is said of which device."""
    return [(one.device, one.state) for one in batch.states]


def check_sane(batch: Batch) -> None:
    """Whatever was said: no fault of ours, known reasons, and only what the database and its readers take."""
    assert set(reasons(batch)) <= set(REASONS)
    assert not any("the decoder failed" in one.detail for one in batch.rejected), batch.rejected
    for reading in batch.readings + [reading for reading, _ in batch.clock_off]:
        least, most = MEASURES[reading.measure].range
        assert least <= reading.value <= most
    for event in batch.events:
        assert event.kind in EVENTS
        told = json.dumps([event.data, event.source], allow_nan=False, ensure_ascii=False)
        assert "\\u0000" not in told
        told.encode()
        assert len(told) < 60_000
    for discovery in batch.discovered.values():
        written = json.dumps([discovery.name, discovery.attrs], allow_nan=False, ensure_ascii=False)
        assert "\\u0000" not in written
        written.encode()
    assert all("\0" not in topic for topic in batch.context)


def hostile(*names: str) -> st.SearchStrategy[bytes]:
    """Bytes, and JSON of any shape, often with these names in it."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text(max_size=20)
        | st.sampled_from(
            [
                "online",
                "true",
                "ERROR",
                "\0",
                "\ud800",
                "{{7*7}}",
                "1e999",
                "9" * 400,
                "x" * 3000,
                NOW_MS / 1000,
                10**400,
            ]
        )
    )
    keys = st.sampled_from(names) | st.text(max_size=10) | st.just("k" * 300)
    values = st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=15
    )
    objects = st.dictionaries(st.sampled_from(names), values, max_size=8)
    deep = st.integers(1, 20_000).map(lambda depth: b'{"a":' * depth)
    return st.binary(max_size=60) | deep | (objects | values).map(lambda value: json.dumps(value).encode())
