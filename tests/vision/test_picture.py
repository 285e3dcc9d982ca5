"""JPEG to pixels: as small as is enough, and never half a picture."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from vision.picture import decode_jpeg, encode_jpeg


def gradient(width: int, height: int) -> bytes:
    across = np.linspace(0, 255, width, dtype=np.uint8)
    return encode_jpeg(np.ascontiguousarray(np.broadcast_to(across[None, :, None], (height, width, 3))), 90)


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (640, 360, (640, 360)),
        (1280, 720, (640, 360)),
        (1270, 720, (1270, 720)),
        (1920, 1080, (960, 540)),
        (3840, 2160, (960, 540)),
        (352, 288, (352, 288)),
        (1921, 1081, (961, 541)),
    ],
)
def test_decode_jpeg_large_pictures_come_smaller(width: int, height: int, expected: tuple[int, int]) -> None:
    """Enough for the network, no more than twice that; the whole picture all the same."""
    image = decode_jpeg(gradient(width, height), (640, 640))
    assert image.shape == (expected[1], expected[0], 3)
    assert image[0, 0].mean() < 10
    assert image[-1, -1].mean() > 245


def test_decode_jpeg_cut_short_is_refused() -> None:
    """The lost half of a picture would be an empty street."""
    jpeg = gradient(640, 480)
    with pytest.raises(ValueError):
        decode_jpeg(jpeg[: len(jpeg) // 2], (640, 640))


@pytest.mark.parametrize("junk", [b"", b"\xff\xd8", b"GIF89a", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_decode_jpeg_other_bytes_are_refused(junk: bytes) -> None:
    """Not a JPEG."""
    with pytest.raises(ValueError):
        decode_jpeg(junk, (640, 640))


def test_decode_jpeg_bomb_is_refused_before_memory_is_taken() -> None:
    """A few kilobytes that claim to be 60,000 x 60,000 pixels."""
    small = bytearray(gradient(64, 64))
    frame = small.index(b"\xff\xc0")
    small[frame + 5 : frame + 9] = (60_000).to_bytes(2, "big") * 2
    assert simplejpeg.decode_jpeg_header(bytes(small))[:2] == (60_000, 60_000)
    with pytest.raises(ValueError):
        decode_jpeg(bytes(small), (640, 640))
