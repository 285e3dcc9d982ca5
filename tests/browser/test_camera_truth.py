"""A frozen camera does not look well on any page, in either language; a technician accepts a new view."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from ioc.camera_view import ACCEPT_VIEW
from ioc.catalog import PICTURE_STATES
from ioc.db.audit import entries_of
from ioc.db.camera_truth import Turn, keep_view, view_learnt, watch_on
from ioc.db.devices import Placed, announce
from ioc.db.pool import Connection, edition
from ioc.db.readings import begin_writing, store_readings
from ioc.live import Live
from ioc.model import Announcement, DevicesChanged, Frame, Quality, Reading, ReadingsChanged, SceneSeen
from tests.fix_browser import OPERATOR
from tests.fix_ingest import eventually
from vision.picture import encode_jpeg

NAME = "Ngã tư Bình Thái"
SCENE = np.kron(np.random.default_rng(3).integers(60, 190, (9, 16, 3)), np.ones((40, 40, 1))).astype(np.uint8)


@pytest.fixture
def camera(connection: Connection, live: Live) -> Iterator[str]:
    """A camera whose pictures come and are looked at for as long as the test lasts."""
    key = f"cam-{uuid.uuid4().hex[:8]}"
    made = announce(connection, [Placed(Announcement(key, "camera", NAME, 10.85, 106.77), "26824")])
    live.publish([DevicesChanged(made)])
    picture, stopping = encode_jpeg(SCENE), threading.Event()

    def send() -> None:
        while not stopping.wait(0.5):
            now = datetime.now(UTC)
            live.put_frame(Frame(key, now, picture))
            live.put_snapshot(Frame(key, now, picture), b"[]")
            live.publish([SceneSeen(key, now, {"car": 3}, 5.0, 20.0)])

    thread = threading.Thread(target=send)
    thread.start()
    yield key
    stopping.set()
    thread.join()


def find(connection: Connection, live: Live, camera: str, state: str) -> None:
    """The watcher finds it so."""
    now = datetime.now(UTC)
    reading = Reading(now, camera, "pictureState", float(PICTURE_STATES.index(state)), Quality.GOOD, now)
    with connection.transaction():
        watermark = begin_writing(connection, edition(connection))
        store_readings(connection, [reading], watermark, [reading])
        connection.execute("INSERT INTO camera_watch (until) VALUES (%s) ON CONFLICT DO NOTHING", (now,))
        watch_on(connection, [Turn(camera, state, now - timedelta(minutes=1))], now)  # type: ignore[arg-type]
    live.publish([ReadingsChanged([reading])])


@pytest.mark.parametrize(
    ("language", "frozen", "untrue", "summary"),
    [
        ("vi", "Hình đứng", "lỗi hình", "1 không tin được"),
        ("en", "Picture frozen", "bad picture", "1 not to be trusted"),
    ],
)
def test_frozen_camera_is_marked_on_every_page(
    page: Page, connection: Connection, live: Live, camera: str, language: str, frozen: str, untrue: str, summary: str
) -> None:
    """Its pictures come every half second, and still: the tile, the table, its page and all cameras say what is the matter."""
    page.goto(f"/?lang={language}")
    tile = page.locator(f".camera[data-camera='{camera}']").first
    expect(tile).to_be_visible()
    expect(tile.locator(".camera-untrue")).to_be_hidden()
    find(connection, live, camera, "frozen")
    expect(tile.locator(".camera-untrue")).to_have_text(frozen)
    expect(tile).to_have_class("camera on untrue")
    expect(page.locator("#camera-summary")).to_contain_text(summary)

    page.goto(f"/devices?id={camera}&lang={language}")
    expect(page.locator("#device-head .health")).to_have_class("health h-untrue")
    expect(page.locator("#device-facts")).to_contain_text(untrue)
    expect(page.locator("#device-camera .camera-untrue")).to_have_text(frozen)
    expect(page.locator(f".ag-row[row-id='{camera}']")).to_contain_text(untrue)
    expect(page.locator("#device-strips .strip").nth(2).locator(".s-offline")).to_have_count(1)

    page.goto(f"/cameras?lang={language}")
    expect(page.locator(f".cam[data-camera='{camera}']")).to_have_attribute("data-state", "fault")
    expect(page.locator(f".cam[data-camera='{camera}'] .cam-state")).to_contain_text(frozen)

    find(connection, live, camera, "ok")
    expect(page.locator(f".cam[data-camera='{camera}']")).to_have_attribute("data-state", "live")
    page.goto(f"/?lang={language}")
    expect(tile).to_have_class("camera on")


def test_technician_accepts_a_new_view(page: Page, connection: Connection, live: Live, camera: str) -> None:
    """Uptime and the view's age stand with the picture; the button asks, forgets the view and writes down who said so."""
    now = datetime.now(UTC)
    keep_view(connection, camera, 0, b"seen", now - timedelta(minutes=5))
    with connection.transaction():
        watch_on(connection, [Turn(camera, "ok", now - timedelta(hours=3))], now - timedelta(hours=1))
        watch_on(connection, [Turn(camera, "moved", now - timedelta(hours=1))], now)
    find(connection, live, camera, "moved")
    page.goto(f"/devices?id={camera}")
    card = page.locator("#device-camera")
    expect(card.locator(".camera-untrue")).to_have_text("Lệch góc nhìn")
    expect(card.locator(".camera-lost")).to_contain_text("Lệch góc nhìn 1 giờ")
    expect(page.locator("#device-facts")).to_contain_text("66,")
    card.get_by_role("button", name="Đây là góc nhìn mới").click()
    dialog = page.locator("dialog[open]")
    expect(dialog).to_contain_text(f"Lấy hình hiện tại của {NAME} làm góc nhìn chuẩn?")
    dialog.get_by_role("button", name="Đây là góc nhìn mới").click()
    eventually(lambda: view_learnt(connection, camera) is None)
    expect(card.locator(".camera-view")).to_contain_text("Đang học góc nhìn")
    expect(page.locator("#device-entry")).to_contain_text("Nhận góc nhìn mới")
    (entry,) = entries_of(connection, camera, (ACCEPT_VIEW,), 5)
    assert entry.who == OPERATOR
