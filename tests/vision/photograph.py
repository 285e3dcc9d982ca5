"""Real photographs of streets that a machine may have."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ioc.settings import Settings


def photographs() -> list[Path]:
    """Those that are there: fetched at set-up, in ultralytics' wheel, or in the data folder."""
    settings = Settings()
    package = importlib.util.find_spec("ultralytics")
    places = [settings.home / "media" / "bus.jpg"]
    if package is not None and package.origin is not None:
        places.append(Path(package.origin).parent / "assets" / "bus.jpg")
    places += sorted((settings.data_dir / "hcmc-traffic" / "images").glob("*.jpg"))[100:101]
    return [place for place in places if place.is_file()]
