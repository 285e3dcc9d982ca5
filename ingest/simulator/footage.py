"""Recorded footage for some camera points: real pictures, encoded once, shown in a loop and said to be recorded.

A camera point without footage stays offline; no picture is ever drawn or made up.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

JPEG_QUALITY = 80
FRAMES_PER_SECOND = 2.0
#: A still is repeated more slowly: enough to show that the camera is there.
STILLS_PER_SECOND = 0.5

#: Camera points that show footage, in the order they are given it; spread over the city.
SHOWING = (
    "cam-tth-21.12",
    "cam-tth-22.3",
    "cam-tth-1.1",
    "cam-tth-21.11",
    "cam-tth-32.1",
    "cam-tth-33.4",
    "cam-tth-228",
    "cam-tth-146",
)


class Clip(msgspec.Struct, frozen=True):
    """Pictures shown in a loop by one camera: JPEG files in their order, and where they come from.

    ``footage`` says so in Vietnamese, ``footage_en`` in English.
    """

    footage: str
    footage_en: str
    source: str
    licence: str
    frames: tuple[Path, ...]
    per_second: float = FRAMES_PER_SECOND


def find(media: Path, data: Path, cache: Path, stopping: Callable[[], bool] = lambda: False) -> dict[str, Clip]:
    """Footage by camera id, from what is there: the data folder's first, then what set-up fetched into ``media``.

    Videos are cut into JPEGs under ``cache`` the first time, which takes a few seconds; once
    ``stopping`` says so, what is not cut yet is left out. {} when there is nothing.
    """
    clips = [
        *_junctions(data / "hcmc-traffic" / "images"),
        *_cars(data / "media" / "car-detection.mp4", cache, stopping),
    ]
    people = next((path for path in (media / "vtest.avi", data / "media" / "vtest.avi") if path.is_file()), None)
    if people is not None:
        clips += _people(people, cache, stopping, parts=2 if clips else 4)
    if len(clips) < 6:
        clips += _stills(media)
    return dict(zip(SHOWING, clips, strict=False))


def _junctions(folder: Path) -> list[Clip]:
    """Two recorded junctions of the city; the longer recording is shown in four parts."""
    found: list[Clip] = []
    for camera, parts in (("cam_01", 4), ("cam_02", 1)):
        frames = tuple(sorted(folder.glob(f"{camera}_*.jpg")))
        found += [
            Clip(
                f"Ghi sẵn tại một nút giao ở TP.HCM ({camera}, đoạn {part + 1}/{parts}), không phải tại điểm này",
                f"Recorded at a junction of Ho Chi Minh City ({camera}, part {part + 1} of {parts}), not at this point",
                "minhtrietcancode/vietnamese-vehicle-detection",
                "not stated",
                frames[len(frames) * part // parts : len(frames) * (part + 1) // parts],
            )
            for part in range(parts if frames else 0)
        ]
    return found


def _cars(video: Path, cache: Path, stopping: Callable[[], bool]) -> list[Clip]:
    if not video.is_file():
        return []
    frames = _cut(video, cache, stopping)
    vi = "Ghi sẵn, xe nhìn từ trên cao (car-detection.mp4), không phải tại điểm này"
    en = "Recorded cars from above (car-detection.mp4), not at this point"
    return [Clip(vi, en, "intel-iot-devkit/sample-videos", "CC-BY-4.0", frames)] if frames else []


def _people(video: Path, cache: Path, stopping: Callable[[], bool], parts: int) -> list[Clip]:
    frames = _cut(video, cache, stopping)
    return [
        Clip(
            f"Ghi sẵn, người đi bộ (vtest.avi, đoạn {part + 1}/{parts}), không phải tại điểm này",
            f"Recorded pedestrians (vtest.avi, part {part + 1} of {parts}), not at this point",
            "OpenCV sample data (Debian opencv-doc)",
            "Apache-2.0",
            frames[len(frames) * part // parts : len(frames) * (part + 1) // parts],
        )
        for part in range(parts if frames else 0)
    ]


def _stills(media: Path) -> list[Clip]:
    return [
        Clip(
            f"Ảnh tĩnh có sẵn ({path.name}), không phải tại điểm này",
            f"Still picture ({path.name}), not at this point",
            "ultralytics assets",
            "AGPL-3.0",
            (path,),
            STILLS_PER_SECOND,
        )
        for name in ("bus.jpg", "zidane.jpg")
        if (path := media / name).is_file()
    ]


def _cut(video: Path, cache: Path, stopping: Callable[[], bool]) -> tuple[Path, ...]:
    """JPEGs of ``video`` at FRAMES_PER_SECOND, made once; () when the video cannot be read."""
    folder = cache / f"{video.stem}-{video.stat().st_size}-q{JPEG_QUALITY}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        # Under another name until it is whole: a start that is broken off must not leave half a clip.
        with tempfile.TemporaryDirectory(dir=cache) as working:
            part = Path(working) / "frames"
            part.mkdir()
            if _encode(video, part, stopping) and not folder.is_dir():
                shutil.move(part, folder)
    return tuple(sorted(folder.glob("*.jpg")))


def _encode(video: Path, folder: Path, stopping: Callable[[], bool]) -> bool:
    """Write the JPEGs; False when it was broken off."""
    import cv2  # only the first start needs it, and it would double the simulator's memory for good

    capture = cv2.VideoCapture(str(video))
    step = max(1.0, capture.get(cv2.CAP_PROP_FPS) / FRAMES_PER_SECOND)
    due, number = 0.0, 0
    while capture.grab():
        if stopping():
            return False
        if number >= due:
            ok, picture = capture.retrieve()
            if ok:
                cv2.imwrite(str(folder / f"{number:06d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            due += step
        number += 1
    capture.release()
    return True
