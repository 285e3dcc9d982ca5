"""Evidence pictures in a real browser: what a camera saw is shown with its alarm; its original is asked for, seen, destroyed."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from ioc.db.audit import verify_audit
from ioc.db.evidence_pictures import DESTROY, OPEN, EvidencePicture, SeenBox, about, accesses, keep_pictures
from ioc.db.pool import Connection
from ioc.sealing import MasterKey
from ioc.service import utc_now
from tests.fix_browser import OPERATOR, Wall

RAW = bytes(range(32))
KEY = MasterKey(RAW)
MEASURE = "peopleCount"


@pytest.fixture(scope="module")
def wall(environment: dict[str, str], runtime: Path) -> Iterator[Wall]:
    """The pages with a master key in a file."""
    file = runtime / "browser_key"
    file.write_text(base64.b64encode(RAW).decode())
    running = Wall(environment | {"IOC_EVIDENCE_MASTER_KEY_FILE": str(file)}, runtime / "dashboards.log")
    running.start()
    yield running
    running.stop()


def jpeg(grey: int, width: int = 1280) -> bytes:
    image = np.full((width * 9 // 16, width, 3), grey, dtype=np.uint8)
    cv2.rectangle(image, (width // 4, width // 8), (width // 2, width // 2), (80, 60, 150), cv2.FILLED)
    return bytes(cv2.imencode(".jpg", image)[1])


def incident_of_camera(connection: Connection, pictures: int, *, key: MasterKey | None = KEY) -> tuple[str, int]:
    """A camera with an alarm that so many pictures prove; its id and the incident."""
    camera, now = f"cam-{uuid.uuid4().hex[:8]}", utc_now()
    connection.execute(
        "INSERT INTO device (id, kind, name, lat, lon, ward) VALUES (%s, 'camera', %s, 10.85, 106.75, '26824')",
        (camera, f"Camera ngã tư {camera}"),
    )
    (incident,) = connection.execute(
        "INSERT INTO incident (cause, ward, priority, state, opened, changed) VALUES ('traffic', '26824', 2, 'open', %s, %s)"
        " RETURNING id",
        (now, now),
    ).fetchone() or (0,)
    connection.execute(
        "INSERT INTO alarm (rule, device, measure, ward, cause, priority, state, value, opened, changed, incident)"
        " VALUES ('test-crowd', %s, %s, '26824', 'traffic', 2, 'unacknowledged', 14, %s, %s, %s)",
        (camera, MEASURE, now, now, incident),
    )
    boxes = (SeenBox("person", 0.91, 0.3, 0.4, 0.36, 0.8), SeenBox("car", 0.7, 0.5, 0.5, 0.9, 0.95))
    for number in range(pictures):
        time = now - timedelta(seconds=2) + number * timedelta(seconds=30)
        original = None if key is None else key.seal(jpeg(200), about(camera, MEASURE, time))
        keep_pictures(
            connection,
            [EvidencePicture(camera, MEASURE, time, "Cổng chợ <b>", 1280, 720, boxes, jpeg(60), original)],
        )
    return camera, incident


def picture_of(connection: Connection, camera: str) -> int:
    row = connection.execute("SELECT min(id) FROM evidence_picture WHERE camera = %s", (camera,)).fetchone()
    assert row is not None
    return int(row[0])


def open_page(page: Page, incident: int, language: str = "vi") -> None:
    page.goto(f"/incidents?id={incident}&lang={language}")
    expect(page.locator("#incident-head")).to_contain_text(f"#{incident}")


def test_evidence_shows_picture_with_time_rule_and_boxes(page: Page, connection: Connection) -> None:
    """The first large, the others beside it; the boxes lie where they were seen; a rule's name is text."""
    _, incident = incident_of_camera(connection, 3)
    open_page(page, incident)
    figures = page.locator(".evidence-picture")
    expect(figures).to_have_count(3)
    first = figures.first
    expect(first.locator("figcaption strong")).to_have_text("Cổng chợ <b>")
    expect(first.locator("time")).to_be_visible()
    expect(first.locator("figcaption")).to_contain_text("Người 1")
    page.wait_for_function("document.querySelector('.evidence-picture img').naturalWidth === 1280")
    # Both at one moment: the others are still being loaded.
    frame, box = first.evaluate(
        "(one) => ['.evidence-frame', '.seen-box.c-car'].map((part) => one.querySelector(part).getBoundingClientRect().toJSON())"
    )
    assert box["x"] == pytest.approx(frame["x"] + 0.5 * frame["width"], abs=2)
    assert box["width"] == pytest.approx(0.4 * frame["width"], abs=2)
    assert box["y"] == pytest.approx(frame["y"] + 0.5 * frame["height"], abs=2)
    expect(page.locator(".evidence")).to_contain_text("đã được làm mờ")


