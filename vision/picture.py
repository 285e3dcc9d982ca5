"""JPEG bytes to pixels, no more of them than are needed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Final

import cv2
import numpy as np
import simplejpeg

from vision.boxes import Image

#: Pixels decoded at most; a JPEG of a few kilobytes can claim to hold four billion.
MOST_PIXELS: Final = 40_000_000
#: What the decoder says of bytes without meaning behind a whole picture, as some cameras leave there.
_STRAY: Final = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
_END: Final = b"\xff\xd9"
_STARTS_SCAN: Final = 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
_ALONE: Final = frozenset((0x01, *range(0xD0, 0xD8)))


def decode_jpeg(jpeg: bytes, least: tuple[int, int]) -> Image:
    """Decode a JPEG to BGR, at a half, a quarter or an eighth where that still fills the network's input.

    The decoder leaves the fine waves out before it makes pixels of them, which is quicker than shrinking afterwards and as good.

    Args:
        jpeg: the whole file.
        least: (height, width) of the network's input.

    Raises:
        ValueError: not a JPEG, cut short, damaged, or too large; half a picture is not shown as a whole one.
    """
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    ratio = min(least[0] / height, least[1] / width)
    return decode_shrunk(jpeg, "BGR", next((step for step in (8, 4, 2) if 1 / step >= ratio), 1))


def decode_shrunk(jpeg: bytes, colours: str, shrink: int) -> Image:
    """Decode a JPEG at a 1st, 2nd, 4th or 8th of its size.

    Raises:
        ValueError: as `decode_jpeg`.
    """
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    # Of a picture in several scans the decoder holds all of it at its full size.
    held = height * width if _in_scans(jpeg) else height * width / shrink**2
    if held > MOST_PIXELS:
        raise ValueError(f"a picture of {width}x{height} pixels, expected at most {MOST_PIXELS} in the decoder")
    least = {} if shrink == 1 else {"min_height": math.ceil(height / shrink), "min_width": math.ceil(width / shrink)}
    try:
        pixels = simplejpeg.decode_jpeg(jpeg, colours, fastdct=True, **least)
    except ValueError as error:
        stray = _STRAY.search(str(error))
        if stray is None:
            raise
        whole = jpeg[: jpeg.rindex(_END) - int(stray[1])] + _END
        pixels = simplejpeg.decode_jpeg(whole, colours, fastdct=True, **least)
    return np.asarray(pixels, dtype=np.uint8)


def segments(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and content of each segment, to the head of the first scan; what is damaged ends them."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(jpeg[at + 2 : at + 4])
        yield marker, jpeg[at + 4 : at + 2 + length]
        if marker == _STARTS_SCAN:
            return
        at += 2 + max(2, length)


def _in_scans(jpeg: bytes) -> bool:
    """Whether a picture comes in several scans, be it progressive or a colour at a time."""
    colours = 1
    for marker, content in segments(jpeg):
        if marker in _PROGRESSIVE:
            return True
        if marker in _FRAMES:
            colours = content[5]
        elif marker == _STARTS_SCAN:
            return content[0] < colours
    return False


def encode_jpeg(image: Image, quality: int = 80) -> bytes:
    """Encode BGR pixels, (height, width, 3)."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "BGR", "420", True))


def fit_jpeg(jpeg: bytes, most_bytes: int) -> bytes:
    """The same picture in at most so many bytes; untouched where it is small enough.

    Raises:
        ValueError: it must be shrunk and is no whole JPEG.
    """
    return jpeg if len(jpeg) <= most_bytes else encode_within(decode_jpeg(jpeg, (1080, 1920)), most_bytes)


def encode_within(image: Image, most_bytes: int) -> bytes:
    """Encode BGR pixels in at most so many bytes: coarser first, then smaller."""
    while True:
        for quality in (85, 70, 50):
            jpeg = encode_jpeg(image, quality)
            if len(jpeg) <= most_bytes:
                return jpeg
        height, width = image.shape[:2]
        if min(height, width) < 16:
            raise ValueError(f"a picture of {width}x{height} pixels does not fit in {most_bytes} bytes")
        image = np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), dtype=np.uint8)
