"""Pictures from a video file or an RTSP stream, by a process that is killed when it gives none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import msgspec

from ioc.errors import SourceError
from vision.address import Place
from vision.grabber import FRAME, HEADER, Task

#: This long without a frame, and the process is killed.
LOST_S: Final = 20.0
#: More is no JPEG of ours: the process has gone wrong.
_MOST_BYTES: Final = 64_000_000


def with_login(place: Place) -> str:
    """The pinned URL with user and password, for FFmpeg, which knows no other way; never on a command line."""
    if not place.user:
        return place.url
    parts = urlsplit(place.url)
    login = f"{quote(place.user, safe='')}:{quote(place.password, safe='')}@"
    return urlunsplit((parts.scheme, login + parts.netloc, parts.path, parts.query, ""))


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
