"""`make shots`: pictures of every page of a running demo, for the documents and for looking at them.

Full HD and 4K, both languages, both themes go to `.ioc/shots/`; the wall in Vietnamese at full HD also to `tests/browser/shots/`,
where the readme shows it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.progress import Progress

from ingest.simulator.footage import SHOWING
from tests.fix_browser import CHROMIUM, FLAGS

URL = "http://localhost:8050"
SIZES = {"hd": (1920, 1080), "4k": (3840, 2160)}
PAGES = {
    "wall": "/",
    "incidents": "/incidents",
    "cameras": "/cameras",
    # One of those that have footage.
    "camera": f"/cameras/{SHOWING[0]}",
    "devices": "/devices",
    "quarantine": "/quarantine",
}
#: Time for the first snapshot, charts and pictures; nothing on the wall tells that everything has been drawn.
SETTLE_MS = 8000


def main() -> None:
    """Take them all."""
    folder = Path(".ioc/shots")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [
        (name, path, size, language, theme)
        for name, path in PAGES.items()
        for size in SIZES
        for language in ("vi", "en")
        for theme in ("dark", "light")
    ]
    with sync_playwright() as playwright, Progress() as progress:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, path, size, language, theme in progress.track(wanted, description="pages"):
            width, height = SIZES[size]
            page = browser.new_page(bypass_csp=True, viewport={"width": width, "height": height})
            page.goto(f"{URL}{path}?lang={language}&theme={theme}")
            page.wait_for_function("window.IOC && IOC.city && IOC.city.epoch")
            page.wait_for_timeout(SETTLE_MS)
            page.screenshot(path=folder / f"{name}-{size}-{language}-{theme}.png")
            page.close()
        browser.close()
    shutil.copy(folder / "wall-hd-vi-dark.png", Path("tests/browser/shots/wall.png"))


if __name__ == "__main__":
    main()
