"""The folder of segments: order, bounds, locks, a disk that refuses. What ingest makes of it is in tests/faults/test_spool.py."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from ingest import spool as folder_of_segments
from ingest.message import Block, Raw
from ingest.spool import Spool, abandoned, hold_spool
from ingest.spool_segment import segments
from ioc.errors import SpoolError

START = datetime(2026, 1, 1, tzinfo=UTC)
BOUND = 1_000_000


def make_block(number: int, *, messages: int = 3, size: int = 20, source: str = "me") -> Block:
    """A block whose messages say which they are."""
    raws: list[Raw] = [
        (b"ioc/d/telemetry", b"%d/%d " % (number, place) + b"x" * size, place + 1, place % 2 == 0)
        for place in range(messages)
    ]
    return Block(1, START + timedelta(seconds=number), raws, 100, source)


Came = list[tuple[datetime, str, Raw]]


def drained(spool: Spool) -> Came:
    """Everything that is given back, with its time and session; segments are removed."""
    got: Came = []
    while (segment := spool.take()) is not None:
        content = spool.read(segment)
        assert not content.damaged
        got += expected(*content.blocks)
        spool.remove(segment)
    return got


def expected(*blocks: Block) -> Came:
    return [(block.received, block.source, message) for block in blocks for message in block.messages]


@example_settings(deadline=None, max_examples=25)  # the disk takes its time
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3000), st.sampled_from("asr")), max_size=12))
def test_spool_gives_back_in_order(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, str]]) -> None:
    """Over any number of segments, seals and restarts everything comes back once, in order, and the folder is empty then."""
    root = tmp_path_factory.mktemp("spool") / "me"
    root.mkdir()
    written = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder_of_segments, "SEGMENT_BYTES", 2000)
        spool = Spool(root, BOUND)
        for number, (messages, size, what) in enumerate(steps):
            block = make_block(number, messages=messages, size=size, source="me" if size % 2 else "another session")
            spool.append([block])
            written.append(block)
            if what == "s":
                spool.seal()
            elif what == "r":
                spool.seal()
                spool = Spool(root, BOUND)
        assert spool.bytes == sum(path.stat().st_size for path in root.iterdir())
        assert drained(spool) == expected(*written)
    assert spool.bytes == 0
    assert not spool.has_unread
    assert list(root.iterdir()) == []


def test_spool_places_tell_messages_apart(tmp_path: Path) -> None:
    """Segment and place name one message for good, also when it is read again."""
    spool = Spool(tmp_path, BOUND)
    spool.append([make_block(0), make_block(1)])
    spool.seal()
    spool.append([make_block(2, messages=2500)])
    places = []
    while (segment := spool.take()) is not None:
        places += [
            [(block.segment, block.first + number) for block in reading.blocks for number in range(len(block.messages))]
            for reading in (spool.read(segment), spool.read(segment))
        ]
    assert places[0] == places[1]
    assert places[2] == places[3]
    assert len(set(places[0] + places[2])) == 6 + 2500


def test_beginning_of_a_session_comes_back(tmp_path: Path) -> None:
    """It begins with a block, also where that came together with the one before."""
    spool = Spool(tmp_path, BOUND)
    spool.append([make_block(0), make_block(0)._replace(begins=b"session1"), make_block(0)])
    segment = spool.take()
    assert segment is not None
    assert spool.bytes == segment.path.stat().st_size
    blocks = spool.read(segment).blocks
    assert [(len(block.messages), block.begins) for block in blocks] == [(3, b""), (6, b"session1")]


def test_repeated_messages_are_redeliveries(tmp_path: Path) -> None:
    """What was in hand is not given back by the process that has it; the next one takes all of it for delivered before."""
    spool = Spool(tmp_path, BOUND)
    spool.repeat([make_block(0)])
    spool.append([make_block(1)])
    assert [segment.kind for segment in segments(tmp_path)] == ["held", "raw"]
    segment = spool.take()
    assert segment is not None
    assert segment.kind == "raw"
    (first, *_) = Spool(tmp_path, BOUND).read(next(segments(tmp_path))).blocks
    assert [again for _, _, _, again in first.messages] == [True] * 3


def test_disk_refuses(tmp_path: Path) -> None:
    """A write that fails in its middle leaves nothing behind; what was written before and comes after is whole."""
    spool = Spool(tmp_path, BOUND)
    spool.append([make_block(0)])
    with file_size_limit(spool.bytes + 50), pytest.raises(OSError, match="too large"):
        spool.append([make_block(1)])
    with file_size_limit(50), pytest.raises(OSError, match="too large"):
        spool.repeat([make_block(2)])
    spool.append([make_block(3)])
    assert drained(spool) == expected(make_block(0), make_block(3))
    assert spool.bytes == 0


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """As a full disk: files of this process may not grow over this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_torn_end_of_the_last_segment(tmp_path: Path) -> None:
    """Only the last segment of a process that was killed may end in half a record; at any other's end that is damage."""
    spool = Spool(tmp_path, BOUND)
    for number in range(2):
        spool.append([make_block(number)])
        spool.seal()
    for segment in segments(tmp_path):
        with segment.path.open("ab") as file:
            file.write(b"half")
    again = Spool(tmp_path, BOUND)
    found = []
    while (segment_ := again.take()) is not None:
        content = again.read(segment_)
        found.append((content.damaged, content.torn, [block.received for block in content.blocks]))
    assert found == [(4, 0, [make_block(0).received]), (0, 4, [make_block(1).received])]
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged")] == [b"half"]


def test_bound(tmp_path: Path) -> None:
    """It says what it takes on disk, from before too, and whether more fits."""
    spool = Spool(tmp_path, BOUND)
    spool.append([make_block(0)])
    spool.seal()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == spool.bytes
    again = Spool(tmp_path, 2 * spool.bytes)
    assert again.bytes == spool.bytes
    assert again.fits([make_block(1)])
    assert not again.fits([make_block(1), make_block(2, messages=1)])


def test_one_process_holds_a_spool(tmp_path: Path) -> None:
    """A second one is refused, whatever the client id is called; a spool that nobody holds is named when it has messages."""
    name = "a/b ../ü"
    with hold_spool(tmp_path, name, BOUND) as spool:
        spool.append([make_block(0)])
        assert abandoned(tmp_path) == []
        with pytest.raises(SpoolError, match="another ingest runs"), hold_spool(tmp_path, name, BOUND):
            pass
    assert abandoned(tmp_path) == [name]
    with hold_spool(tmp_path, name, BOUND) as spool:
        drained(spool)
    assert abandoned(tmp_path) == []
