"""Boxes to detections, detections to counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from ioc.catalog import VISION_CLASSES
from ioc.model import Detection
from vision.scene import Scene, count_by_minute, make_scene, newer_scenes
from vision.snapshot import STYLE, annotate, boxes_json

START = datetime(2026, 3, 1, 7, 59, 58, tzinfo=UTC)


def make(camera: str = "cam-1", after_s: float = 0.0, **counts: int) -> Scene:
    """A scene with so many objects of each class."""
    time = START + timedelta(seconds=after_s)
    labels = [label for label, count in counts.items() for _ in range(count)]
    return Scene(
        camera, time, tuple(Detection(time, camera, i, label, 0.5, 0, 0, 1, 1) for i, label in enumerate(labels))
    )


def test_make_scene_pixels_become_shares_in_order() -> None:
    """Shares of the picture, numbered from 0; a class the catalogue does not have is left out."""
    boxes = np.array([[0, 0, 64, 36, 0.9, 1], [1, 1, 9, 9, 0.8, 0], [640, 360, 1280, 720, 0.7, 2]], dtype=np.float32)
    scene = make_scene("cam-1", START, boxes, ["umbrella", "car", "motorbike"], height=720, width=1280)
    assert [(d.seq, d.label) for d in scene.detections] == [(0, "car"), (1, "motorbike")]
    assert scene.detections[0].x2 == pytest.approx(0.05)
    assert scene.detections[1].x1 == 0.5
    assert scene.detections[1].y2 == 1.0


def test_count_by_minute_empty_frame_counts_as_looked_at() -> None:
    """A frame without objects is a frame for every class; without it an average would lie."""
    rows = count_by_minute([make(motorbike=3), make(after_s=1)])
    assert {row.label for row in rows} == set(VISION_CLASSES)
    (bikes,) = [row for row in rows if row.label == "motorbike"]
    assert (bikes.frames, bikes.objects, bikes.most) == (2, 3, 3)
    (cars,) = [row for row in rows if row.label == "car"]
    assert (cars.frames, cars.objects, cars.most) == (2, 0, 0)


def test_count_by_minute_frames_of_two_minutes_are_kept_apart() -> None:
    """The minute is that of the frame, not of the commit."""
    rows = [row for row in count_by_minute([make(car=1), make(after_s=2, car=2)]) if row.label == "car"]
    assert [(row.time.minute, row.time.second, row.objects) for row in rows] == [(59, 0, 1), (0, 0, 2)]


def test_newer_scenes_known_frame_adds_nothing() -> None:
    """Only what is newer than the stored time of its own camera, each time once, in order."""
    scenes = [make(after_s=2), make(after_s=1), make(after_s=1, car=1), make("cam-2", 0)]
    fresh = newer_scenes(scenes, {"cam-1": START})
    assert [(s.camera, (s.time - START).seconds) for s in fresh] == [("cam-2", 0), ("cam-1", 1), ("cam-1", 2)]
    assert newer_scenes(fresh, {"cam-1": START + timedelta(seconds=2), "cam-2": START}) == []


@given(st.lists(st.integers(0, 30), max_size=12), st.integers(1, 6))
def test_newer_scenes_any_redelivery_is_idempotent(times: list[int], size: int) -> None:
    """Handing the same scenes in twice, in any batches, stores a strictly rising series of times once."""
    stored: dict[str, datetime] = {}
    kept: list[datetime] = []
    scenes = [make(after_s=time) for time in times]
    for start in range(0, len(scenes), size):
        for _ in range(2):
            fresh = newer_scenes(scenes[start : start + size], stored)
            kept += [scene.time for scene in fresh]
            stored |= {scene.camera: scene.time for scene in fresh}
    assert kept == sorted(set(kept))


def test_annotate_wide_picture_is_shrunk_and_drawn_on() -> None:
    """At most 960 pixels wide; each class in its own colour; the original stays as it was."""
    image = np.full((1080, 1920, 3), 40, dtype=np.uint8)
    scene = make_scene("cam-1", START, np.array([[192, 108, 960, 540, 0.9, 0]], dtype=np.float32), ["car"], 1080, 1920)
    drawn = simplejpeg.decode_jpeg(annotate(image, scene), "BGR")
    assert drawn.shape == (540, 960, 3)
    assert np.abs(drawn[160, 96].astype(int) - STYLE["car"][0]).max() < 60
    assert (image == 40).all()
    assert msgspec.json.decode(boxes_json(scene)) == [["car", 0.9, 0.1, 0.1, 0.5, 0.5]]


def test_annotate_hides_heads_and_plates_unless_told_not_to() -> None:
    """The picture for the wall: the head end of a person and the lower end of a car are blurred, the rest is as it was."""
    image = np.random.default_rng(3).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    boxes = np.array([[100, 100, 200, 400, 0.9, 0], [300, 100, 600, 400, 0.9, 1]], dtype=np.float32)
    scene = make_scene("cam-1", START, boxes, ["person", "car"], 480, 640)

    def rough(jpeg: bytes, top: int, bottom: int, left: int, right: int) -> float:
        return float(simplejpeg.decode_jpeg(jpeg, "GRAY")[top:bottom, left:right].std())

    hidden, clear = annotate(image, scene), annotate(image, scene, clear=True)
    for place in ((110, 180, 110, 190), (250, 390, 310, 590)):
        assert rough(hidden, *place) < 12 < 25 < rough(clear, *place)
    for place in ((250, 390, 110, 190), (110, 220, 310, 590)):
        assert rough(hidden, *place) > 25


def test_style_covers_the_catalogue() -> None:
    """Every class has a colour and a mark of its own that OpenCV can write."""
    assert set(STYLE) == set(VISION_CLASSES)
    assert len({colour for colour, _ in STYLE.values()}) == len({mark for _, mark in STYLE.values()}) == len(STYLE)
    assert all(mark.isascii() for _, mark in STYLE.values())
