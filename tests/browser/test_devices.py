"""Devices in a real browser: found without diacritics, with what they sent, on a desk and on a phone."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import Page, expect

from ingest.service import Ingest
from tests.fix_browser import Wall
from tests.fix_ingest import Device, eventually, now_ms
from tests.fix_stack import Database


@pytest.fixture
def gauge(device: Device, ingest: Ingest, db: Database) -> str:
    """A flood gauge that has announced itself and sent one reading."""
    key = f"flood-{uuid.uuid4().hex[:8]}"
    place = {"kind": "flood_gauge", "name": f"Đo ngập Quốc Hương {key}", "lat": 10.8045, "lon": 106.7325}
    device.send(f"ioc/{key}/announce", place | {"firmware": "4.2"}, retain=True)
    measure(device, key, 0.87)
    with db.connect() as connection:
        eventually(lambda: connection.execute("SELECT 1 FROM latest WHERE device = %s", (key,)).fetchone())
    return key


def measure(device: Device, key: str, level: float) -> None:
    """The gauge reports a water level."""
    device.send(f"ioc/{key}/telemetry", {"ts": now_ms(), "values": {"waterLevel": level}})


def test_search_finds_device_without_diacritics(page: Page, gauge: str) -> None:
    """A device is found by its Vietnamese name typed without diacritics, and by nothing else."""
    page.goto("/devices")
    row = page.locator(f".ag-row[row-id='{gauge}']")
    expect(row).to_be_visible()
    page.fill("#device-text", "khong co")
    expect(row).to_have_count(0)
    page.fill("#device-text", f"do ngap quoc huong {gauge[-8:]}")
    expect(row).to_be_visible()
    expect(row).to_contain_text("0,87")


def test_table_shows_new_reading_without_reload(page: Page, device: Device, gauge: str) -> None:
    """A value that changes is changed in the open table."""
    page.goto("/devices")
    row = page.locator(f".ag-row[row-id='{gauge}']")
    expect(row).to_contain_text("0,87")
    measure(device, gauge, 1.13)
    expect(row).to_contain_text("1,13")


def test_history_shows_published_reading(page: Page, device: Device, gauge: str) -> None:
    """What an ordinary client publishes is a point of the chart."""
    page.goto(f"/devices?id={gauge}")
    expect(page.locator("#device-head")).to_contain_text("Đo ngập Quốc Hương")
    expect(page.locator("#device-history .js-plotly-plot .main-svg").first).to_be_visible()
    measure(device, gauge, 1.21)
    drawn = "() => document.querySelector('#device-history .js-plotly-plot').data.at(-1).y.some((y) => Math.abs(y - 1.21) < 0.2)"
    page.wait_for_function(drawn)
    expect(page.locator("#device-measures")).to_contain_text("1,21")


def test_row_opens_panel_and_address_follows(page: Page, wall: Wall, gauge: str) -> None:
    """A click opens the device, and the address can be sent to somebody."""
    page.goto("/devices")
    page.locator(f".ag-row[row-id='{gauge}']").click()
    expect(page.locator("#device-head")).to_contain_text(gauge)
    assert page.url == f"{wall.url}/devices?id={gauge}"
    expect(page.locator("#device-head .qr")).to_have_attribute("href", f"{wall.url}/devices?id={gauge}")


def test_quarantined_message_is_on_its_devices_page(page: Page, device: Device, gauge: str, db: Database) -> None:
    """What could not be stored is shown with its reason, as text."""
    device.send(f"ioc/{gauge}/telemetry", {"ts": now_ms(), "values": {"<b>waterLevel": 1}})
    with db.connect() as connection:
        eventually(
            lambda: connection.execute("SELECT 1 FROM quarantine WHERE topic LIKE %s", (f"%{gauge}%",)).fetchone()
        )
    page.goto(f"/devices?id={gauge}")
    expect(page.locator("#device-rejected")).to_contain_text("<b>waterLevel")
    assert page.locator("#device-rejected b").count() == 0


def test_device_page_fits_a_phone(page: Page, gauge: str) -> None:
    """The page behind the label is as wide as a phone, without scrolling sideways."""
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/devices?id={gauge}")
    expect(page.locator("#device-measures")).to_contain_text("Mực nước")
    expect(page.locator(".table-pane")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_device_that_is_not_there_is_said(page: Page) -> None:
    """A label of a device that nobody knows says so; one that is no id at all is ignored."""
    page.goto("/devices?id=no-such-device")
    expect(page.locator("#device-head")).to_contain_text("no-such-device")
    page.goto("/devices?id=%3Cscript%3E")
    expect(page.locator(".device-pane")).to_be_hidden()


def test_quiet_device_is_not_late_before_its_own_time(page: Page, device: Device, ingest: Ingest, db: Database) -> None:
    """A gauge that speaks once an hour by its own word keeps its value in the table; in the panel it is fresh as well."""
    key = f"flood-{uuid.uuid4().hex[:8]}"
    device.send(
        f"ioc/{key}/announce",
        {"kind": "flood_gauge", "name": f"Đo ngập {key}", "attrs": {"period_s": 3600}},
        retain=True,
    )
    old = now_ms() - 40 * 60_000
    device.send(f"ioc/{key}/telemetry", {"ts": old, "values": {"waterLevel": 0.61}})
    with db.connect() as connection:
        eventually(lambda: connection.execute("SELECT 1 FROM latest WHERE device = %s", (key,)).fetchone())
    page.goto(f"/devices?id={key}")
    expect(page.locator(f".ag-row[row-id='{key}'] .cell-value")).to_have_attribute("data-age", "fresh")
    expect(page.locator(f".ag-row[row-id='{key}']")).to_contain_text("0,61")
    expect(page.locator("#device-measures .aged").first).to_have_attribute("data-age", "fresh")
