"""Footage for the simulator's cameras, fetched at set-up: a street video from Debian, two pictures from the ultralytics wheel.

The demo runs without it; cameras without footage are then offline, as they would be in a city.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from ioc.errors import StackError
from ioc.stack.debian import Archive
from ioc.stack.home import SYSTEM_CACHE, Home, build_cache
from ioc.stack.steps import Progress
from ioc.stack.timescaledb import only_one
from ioc.stack.venv import PYTHON

#: The pinned wheel that carries bus.jpg and zidane.jpg.
WHEEL = "ultralytics==8.4.190"
PICTURES = ("bus.jpg", "zidane.jpg")
VIDEO = "vtest.avi"
FILES = (VIDEO, *PICTURES)


def present(home: Home) -> bool:
    """Whether all of it is there."""
    return all((home.media / name).is_file() for name in FILES)


def fetch(progress: Progress, home: Home) -> None:
    """Put the footage into `<home>/media`, from the cache of this machine where it has it."""
    home.media.mkdir(parents=True, exist_ok=True)
    own = build_cache() / "media"
    with only_one(build_cache()):
        for cache in (own, SYSTEM_CACHE / "media"):
            _take(cache, home.media)
        missing = [name for name in FILES if not (home.media / name).is_file()]
        if not missing:
            return
        work = build_cache() / "fetch"
        shutil.rmtree(work, ignore_errors=True)
        own.mkdir(parents=True, exist_ok=True)
        if VIDEO in missing:
            _video(progress, work, own)
        if set(PICTURES) & set(missing):
            _pictures(progress, work, own)
        shutil.rmtree(work)
        _take(own, home.media)


def _take(cache: Path, media: Path) -> None:
    for name in FILES:
        if (cache / name).is_file() and not (media / name).is_file():
            shutil.copyfile(cache / name, media / f".{name}")
            (media / f".{name}").rename(media / name)


def _video(progress: Progress, work: Path, media: Path) -> None:
    """Unpack the one file out of Debian's opencv-doc."""
    (deb,) = Archive(progress, build_cache() / "apt").download(work / "debs", "opencv-doc")
    progress.say(f"unpacking {VIDEO}")
    progress.run("sh", "-c", f"dpkg-deb --fsys-tarfile '{deb}' | tar -x -C '{work}' --wildcards '*/{VIDEO}'")
    found = next(work.glob(f"usr/**/{VIDEO}"), None)
    if found is None:
        raise StackError(f"{deb.name} has no {VIDEO}: the cameras that would show it stay offline")
    found.rename(media / VIDEO)


def _pictures(progress: Progress, work: Path, media: Path) -> None:
    """Unpack the two pictures out of the ultralytics wheel."""
    progress.say(f"downloading {WHEEL}")
    progress.run(
        PYTHON, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:", "-d", work / "wheel", WHEEL
    )
    (wheel,) = (work / "wheel").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        for name in PICTURES:
            (media / name).write_bytes(archive.read(f"ultralytics/assets/{name}"))
