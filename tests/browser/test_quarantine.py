"""Quarantine in a real browser: an unknown payload is listened to, mapped, replayed; hostile ones stay what they are."""

from __future__ import annotations

import json
import uuid

import pytest
from playwright.sync_api import Page, expect

from ingest.service import Ingest
from ioc.db.audit import verify_audit
from ioc.db.mappings import all_mappings, history
from ioc.db.pool import Connection
from tests.fix_browser import OPERATOR
from tests.fix_ingest import Device, eventually, now_ms


@pytest.fixture
def site() -> str:
    """The first level of topics nobody else uses."""
    return f"site{uuid.uuid4().hex[:8]}"


def find(page: Page, text: str) -> None:
    """Search for a place, and wait until the list is of it."""
    page.fill("#quarantine-text", text)
    expect(page.locator("#quarantine-rows tr[data-message] .where").first).to_contain_text(text)


def choose(page: Page, text: str) -> None:
    """Open the newest message of a place."""
    find(page, text)
    page.locator("#quarantine-rows tr[data-message]").first.click()
    expect(page.locator("#quarantine-head")).to_contain_text(text)


def refused(connection: Connection, like: str) -> int:
    row = connection.execute("SELECT count(*) FROM quarantine WHERE topic LIKE %s", (f"{like}%",)).fetchone()
    assert row is not None
    return int(row[0])


def test_unknown_payload_is_mapped_and_replayed(
    page: Page, device: Device, ingest: Ingest, connection: Connection, site: str
) -> None:
    """From a topic nobody knows to a device with readings, by mouse and keys; then new messages flow by themselves."""
    page.goto("/quarantine")
    page.click("[data-mode-of=list]")
    page.click("[data-quarantine=listen]")
    page.fill("[data-focus=name]", "Vườn thử")
    page.fill("[data-focus=filter]", f"{site}/+/air")
    page.click("[data-save=listen]:not([disabled])")
    expect(page.locator("#mapping-list")).to_contain_text(f"{site}/+/air")
    eventually(lambda: f"{site}/+/air" in ingest._link._told.filters)
    sent = {"nhiet_do": 254, "do_am": 61, "co2": 640, "ten": "<i>x</i>"}
    device.send(f"{site}/phong-2/air", sent)
    eventually(lambda: refused(connection, site))

    choose(page, f"{site}/phong-2/air")
    expect(page.locator("#quarantine-head")).to_contain_text("Chờ ánh xạ")
    expect(page.locator("#quarantine-payload")).to_contain_text('"nhiet_do": 254')
    page.click("[data-quarantine=map]")
    result = page.locator("[data-result=nhiet_do]")
    expect(result).to_have_class("result bad")
    page.fill("[data-focus='nhiet_do scale']", "0.1")
    expect(result).to_have_text("25,4 °C")
    page.click("[data-focus='co2 measure']")
    page.keyboard.type("bui min")
    page.keyboard.press("Enter")
    expect(page.locator("[data-result=co2]")).to_have_text("640 µg/m³")
    expect(page.locator(".trials")).to_contain_text("map.phong-2")
    expect(page.locator(".trials")).to_contain_text("Nhiệt độ 25,4 °C")
    page.click("[data-save=all]:not([disabled])")
    expect(page.locator("#quarantine-head")).to_contain_text(f"{site}/phong-2/air")
    page.click("[data-quarantine=replay]")
    expect(page.locator("#quarantine-head .outcome-replayed")).to_be_visible()
    query = "SELECT measure, value, quality FROM reading WHERE device = 'map.phong-2' ORDER BY measure"
    stored = connection.execute(query).fetchall()
    assert stored == [("pm25", 640.0, 3), ("relativeHumidity", 0.61, 3), ("temperature", 25.4, 3)]
    times = connection.execute(
        "SELECT count(*) FROM reading r JOIN quarantine q ON q.received = r.time WHERE device = 'map.phong-2'"
    ).fetchone()
    assert times == (3,)

    device.send(f"{site}/phong-3/air", {"nhiet_do": 260})
    eventually(lambda: connection.execute("SELECT 1 FROM reading WHERE device = 'map.phong-3'").fetchone())
    assert refused(connection, f"{site}/phong-3") == 0
    page.goto("/devices?id=map.phong-2")
    expect(page.locator("#device-head")).to_contain_text("map.phong-2")
    expect(page.locator("#device-measures")).to_contain_text("25,4")

    made = next(one for one in all_mappings(connection) if one.filter == f"{site}/+/air")
    assert [(entry.what, entry.who) for entry in history(connection, made.id)] == [
        ("mapping.change", OPERATOR),
        ("mapping.create", OPERATOR),
    ]
    assert verify_audit(connection) is None


