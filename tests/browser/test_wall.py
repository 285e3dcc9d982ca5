"""The wall in a real browser: what is published is seen, and what is dead is never shown as alive."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from ingest.service import Ingest
from ioc.live import Live
from ioc.model import Heartbeat
from ioc.service import utc_now
from tests.fix_browser import Wall
from tests.fix_ingest import Device, eventually, now_ms
from tests.fix_stack import BrokerServer, CacheServer

HIGHEST = "[data-value='water_highest'] .figure"
#: A lost link's mark, by the link's own name.
LINK = "#links .link:has-text('{}') .health"


def announce(device: Device, kind: str = "flood_gauge") -> str:
    """A new device in the middle of the city."""
    key = f"wall-{uuid.uuid4().hex[:8]}"
    device.send(f"ioc/{key}/announce", {"kind": kind, "name": f"Trạm {key}", "lat": 10.82, "lon": 106.77}, retain=True)
    return key


def open_wall(page: Page, path: str = "/") -> None:
    """Open the wall and wait for its first snapshot."""
    page.goto(path)
    eventually(lambda: page.evaluate("window.IOC && IOC.city && IOC.city.epoch"))


def test_reading_of_ordinary_client_is_on_the_wall(
    page: Page, device: Device, ingest: Ingest, broker: BrokerServer
) -> None:
    """`mosquitto_pub` publishes a water level; the open wall shows it, with nothing reloaded."""
    key = announce(device)
    open_wall(page)
    program = shutil.which("mosquitto_pub")
    message = {"ts": now_ms(), "values": {"waterLevel": 1.37}}
    if program:
        where = ["-h", broker.host, "-p", str(broker.port), "-q", "1"]
        subprocess.run(
            [program, *where, "-t", f"ioc/{key}/telemetry", "-m", json.dumps(message)], check=True, timeout=30
        )
    else:
        device.send(f"ioc/{key}/telemetry", message)
    expect(page.locator(HIGHEST)).to_have_text("1,37")
    page.goto("/?lang=en")
    expect(page.locator(HIGHEST)).to_have_text("1.37")
    page.goto("/?lang=vi")
    device.send(f"ioc/{key}/telemetry", {"ts": now_ms(), "values": {"waterLevel": 1.38}})
    expect(page.locator(HIGHEST)).to_have_text("1,38")


def test_old_reading_is_no_figure_on_the_wall(page: Page, device: Device, ingest: Ingest) -> None:
    """A level from an hour ago is stored, and is not shown as the level of now."""
    key = announce(device)
    open_wall(page)
    device.send(f"ioc/{key}/telemetry", {"ts": now_ms() - 3_600_000, "values": {"waterLevel": 9.5}})
    fresh = announce(device)
    device.send(f"ioc/{fresh}/telemetry", {"ts": now_ms(), "values": {"waterLevel": 1.41}})
    expect(page.locator(HIGHEST)).to_have_text("1,41")


@pytest.mark.parametrize("path", ["/", "/incidents", "/cameras", "/devices", "/quarantine"])
def test_page_asks_nobody_but_the_server(page: Page, path: str, ingest: Ingest) -> None:
    """No page has faults or requests to anybody else; the fixture looks at every one of them."""
    open_wall(page, path)
    for theme in ("light", "dark"):
        page.goto(f"{path}?theme={theme}&lang=en")
        page.wait_for_timeout(1500)
    assert page.evaluate("performance.getEntriesByType('resource').length") > 3


def test_wall_says_that_redis_is_gone_and_back(page: Page, cache: CacheServer, ingest: Ingest, device: Device) -> None:
    """Without Redis the live link is marked lost; with it, values move again without a reload."""
    key = announce(device)
    open_wall(page)
    link = page.locator(LINK.format("Redis"))
    expect(link).to_have_class("health h-online")
    cache.kill()
    expect(link).to_have_class("health h-lost")
    # Stored all the same, and on the wall once Redis is back.
    device.send(f"ioc/{key}/telemetry", {"ts": now_ms(), "values": {"waterLevel": 1.43}})
    cache.start()
    expect(link).to_have_class("health h-online")
    expect(page.locator(HIGHEST)).to_have_text("1,43")


def test_wall_says_what_the_broker_dropped(page: Page, live: Live, ingest: Ingest) -> None:
    """In words and in the colour of a fault, in either language."""
    open_wall(page)
    link = page.locator("#links .link:has-text('MQTT')")
    expect(link.locator(".health")).to_have_class("health h-online")
    live.beat(Heartbeat("ingest", "other", utc_now() + timedelta(seconds=30), "ok", figures={"broker_dropped": 1234.0}))
    expect(link).to_have_attribute("data-state", "degraded")
    expect(link.locator("span")).to_have_text("đã mất 1.234 bản tin")
    page.goto("/?lang=en")
    expect(link.locator("span")).to_have_text("1,234 messages dropped")
    page.goto("/?lang=vi")


def test_wall_says_so_when_its_server_is_killed(page: Page, wall: Wall, faults: list[str]) -> None:
    """SIGKILL of the dashboards: a banner within seconds, then dimmed and marked; gone by itself when the server is back."""
    open_wall(page)
    banner = page.locator("#banner")
    expect(banner).not_to_be_visible()
    wall.kill()
    expect(banner).to_be_visible()
    expect(banner).to_contain_text("MẤT KẾT NỐI")
    heard = page.evaluate("IOC.silence()")
    assert heard > 2.5, f"the banner came {heard:.1f} s after the last word of the server, before it was due"
    expect(page.locator("html.frozen")).to_have_count(1)
    wall.start()
    expect(banner).not_to_be_visible()
    expect(page.locator("html.frozen")).to_have_count(0)
    faults.clear()  # the requests that failed while the server was dead


def test_address_of_no_page_shows_the_way_back(page: Page) -> None:
    """In the reader's language, with the names of the pages."""
    open_wall(page, "/no-such-page")
    expect(page.locator("h2")).to_have_text("Không có trang này")
    page.click("text=Về trang Tường")
    expect(page.locator("[data-page=wall]")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/incidents", "/cameras", "/devices", "/quarantine"])
def test_phone_shows_every_page_within_its_width(page: Page, path: str, ingest: Ingest) -> None:
    """Nothing lies beside the screen, and the pages' names can be read."""
    page.set_viewport_size({"width": 390, "height": 844})
    for language in ("vi", "en"):
        open_wall(page, f"{path}?lang={language}")
        expect(page.locator(".nav-link").last).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        sizes = "[...document.querySelectorAll('.nav-link')].map((link) => parseFloat(getComputedStyle(link).fontSize))"
        assert min(page.evaluate(sizes)) >= 13
        assert (
            page.evaluate("new Set([...document.querySelectorAll('.nav-link')].map((link) => link.offsetTop)).size")
            == 1
        )
    page.goto(f"{path}?lang=vi")
