"""A JPEG as camera truth looks at it: a small grey thumbnail, how much fine detail it has where, and how it was quantised."""

from __future__ import annotations

import hashlib
from typing import Final

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import simplejpeg

from vision.picture import decode_shrunk, segments

Grey = npt.NDArray[np.float32]

#: Size of the thumbnail. Every picture is brought to it, whatever its shape: a camera that changes its size stays comparable.
WIDTH: Final = 160
HEIGHT: Final = 90
#: The thumbnail in blocks, each large enough to have structure of its own.
COLUMNS: Final = 10
ROWS: Final = 6
#: Fine detail is measured in a picture twice as large.
_FINE: Final = (2 * WIDTH, 2 * HEIGHT)
_QUANTISES: Final = 0xDB


class Look(msgspec.Struct, frozen=True):
    """One picture, looked at.

    Attributes:
        time: when it reached us, epoch seconds.
        behind_s: how far the camera's own time of it lay behind that.
        grey: (HEIGHT, WIDTH), 0-255, exact to far below one level: the mean of the pixels under each cell.
        detail: (ROWS, COLUMNS), the mean strength of the finest structure in each block.
        coding: tells pictures of one size and quantisation tables from others: the same content, encoded anew with them, gives
            the same pixels.
    """

    time: float
    behind_s: float
    grey: Grey
    detail: Grey
    coding: bytes


def look_at(jpeg: bytes, time: float, behind_s: float = 0.0) -> Look:
    """Look at a JPEG.

    Raises:
        ValueError: not a JPEG, cut short, damaged, or too large to be decoded.
    """
    height, width, _, _ = simplejpeg.decode_jpeg_header(jpeg)
    shrink = next((step for step in (8, 4, 2) if width >= step * _FINE[0] and height >= step * _FINE[1]), 1)
    pixels = decode_shrunk(jpeg, "GRAY", shrink)[:, :, 0]
    return look_at_pixels(pixels, time, behind_s, coding=_tables(jpeg) + width.to_bytes(2) + height.to_bytes(2))


def look_at_pixels(pixels: npt.NDArray[np.uint8], time: float, behind_s: float = 0.0, *, coding: bytes = b"") -> Look:
    """Look at grey pixels, (height, width)."""
    fine = np.asarray(cv2.resize(pixels, _FINE, interpolation=cv2.INTER_AREA), dtype=np.float32)
    grey = cv2.resize(pixels.astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    detail = cv2.resize(np.abs(cv2.Laplacian(fine, cv2.CV_32F)), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    return Look(time, behind_s, _floats(grey), _floats(detail), coding)


def _floats(array: object) -> Grey:
    return np.asarray(array, dtype=np.float32)


def _tables(jpeg: bytes) -> bytes:
    """A digest of the quantisation tables of a JPEG whose header has been read; what is damaged in it ends the search."""
    digest = hashlib.blake2b(digest_size=8)
    for marker, content in segments(jpeg):
        if marker == _QUANTISES:
            digest.update(content)
    return digest.digest()
