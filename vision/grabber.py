"""A process of its own that reads one video: `python -m vision.grabber`, its task as a line of JSON on standard input.

OpenCV can block for ever in a read, and FFmpeg parses what strangers send; so this happens in a process that can be
killed. On standard output: a kind (`F` frame, `E` error), microseconds since the epoch, a length, and a JPEG or a text.
"""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

HEADER: Final = struct.Struct(">cQI")
FRAME: Final = b"F"
ERROR: Final = b"E"
#: Patience of FFmpeg itself, shorter than that of whoever may kill us.
_IO_S: Final = 10

_PR_SET_PDEATHSIG: Final = 1


class Task(msgspec.Struct, frozen=True):
    """What to read.

    Attributes:
        source: a file's path, or the URL of an `rtsp_relay`.
        fps: frames a second wanted of it.
        most_bytes: of one JPEG.
        live: a stream that gives its own pace; else a file, played at its own speed and again from the start.
    """

    source: str
    fps: float
    most_bytes: int
    live: bool


def main() -> None:
    """Read the task, then frames, until killed."""
    # Die with whoever started us, however it died.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    task = msgspec.json.decode(sys.stdin.buffer.readline(), type=Task)
    try:
        for taken, jpeg in frames(task):
            _say(FRAME, taken, jpeg)
        _say(ERROR, 0, b"the stream ended")
    except (OSError, ValueError) as error:
        _say(ERROR, 0, str(error).encode())


def frames(task: Task) -> Iterator[tuple[int, bytes]]:
    """Time in microseconds and JPEG of each frame, at the wanted rate.

    Raises:
        OSError: it cannot be opened, or holds no frames.
    """
    import cv2
    import numpy as np

    from vision.picture import encode_within

    # TCP, since a lost datagram is half a picture. The protocols are named so that neither a playlist nor an answer of the
    # camera makes FFmpeg open something else.
    options = f"rtsp_transport;tcp|timeout;{_IO_S * 1_000_000}|protocol_whitelist;rtsp,rtp,tcp"
    os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = options if task.live else "protocol_whitelist;file"
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, _IO_S * 1000, cv2.CAP_PROP_READ_TIMEOUT_MSEC, _IO_S * 1000]
    while True:
        video = cv2.VideoCapture(task.source, cv2.CAP_FFMPEG, limits)
        if not video.isOpened():
            raise OSError("it cannot be opened as a video")
        any_frame = False
        for image in _paced(video, task):
            any_frame = True
            yield time.time_ns() // 1000, encode_within(np.asarray(image, dtype=np.uint8), task.most_bytes)
        video.release()
        if task.live:
            return
        if not any_frame:
            raise OSError("it holds no frames")


def _paced(video: Any, task: Task) -> Iterator[Any]:
    """The frames that are due: all are read, so that a stream stays in time; only those are decoded to pixels."""
    import cv2

    own_fps = video.get(cv2.CAP_PROP_FPS)
    own_fps = own_fps if 0 < own_fps <= 240 else 25.0
    started, number, due = time.monotonic(), 0, 0.0
    while video.grab():
        at = time.monotonic() - started
        if not task.live:
            at = number / own_fps
            time.sleep(max(0.0, started + at - time.monotonic()))
        number += 1
        if at + 1e-6 >= due:
            ok, image = video.retrieve()
            if ok:
                yield image
            due = max(due + 1 / task.fps, at)


def _say(kind: bytes, taken: int, body: bytes) -> None:
    sys.stdout.buffer.write(HEADER.pack(kind, taken, len(body)) + body)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
