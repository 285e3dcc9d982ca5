"""Redis as the live view: streams, newest frame wins, heartbeats."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from ioc.errors import LiveError
from ioc.live import CAMERA_TTL_S, CHANGES, CHANGES_KEPT, FRAME_TTL_S, Live
from ioc.model import (
    CameraFigures,
    Frame,
    FrameArrived,
    Heartbeat,
    MessagesRejected,
    Reading,
    ReadingsChanged,
    StageTime,
)

T0 = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)


def test_changes_come_back_as_published(live):
    """A reader gets what was published after its id, in order, as the same structs."""
    start = live.last_id()
    sent = [ReadingsChanged([Reading(T0, "a", "pm25", 1.5, 0, T0)]), MessagesRejected({"json": 2})]
    live.publish(sent)
    got = live.changes(start, block_ms=1)
    assert [change for _, change in got] == sent
    assert live.changes(got[-1][0], block_ms=1) == []
    assert live.last_id() == got[-1][0]


def test_changes_after_a_trimmed_id_ask_for_a_snapshot(live):
    """A reader that was away too long is told, not given a gap."""
    live.publish([MessagesRejected({"json": 1})])
    old = live.last_id()
    for _ in range(3):
        live.publish([MessagesRejected({"json": 1})] * CHANGES_KEPT)
    with pytest.raises(LiveError, match="snapshot"):
        live.changes(old, block_ms=1)


def test_changes_after_redis_was_emptied_ask_for_a_snapshot(live):
    """An id of a stream that is gone is not followed in silence."""
    live.publish([MessagesRejected({"json": 1})])
    old = live.last_id()
    live._redis.delete(CHANGES)
    with pytest.raises(LiveError, match="snapshot"):
        live.changes(old, block_ms=1)
    time.sleep(0.002)  # ids are milliseconds
    live.publish([MessagesRejected({"json": 1})])
    with pytest.raises(LiveError, match="snapshot"):
        live.changes(old, block_ms=1)


def test_put_frame_keeps_the_newest(live):
    """A late frame never replaces a newer one, and is not announced."""
    start = live.last_id()
    newer, older = Frame("cam", T0 + timedelta(seconds=1), b"new"), Frame("cam", T0, b"old")
    assert live.put_frame(newer)
    assert not live.put_frame(older)
    assert not live.put_frame(newer)
    assert live.frame("cam") == newer
    assert [change for _, change in live.changes(start, block_ms=1)] == [FrameArrived("cam", newer.time)]


def test_new_frames_are_told_after_an_id_and_when_they_came(live):
    """Word of each frame, in order; the frame itself says when it reached Redis, by its clock."""
    live.put_frame(Frame("word-0", T0, b"x"))
    (*_, (after, camera)) = live.new_frames("0-0", count=1000, block_ms=1)
    assert camera == "word-0"
    before = live.time()
    for number in (1, 2):
        live.put_frame(Frame(f"word-{number}", T0, b"x"))
    assert [camera for _, camera in live.new_frames(after, count=10, block_ms=1)] == ["word-1", "word-2"]
    frame, came = live.newest_frame("word-1")
    assert frame == Frame("word-1", T0, b"x")
    assert before <= came <= live.time()
    assert live.newest_frame("nowhere") is None


def test_snapshot_of_unknown_camera_is_none(live):
    """No picture is no picture."""
    assert live.snapshot("nowhere") is None
    assert live.frame("nowhere") is None
    live.put_snapshot(Frame("here", T0, b"jpeg"), b"[]")
    assert live.snapshot("here") == (Frame("here", T0, b"jpeg"), b"[]", False)
    live.put_snapshot(Frame("here", T0, b"jpeg"), b"[]", clear=True)
    assert live.snapshot("here") == (Frame("here", T0, b"jpeg"), b"[]", True)


def test_heartbeats_are_those_that_beat(live):
    """What a service says of itself is read back whole."""
    beat = Heartbeat("ingest", "host-1", T0, "degraded", "redis: away", {"messages_s": 3.0})
    live.beat(beat)
    assert beat in live.heartbeats()


def test_every_call_without_redis_raises_live_error():
    """Callers have one error to go on without."""
    gone = Live("redis://127.0.0.1:1", timeout_s=0.2)
    calls = (
        gone.ping,
        gone.last_id,
        gone.heartbeats,
        lambda: gone.publish([MessagesRejected({})]),
        lambda: gone.put_frame(Frame("c", T0, b"")),
        lambda: gone.changes("0-0", block_ms=1),
    )
    for call in calls:
        with pytest.raises(LiveError):
            call()


def test_camera_figures_come_back_with_the_captures_reconnects_and_expire(live):
    """What the worker says and what the capture says of one camera are read together; both are forgotten when not said again."""
    told = CameraFigures(
        camera="a",
        time=T0,
        worker="host-1",
        seen=T0,
        frames_s=1.9,
        arrived_s=2.0,
        drops={"stale": 1},
        stages={"inferred": StageTime(20.5, 31.0)},
        rules_off={"7": "too slow"},
    )
    assert live.camera_figures(["a", "b"]) == {}
    live.put_camera_figures([told])
    assert live.camera_figures(["a", "b"]) == {"a": told}
    live.put_reconnects({"a": 3, "b": 1})
    assert live.camera_figures(["b", "a"])["a"].reconnects == 3
    assert live.camera_figures(["b"]) == {}
    assert live.camera_figures([]) == {}
    for key in ("ioc:camera-figures:a", "ioc:reconnects:a"):
        assert 0 < live._redis.ttl(key) <= CAMERA_TTL_S


def test_put_frame_is_forgotten(live):
    """A frame as it came shows people as they are; of a camera that is gone it does not stay."""
    live.put_frame(Frame("gone", T0, b"x"))
    live.put_frame(Frame("gone", T0 + timedelta(seconds=1), b"x"))
    assert 0 < live._redis.ttl("ioc:frame:gone") <= FRAME_TTL_S
