"""JPEG bytes to pixels, no more of them than are needed."""

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
import simplejpeg

from vision.boxes import Image

#: Pixels decoded at most; a JPEG of a few kilobytes can claim to hold four billion.
MOST_PIXELS: Final = 40_000_000


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
    shrink = next((step for step in (8, 4, 2) if 1 / step >= ratio), 1)
    if height * width / shrink**2 > MOST_PIXELS:
        raise ValueError(f"a picture of {width}x{height} pixels, expected at most {MOST_PIXELS} after shrinking")
    wanted = {} if shrink == 1 else {"min_height": math.ceil(height / shrink), "min_width": math.ceil(width / shrink)}
    return np.asarray(simplejpeg.decode_jpeg(jpeg, "BGR", fastdct=True, **wanted), dtype=np.uint8)


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
