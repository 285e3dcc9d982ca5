"""Pictures from a video file or an RTSP stream, by a process that is killed when it gives none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final, cast

import msgspec

from ioc.errors import SourceError
from vision.address import Place
from vision.grabber import FRAME, HEADER, Task
from vision.rtsp_relay import relay

#: This long without a frame, and the process is killed.
LOST_S: Final = 20.0
#: More is no JPEG of ours: the process has gone wrong.
_MOST_BYTES: Final = 64_000_000


async def stream(place: Place, fps: float, most_bytes: int, lost_s: float = LOST_S) -> AsyncIterator[tuple[int, bytes]]:
    """Time and JPEG of each frame of an RTSP camera; see `video`.

    Raises:
        SourceError: it cannot be reached, leads elsewhere, ended, or gave nothing for `lost_s`.
    """
    async with relay(place) as way:
        frames = cast("AsyncGenerator[tuple[int, bytes]]", video(Task(way.url, fps, most_bytes, live=True), lost_s))
        async with aclosing(frames):
            try:
                async for frame in frames:
                    yield frame
            except SourceError as error:
                if way.refusal is None:
                    raise
                # What FFmpeg says of a connection that the relay ended is not the reason.
                raise way.refusal from error


async def video(task: Task, lost_s: float = LOST_S) -> AsyncIterator[tuple[int, bytes]]:
    """Time, in milliseconds since the epoch, and JPEG of each frame of a video as they come.

    Raises:
        SourceError: it ended, failed, or gave nothing for `lost_s`; its process is gone then.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "vision.grabber",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # FFmpeg's complaints hold the URL, and with it the password.
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(msgspec.json.encode(task) + b"\n")
        await process.stdin.drain()
        while True:
            try:
                async with asyncio.timeout(lost_s):
                    kind, micros, length = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
                    if length > _MOST_BYTES:
                        raise SourceError(f"its reader announced {length} bytes")
                    body = await process.stdout.readexactly(length)
            except TimeoutError as error:
                raise SourceError(f"no frame for {lost_s:.0f} s") from error
            except asyncio.IncompleteReadError as error:
                raise SourceError("its reader died") from error
            if kind != FRAME:
                raise SourceError(body.decode("utf-8", "replace"))
            yield micros // 1000, body
    except (BrokenPipeError, ConnectionResetError) as error:
        raise SourceError("its reader died") from error
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
