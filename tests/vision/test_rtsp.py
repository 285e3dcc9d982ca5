"""RTSP through the real FFmpeg, from a small camera of our own."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from ioc.errors import SourceError
from tests.vision.rtsp_server import RtspCamera
from vision.address import networks, pin
from vision.picture import encode_jpeg
from vision.rtsp_relay import Messages
from vision.video_source import stream

PATIENCE_S = 60.0
LOOPBACK = networks(["127.0.0.0/8"])


def picture(number: int) -> bytes:
    grey = 30 + 10 * (number % 20)
    return encode_jpeg(np.full((240, 320, 3), grey, dtype=np.uint8), 90)


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    server = RtspCamera(picture, login="admin:s@cret")
    yield server
    server.close()


def take(url: str, number: int, fps: float = 30.0, lost_s: float = PATIENCE_S) -> list[tuple[int, bytes]]:
    async def run() -> list[tuple[int, bytes]]:
        taken: list[tuple[int, bytes]] = []
        frames: Any = stream(pin(url, LOOPBACK), fps, 1_000_000, lost_s)
        try:
            async for frame in frames:
                taken.append(frame)
                if len(taken) == number:
                    break
        finally:
            await frames.aclose()
        return taken

    return asyncio.run(run())


def test_rtsp_stream_with_login_gives_its_frames(camera: RtspCamera) -> None:
    """Over TCP, with user and password that need quoting; the pictures are the camera's, in order."""
    taken = take(f"rtsp://admin:s%40cret@localhost:{camera.port}/live", 6)
    greys = [float(simplejpeg.decode_jpeg(jpeg, "BGR").mean()) for _, jpeg in taken]
    assert all(simplejpeg.decode_jpeg_header(jpeg)[:2] == (240, 320) for _, jpeg in taken)
    assert all(abs(grey % 10) < 3 or abs(grey % 10) > 7 for grey in greys)
    assert len(set(map(round, greys))) > 1
    assert abs(taken[-1][0] / 1000 - time.time()) < PATIENCE_S
    assert "PLAY" in camera.asked


def test_rtsp_at_a_lower_rate_keeps_up_with_the_stream(camera: RtspCamera) -> None:
    """At ten frames a second, two are taken: the stream is read in time and not queued up."""
    taken = take(f"rtsp://admin:s%40cret@127.0.0.1:{camera.port}/live", 6, fps=2.0)
    # One that a busy machine delays is followed by the next in its time: half of the five half seconds are left at the least.
    assert taken[-1][0] - taken[0][0] >= 5 * 500 / 2


def test_rtsp_wrong_login_is_refused_without_a_frame(camera: RtspCamera) -> None:
    """A wrong password."""
    with pytest.raises(SourceError, match="cannot be opened"):
        take(f"rtsp://admin:wrong@127.0.0.1:{camera.port}/live", 1)


def test_rtsp_stream_that_falls_silent_is_given_up() -> None:
    """Frames come, then none, and the connection stays: after the patience it is lost."""
    server = RtspCamera(picture, frames=20)
    try:
        with pytest.raises(SourceError, match="no frame for 3 s"):
            take(f"rtsp://127.0.0.1:{server.port}/live", 10_000, lost_s=3.0)
    finally:
        server.close()


def test_rtsp_redirect_is_refused_and_not_followed(camera: RtspCamera) -> None:
    """A camera that sends FFmpeg elsewhere: the other place is never asked."""
    crooked = RtspCamera(picture, redirect=f"rtsp://127.0.0.1:{camera.port}/live")
    try:
        with pytest.raises(SourceError, match="redirect"):
            take(f"rtsp://127.0.0.1:{crooked.port}/live", 1)
        assert "DESCRIBE" in crooked.asked
        assert camera.asked == []
    finally:
        crooked.close()


def test_rtsp_nobody_there_is_said() -> None:
    """A port that nobody listens on."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        with pytest.raises(SourceError, match="cannot be reached"):
            take(f"rtsp://127.0.0.1:{deaf.getsockname()[1]}/live", 1)


packets = st.binary(max_size=300).map(lambda body: b"$\x00" + len(body).to_bytes(2, "big") + body)
answers = st.binary(max_size=60).map(
    lambda body: b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-Length: %d\r\n\r\n" % len(body) + body
)
requests = st.sampled_from([b"OPTIONS * RTSP/1.0\r\nCSeq: 3\r\n\r\n", b"RTSP/1.0 401 Unauthorized\r\n\r\n"])


@given(messages=st.lists(st.one_of(packets, answers, requests), max_size=12), cuts=st.lists(st.integers(0, 3000)))
def test_messages_however_cut_pass_unchanged(messages: list[bytes], cuts: list[int]) -> None:
    """Whatever the network does to the stream, what comes out is what went in."""
    data = b"".join(messages)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    parser = Messages()
    assert b"".join(parser.feed(data[a:b]) for a, b in pairwise(places)) == data


@given(messages=st.lists(st.one_of(packets, answers), max_size=5), cut=st.integers(0, 2000))
def test_messages_redirect_after_anything_is_refused(messages: list[bytes], cut: int) -> None:
    """A redirect is found behind any messages and across any cut; one inside a packet's data is data."""
    parser = Messages()
    redirect = b"RTSP/1.0 302 Moved\r\nLocation: rtsp://127.0.0.1/\r\n\r\n"
    inside = b"$\x00" + len(redirect).to_bytes(2, "big") + redirect
    assert parser.feed(inside) == inside
    data = b"".join(messages) + redirect
    with pytest.raises(SourceError, match="redirect"):
        list(map(parser.feed, (data[:cut], data[cut:])))


@pytest.mark.parametrize(
    "junk",
    [
        b"GET / HTTP/1.1" + b"x" * 70_000,
        b"RTSP/1.0 200 OK\r\nContent-Length: 999999999\r\n\r\n",
        b"REDIRECT rtsp://x RTSP/1.0\r\n\r\n",
        b"RTSP/1.0 200 OK\nCSeq: 1\n\nRTSP/1.0 302 Found\nLocation: rtsp://127.0.0.1/\n\n\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nCSeq: 1\n\nRTSP/1.0 302 Found\r\nLocation: rtsp://127.0.0.1/\r\n\r\n",
        b"\r\nRTSP/1.0 302 Found\r\nLocation: rtsp://127.0.0.1/\r\n\r\n",
        b" RTSP/1.0 302 Found\r\nLocation: rtsp://127.0.0.1/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\0\r\nRTSP/1.0 302 Found\r\nLocation: rtsp://127.0.0.1/\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n$\0\0\x02: RTSP/1.0 302 Found\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 9x\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: +9\r\n\r\n",
    ],
)
def test_messages_what_is_no_rtsp_is_refused(junk: bytes) -> None:
    """Nothing is kept without bound, and nothing passes that FFmpeg would cut into other messages than we do."""
    with pytest.raises(SourceError):
        Messages().feed(junk)
