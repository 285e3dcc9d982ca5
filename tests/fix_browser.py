"""A real browser in front of the real pages.

browser   module   Debian's Chromium, headless; no longer than a module, since Playwright keeps an event loop running
wall      module   `python -m dashboards` on this module's stack: `.url`, `.kill()`, `.start()`
alarms    module   `python -m ioc.alarms` on this module's stack
faults    test     what went wrong in the page: errors of scripts, failed requests, requests to anybody but the server
page      test     a page of the browser that knows an operator's name; at its end there must be no faults
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Response, expect, sync_playwright

from ioc.live import Live
from tests.fix_ingest import eventually
from tests.fix_stack import own_port

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or ""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
OPERATOR = "Ca trực thử"

# Generous, because the machine may be busy; nothing waits longer than it must.
expect.set_options(timeout=60_000)


class Wall:
    """The pages as a process that a test may kill and start again, on its port."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = own_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = environment | {"IOC_DASHBOARDS_PORT": str(self.port), "IOC_DASHBOARDS_HOST": "127.0.0.1"}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it serves from a good snapshot."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dashboards"], env=self._environment, stdout=log, stderr=log
            )
        eventually(self._ready, within_s=120)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL it."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(how)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return bool(json.load(answer)["ready"])
        except (URLError, OSError):
            return False


@pytest.fixture(scope="module")
def wall(environment: dict[str, str], runtime: Path) -> Iterator[Wall]:
    """The pages, running."""
    running = Wall(environment, runtime / "dashboards.log")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def alarms(environment: dict[str, str], live: Live) -> Iterator[None]:
    """The alarm engine, running."""
    process = subprocess.Popen([sys.executable, "-m", "ioc.alarms"], env=environment)
    eventually(lambda: any(beat.service == "alarms" for beat in live.heartbeats()), within_s=120)
    yield
    process.send_signal(signal.SIGTERM)
    process.wait(60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium."""
    if not CHROMIUM:
        pytest.fail("no Chromium: apt-get install chromium, or name one in CHROMIUM")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def faults() -> list[str]:
    """What went wrong; a test that breaks something on purpose clears it."""
    return []


@pytest.fixture
def page(browser: Browser, wall: Wall, faults: list[str]) -> Iterator[Page]:
    """A new page, 1080p, in Vietnamese; relative addresses go to the pages of this module."""
    context = browser.new_context(base_url=wall.url, viewport={"width": 1920, "height": 1080}, locale="vi-VN")
    context.add_cookies([{"name": "operator", "value": quote(OPERATOR), "url": wall.url}])
    context.set_default_timeout(60_000)
    made = context.new_page()

    def heard(message: ConsoleMessage) -> None:
        if message.type == "error":
            faults.append(f"console: {message.text}")

    def asked(request: Request) -> None:
        if not request.url.startswith((wall.url + "/", "data:", "blob:")):
            faults.append(f"request to somebody else: {request.url}")

    def answered(response: Response) -> None:
        if response.status >= 400:
            faults.append(f"{response.status}: {response.url}")

    made.on("console", heard)
    made.on("pageerror", lambda error: faults.append(f"script: {error}"))
    made.on("request", asked)
    made.on("response", answered)
    yield made
    context.close()
    assert faults == []