def test_mapping_is_edited_disabled_and_has_a_history(
    page: Page, ingest: Ingest, connection: Connection, site: str
) -> None:
    """A path by hand, a fault beside its field, the list, and who did what."""
    page.goto("/quarantine")
    page.click("[data-mode-of=list]")
    page.click("[data-quarantine=listen]")
    page.fill("[data-focus=name]", "Bơm")
    page.fill("[data-focus=filter]", "ioc/#")
    expect(page.locator("[data-fault=filter]")).to_contain_text("Chồng lên")
    expect(page.locator("[data-save=listen]")).to_be_disabled()
    page.fill("[data-focus=filter]", f"{site}/+")
    expect(page.locator("[data-fault=filter]")).to_be_hidden()
    page.fill("[data-focus=device]", "{7}")
    expect(page.locator("[data-fault=device]")).to_contain_text("không có cấp 7")
    page.fill("[data-focus=device]", "{2}")
    page.click(".editor-more .tab")
    page.fill("dialog .input", "a[0].muc")
    page.click("dialog .primary")
    page.click("[data-focus='a[0].muc measure']")
    page.keyboard.type("waterlevel")
    page.keyboard.press("Enter")
    page.click("[data-save=all]:not([disabled])")
    row = page.locator(".mapping", has_text=f"{site}/+")
    expect(row).to_contain_text("Mực nước")
    row.locator("[data-switch]").click()
    expect(row).to_contain_text("đã tắt")
    row.locator("[data-edit]").click()
    expect(page.locator("#mapping-history")).to_contain_text("đã tắt")
    expect(page.locator("#mapping-history")).to_contain_text("đã tạo")
    expect(page.locator("#mapping-history")).to_contain_text(OPERATOR)
    eventually(lambda: f"{site}/+" not in ingest._link._held.names)


def test_counts_filters_and_pages(
    page: Page, device: Device, ingest: Ingest, connection: Connection, site: str
) -> None:
    """Reasons are counted and are filters; older messages are on the next page; what comes appears by itself."""
    for number in range(85):
        device.send(f"ioc/{site}/telemetry", b"poison %d" % number)
    device.send(f"ioc/{site}/telemetry", {"ts": now_ms(), "values": {"pm25": -5}})
    eventually(lambda: refused(connection, f"ioc/{site}") == 86)
    page.goto(f"/quarantine?text={site}")
    json_card, range_card = page.locator("[data-reason=json]"), page.locator("[data-reason=range]")
    expect(json_card).to_contain_text("85")
    expect(range_card).to_contain_text("1")
    rows = page.locator("#quarantine-rows tr[data-message]")
    expect(rows).to_have_count(80)
    page.click("[data-quarantine=older]")
    expect(rows).to_have_count(6)
    page.click("[data-quarantine=first]")
    expect(rows).to_have_count(80)
    range_card.click()
    expect(rows).to_have_count(1)
    rows.first.click()
    expect(page.locator("#quarantine-payload .marked")).to_contain_text('"pm25": -5')
    device.send(f"ioc/{site}/telemetry", {"ts": now_ms(), "values": {"pm25": -6}})
    expect(rows).to_have_count(2)
    page.click("[data-view=hex]")
    expect(page.locator(".payload-hex")).to_contain_text("000000  7b 22")
    assert page.evaluate("new URL(location.href).searchParams.get('id')")
    page.fill("#quarantine-text", "khong co gi nhu vay")
    expect(page.locator("#quarantine-rows .empty")).to_be_visible()


