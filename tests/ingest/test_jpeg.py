"""Whether bytes are a JPEG: pure."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from ingest.jpeg import picture_size
from ioc.errors import RejectedError


def make_jpeg(width: int = 64, height: int = 48) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.full((height, width, 3), 90, dtype=np.uint8), quality=80))


@pytest.mark.parametrize(("width", "height"), [(1, 1), (64, 48), (1920, 1080)])
def test_picture_size_of_a_jpeg(width: int, height: int) -> None:
    """The size is read from the picture's header."""
    assert picture_size(make_jpeg(width, height)) == (width, height)


def test_picture_size_padded() -> None:
    """Zeros after the end, as some cameras send, do no harm."""
    assert picture_size(make_jpeg() + b"\0" * 20) == (64, 48)


@pytest.mark.parametrize(
    ("jpeg", "reason"),
    [
        (b"", "shape"),
        (b"\x89PNG\r\n\x1a\n", "shape"),
        (make_jpeg()[:-40], "shape"),
        (b"\xff\xd8\xff\xd9", "shape"),
        (make_jpeg()[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 200 + b"\xff\xd9", "size"),
        (b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03" + b"\0" * 20 + b"\xff\xd9", "size"),
    ],
)
def test_picture_size_of_something_else(jpeg: bytes, reason: str) -> None:
    """No JPEG, a cut one, one that claims a giant picture, and one that takes for ever to decode are rejected."""
    with pytest.raises(RejectedError) as caught:
        picture_size(jpeg)
    assert caught.value.reason == reason


@given(st.binary(max_size=300))
def test_picture_size_of_anything(body: bytes) -> None:
    """Whatever stands between the markers: a size, or rejected."""
    try:
        width, height = picture_size(b"\xff\xd8\xff" + body + b"\xff\xd9")
    except RejectedError as error:
        width, height, reason = 1, 1, error.reason
    else:
        reason = "size"
    assert reason in ("shape", "size")
    assert 0 < width <= 8192
    assert 0 < height <= 8192
