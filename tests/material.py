"""Real pictures and videos that a machine may have."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from ioc.settings import Settings
from ioc.stack.home import SYSTEM_CACHE, build_cache


def material(name: str) -> Path | None:
    """A file by its name: fetched at set-up, in a cache of this machine, in the data folder, or in ultralytics' wheel."""
    settings = Settings()
    places = [folder / "media" for folder in (settings.home, build_cache(), SYSTEM_CACHE, settings.data_dir)]
    package = importlib.util.find_spec("ultralytics")
    if package is not None and package.origin is not None:
        places.append(Path(package.origin).parent / "assets")
    return next((place / name for place in places if (place / name).is_file()), None)


def need(name: str) -> Path:
    """The same; the test is skipped where it is nowhere."""
    found = material(name)
    if found is None:
        pytest.skip(f"no {name}: neither fetched at set-up, nor in the data folder")
    return found
