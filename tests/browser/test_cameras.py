"""Cameras in a real browser: what is live, late and gone is told apart; rules are drawn with mouse, finger and keys, and kept."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

import cv2
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from ioc.camera_rules import RULE_KINDS, CameraRule
from ioc.db.audit import verify_audit
from ioc.db.camera_budgets import budgets, set_budget
from ioc.db.camera_rules import ADD, CHANGE, REMOVE, add, change, history, rules_of
from ioc.db.devices import device as registered
from ioc.db.pool import Connection
from ioc.errors import StorageError
from ioc.live import Live
from ioc.model import (
    Alarm,
    AlarmsChanged,
    CameraFigures,
    DevicesChanged,
    Frame,
    Incident,
    Reading,
    ReadingsChanged,
    RulesWatched,
    SceneSeen,
    StageTime,
)
from tests.fix_browser import OPERATOR, Wall
from tests.fix_ingest import eventually
from tests.fix_stack import CacheServer, Database
from tests.material import need
from vision.picture import encode_jpeg

WARD, OTHER_WARD = "27094", "26800"
ZONE = ((0.2, 0.2), (0.7, 0.25), (0.6, 0.8), (0.25, 0.7))

Camera = Callable[..., str]
Play = Callable[..., None]


@pytest.fixture(scope="module")
def footage() -> list[bytes]:
    """A few seconds of a street with people, as JPEGs."""
    video = cv2.VideoCapture(str(need("vtest.avi")))
    frames = [video.read()[1] for _ in range(40)]
    return [encode_jpeg(frame) for frame in frames[::4]]


@pytest.fixture
def make_camera(connection: Connection, live: Live) -> Camera:
    """Register cameras that are nobody else's; `**columns` of the table."""

    def make(**columns: object) -> str:
        key = f"cam-{uuid.uuid4().hex[:8]}"
        row = {"id": key, "kind": "camera", "name": f"Cầu {key}", "ward": WARD, "lat": 10.8, "lon": 106.75}
        row |= {"state": "online", "state_time": datetime.now(UTC), "attrs": '{"period_s": 1.5}'} | columns
        names, places = ", ".join(row), ", ".join(["%s"] * len(row))
        connection.execute(f"INSERT INTO device ({names}) VALUES ({places})", list(row.values()))
        made = registered(connection, key)
        assert made is not None
        live.publish([DevicesChanged([made])])
        return key

    return make


@pytest.fixture
def play(live: Live, footage: list[bytes], db: Database) -> Iterator[Play]:
    """Send pictures of cameras as vision does, twice a second, until the test ends or `play.stop` is set."""
    stop, threads = threading.Event(), []

    def send(cameras: tuple[str, ...], fps: float) -> None:
        with db.connect() as connection:
            send_with(connection, cameras, fps)

    def send_with(connection: Connection, cameras: tuple[str, ...], fps: float) -> None:
        for picture in cycle(footage):
            now = datetime.now(UTC)
            for camera in cameras:
                live.put_frame(Frame(camera, now, picture))
                live.put_snapshot(Frame(camera, now, picture), b"[]")
            live.publish([SceneSeen(camera, now, {"person": 4}, 30.0, 80.0) for camera in cameras])
            live.put_camera_figures(figures(camera, now, fps) for camera in cameras)
            live.put_rules_watched(watched(connection, camera, now, fps) for camera in cameras)
            if stop.wait(0.5):
                return

    def begin(*cameras: str, fps: float = 5.0) -> None:
        threads.append(threading.Thread(target=send, args=(cameras, fps)))
        threads[-1].start()

    def end() -> None:
        stop.set()
        for thread in threads:
            thread.join(60)

    begin.stop = end  # type: ignore[attr-defined]
    yield begin
    end()


def figures(camera: str, now: datetime, fps: float) -> CameraFigures:
    stages = {"inferred": StageTime(31.0, 44.0), "total": StageTime(104.0, 190.0)}
    return CameraFigures(
        camera=camera,
        time=now,
        worker="host-77",
        seen=now,
        frames_s=fps,
        arrived_s=5.0,
        budget=8.0,
        stages=stages,
        drops={"stale": 3},
    )


