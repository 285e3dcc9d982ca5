"""Spooled messages come back as they were; damage costs what it hit and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from ingest.message import Raw
from ingest.spool_record import Record, pack, scan

SEED = 77
RANGE = [datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1971, 2200)]
raws = st.tuples(st.binary(max_size=40), st.binary(max_size=300), st.integers(0, 65_535), st.booleans())
times = st.datetimes(*RANGE, timezones=st.just(UTC))
sources = st.text(st.characters(codec="utf-8"), max_size=10)
begun = st.just(b"") | st.binary(min_size=8, max_size=8)
blocks = st.lists(st.tuples(times, sources, st.lists(raws, min_size=1, max_size=4), begun), min_size=1, max_size=5)
Packed = list[tuple[datetime, str, list[Raw], bytes]]


def packed(some: Packed) -> tuple[bytes, list[Record], list[int]]:
    """The bytes, what must come out of them, and where each record ends."""
    data, expected, ends = b"", [], []
    for received, source, messages, name in some:
        for place, message in enumerate(messages):
            begins = b"" if place else name
            data += pack(SEED, len(expected), received, [message], source, begins)
            expected.append(Record(len(expected), received, source, message, begins))
            ends.append(len(data))
    return data, expected, ends


@given(blocks)
def test_scan_gives_what_was_packed(some: Packed) -> None:
    """Every message, time, packet id, flag and beginning comes back, in order, and nothing is called damaged."""
    data, expected, ends = packed(some)
    assert data == b"".join(
        pack(SEED, sum(len(messages) for _, _, messages, _ in some[:place]), received, messages, source, begins)
        for place, (received, source, messages, begins) in enumerate(some)
    )
    found = scan(data, SEED)
    assert found.records == expected
    assert found.damaged == []
    assert found.end == ends[-1]


@given(blocks, st.data())
def test_scan_cut_anywhere(some: Packed, choice: st.DataObject) -> None:
    """A write that ended in the middle costs the record it was in; those before it are whole."""
    data, expected, ends = packed(some)
    cut = choice.draw(st.integers(0, len(data)))
    found = scan(data[:cut], SEED)
    whole = sum(end <= cut for end in ends)
    assert found.records == expected[:whole]
    assert found.damaged == []
    assert found.end == (ends[whole - 1] if whole else 0)


@given(blocks, st.data())
def test_scan_damaged_anywhere(some: Packed, choice: st.DataObject) -> None:
    """A damaged byte costs the record it is in, and no other."""
    data, expected, ends = packed(some)
    at = choice.draw(st.integers(0, len(data) - 1))
    other = choice.draw(st.integers(1, 255))
    hurt = bytearray(data)
    hurt[at] ^= other
    found = scan(bytes(hurt), SEED)
    victim = sum(end <= at for end in ends)
    assert found.records == expected[:victim] + expected[victim + 1 :]
    begin = ends[victim - 1] if victim else 0
    if victim == len(expected) - 1:
        assert found.end == begin
        assert found.damaged == []
    else:
        assert found.damaged == [(begin, ends[victim])]


@given(st.binary(max_size=200), blocks)
def test_scan_after_anything(noise: bytes, some: Packed) -> None:
    """Whatever stands before the records, they are found."""
    data, expected, _ = packed(some)
    assert scan(noise + data, SEED).records == expected


@given(blocks)
def test_scan_record_of_another_segment(some: Packed) -> None:
    """A record within a payload passes for none: only who knows the segment's id can write one."""
    data, _, _ = packed(some)
    assert scan(data, SEED + 1).records == []
    carrier = pack(SEED + 1, 0, some[0][0], [(b"t", data, 1, False)])
    assert [record.message[1] for record in scan(carrier, SEED + 1).records] == [data]