def test_cameras_own_page_shows_the_picture_beside_its_alarm(page: Page, connection: Connection) -> None:
    """Small, and the way to the incident that shows it large."""
    camera, incident = incident_of_camera(connection, 2)
    page.goto(f"/cameras/{camera}")
    shot = page.locator(f"a[href='/incidents?id={incident}'] img.alarm-shot")
    expect(shot).to_be_visible()
    expect(shot).to_have_attribute("src", f"/evidence/{picture_of(connection, camera)}.jpg")


def test_original_is_shown_after_a_reason_and_the_log_tells(page: Page, connection: Connection) -> None:
    """No reason, no picture; with one it is shown, under the operator's name, and the access stands below the picture."""
    camera, incident = incident_of_camera(connection, 1)
    picture = picture_of(connection, camera)
    open_page(page, incident)
    expect(page.locator(".accesses")).to_contain_text("0")
    page.click("[data-original]")
    page.click("dialog .primary")
    expect(page.locator("dialog.ask")).to_be_visible()
    assert accesses(connection, picture) == []
    page.fill("dialog textarea", "Xác minh xe gây tai nạn")
    page.click("dialog .primary")
    expect(page.locator("dialog.original-view img")).to_be_visible()
    page.wait_for_function("document.querySelector('dialog.original-view img').naturalWidth === 1280")
    expect(page.locator("dialog.original-view")).to_contain_text("Xác minh xe gây tai nạn")
    (entry,) = accesses(connection, picture)
    assert (entry.who, entry.what) == (OPERATOR, OPEN)
    assert verify_audit(connection) is None
    page.click("dialog.original-view .button")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(".accesses li")).to_have_count(1)
    expect(page.locator(".accesses")).to_contain_text(OPERATOR)
    expect(page.locator(".accesses")).to_contain_text("Xác minh xe gây tai nạn")


def test_destroyed_originals_are_said_to_be_gone(page: Page, connection: Connection) -> None:
    """One reason destroys those of the incident; the blurred pictures stay."""
    camera, incident = incident_of_camera(connection, 2)
    open_page(page, incident, "en")
    page.click("[data-destroy]")
    page.fill("dialog textarea", "Retention is over")
    page.click("dialog .primary")
    expect(page.locator(".evidence-picture").first).to_contain_text("The original was destroyed")
    expect(page.locator("[data-original]")).to_have_count(0)
    expect(page.locator("[data-destroy]")).to_have_count(0)
    expect(page.locator(".evidence-picture img")).to_have_count(2)
    assert [entry.what for entry in accesses(connection, picture_of(connection, camera))] == [DESTROY]


def test_original_that_is_gone_meanwhile_is_said(page: Page, connection: Connection, faults: list[str]) -> None:
    """Somebody destroyed it after the page was drawn."""
    camera, incident = incident_of_camera(connection, 1)
    open_page(page, incident, "en")
    page.click("[data-original]")  # before it is gone: the page learns of that, and takes the button away
    connection.execute(
        "UPDATE evidence_original SET wrapped = NULL, sealed = NULL, destroyed = now() WHERE picture = %s",
        (picture_of(connection, camera),),
    )
    page.fill("dialog textarea", "to see")
    page.click("dialog .primary")
    expect(page.locator(".toast.bad")).to_contain_text("The original was destroyed")
    assert any("410" in fault for fault in faults)
    faults.clear()


@pytest.mark.parametrize(
    ("language", "none", "kept"),
    [("vi", "không có ảnh được lưu", "Ảnh gốc không được lưu"), ("en", "No picture of this alarm", "was not kept")],
)
def test_empty_states_are_said(page: Page, connection: Connection, language: str, none: str, kept: str) -> None:
    """A camera's alarm without a picture, and a picture whose original nobody keeps."""
    _, without = incident_of_camera(connection, 0)
    open_page(page, without, language)
    expect(page.locator(".no-evidence")).to_contain_text(none)
    _, blurred = incident_of_camera(connection, 1, key=None)
    open_page(page, blurred, language)
    expect(page.locator(".evidence-picture")).to_contain_text(kept)
    expect(page.locator("[data-original]")).to_have_count(0)
    expect(page.locator("[data-destroy]")).to_have_count(0)