HOSTILE = {
    "script": b'{"</script><script>document.title=\'bad\'</script>": "<img src=x onerror=\\"document.title=\'bad\'\\">"}',
    "bidi": '{"\u202e\u2066txt": "\u202egnp.exe", "\u200b": 1}'.encode(),
    "bytes": bytes(range(256)) * 40,
    "utf8": b'{"a": "\xff\xc0\x80"}',
    "large": json.dumps({"values": [{"i": n, "t": "x" * 20} for n in range(25_000)]}).encode(),
    "deep": b"[" * 900 + b"]" * 900,
    "wide": json.dumps({f"k{n}": n for n in range(3000)}).encode(),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_payload_is_only_shown(
    page: Page, device: Device, ingest: Ingest, connection: Connection, kind: str
) -> None:
    """In every view, in the editor and in the list it is text; nothing runs, nothing turns, the page goes on."""
    key = f"hostile-{kind}-{uuid.uuid4().hex[:6]}"
    device.send(f"ioc/{key}/telemetry", HOSTILE[kind])
    eventually(lambda: refused(connection, f"ioc/{key}"))
    page.goto("/quarantine")
    choose(page, key)
    payload = page.locator("#quarantine-payload .payload")
    for view in ("text", "hex", "json"):
        tab = page.locator(f"[data-view={view}]")
        if tab.is_enabled():
            tab.click()
            expect(page.locator(f".payload-{view}")).to_be_visible()
            assert not set(payload.inner_text()) & set("\u202e\u2066\u200b\0\x1b")
    assert page.locator("#quarantine-payload script, #quarantine-payload img").count() == 0
    page.click("[data-quarantine=map]")
    expect(page.locator(".editor")).to_be_visible()
    expect(page.locator("[data-focus=filter]")).to_have_value(f"ioc/{key}/telemetry")
    assert page.locator(".editor script, .editor img").count() == 0
    assert "bad" not in page.title()


def test_message_that_is_not_here_is_said(page: Page) -> None:
    """A link to a message that has grown too old says so; one that is none is ignored."""
    page.goto("/quarantine?id=1782907200000000-7")
    expect(page.locator("#quarantine-head")).to_contain_text("không còn ở đây")
    page.goto("/quarantine?id=%3Cscript%3E")
    expect(page.locator(".mappings-side")).to_be_visible()


def test_page_without_quarantine_says_so(page: Page, connection: Connection) -> None:
    """An empty quarantine is good news, and the page says it."""
    connection.execute("DELETE FROM quarantine; DELETE FROM quarantine_hour")
    page.goto("/quarantine?lang=en&theme=light")
    expect(page.locator("#quarantine-rows .empty")).to_contain_text("Nothing lies in quarantine")


def test_page_says_that_the_database_is_away_and_comes_back(
    page: Page, connection: Connection, device: Device, ingest: Ingest, site: str
) -> None:
    """Nothing old is shown while TimescaleDB refuses, and the page goes on by itself."""
    device.send(f"ioc/{site}/telemetry", b"poison")
    eventually(lambda: refused(connection, f"ioc/{site}"))
    page.goto("/quarantine")
    choose(page, site)
    connection.execute("ALTER TABLE quarantine_hour RENAME TO hidden")
    try:
        page.click("[data-span='7 d']")
        expect(page.locator("#quarantine-away")).to_contain_text("Cơ sở dữ liệu không trả lời")
        expect(page.locator("#quarantine-rows tr")).to_have_count(0)
    finally:
        connection.execute("ALTER TABLE hidden RENAME TO quarantine_hour")
    expect(page.locator("#quarantine-away")).to_be_empty()
    expect(page.locator("#quarantine-rows tr[data-message]").first).to_be_visible()
