"""Whether bytes are a JPEG picture of a sane size, without decoding it; pure."""

from __future__ import annotations

from typing import Final

from ioc.errors import RejectedError

#: A larger side is no traffic camera, and decoding it would take gigabytes.
MOST_SIDE: Final = 8192

#: A progressive picture has some ten scans. Each walks the whole picture when it is decoded, so that thousands of empty ones in a
#: few kilobytes would keep a decoder busy for minutes.
MOST_SCANS: Final = 100

_START: Final = b"\xff\xd8\xff"
_END: Final = b"\xff\xd9"
_SCAN: Final = b"\xff\xda"
#: Start-of-frame markers; C4, C8 and CC in that span mean other things.
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD8)))


def picture_size(jpeg: bytes) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        RejectedError: `shape` when it is no whole JPEG, `size` when it is larger than `MOST_SIDE`, or has more than `MOST_SCANS`.
    """
    if not jpeg.startswith(_START):
        raise RejectedError("shape", f"frame: begins with {jpeg[:4].hex(' ')!r}, expected a JPEG (ff d8 ff)")
    # Some cameras pad the end with zeros.
    if not jpeg[-64:].rstrip(b"\0").endswith(_END):
        raise RejectedError("shape", "frame: the JPEG is cut off (no ff d9 at its end)")
    if (scans := jpeg.count(_SCAN)) > MOST_SCANS:
        raise RejectedError("size", f"frame: {scans} scans, most is {MOST_SCANS}")
    at = 2
    while at + 9 < len(jpeg):
        if jpeg[at] != 0xFF:
            break
        marker = jpeg[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            height, width = int.from_bytes(jpeg[at + 5 : at + 7]), int.from_bytes(jpeg[at + 7 : at + 9])
            if not (width and height):
                break
            if width > MOST_SIDE or height > MOST_SIDE:
                raise RejectedError("size", f"frame: {width} x {height} pixels, most is {MOST_SIDE} a side")
            return width, height
        else:
            at += 2 + int.from_bytes(jpeg[at + 2 : at + 4])
    raise RejectedError("shape", "frame: the JPEG states no size")
