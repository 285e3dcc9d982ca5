"""What a camera looks at when all is well, and whether a picture still shows that: shifted, turned, zoomed, out of focus.

The view is compared block by block, so that a bus covers some of them, and a camera that moved changes all; with brightness and
contrast taken out, so that dusk is no other view.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from vision.look import COLUMNS, HEIGHT, ROWS, WIDTH, Grey

#: Standard deviation, in grey levels, from which a block of the view has structure; half of it does in a picture that is darker.
_STRUCTURE: Final = 4.0
#: Correlation from which a block shows what it showed.
_SAME: Final = 0.5
#: Fewer blocks with structure tell nothing of where the camera looks.
_LEAST_BLOCKS: Final = 4
#: Shift in cells of the thumbnail from which a view has moved: 1.5 % of the width.
_SHIFTED: Final = 2.4
#: Beyond this share of a side too little is left to tell by how much it was shifted.
_OVERLAP: Final = 0.4
#: Response of the phase correlation from which a shift is believed.
_SURE: Final = 0.2
#: Share of the blocks below which nothing of the view is left.
_OTHER: Final = 0.3
#: Shift in cells of the quarters of a view that turned or was zoomed a little, and how far they may be from agreeing on it.
_TURNED: Final = 1.9
_AGREE: Final = 1.2
#: A turned or zoomed view must explain at least this share of the blocks, and so much more than the view as it was.
_EXPLAINS: Final = 0.55
_GAIN: Final = 0.15
#: Turns in degrees, and zooms, that are tried.
_TURNS: Final = (-14.0, -10.0, -7.0, -4.5, -2.5, 2.5, 4.5, 7.0, 10.0, 14.0)
_ZOOMS: Final = (0.7, 0.8, 0.9, 1.1, 1.2, 1.35, 1.5)
_NEAR: Final = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
_WINDOW: Final = cv2.createHanningWindow((WIDTH, HEIGHT), cv2.CV_32F)
_QUARTER: Final = cv2.createHanningWindow((WIDTH // 2, HEIGHT // 2), cv2.CV_32F)
#: Centres of the quarters, from the middle of the picture.
_CENTRES: Final = np.array([(x, y) for y in (-HEIGHT / 4, HEIGHT / 4) for x in (-WIDTH / 4, WIDTH / 4)])

Blocks = npt.NDArray[np.bool_]


class View(msgspec.Struct, frozen=True):
    """A camera's reference.

    Attributes:
        grey: (HEIGHT, WIDTH), the picture without what moves in it.
        detail: (ROWS, COLUMNS), how sharp it is where.
    """

    grey: Grey
    detail: Grey


def pack(view: View) -> bytes:
    """The view as it is stored, 29 kB."""
    return b"".join(array.astype("<f2").tobytes() for array in (view.grey, view.detail))


def unpack(packed: bytes) -> View:
    """The view that was packed.

    Raises:
        ValueError: it was packed by a version that saw otherwise; learn it anew.
    """
    if len(packed) != 2 * (HEIGHT * WIDTH + ROWS * COLUMNS):
        raise ValueError(f"a view of {len(packed)} bytes, expected {2 * (HEIGHT * WIDTH + ROWS * COLUMNS)}")
    values = np.frombuffer(packed, "<f2").astype(np.float32)
    return View(values[: HEIGHT * WIDTH].reshape(HEIGHT, WIDTH), values[HEIGHT * WIDTH :].reshape(ROWS, COLUMNS))


class Comparison(NamedTuple):
    """How a picture compares with the view.

    Attributes:
        judged: enough of both has structure; otherwise the rest says nothing.
        same: share of the blocks that show what they showed.
        moved: how far the view has moved, in cells of the thumbnail; infinite where it is another view, 0 where it has not.
        sharpness: fine detail against that of the view, contrast taken out; 1 = as sharp.
    """

    judged: bool
    same: float
    moved: float
    sharpness: float


_NOTHING: Final = Comparison(False, 1.0, 0.0, 1.0)


def compare(view: View, picture: View) -> Comparison:
    """Compare a picture, best without what moves in it, with the view."""
    before, now = _smooth(view.grey), _smooth(picture.grey)
    correlation, gain, judged = _blocks(before, now)
    if judged.sum() < _LEAST_BLOCKS:
        return _NOTHING
    alike = judged & (correlation > _SAME)
    same = float(alike.sum() / judged.sum())
    return Comparison(True, same, _moved(before, now, same), _sharpness(view, picture, alike, gain))


def _sharpness(view: View, picture: View, alike: Blocks, gain: Grey) -> float:
    """The median over the blocks that show the same, so that neither traffic nor another view counts."""
    if not alike.any():
        return 1.0
    ratio = picture.detail[alike] / np.maximum(view.detail[alike] * np.clip(gain[alike], 0.05, None), 1e-3)
    return float(np.median(ratio))


def _moved(before: Grey, now: Grey, same: float) -> float:
    edges_before, edges_now = _edges(before), _edges(now)
    (dx, dy), response = cv2.phaseCorrelate(edges_before, edges_now, _WINDOW)
    distance = float(np.hypot(dx, dy))
    shifted = response >= _SURE and distance >= _SHIFTED and max(abs(dx) / WIDTH, abs(dy) / HEIGHT) < _OVERLAP
    if shifted and _share(_warped(before, [[1, 0, dx], [0, 1, dy]]), now) >= max(_EXPLAINS, same):
        return distance
    turned = _turned_a_little(edges_before, edges_now)
    if turned is not None:
        matrix, distance = turned
        if _share(_warped(before, matrix), now) >= max(_EXPLAINS, same):
            return distance
    if same > 1 - _GAIN:
        return 0.0
    for turn, zoom in (*((turn, 1.0) for turn in _TURNS), *((0.0, zoom) for zoom in _ZOOMS)):
        if _share(_turned(before, turn, zoom), now) >= max(_EXPLAINS, same + _GAIN):
            return float(max(np.radians(abs(turn)), abs(zoom - 1)) * WIDTH / 2)
    return float("inf") if same < _OTHER else 0.0


def _turned_a_little(before: Grey, now: Grey) -> tuple[npt.NDArray[np.float64], float] | None:
    """The turn, zoom and shift on which the quarters of the picture agree, and how far a quarter moved; None without any."""
    shifts, sure = [], []
    for x, y in _CENTRES:
        rows, columns = _half(y, HEIGHT), _half(x, WIDTH)
        shift, response = cv2.phaseCorrelate(
            np.ascontiguousarray(before[rows, columns]), np.ascontiguousarray(now[rows, columns]), _QUARTER
        )
        shifts.append(shift)
        sure.append(response >= _SURE)
    if sum(sure) < len(_CENTRES) - 1:
        return None
    moves, places = np.array(shifts)[sure], _CENTRES[sure]
    x, y = places.T
    none, one = np.zeros_like(x), np.ones_like(x)
    # What a place moves by under a small turn b, zoom a and shift: (a x - b y + tx, b x + a y + ty).
    lines = np.concatenate([np.stack([x, -y, one, none], 1), np.stack([y, x, none, one], 1)])
    (a, b, tx, ty), *_ = np.linalg.lstsq(lines, moves.T.reshape(-1), rcond=None)
    fitted = (lines @ (a, b, tx, ty)).reshape(2, -1).T
    distance = float(np.median(np.hypot(*fitted.T)))
    if distance < _TURNED or np.abs(fitted - moves).max() > _AGREE:
        return None
    cx, cy = (WIDTH - 1) / 2, (HEIGHT - 1) / 2
    linear = np.array([[1 + a, -b], [b, 1 + a]])
    return np.column_stack([linear, np.array([cx + tx, cy + ty]) - linear @ (cx, cy)]), distance


def _half(side: float, length: int) -> slice:
    return slice(0, length // 2) if side < 0 else slice(length // 2, length)


def _turned(grey: Grey, turn: float, zoom: float) -> Grey:
    return _warped(grey, cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), turn, zoom))


def _warped(grey: Grey, matrix: npt.ArrayLike) -> Grey:
    return np.asarray(
        cv2.warpAffine(grey, np.asarray(matrix), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), dtype=np.float32
    )


def _share(before: Grey, now: Grey) -> float:
    correlation, _, judged = _blocks(before, now)
    return float((judged & (correlation > _SAME)).sum() / judged.sum()) if judged.sum() >= _LEAST_BLOCKS else 0.0


def _blocks(before: Grey, now: Grey) -> tuple[Grey, Grey, Blocks]:
    """Per block: correlation, light or contrast against before, whichever is less, whether it has structure.

    The correlation is the best within one cell, so that a swaying pole is no other view.
    """
    mean, var = _moments(before)
    best: Grey | None = None
    for dx, dy in _NEAR:
        near = np.roll(now, (dy, dx), (0, 1))
        near_mean, near_var = _moments(near)
        shared = _mean(before * near) - mean * near_mean
        found = shared / np.sqrt(np.maximum(var * near_var, 1e-6))
        best = found if best is None else np.maximum(best, found)
    assert best is not None
    now_mean, now_var = _moments(now)
    judged = (var > _STRUCTURE**2) & (now_var > (_STRUCTURE / 2) ** 2)
    # A street lamp's pool is contrast too, but none that makes detail: that grows and goes with the light on the block.
    light, contrast = now_mean / np.maximum(mean, 1e-3), np.sqrt(now_var / np.maximum(var, 1e-6))
    return best, np.minimum(light, contrast), judged


def _moments(grey: Grey) -> tuple[Grey, Grey]:
    mean = _mean(grey)
    return mean, np.maximum(_mean(grey * grey) - mean * mean, 0)


def _mean(grey: Grey) -> Grey:
    return np.asarray(cv2.resize(grey, (COLUMNS, ROWS), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _smooth(grey: Grey) -> Grey:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), dtype=np.float32)


def _edges(smooth: Grey) -> Grey:
    edges = cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    return np.asarray(np.minimum(edges, np.percentile(edges, 95)), dtype=np.float32)
