"""Letterbox, decoding and suppression, against slow and obvious versions of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vision.boxes import MOST_BOXES, PADDING, Boxes, decode, letterbox, suppress

sides = st.integers(2, 1500)


def greedy(boxes: Boxes, same: float) -> list[int]:
    """Suppression as the textbook writes it; indices of the kept boxes."""
    kept: list[int] = []
    for index in sorted(range(len(boxes)), key=lambda i: -boxes[i, 4]):
        for other in kept:
            if boxes[other, 5] != boxes[index, 5]:
                continue
            a, b = boxes[other], boxes[index]
            width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
            shared = max(width, np.float32(0)) * max(height, np.float32(0))
            both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
            if both > 0 and shared / both > same:
                break
        else:
            kept.append(index)
    return kept


def make_boxes(seed: int, number: int, classes: int = 3) -> Boxes:
    """Boxes in clumps, so that many overlap."""
    rng = np.random.default_rng(seed)
    clumps = rng.uniform(0, 500, (max(1, number // 4), 2))
    corner = clumps[rng.integers(0, len(clumps), number)] + rng.normal(0, 4, (number, 2))
    size = rng.uniform(10, 40, (number, 2))
    rest = np.stack([rng.uniform(0.3, 1, number), rng.integers(0, classes, number)], axis=1)
    return np.concatenate([corner, corner + size, rest], axis=1).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(width=sides, height=sides, out=st.sampled_from([(640, 640), (384, 640), (320, 320)]), data=st.data())
def test_letterbox_boxes_come_back_within_a_pixel(
    width: int, height: int, out: tuple[int, int], data: st.DataObject
) -> None:
    """A box of the picture, seen in the network's input rounded to whole pixels, comes back within a pixel of either."""
    canvas = np.zeros((*out, 3), dtype=np.uint8)
    fit = letterbox(np.full((height, width, 3), 9, dtype=np.uint8), canvas)
    x1 = data.draw(st.floats(0, width - 1))
    y1 = data.draw(st.floats(0, height - 1))
    x2, y2 = data.draw(st.floats(x1 + 1, width)), data.draw(st.floats(y1 + 1, height))
    seen = np.array([[x1 * fit.scale_x + fit.left, y1 * fit.scale_y + fit.top,
                      x2 * fit.scale_x + fit.left, y2 * fit.scale_y + fit.top, 0.9, 0]], dtype=np.float32)  # fmt: skip
    assert seen[0, 2] <= out[1] + 0.01
    assert seen[0, 3] <= out[0] + 0.01
    (box,) = fit.back(seen)
    assert box[:4] == pytest.approx([x1, y1, x2, y2], abs=max(0.1, 0.001 * max(width, height)))
    rounded = seen.copy()
    rounded[:, :4] = np.round(rounded[:, :4])
    for box in fit.back(rounded):
        allowed = 0.51 / np.array([fit.scale_x, fit.scale_y] * 2)
        assert (np.abs(box[:4] - [x1, y1, x2, y2]) <= allowed + 0.1).all()


@settings(max_examples=60, deadline=None)
@given(width=sides, height=sides, upright=st.sampled_from([0, 360, 900]))
def test_letterbox_any_size_keeps_proportions_and_fills_with_grey(width: int, height: int, upright: int) -> None:
    """The picture lies centred and in proportion, an upright one no higher than it may; all around is the grey of training."""
    canvas = np.full((640, 640, 3), 255, dtype=np.uint8)
    fit = letterbox(np.zeros((height, width, 3), dtype=np.uint8), canvas, upright)
    inside = canvas[..., 0] == 0
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert set(np.unique(canvas)) <= {0, PADDING}
    assert inside.sum() == len(rows) * len(columns)
    assert (rows[0], columns[0]) == (fit.top, fit.left)
    assert max(len(rows), len(columns)) == (min(640, upright or 640) if height > width else 640)
    assert abs(len(columns) / width - len(rows) / height) <= max(1 / width, 1 / height)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), number=st.integers(0, 120))
def test_suppress_clumped_boxes_equals_greedy_suppression(seed: int, number: int) -> None:
    """The vectorised suppression keeps exactly what the textbook's loop keeps."""
    boxes = make_boxes(seed, number)
    assert np.array_equal(suppress(boxes, 0.5), boxes[greedy(boxes, 0.5)].reshape(-1, 6))


def test_suppress_same_place_other_class_keeps_both() -> None:
    """A person on a motorbike is two objects."""
    box = [10, 10, 50, 50, 0.9]
    assert len(suppress(np.array([[*box, 0], [*box, 1]], dtype=np.float32))) == 2


def test_suppress_swarm_keeps_hundreds_and_not_more() -> None:
    """A swarm of 800 motorbikes gives the 500 surest."""
    corners = np.stack(np.meshgrid(np.arange(40) * 16, np.arange(20) * 16), axis=-1).reshape(-1, 2)
    scores = np.linspace(0.3, 0.9, 800)[:, None]
    swarm = np.concatenate([corners, corners + 14, scores, np.zeros((800, 1))], axis=1).astype(np.float32)
    kept = suppress(swarm)
    assert len(kept) == MOST_BOXES
    assert kept[:, 4].min() > swarm[:, 4].mean() - 0.2
    assert (np.diff(kept[:, 4]) <= 0).all()


def test_decode_known_output_gives_its_boxes() -> None:
    """Centre and size become corners; the class is the surest; what is not sure enough is gone."""
    raw = np.zeros((4 + 3, 5), dtype=np.float32)
    raw[:, 1] = [100, 80, 20, 10, 0.1, 0.8, 0.3]
    raw[:, 3] = [300, 200, 40, 60, 0.9, 0.0, 0.0]
    raw[:, 4] = [300, 200, 40, 60, 0.2, 0.0, 0.0]
    found = decode(raw, 0.25)
    assert found.tolist() == [
        pytest.approx([280, 170, 320, 230, 0.9, 0]),
        pytest.approx([90, 75, 110, 85, 0.8, 1]),
    ]


def test_decode_every_class_gives_a_box_for_each_class() -> None:
    """What may be a bus or a truck is a box of both; suppression goes class by class, so that neither hides the other."""
    raw = np.zeros((4 + 3, 3), dtype=np.float32)
    raw[:, 0] = [100, 80, 20, 10, 0.1, 0.4, 0.8]
    raw[:, 2] = [100, 80, 20, 10, 0.1, 0.6, 0.1]
    assert decode(raw, 0.25)[:, 4:].tolist() == [pytest.approx([0.8, 2]), pytest.approx([0.6, 1])]
    assert decode(raw, 0.25, every_class=True)[:, 4:].tolist() == [pytest.approx([0.8, 2]), pytest.approx([0.6, 1])]
    assert decode(raw[:, :1], 0.25)[:, 4:].tolist() == [pytest.approx([0.8, 2])]
    assert decode(raw[:, :1], 0.25, every_class=True)[:, 4:].tolist() == [
        pytest.approx([0.8, 2]),
        pytest.approx([0.4, 1]),
    ]


def test_decode_nothing_sure_gives_no_boxes() -> None:
    """An empty street is an empty array of the right shape."""
    assert decode(np.zeros((10, 8400), dtype=np.float32), 0.25).shape == (0, 6)
