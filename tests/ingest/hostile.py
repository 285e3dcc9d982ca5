"""Anything that may be said to a dialect, and what must hold of the batch whatever it was."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from ingest.batch import Batch
from ioc.catalog import EVENTS, MEASURES
from ioc.model import REASONS
from tests.decoding import NOW_MS, reasons


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
