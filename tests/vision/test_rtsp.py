"""RTSP through the real FFmpeg, from a small camera of our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import simplejpeg

from ioc.errors import SourceError
from tests.vision.rtsp_server import RtspCamera
from vision.address import networks, pin
from vision.grabber import Task
from vision.picture import encode_jpeg
from vision.video_source import video, with_login

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
        frames: Any = video(Task(url, fps, 1_000_000, live=True), lost_s)
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
    place = pin(f"rtsp://admin:s%40cret@localhost:{camera.port}/live", LOOPBACK)
    taken = take(with_login(place), 6)
    greys = [float(simplejpeg.decode_jpeg(jpeg, "BGR").mean()) for _, jpeg in taken]
    assert all(simplejpeg.decode_jpeg_header(jpeg)[:2] == (240, 320) for _, jpeg in taken)
    assert all(abs(grey % 10) < 3 or abs(grey % 10) > 7 for grey in greys)
    assert len(set(map(round, greys))) > 1
    assert abs(taken[-1][0] / 1000 - time.time()) < PATIENCE_S
    assert "PLAY" in camera.asked


def test_rtsp_at_a_lower_rate_keeps_up_with_the_stream(camera: RtspCamera) -> None:
    """At ten frames a second, two are taken: the stream is read in time and not queued up."""
    place = pin(f"rtsp://admin:s%40cret@127.0.0.1:{camera.port}/live", LOOPBACK)
    taken = take(with_login(place), 4, fps=2.0)
    times = [ms for ms, _ in taken]
    assert np.diff(times).min() >= 350


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