def watched(connection: Connection, camera: str, now: datetime, fps: float) -> RulesWatched:
    try:
        rules = rules_of(connection, [camera])
    except StorageError:
        rules = []  # one test hides the table
    resting = tuple(rule.id for rule in rules if RULE_KINDS[rule.kind].least_fps(rule.classes) > fps)
    watching = tuple(rule.id for rule in rules if rule.id not in resting)
    stopped = {rule.id: 2.0 for rule in rules if rule.kind == "stopped"}
    return RulesWatched(camera, now, fps, watching, resting, stopped)


@pytest.fixture
def refused(page: Page, faults: list[str]) -> Iterator[None]:
    """The server is meant to refuse: its 400 is no fault of the page."""
    yield
    faults[:] = [fault for fault in faults if "400" not in fault]


def open_camera(page: Page, key: str, more: str = "") -> Locator:
    """Open a camera's page and wait for its picture; returns what is drawn on."""
    page.goto(f"/cameras/{key}{more}")
    expect(page.locator(".stage-view .camera-live")).to_be_visible()
    expect(page.locator("#camera-file")).to_have_attribute("data-state", "shown")
    return page.locator(".rule-overlay")


def at(overlay: Locator, x: float, y: float) -> tuple[float, float]:
    """A place of the picture, in pixels of the page."""
    box = overlay.bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def click(page: Page, overlay: Locator, *points: tuple[float, float]) -> None:
    for point in points:
        page.mouse.click(*at(overlay, *point))


def kept(connection: Connection, key: str, count: int = 1) -> list[CameraRule]:
    """The rules of a camera, once there are so many."""
    eventually(lambda: len(rules_of(connection, [key])) == count)
    return rules_of(connection, [key])


def near(points: Any, expected: Any) -> bool:
    return len(points) == len(expected) and all(
        abs(one - other) < 0.01 for pair in zip(points, expected, strict=True) for one, other in zip(*pair, strict=True)
    )


def make_alarm(connection: Connection, device: str, **changes: Any) -> AlarmsChanged:
    """An alarm of a camera, as the engine publishes it; it need not be stored to be seen."""
    now = datetime.now(UTC)
    number = int(time.time() * 1000) % 1_000_000_000
    told = {"rule": "jam", "measure": "occupancy", "priority": 2, "state": "unacknowledged"} | changes
    alarm = Alarm(
        id=number, device=device, ward=WARD, cause="traffic", value=0.7, limit=0.6, opened=now, changed=now,
        incident=number, **told,
    )  # fmt: skip
    incident = Incident(
        id=number,
        cause="traffic",
        ward=WARD,
        priority=2,
        state="open",
        opened=now,
        changed=now,
        closed=None,
        alarms=1,
        active=1,
    )
    return AlarmsChanged([alarm], [incident])


# --- all cameras -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("language", "said"), [("vi", "Chưa có camera nào"), ("en", "There is no camera yet")])
def test_page_without_cameras_says_so(page: Page, language: str, said: str) -> None:
    """The first thing a new installation shows is what to expect."""
    page.goto(f"/cameras?lang={language}")
    expect(page.locator("#cameras-away")).to_contain_text(said)
    page.goto(f"/cameras/no-such-camera?lang={language}")
    expect(page.locator("#camera-head")).to_contain_text("no-such-camera")
    page.goto("/cameras/%3Cscript%3E")
    expect(page.locator("#camera-file")).to_have_attribute("data-state", "none")


