"""JPEG to pixels: as small as is enough, and never half a picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg

from vision.look import look_at
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


def test_decode_jpeg_stray_bytes_before_its_end_are_passed_over() -> None:
    """Some cameras leave them there; a picture that is damaged besides, or cut short, is refused all the same."""
    jpeg = gradient(640, 480)
    stray = jpeg[:-2] + b"\0\1\2" + jpeg[-2:]
    with pytest.raises(ValueError, match="extraneous bytes before marker 0xd9"):
        simplejpeg.decode_jpeg(stray)
    assert (decode_jpeg(stray, (640, 640)) == decode_jpeg(jpeg, (640, 640))).all()
    assert look_at(stray, 0.0).grey.mean() == look_at(jpeg, 0.0).grey.mean()
    at = jpeg.index(b"\xff\xda") + 400
    for broken in (stray[:at] + bytes(200) + stray[at + 200 :], jpeg[:at] + b"\0\1\2" + jpeg[-2:]):
        with pytest.raises(ValueError):
            decode_jpeg(broken, (640, 640))


@pytest.mark.parametrize("many_scans", [False, True])
def test_decode_jpeg_in_scans_is_bounded_at_its_full_size(many_scans: bool) -> None:
    """The decoder holds all of a progressive picture, however small it is wanted."""
    picture = np.zeros((6500, 6500), np.uint8)
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(many_scans)])[1].tobytes()
    # A filling byte before a marker hides nothing.
    jpeg = jpeg[:2] + b"\xff" + jpeg[2:]
    for look in (lambda: decode_jpeg(jpeg, (640, 640)), lambda: look_at(jpeg, 0.0)):
        if many_scans:
            with pytest.raises(ValueError, match="6500x6500 pixels"):
                look()
        else:
            look()


@pytest.mark.parametrize("progressive", [False, True])
def test_decode_jpeg_progressive_picture_of_a_camera_is_decoded(progressive: bool) -> None:
    """In scans or in one, it is the same picture."""
    picture = np.full((720, 1280, 3), 90, np.uint8)
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive)])[1].tobytes()
    assert abs(float(decode_jpeg(jpeg, (640, 640)).mean()) - 90) < 2
