"""A picture that nobody has looked at yet, made so coarse that it tells no more than that the camera sees something."""

from __future__ import annotations

from typing import Final

import cv2
import simplejpeg

#: Pixels across: of a face that fills an eighth of the picture six are left.
VEIL_WIDTH: Final = 48
#: Pixels that a JPEG may claim to hold; it is decoded at an eighth.
_MOST_PIXELS: Final = 40_000_000


def veil(jpeg: bytes) -> bytes | None:
    """The picture with 48 pixels across, None when it is no JPEG."""
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
        if height * width > _MOST_PIXELS:
            return None
        image = simplejpeg.decode_jpeg(jpeg, "BGR", fastdct=True, min_height=1, min_width=1)
    except ValueError:
        return None
    size = VEIL_WIDTH, max(1, min(VEIL_WIDTH, round(VEIL_WIDTH * height / width)))
    return bytes(simplejpeg.encode_jpeg(cv2.resize(image, size, interpolation=cv2.INTER_AREA), 80, "BGR", "420", True))