def test_tiles_come_worst_first_each_with_its_state(
    page: Page, make_camera: Camera, play: Play, connection: Connection, live: Live
) -> None:
    """An alarm before a picture that cannot be trusted before what is live; cameras without a picture take no room for one."""
    good, lying, jam = make_camera(name="A tốt"), make_camera(name="B đứng hình"), make_camera(name="C ùn tắc")
    dark = make_camera(state="offline", name="<b>D mất")
    play(good, lying, jam)
    page.goto("/cameras")
    for key in (good, lying, jam):
        expect(page.locator(f"[data-camera='{key}'] .camera-live")).to_be_visible()
    live.publish([make_alarm(connection, jam)])
    now = datetime.now(UTC)
    live.publish([ReadingsChanged([Reading(now, lying, "pictureState", 3.0, 0, now)])])
    expect(page.locator(f"a[data-camera='{jam}'] .cam-alarm")).to_contain_text("Ùn tắc")
    expect(page.locator(f"a[data-camera='{jam}']")).to_have_class("cam unseen-2 p2")
    expect(page.locator(f"a[data-camera='{lying}']")).to_have_attribute("data-state", "fault")
    expect(page.locator(f"a[data-camera='{lying}'] .cam-state")).to_contain_text("Hình đứng")
    expect(page.locator(f"#cameras-lost a[data-camera='{dark}']")).to_contain_text("ngoại tuyến")
    expect(page.locator(f"a[data-camera='{dark}'] .cam-name")).to_have_text("<b>D mất")
    mine = f":is([data-camera='{good}'], [data-camera='{lying}'], [data-camera='{jam}'])"
    page.wait_for_function(
        "([tiles, wanted]) => [...document.querySelectorAll(tiles)].map((tile) => tile.dataset.camera).join() === wanted",
        arg=[f"#cameras-grid a.cam{mine}", f"{jam},{lying},{good}"],
    )


def test_picture_that_grows_old_is_marked_and_then_taken_away(page: Page, make_camera: Camera, play: Play) -> None:
    """Nothing on the page takes a picture of before for one of now, on either page."""
    key = make_camera(attrs='{"period_s": 4}')  # it is late for so long that a busy machine sees it
    play(key)
    page.goto("/cameras")
    tile = page.locator(f"a[data-camera='{key}']")
    expect(tile).to_have_attribute("data-state", "live")
    expect(tile.locator(".camera-live")).to_be_visible()
    play.stop()  # type: ignore[attr-defined]
    expect(tile).to_have_attribute("data-state", "late")
    expect(tile).to_have_attribute("data-state", "silent")
    expect(tile.locator(".camera-live")).to_have_count(0)
    expect(page.locator(f"#cameras-lost a[data-camera='{key}']")).to_be_visible()
    page.goto(f"/cameras/{key}")
    expect(page.locator(".stage-none")).to_have_text("Không có hình")
    expect(page.locator(".stage-view .camera-live")).to_have_count(0)


def test_camera_whose_dialect_brings_no_pictures_has_lost_none(page: Page, make_camera: Camera) -> None:
    """Of one that speaks alone a picture is not missed; of one that sends them, and has not, it is."""
    heard = {"last_seen": datetime.now(UTC), "attrs": '{"period_s": 600}'}
    speaks, sends = make_camera(dialect="frigate", **heard), make_camera(**heard)
    page.goto("/cameras")
    expect(page.locator(f"a[data-camera='{speaks}']")).to_have_attribute("data-state", "unknown")
    expect(page.locator(f"a[data-camera='{sends}']")).to_have_attribute("data-state", "silent")


def test_filters_narrow_and_stand_in_the_address(page: Page, make_camera: Camera) -> None:
    """Without diacritics, by ward and by state; whoever is sent the address sees the same."""
    key = make_camera(name="Ngã tư Bình Thái", ward=OTHER_WARD, state="offline")
    other = make_camera(name="Cầu Phú Mỹ", state="offline")
    page.goto("/cameras")
    mine, others = page.locator(f"a[data-camera='{key}']"), page.locator(f"a[data-camera='{other}']")
    expect(mine).to_be_visible()
    page.fill("#camera-text", "binh thai")
    expect(others).to_have_count(0)
    expect(mine).to_be_visible()
    page.locator("#camera-states [data-chip=live]").click()
    expect(mine).to_have_count(0)
    expect(page.locator("#cameras-away")).to_contain_text("Không có camera nào khớp")
    page.locator("#camera-states [data-chip=live]").click()
    page.locator("#camera-states [data-chip=offline]").click()
    expect(mine).to_be_visible()
    page.wait_for_function("new URL(location.href).searchParams.get('state') === 'offline'")
    page.reload()
    expect(mine).to_be_visible()
    expect(others).to_have_count(0)
    page.goto(f"/cameras?ward={WARD}")
    expect(others).to_be_visible()
    expect(mine).to_have_count(0)


