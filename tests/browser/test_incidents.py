"""Incidents in a real browser: a bin burns, an operator acknowledges, writes, closes; the database says the same."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ingest.service import Ingest
from ioc.alarms.log import verify
from ioc.db.alarms import log_of
from ioc.db.pool import Connection
from tests.fix_browser import OPERATOR
from tests.fix_ingest import Device, eventually, now_ms


@pytest.fixture
def burning(device: Device, ingest: Ingest, alarms: None, connection: Connection) -> Iterator[tuple[str, int]]:
    """A bin that burns: its id, and the incident that the engine opened for it."""
    key = f"bin-{uuid.uuid4().hex[:8]}"
    place = {"kind": "waste_bin", "name": f"Thùng rác chợ Thủ Đức {key}", "lat": 10.8505, "lon": 106.7545}
    device.send(f"ioc/{key}/announce", place, retain=True)
    eventually(lambda: connection.execute("SELECT 1 FROM device WHERE id = %s", (key,)).fetchone())
    say(device, key, "burning")
    yield key, eventually(lambda: incident_of(connection, key))
    say(device, key, "ok")


def say(device: Device, key: str, status: str) -> None:
    """The bin reports its condition."""
    device.send(f"ioc/{key}/telemetry", {"ts": now_ms(), "values": {"binStatus": status}})


def incident_of(connection: Connection, key: str) -> int | None:
    """The newest incident that a device is in."""
    row = connection.execute("SELECT incident FROM alarm WHERE device = %s ORDER BY id DESC LIMIT 1", (key,)).fetchone()
    return row[0] if row else None


def entries(connection: Connection, incident: int, kind: str) -> list[Any]:
    """Log entries of one kind."""
    return [entry for entry in log_of(connection, incident) if entry.kind == kind]


def test_alarm_appears_in_open_list_without_reload(
    page: Page, device: Device, ingest: Ingest, alarms: None, connection: Connection
) -> None:
    """An incident that opens while the page is open comes into the list by itself."""
    page.goto("/incidents")
    expect(page.locator("#incident-count")).to_have_text(re.compile(r"\d"))
    key = f"bin-{uuid.uuid4().hex[:8]}"
    device.send(f"ioc/{key}/announce", {"kind": "waste_bin", "name": key, "lat": 10.87, "lon": 106.76}, retain=True)
    eventually(lambda: connection.execute("SELECT 1 FROM device WHERE id = %s", (key,)).fetchone())
    say(device, key, "burning")
    incident = eventually(lambda: incident_of(connection, key))
    expect(page.locator(f".incident-row[data-incident='{incident}']")).to_be_visible()
    say(device, key, "ok")


def test_key_a_acknowledges_and_log_names_operator(
    page: Page, burning: tuple[str, int], connection: Connection
) -> None:
    """The key A writes one acknowledgement, under the operator's name, and the page shows it from the database."""
    _, incident = burning
    page.goto(f"/incidents?id={incident}")
    expect(page.locator("#incident-head")).to_contain_text(f"#{incident}")
    page.keyboard.press("a")
    said = eventually(lambda: entries(connection, incident, "acknowledged"))
    assert [entry.who for entry in said] == [OPERATOR]
    assert verify(log_of(connection, incident)) is None
    expect(page.locator("#incident-log .e-acknowledged")).to_contain_text(OPERATOR)
    expect(page.locator("#incident-chain")).to_contain_text("✓")
    expect(page.locator("#incident-file")).to_have_attribute("data-state", "acknowledged")
    page.keyboard.press("a")
    expect(page.locator(".toast")).to_be_visible()
    assert len(entries(connection, incident, "acknowledged")) == 1


def test_enter_on_the_wall_opens_the_chosen_file(page: Page, burning: tuple[str, int]) -> None:
    """From the wall's list to the incident's own file by key; Enter on a link stays the link's."""
    _, incident = burning
    page.goto("/")
    row = page.locator(f".incident[data-id='{incident}']")
    row.click()
    expect(row).to_have_class(re.compile("chosen"))
    page.keyboard.press("Enter")
    expect(page.locator("#incident-head")).to_contain_text(f"#{incident}")
    page.goto("/")
    expect(row).to_be_visible()
    page.locator(".nav-link", has_text="Camera").focus()
    page.keyboard.press("Enter")
    expect(page.locator("[data-page=cameras]")).to_be_visible()


def test_why_shows_rule_and_device(page: Page, burning: tuple[str, int]) -> None:
    """The evidence names the rule in words, the device, and the value."""
    key, incident = burning
    page.goto(f"/incidents?id={incident}")
    expect(page.locator("#incident-why")).to_contain_text("Thùng rác cháy")
    expect(page.locator("#incident-why")).to_contain_text(key)
    expect(page.locator("#incident-alarms")).to_contain_text("Cháy")


def test_note_with_markup_is_shown_as_text(page: Page, burning: tuple[str, int], connection: Connection) -> None:
    """What a person types is text, wherever it is shown."""
    _, incident = burning
    page.goto(f"/incidents?id={incident}")
    expect(page.locator("#incident-head")).to_contain_text(f"#{incident}")
    markup = "<img src=x onerror=document.title='bad'> **đậm**"
    page.click("[data-act=note]")
    page.fill("dialog textarea", markup)
    page.click("dialog .primary")
    eventually(lambda: [entry.text for entry in entries(connection, incident, "note")] == [markup])
    expect(page.locator("#incident-log .e-note .entry-text")).to_have_text(markup)
    assert page.locator("#incident-log img").count() == 0
    assert page.title() != "bad"


def test_close_before_clear_wants_reason_and_closes(
    page: Page, burning: tuple[str, int], connection: Connection
) -> None:
    """An incident that is not cleared closes with a reason only, and leaves the list."""
    _, incident = burning
    page.goto(f"/incidents?id={incident}")
    expect(page.locator("#incident-head")).to_contain_text(f"#{incident}")
    page.click("[data-act=close]")
    page.click("dialog .primary")
    expect(page.locator("dialog")).to_be_visible()
    page.fill("dialog textarea", "Đã dập lửa, thùng rác được thay")
    page.click("dialog .primary")
    said = eventually(lambda: entries(connection, incident, "closed"))
    assert said[0].text == "Đã dập lửa, thùng rác được thay"
    assert connection.execute("SELECT state FROM incident WHERE id = %s", (incident,)).fetchone() == ("closed",)
    expect(page.locator(f".incident-row[data-incident='{incident}']")).to_have_count(0)
    expect(page.locator("#incident-log .e-closed")).to_contain_text(OPERATOR)


def test_search_ignores_diacritics(page: Page, burning: tuple[str, int]) -> None:
    """The ward and the bin are found as they are typed in a hurry."""
    _, incident = burning
    page.goto("/incidents")
    row = page.locator(f".incident-row[data-incident='{incident}']")
    expect(row).to_be_visible()
    page.fill("#incident-text", "khong co noi nay")
    expect(row).to_have_count(0)
    page.fill("#incident-text", "thung rac cho thu duc")
    expect(row).to_be_visible()


def test_incident_that_is_not_there_is_said(page: Page) -> None:
    """A deep link to nothing says so."""
    page.goto("/incidents?id=999999")
    expect(page.locator("#incident-head")).to_contain_text("999999")
