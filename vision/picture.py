"""JPEG bytes to pixels, no more of them than are needed."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import simplejpeg

from vision.boxes import Image

#: Pictures wider are shrunk for the wall.
SNAPSHOT_WIDTH: Final = 960
#: Pixels decoded at most; a JPEG of a few kilobytes can claim to hold four billion.
MOST_PIXELS: Final = 40_000_000


def decode_jpeg(jpeg: bytes, least: tuple[int, int]) -> Image:
    """Decode a JPEG to BGR, at a half, a quarter or an eighth where that is still enough for the network and the wall.

    Args:
        jpeg: the whole file.
        least: (height, width) of the network's input.

    Raises:
        ValueError: not a JPEG, cut short, damaged, or too large; half a picture is not shown as a whole one.
    """
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    ratio = min(least[0] / height, least[1] / width)
    need = max(width * ratio, min(width, SNAPSHOT_WIDTH))
    shrink = next(step for step in (8, 4, 2, 1) if width / step >= need or step == 1)
    if height * width / shrink**2 > MOST_PIXELS:
        raise ValueError(f"a picture of {width}x{height} pixels, expected at most {MOST_PIXELS} after shrinking")
    wanted = {} if shrink == 1 else {"min_height": math.ceil(height / shrink), "min_width": math.ceil(width / shrink)}
    return np.asarray(simplejpeg.decode_jpeg(jpeg, "BGR", fastdct=True, **wanted), dtype=np.uint8)


def encode_jpeg(image: Image, quality: int = 80) -> bytes:
    """Encode BGR pixels, (height, width, 3)."""
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "BGR", "420", True))