def test_forty_eight_cameras_are_asked_for_a_few_at_a_time(
    page: Page, make_camera: Camera, play: Play, browser: Browser
) -> None:
    """Tiles stay the same elements, those off the screen get no pictures, and no more than six are asked for at once."""
    page.add_init_script(
        "(() => { const ask = window.fetch; let now = 0; window.most = 0;"
        " window.fetch = (what, more) => { if (!String(what).startsWith('/camera/')) return ask(what, more);"
        " window.most = Math.max(window.most, ++now); return ask(what, more).finally(() => { now -= 1; }); }; })()"
    )
    keys = [make_camera(name=f"Điểm {number:02}", attrs='{"period_s": 60}') for number in range(48)]
    play(*keys)
    page.goto(f"/cameras?text=diem&size=large&ward={WARD}")
    expect(page.locator("#cameras-grid a.cam")).to_have_count(48)
    first, last = page.locator(f"a[data-camera='{keys[0]}']"), page.locator(f"a[data-camera='{keys[-1]}']")
    expect(first.locator(".camera-live")).to_be_visible()
    first.evaluate("(tile) => { tile.mine = true; }")
    taken = first.locator(".cam-view").get_attribute("data-taken")
    page.wait_for_function(
        "([key, taken]) => document.querySelector(`[data-camera='${key}'] .cam-view`).dataset.taken > taken",
        arg=[keys[0], taken],
    )
    assert first.evaluate("(tile) => tile.mine")
    expect(last.locator(".camera-live")).to_have_count(0)
    last.scroll_into_view_if_needed()
    expect(last.locator(".camera-live")).to_be_visible()
    assert 1 <= page.evaluate("window.most") <= 6


def test_pages_say_that_redis_is_gone_and_go_on_when_it_is_back(
    page: Page,
    make_camera: Camera,
    play: Play,
    cache: CacheServer,
    connection: Connection,
    faults: list[str],
    live: Live,
) -> None:
    """No pictures without Redis, and no pretence of any; figures are not known rather than good."""
    key = make_camera()
    add(connection, CameraRule(0, key, "line", "Vạch cũ", ((0.2, 0.5), (0.8, 0.5))), "Hoa")
    frame = Frame(key, datetime.now(UTC), b"")
    page.goto("/cameras")
    expect(page.locator(f"a[data-camera='{key}']")).to_be_visible()
    cache.kill()
    try:
        expect(page.locator("#cameras-away")).to_contain_text("Redis không trả lời")
        page.goto(f"/cameras/{key}")
        expect(page.locator(".stage-none")).to_contain_text("Redis không trả lời")
        expect(page.locator("#camera-figures")).to_contain_text("Redis không trả lời")
        expect(page.locator("#rule-list")).to_contain_text("Vạch cũ")
    finally:
        cache.start()
    eventually(lambda: _answers(live))
    play(frame.camera)
    expect(page.locator(".stage-view .camera-live")).to_be_visible()
    expect(page.locator("#camera-figures")).to_contain_text("host-77")
    faults.clear()


def _answers(live: Live) -> bool:
    try:
        live.ping()
    except Exception:  # noqa: BLE001 - it is asked again
        return False
    return True


# --- one camera ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["vi", "en"])
def test_page_shows_picture_figures_counts_and_alarms(
    page: Page, make_camera: Camera, play: Play, connection: Connection, language: str
) -> None:
    """Everything about the camera, in either language, with nothing left a key."""
    key = make_camera()
    now = datetime.now(UTC)
    for label, objects in (("person", 240), ("car", 60)):
        row = (now - timedelta(minutes=20), key, label, 60, objects, 9)
        connection.execute("INSERT INTO camera_count VALUES (%s, %s, %s, %s, %s, %s)", row)
    play(key)
    open_camera(page, key, f"?lang={language}")
    expect(page.locator("#camera-figures")).to_contain_text("host-77")
    expect(page.locator("#camera-figures")).to_contain_text("190")
    expect(page.locator("#camera-counts .count-bar title")).to_contain_text("4,0" if language == "vi" else "4.0")
    expect(page.locator("#camera-inside li", has_text="Người" if language == "vi" else "Person")).to_contain_text("4")
    expect(page.locator("#camera-head a[href^='/devices?id=']")).to_have_attribute("href", f"/devices?id={key}")
    shown = page.locator("[data-page]").inner_text()
    assert not [part for part in ("camera:", "stage-of:", "drop:", "fault:", "{", "undefined", "NaN") if part in shown]


