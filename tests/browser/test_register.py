"""A discovered device stands out and is adopted with a form in its panel, in a real browser."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from ioc.db.audit import entries_of
from ioc.db.devices import device as registered
from ioc.db.devices import discover
from ioc.db.events import store_events
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.model import DevicesChanged, Discovery, Event
from ioc.register import ACTS, ADOPT, EDIT, RETIRE
from tests.fix_browser import OPERATOR
from tests.fix_ingest import eventually


@pytest.fixture
def found(connection: Connection, live: Live) -> str:
    """A device that another dialect has met; its name would be markup, if anybody took it for that."""
    key = f"zigbee.{uuid.uuid4().hex[:8]}"
    attrs = {"topic": "zigbee2mqtt/<b>den", "vendor": "IKEA"}
    live.publish([DevicesChanged(discover(connection, [Discovery(key, "zigbee2mqtt", "<b>đèn cổng", attrs=attrs)]))])
    return key


@pytest.fixture
def refused(page: Page, faults: list[str]) -> Iterator[None]:
    """The server is meant to refuse: its 400 is no fault of the page."""
    yield
    faults[:] = [fault for fault in faults if "400" not in fault]


@pytest.mark.usefixtures("refused")
def test_new_device_stands_out_and_is_adopted(page: Page, connection: Connection, found: str) -> None:
    """A chip counts it, a badge names its dialect, the form says what is missing, a click on the map places it."""
    page.goto("/devices")
    page.locator("#device-states .chip", has_text="Mới").click()
    row = page.locator(f".ag-row[row-id='{found}']")
    expect(row.locator(".badge.waiting")).to_have_text("mới · zigbee2mqtt")
    row.click()
    card = page.locator("#device-entry")
    expect(card).to_contain_text("Mới: phát hiện qua giao thức zigbee2mqtt")
    expect(card).to_contain_text("zigbee2mqtt/<b>den")
    assert card.locator("b").count() == 0
    card.get_by_role("button", name="Nhận thiết bị").click()
    name = card.locator("[name=name]")
    expect(name).to_have_value("<b>đèn cổng")
    name.fill(" ")
    card.locator("button.primary").click()
    expect(card.locator("#fault-name")).to_have_text("Cần một cái tên")
    expect(card.locator("#fault-kind")).to_have_text("Chọn một loại thiết bị")
    expect(card.locator("#fault-lat")).to_contain_text("bản đồ")
    name.fill("Đèn cổng UBND")
    expect(card.locator("#fault-name")).to_be_empty()
    card.locator("[name=kind]").select_option("streetlight")
    card.locator("#entry-map").click()
    expect(card.locator("path.entry-pin")).to_be_visible()
    card.locator("button.primary").click()
    expect(card.locator("#entry-form")).to_be_hidden()
    expect(page.locator("#device-head")).to_contain_text("Đèn cổng UBND")
    expect(card).to_contain_text(OPERATOR)
    expect(row.locator(".badge.waiting")).to_have_count(0)
    adopted = registered(connection, found)
    assert adopted is not None
    assert (adopted.status, adopted.kind, adopted.name) == ("active", "streetlight", "Đèn cổng UBND")
    assert adopted.ward
    (entry,) = entries_of(connection, found, ACTS)
    assert (entry.what, entry.who) == (ADOPT, OPERATOR)


@pytest.mark.usefixtures("refused")
def test_form_takes_typed_coordinates_and_names_faults(page: Page, connection: Connection, found: str) -> None:
    """A decimal comma is one; what is no number, no device or no place of ours is said beside its field, in English too."""
    page.goto(f"/devices?id={found}&lang=en")
    card = page.locator("#device-entry")
    card.get_by_role("button", name="Adopt").click()
    card.locator("[name=kind]").select_option("cabinet")
    for lat, lon, parent, faults in (
        ("abc", "106,75", "", {"lat": "not a number"}),
        ("106,75", "10,85", "nobody", {"lat": "Outside", "lon": "Outside", "parent": "no device"}),
        ("10,85", "", "", {"lon": "or neither"}),
    ):
        card.locator("[name=lat]").fill(lat)
        card.locator("[name=lon]").fill(lon)
        card.locator("[name=parent]").fill(parent)
        card.locator("button.primary").click()
        for field, fault in faults.items():
            expect(card.locator(f"#fault-{field}")).to_contain_text(fault)
    card.locator("[name=lon]").fill("106,75")
    card.locator("[name=parent]").fill("")
    card.locator("button.primary").click()
    eventually(lambda: (one := registered(connection, found)) and one.status == "active")
    adopted = registered(connection, found)
    assert adopted is not None
    assert (adopted.lat, adopted.lon) == (10.85, 106.75)


def test_device_is_put_under_maintenance_and_retired(page: Page, connection: Connection, found: str) -> None:
    """The same form edits it later; each act is read below it."""
    connection.execute(
        "UPDATE device SET status = 'active', kind = 'streetlight', name = 'Đèn cổng' WHERE id = %s", (found,)
    )
    page.goto(f"/devices?id={found}")
    card = page.locator("#device-entry")
    for status, said in (("maintenance", "đang bảo trì"), ("retired", "ngừng phục vụ")):
        card.get_by_role("button", name="Sửa").click()
        card.locator("[name=status]").select_option(status)
        card.locator("button.primary").click()
        expect(card.locator("#device-entry-known")).to_contain_text(f"→ {said}")
    assert [entry.what for entry in entries_of(connection, found, ACTS)] == [RETIRE, EDIT]
    expect(page.locator(f".ag-row[row-id='{found}']")).to_have_count(0)


def test_events_are_read_with_their_names(page: Page, connection: Connection, found: str) -> None:
    """What a device told of is in its panel; a device that told of nothing has no such card."""
    page.goto(f"/devices?id={found}")
    expect(page.locator("#device-head")).to_contain_text("đèn cổng")
    card = page.locator(".card-device-events")
    expect(card).to_be_hidden()
    now = datetime.now(UTC)
    with connection.transaction():
        store_events(connection, [Event(now, found, "fault", "relay-1", {"detail": "<b>quá nhiệt"}, now)])
    page.reload()
    expect(card).to_contain_text("Thiết bị báo lỗi")
    expect(card).to_contain_text("detail: <b>quá nhiệt")
    assert card.locator("b").count() == 0