def test_camera_without_frames_says_so_and_can_still_be_read(page: Page, make_camera: Camera) -> None:
    """No picture, no figures, no counts: each says that it has none."""
    key = make_camera(state="offline")
    page.goto(f"/cameras/{key}")
    expect(page.locator(".stage-none")).to_have_text("Camera ngoại tuyến")
    expect(page.locator("#camera-figures")).to_contain_text("Không ai xem camera này")
    expect(page.locator("#camera-counts")).to_contain_text("chưa xem camera này")
    expect(page.locator("#rule-list")).to_contain_text("Chưa vẽ gì")


def test_line_drawn_with_the_mouse_is_kept_and_shown_again(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """Two clicks, a name, saved under the operator's name; after loading again it is there, over the live picture."""
    key = make_camera()
    play(key)
    overlay = open_camera(page, key)
    page.click("[data-rule=new]")
    expect(page.locator("[data-tool=save]")).to_be_disabled()
    click(page, overlay, (0.2, 0.6), (0.7, 0.5))
    page.fill("[name=rule-name]", "<i>Vào</i> phố")
    page.locator(".class-choice", has_text="Người").click()
    page.click("[data-tool=save]")
    (rule,) = kept(connection, key)
    assert (rule.kind, rule.name, rule.version) == ("line", "<i>Vào</i> phố", 1)
    assert near(rule.points, ((0.2, 0.6), (0.7, 0.5)))
    assert rule.classes == ("motorbike", "car", "bus", "truck", "bicycle")
    assert [(one.what, one.who) for one in history(connection, key)] == [(ADD, OPERATOR)]
    assert verify_audit(connection) is None
    expect(page.locator("#rule-list")).to_contain_text("<i>Vào</i> phố")
    open_camera(page, key)
    expect(page.locator(f"[data-rule='{rule.id}'] .rule-arrow")).to_be_attached()
    expect(page.locator(".rule-label")).to_have_text("<i>Vào</i> phố")
    expect(page.locator("#rule-list")).to_contain_text("đang chạy")


def test_line_is_pulled_turned_and_taken_back(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """One stroke of the mouse draws a line as well; the arrow is turned, and each step can be taken back and done again."""
    key = make_camera()
    play(key)
    overlay = open_camera(page, key)
    page.click("[data-rule=new]")
    page.mouse.move(*at(overlay, 0.3, 0.3))
    page.mouse.down()
    page.mouse.move(*at(overlay, 0.5, 0.6), steps=5)
    page.mouse.move(*at(overlay, 0.6, 0.7), steps=5)
    page.mouse.up()
    expect(page.locator(".handle")).to_have_count(2)
    page.click("[data-tool=turn]")
    page.click("[data-tool=undo]")
    page.click("[data-tool=undo]")
    expect(page.locator(".handle")).to_have_count(1)
    page.click("[data-tool=redo]")
    page.click("[data-tool=redo]")
    page.click("[data-tool=save]")
    (rule,) = kept(connection, key)
    assert near(rule.points, ((0.6, 0.7), (0.3, 0.3)))
    assert rule.name == "Vạch đếm"


def test_rule_is_moved_renamed_and_removed(page: Page, make_camera: Camera, play: Play, connection: Connection) -> None:
    """A point is dragged, then the whole, and the name changed; it is removed after a question. All of it is in the log."""
    key = make_camera()
    play(key)
    add(connection, CameraRule(0, key, "zone", "Vùng chờ", ZONE), "Hoa")
    overlay = open_camera(page, key)
    page.locator("#rule-list .rule-row").click()
    page.mouse.move(*at(overlay, *ZONE[0]))
    page.mouse.down()
    page.mouse.move(*at(overlay, 0.1, 0.1), steps=4)
    page.mouse.up()
    page.mouse.move(*at(overlay, 0.45, 0.5))
    page.mouse.down()
    page.mouse.move(*at(overlay, 0.5, 0.55), steps=4)
    page.mouse.up()
    page.fill("[name=rule-name]", "Vùng chờ đèn đỏ")
    page.click("[data-tool=save]")
    expect(page.locator("#rule-list")).to_contain_text("Vùng chờ đèn đỏ")
    (rule,) = kept(connection, key)
    assert rule.version == 2
    assert near(rule.points, ((0.15, 0.15), (0.75, 0.3), (0.65, 0.85), (0.3, 0.75)))
    page.locator("#rule-list .rule-row").click()
    page.click("[data-tool=remove]")
    page.locator("dialog[open]").get_by_role("button", name="Thôi").click()
    assert len(rules_of(connection, [key])) == 1
    page.click("[data-tool=remove]")
    page.locator("dialog[open]").get_by_role("button", name="Gỡ bỏ").click()
    kept(connection, key, 0)
    expect(page.locator("#rule-list")).to_contain_text("Chưa vẽ gì")
    assert [(one.what, one.who) for one in history(connection, key)] == [
        (REMOVE, OPERATOR),
        (CHANGE, OPERATOR),
        (ADD, "Hoa"),
    ]


def test_zone_is_closed_on_its_first_corner_and_gains_and_loses_corners(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """Corner by corner; a mark between two corners becomes one, a double click takes one away."""
    key = make_camera()
    play(key)
    overlay = open_camera(page, key)
    page.click("[data-rule=new]")
    page.select_option("[name=rule-kind]", "loitering")
    page.fill("[name=rule-seconds]", "90")
    click(page, overlay, *ZONE, ZONE[0])
    expect(page.locator(".handle-add")).to_have_count(4)
    middle = ((ZONE[0][0] + ZONE[1][0]) / 2, (ZONE[0][1] + ZONE[1][1]) / 2)
    page.mouse.move(*at(overlay, *middle))
    page.mouse.down()
    page.mouse.move(*at(overlay, 0.45, 0.05), steps=4)
    page.mouse.up()
    expect(page.locator(".handle")).to_have_count(5)
    page.mouse.dblclick(*at(overlay, *ZONE[3]))
    expect(page.locator(".handle")).to_have_count(4)
    page.click("[data-tool=save]")
    (rule,) = kept(connection, key)
    assert near(rule.points, (ZONE[0], (0.45, 0.05), ZONE[1], ZONE[2]))
    assert (rule.kind, rule.settings, rule.classes) == ("loitering", {"seconds": 90}, ())


def test_ground_is_drawn_with_its_distances(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """Four corners, and what lies between them in metres, typed with a decimal comma; a second ground is refused in words."""
    key = make_camera()
    play(key)
    overlay = open_camera(page, key)
    page.click("[data-rule=new]")
    page.select_option("[name=rule-kind]", "ground")
    click(page, overlay, (0.35, 0.3), (0.65, 0.3), (0.9, 0.9), (0.1, 0.9))
    page.fill("[name=rule-width]", "7,5")
    page.click("[data-tool=save]")
    (rule,) = kept(connection, key)
    assert (rule.kind, rule.settings, len(rule.points)) == ("ground", {"width": 7.5}, 4)


def test_line_is_drawn_and_moved_with_keys_alone(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """Arrows and Enter draw, Tab and arrows move a point; nothing needs a mouse."""
    key = make_camera()
    play(key)
    open_camera(page, key)
    page.locator("[data-rule=new]").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    expect(page.locator(".handle")).to_have_count(2)
    page.locator(".handle").nth(1).focus()
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    page.locator("[data-tool=save]").focus()
    page.keyboard.press("Enter")
    (rule,) = kept(connection, key)
    assert near(rule.points, ((0.45, 0.5), (0.65, 0.6)))


def test_line_is_drawn_with_a_finger(
    browser: Browser, wall: Wall, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """On a phone in the street, too: the page is as wide as the phone, and two taps are a line."""
    key = make_camera()
    play(key)
    context = browser.new_context(
        base_url=wall.url, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    context.add_cookies([{"name": "operator", "value": "Minh", "url": wall.url}])
    context.set_default_timeout(60_000)
    page = context.new_page()
    overlay = open_camera(page, key)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.tap("[data-rule=new]")
    overlay.scroll_into_view_if_needed()
    for point in ((0.2, 0.5), (0.8, 0.6)):
        page.touchscreen.tap(*at(overlay, *point))
    expect(page.locator(".handle")).to_have_count(2)
    page.tap("[data-tool=save]")
    (rule,) = kept(connection, key)
    assert near(rule.points, ((0.2, 0.5), (0.8, 0.6)))
    context.close()


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize(
    ("language", "crossed", "limits"),
    [("vi", "Các cạnh cắt nhau", "Ngoài giới hạn cho phép"), ("en", "sides cross", "Outside")],
)
def test_shape_that_cannot_be_is_refused_in_words(
    page: Page, make_camera: Camera, play: Play, connection: Connection, language: str, crossed: str, limits: str
) -> None:
    """The server says what is wrong, the page says it beside the field, and what was drawn is still there to be mended."""
    key = make_camera()
    play(key)
    overlay = open_camera(page, key, f"?lang={language}")
    page.click("[data-rule=new]")
    page.select_option("[name=rule-kind]", "crowd")
    click(page, overlay, (0.2, 0.2), (0.8, 0.8), (0.8, 0.2), (0.2, 0.8))
    page.click("[data-tool=close]")
    page.fill("[name=rule-people]", "9999")
    page.click("[data-tool=save]")
    expect(page.locator("[data-fault=points]")).to_contain_text(crossed)
    expect(page.locator("[data-fault=people]")).to_contain_text(limits)
    assert rules_of(connection, [key]) == []
    page.fill("[name=rule-people]", "x")
    page.click("[data-tool=save]")
    expect(page.locator("[data-fault=people]")).to_contain_text("Không phải" if language == "vi" else "not a number")
    page.fill("[name=rule-people]", "30")
    page.click("[data-tool=anew]")
    click(page, overlay, *ZONE, ZONE[0])
    page.click("[data-tool=save]")
    (rule,) = kept(connection, key)
    assert rule.settings == {"people": 30}


@pytest.mark.usefixtures("refused")
def test_second_of_two_who_edit_a_rule_is_told(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """Who came first is named; whoever came second chooses whose it shall be, and nothing is overwritten unseen."""
    key = make_camera()
    play(key)
    rule = add(connection, CameraRule(0, key, "line", "Vạch", ((0.2, 0.5), (0.8, 0.5))), "Hoa")
    open_camera(page, key)
    page.locator("#rule-list .rule-row").click()
    page.fill("[name=rule-name]", "Của tôi")
    changed = change(connection, CameraRule(rule.id, key, "line", "Của Minh", rule.points, version=1), "Minh")
    page.click("[data-tool=save]")
    note = page.locator(".rule-note")
    expect(note).to_contain_text("Minh vừa sửa quy tắc này")
    assert rules_of(connection, [key]) == [changed]
    note.locator("[data-tool=theirs]").click()
    expect(page.locator("[name=rule-name]")).to_have_value("Của Minh")
    page.fill("[name=rule-name]", "Của cả hai")
    page.click("[data-tool=save]")
    eventually(lambda: rules_of(connection, [key])[0].name == "Của cả hai")
    # Told also before saving, as soon as the page learns of it.
    page.locator("#rule-list .rule-row").click()
    change(connection, CameraRule(rule.id, key, "line", "Lại của Minh", rule.points, version=3), "Minh")
    expect(note).to_contain_text("Minh vừa sửa quy tắc này")
    page.fill("[name=rule-name]", "Vẫn của tôi")
    note.locator("[data-tool=mine]").click()
    page.click("[data-tool=save]")
    eventually(lambda: rules_of(connection, [key])[0].name == "Vẫn của tôi")
    assert [one.who for one in history(connection, key)] == [OPERATOR, "Minh", OPERATOR, "Minh", "Hoa"]


@pytest.mark.usefixtures("refused")
def test_budget_is_typed_kept_and_not_overwritten_unseen(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """With a decimal comma, under the operator's name; what somebody else set meanwhile is shown before it is replaced."""
    key = make_camera()
    play(key)
    open_camera(page, key)
    field, card = page.locator("[name=budget]"), page.locator("#camera-budget")
    save = card.get_by_role("button", name="Lưu")
    expect(card).to_contain_text("không có hạn mức riêng")
    field.fill("x")
    save.click()
    expect(card).to_contain_text("Không phải")
    field.fill("2,5")
    save.click()
    expect(card).to_contain_text(f"Hạn mức riêng: 2,5 hình/giây. {OPERATOR}")
    assert budgets(connection)[key] == 2.5
    expect(page.locator("#camera-figures")).to_contain_text("nhiều nhất 8,0")
    field.fill("4")
    set_budget(connection, key, 7.0, 2.5, "Minh")
    save.click()
    expect(card).to_contain_text("Có người vừa đổi hạn mức này")
    expect(card).to_contain_text("Hạn mức riêng: 7 hình/giây. Minh")
    expect(field).to_have_value("4")
    assert budgets(connection)[key] == 7.0
    save.click()
    expect(card).to_contain_text(f"Hạn mức riêng: 4 hình/giây. {OPERATOR}")
    assert budgets(connection)[key] == 4.0
    expect(field).to_have_value("4")
    field.fill("1000")
    save.click()
    expect(card).to_contain_text("Ngoài giới hạn")
    field.fill("")
    save.click()
    expect(card).to_contain_text("không có hạn mức riêng")
    assert key not in budgets(connection)


def test_rule_that_is_not_run_says_why(page: Page, make_camera: Camera, play: Play, connection: Connection) -> None:
    """At one frame a second a line rests and says so; a zone counts on, with its value of the last minute on the picture."""
    key = make_camera()
    add(connection, CameraRule(0, key, "line", "Vạch", ((0.2, 0.5), (0.8, 0.5))), "Hoa")
    zone = add(connection, CameraRule(0, key, "zone", "Vùng", ZONE), "Hoa")
    stopped = add(connection, CameraRule(0, key, "stopped", "Cấm dừng", ZONE), "Hoa")
    row = (datetime.now(UTC) - timedelta(minutes=1), key, zone.id, 1, "", 60, 3, 2, 2, 24.0, 0, 0, 5)
    connection.execute(f"INSERT INTO camera_flow VALUES ({', '.join(['%s'] * len(row))})", row)
    play(key, fps=1.0)
    open_camera(page, key)
    expect(page.locator(".rule-row", has_text="Vạch")).to_contain_text("cần 5 hình/giây, đang có 1,0")
    expect(page.locator(".rule-row", has_text="Vùng")).to_contain_text("đang chạy")
    expect(page.locator(".rule-label", has_text="Vùng")).to_contain_text("5 cùng lúc, ở lại 12 giây")
    expect(page.locator(".rule-label.found.p2")).to_have_text("2Cấm dừng2 xe")
    expect(page.locator(f"[data-rule='{stopped.id}']")).to_have_class("rule  found p2")


def test_page_says_that_the_database_is_away_and_comes_back(
    page: Page, make_camera: Camera, play: Play, connection: Connection
) -> None:
    """The picture goes on; what is drawn cannot be changed until TimescaleDB answers, and then comes back by itself."""
    key = make_camera()
    play(key)
    add(connection, CameraRule(0, key, "zone", "Vùng", ZONE), "Hoa")
    open_camera(page, key)
    expect(page.locator("#rule-list")).to_contain_text("Vùng")
    connection.execute("ALTER TABLE camera_rule RENAME TO hidden")
    try:
        expect(page.locator("#camera-away")).to_contain_text("Cơ sở dữ liệu không trả lời")
        expect(page.locator("#camera-file")).to_have_attribute("data-state", "away")
        taken = page.locator(".stage-view").get_attribute("data-taken")
        page.wait_for_function("(taken) => document.querySelector('.stage-view').dataset.taken > taken", arg=taken)
    finally:
        connection.execute("ALTER TABLE hidden RENAME TO camera_rule")
    expect(page.locator("#camera-away")).to_be_empty()
    expect(page.locator("#camera-file")).to_have_attribute("data-state", "shown")
