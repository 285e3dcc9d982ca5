"""The camera pages without a browser: what they read, what they say of rules, and what the acts on rules refuse."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from dashboards.camera_records import STEP, CameraFile, camera_file, cameras, counted, grid_facts
from dashboards.city import CityState
from dashboards.components.camera_card import budget_data, counts_data, figures_card
from dashboards.components.camera_rules import counted_words, kinds_data, rules_data, why_off
from dashboards.components.camera_tile import footage_line
from dashboards.theme import CLASS_COLOURS
from ioc.camera_rules import RULE_KINDS, CameraRule
from ioc.catalog import KINDS, MEASURES, VISION_CLASSES
from ioc.db.audit import verify_audit
from ioc.db.camera_flow import Flow, add_flows
from ioc.db.camera_rules import ADD, CHANGE, REMOVE, add, change, history, rules_of
from ioc.db.pool import Connection
from ioc.i18n import LANGUAGES, Language, translator
from ioc.model import CameraFigures, Device, DevicesChanged, FrameArrived, RulesWatched, StageTime
from tests.dashboards.test_pages_records import add_device, add_incident
from tests.decoding import make_device
from tests.fix_browser import Wall
from tests.vision.film import START, Actor, every, show, straight, watch_by
from vision.findings import merged
from vision.snapshot import STYLE

VI, EN = translator("vi"), translator("en")
LINE = ((0.2, 0.5), (0.8, 0.5))
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_footage_is_named_in_the_language_of_the_reader() -> None:
    """What is no view of the street says so to whoever reads it; a camera that shows what it sees says nothing."""
    shown = make_device("cam", "native", "camera", footage="Ghi sẵn", footage_en="Recorded")
    assert "Ghi sẵn" in footage_line(shown, VI)
    assert "Recorded" in footage_line(shown, EN)
    assert "Ghi sẵn" in footage_line(make_device("cam", "native", "camera", footage="Ghi sẵn"), EN)
    assert footage_line(make_device("cam", "native", "camera"), EN) == ""


@pytest.fixture
def camera(connection: Connection) -> str:
    """A camera of nobody else."""
    return add_device(connection, kind="camera", name="Cầu Sài Gòn")


def make_rule(camera: str, **changes: Any) -> dict[str, Any]:
    """A counting line as the page sends it."""
    rule = {"id": 0, "camera": camera, "kind": "line", "name": "Vào phố", "points": LINE, "classes": [], "settings": {}}
    return rule | {"version": 0} | changes


def make_figures(camera: str, **changes: Any) -> CameraFigures:
    told: dict[str, Any] = {
        "camera": camera,
        "time": NOW,
        "worker": "host-1",
        "seen": NOW,
        "frames_s": 2.4,
        "arrived_s": 5.0,
    }
    return CameraFigures(**told | changes)


def post(wall: Wall, act: str, body: object, *, who: str = "Hoa", **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(
        f"{wall.url}/actions/{act}",
        content=content,
        headers={"Origin": wall.url, "Content-Type": "application/json", **headers},
        cookies={"operator": who} if who else {},
        timeout=60,
    )


# --- acts ------------------------------------------------------------------------------------------------------------------


def test_rule_is_kept_changed_removed_and_audited(wall: Wall, connection: Connection, camera: str) -> None:
    """Each act under the browser's name, in one chain; what was not seen is not changed."""
    assert post(wall, "camera_rule", {"rule": make_rule(camera)}).json() == {"changed": 0}
    (kept,) = rules_of(connection, [camera])
    assert (kept.name, kept.points, kept.version) == ("Vào phố", LINE, 1)
    moved = make_rule(camera, id=kept.id, version=1, points=[[0.1, 0.4], [0.9, 0.6]], classes=["car"])
    assert post(wall, "camera_rule", {"rule": moved}, who="Minh").status_code == 200
    late = post(wall, "camera_rule", {"rule": moved | {"name": "Ra phố"}})
    assert (late.status_code, late.json()["faults"]) == (400, {"rule": "changed"})
    late = post(wall, "camera_rule_remove", {"rule": moved})
    assert (late.status_code, late.json()["faults"]) == (400, {"rule": "changed"})
    assert post(wall, "camera_rule_remove", {"rule": moved | {"version": 2}}).status_code == 200
    late = post(wall, "camera_rule", {"rule": moved | {"version": 2}})
    assert (late.status_code, late.json()["faults"]) == (400, {"rule": "gone"})
    assert rules_of(connection, [camera]) == []
    assert [(one.what, one.who) for one in history(connection, camera)] == [
        (REMOVE, "Hoa"),
        (CHANGE, "Minh"),
        (ADD, "Hoa"),
    ]
    assert verify_audit(connection) is None


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"points": [[0.2, 0.5], [0.2, 0.5]]}, {"points": "small"}),
        ({"points": [[0.2, 0.5]]}, {"points": "points_line"}),
        ({"points": [[0.2, 0.5], [1.5, 0.5]]}, {"points": "outside"}),
        ({"kind": "zone", "points": [[0.1, 0.1], [0.9, 0.9], [0.9, 0.1], [0.1, 0.9]]}, {"points": "crossed"}),
        ({"kind": "zone", "points": [[n / 5000, 0.5] for n in range(2000)]}, {"points": "points_zone"}),
        ({"kind": "ground", "points": [[0.1, 0.1], [0.9, 0.1], [0.5, 0.3], [0.5, 0.9]]}, {"points": "convex"}),
        ({"kind": "nothing"}, {"kind": "rule_kind"}),
        ({"name": " "}, {"name": "empty"}),
        ({"name": "\u0000"}, {"name": "empty"}),
        ({"name": "x" * 5000}, {"name": "long"}),
        ({"classes": ["tank"]}, {"classes": "classes"}),
        ({"settings": {"seconds": 3}}, {"seconds": "setting"}),
        ({"kind": "wrong_way", "settings": {"seconds": 1e300}}, {"seconds": "limits"}),
        ({"camera": "../etc"}, {"camera": "unknown"}),
        ({"camera": "\u0000"}, {"camera": "unknown"}),
        ({"id": 987654321}, {"rule": "gone"}),
    ],
)  # fmt: skip
def test_rule_that_cannot_be_is_refused_with_its_faults(
    wall: Wall, connection: Connection, camera: str, changes: dict[str, Any], faults: dict[str, str]
) -> None:
    """By field, in words that both languages have; nothing is kept, and nothing is logged."""
    answer = post(wall, "camera_rule", {"rule": make_rule(camera) | changes})
    assert (answer.status_code, answer.json()["faults"]) == (400, faults)
    assert all(f"fault:{fault}" in words.messages for words in (VI, EN) for fault in faults.values())
    assert rules_of(connection, [camera]) == []
    assert history(connection, camera) == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"rule": null}', 400),
        (b'{"rule": {"id": "1"}}', 400),
        (b'{"rule": {"id": 1e999}}', 400),
        (b'{"rule": ' + b"[" * 5000 + b"]" * 5000 + b"}", 400),
        (json.dumps({"rule": make_rule("x", points="../../etc")}).encode(), 400),
        (json.dumps({"rule": make_rule("x", points=[[[0.1]], [0.2, 0.3]])}).encode(), 400),
        (json.dumps({"rule": make_rule("no-such-camera")}).encode(), 400),
        (json.dumps({"rule": make_rule("x", id=10**30)}).encode(), 400),
        (json.dumps({"rule": make_rule("x"), "who": "root"}).encode(), 400),
        (json.dumps({"rule": make_rule("x", name="x" * 70_000)}).encode(), 413),
    ],
)
def test_hostile_request_is_refused(wall: Wall, body: bytes, status: int) -> None:
    """Whatever comes, the answer is one of a few, with a reason."""
    for act in ("camera_rule", "camera_rule_remove"):
        answer = post(wall, act, body)
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True)


def test_budget_is_set_told_of_and_refused(wall: Wall, connection: Connection, camera: str) -> None:
    """Under the browser's name; what the page shows of it afterwards; what cannot be, in words that both languages have."""

    def give(fps: object, seen: object, **changes: Any) -> httpx.Response:
        return post(wall, "camera_budget", {"camera": camera, "fps": fps, "seen": seen} | changes)

    def shown() -> tuple[float | None, str]:
        file = camera_file(connection, camera, datetime.now(UTC))
        assert file is not None
        told = budget_data(file, datetime.now(UTC))
        return told["fps"], told["by"]

    assert shown() == (None, "")
    assert give(5, None).json() == {"changed": 0}
    assert shown() == (5.0, "Hoa")
    for fps, seen, fault in ((3, None, "budget_changed"), (0, 5, "limits"), (1e300, 5, "limits")):
        answer = give(fps, seen)
        assert (answer.status_code, answer.json()["faults"]) == (400, {"fps": fault})
        assert all(f"fault:{fault}" in words.messages for words in (VI, EN))
    for fps in ("5", [5], True):
        assert give(fps, 5).status_code == 400
    assert give(3, None, camera="../etc").status_code == 400
    assert give(3, 5, who="root").status_code == 400
    assert shown() == (5.0, "Hoa")
    assert give(None, 5).status_code == 200
    assert shown() == (None, "Hoa")
    assert verify_audit(connection) is None


def test_rule_of_what_is_no_camera_is_refused(wall: Wall, connection: Connection) -> None:
    """Neither a gauge has rules nor a camera that was taken out of service."""
    for device in (add_device(connection), add_device(connection, kind="camera", status="retired")):
        assert post(wall, "camera_rule", {"rule": make_rule(device)}).status_code == 400
        assert rules_of(connection, [device]) == []


def test_stranger_may_not_draw(wall: Wall, connection: Connection, camera: str) -> None:
    """Another site's page is refused, and somebody without a name."""
    body = {"rule": make_rule(camera)}
    assert post(wall, "camera_rule", body, Origin="https://elsewhere.example").status_code == 403
    assert post(wall, "camera_rule", body, **{"Content-Type": "text/plain"}).status_code == 403
    assert post(wall, "camera_rule", body, who="").status_code == 401
    assert rules_of(connection, [camera]) == []


@pytest.mark.parametrize("path", ["cameras", "cameras/cam-1", "cameras/%3Cscript%3E", "cameras/..%2f..%2fetc"])
def test_page_is_served_whatever_its_address(wall: Wall, path: str) -> None:
    """What an address names is never part of the HTML."""
    answer = httpx.get(f"{wall.url}/{path}?lang=en&state=%3Cb%3E&text=%3Cb%3E", timeout=60)
    assert answer.status_code == 200
    assert "<b>" not in answer.text
    assert "<script>alert" not in answer.text


# --- what is read ----------------------------------------------------------------------------------------------------------


def test_file_holds_rules_with_who_changed_them_and_alarms(connection: Connection, camera: str) -> None:
    """The last editor of each rule, the newest minute it counted, and the alarms of this camera alone."""
    first = add(connection, CameraRule(0, camera, "line", "Vào", LINE), "Hoa")
    second = add(connection, CameraRule(0, camera, "line", "Ra", LINE), "Hoa")
    change(connection, CameraRule(second.id, camera, "line", "Ra phố", LINE, version=1), "Minh")
    incident = add_incident(connection, camera)
    add_incident(connection, add_device(connection))
    now = datetime.now(UTC)
    for back, forward in ((9, 1), (2, 3), (1, 7)):
        row = (now - timedelta(minutes=back), camera, first.id, 1, "", 60, forward, 2, 0, 0, 0, 0, 5)
        places = ", ".join(["%s"] * len(row))
        connection.execute(f"INSERT INTO camera_flow VALUES ({places})", row)
    file = camera_file(connection, camera, now)
    assert file is not None
    assert [(rule.name, file.edits[rule.id].who) for rule in file.rules] == [("Vào", "Hoa"), ("Ra phố", "Minh")]
    assert (file.flows[first.id].forward, second.id in file.flows) == (7, False)
    assert [alarm.incident for alarm in file.alarms] == [incident]


def test_file_of_what_is_no_camera_is_none(connection: Connection) -> None:
    """A gauge has no camera's page, nor has nobody."""
    assert camera_file(connection, add_device(connection), NOW) is None
    assert camera_file(connection, "no-such-camera", NOW) is None


def test_counts_are_means_over_the_frames_looked_at(connection: Connection, camera: str) -> None:
    """Minutes weigh by their frames; steps in which nobody looked are absent, not zero; older days are left out."""
    now = NOW.replace(minute=30, second=0)
    for back, frames, objects, most in ((1, 10, 40, 9), (2, 30, 0, 0), (59, 5, 5, 2), (25 * 60, 5, 5, 2)):
        row = (now - timedelta(minutes=back), camera, "car", frames, objects, most)
        connection.execute("INSERT INTO camera_count VALUES (%s, %s, %s, %s, %s, %s)", row)
    rows = counted(connection, camera, now)
    assert [(now - row.time, row.mean, row.most) for row in rows] == [(4 * STEP, 1.0, 2), (STEP, 1.0, 9)]
    data = counts_data(rows, now)
    assert data["steps"] == [(row.time.timestamp(), [("car", 1.0, row.most)]) for row in rows]
    assert data["until"] - data["since"] == 86_400
    assert counts_data([], now) == {}


def test_grid_facts_are_of_cameras_in_service() -> None:
    """When their newest frame came, and how fast they are looked at."""
    city = CityState()
    for key, kind, status in (("a", "camera", "active"), ("b", "camera", "retired"), ("c", "cabinet", "active")):
        none: dict[str, Any] = {"ward": "", "parent": "", "dialect": "native", "firmware": "", "attrs": {}}
        device = Device(
            id=key, kind=kind, name=key, lat=None, lon=None, status=status, state="unknown", state_time=None,
            state_reason="", last_seen=None, clock_skew_s=None, **none,
        )  # type: ignore[arg-type]  # fmt: skip
        city.fold(DevicesChanged([device]))
    assert cameras(city) == ["a"]
    assert grid_facts(city, ["a"], {}) == {"a": (0.0, None)}
    city.fold(FrameArrived("a", NOW))
    assert grid_facts(city, ["a"], {"a": make_figures("a")}) == {"a": (NOW.timestamp(), 2.4)}


# --- what is said ----------------------------------------------------------------------------------------------------------


def make_watched(*, fps: float = 2.4, **ids: Any) -> RulesWatched:
    """What the worker says of the rules of a camera."""
    return RulesWatched("a", NOW, fps, **{"watching": (), "resting": (), "values": {}} | ids)


def test_rule_that_is_not_run_says_why() -> None:
    """Measured frames decide, not what was set; nobody looking is a reason of its own, and one just drawn waits."""
    line = CameraRule(7, "a", "line", "Vào", LINE)
    assert why_off(line, None, EN) == "nobody looks at this camera"
    assert why_off(line, make_watched(fps=1.9, resting=(7,)), VI) == "cần 5 hình/giây, đang có 1,9"
    people = CameraRule(7, "a", "line", "Vào", LINE, ("person",))
    assert why_off(people, make_watched(fps=1.6, resting=(7,)), EN) == "needs 2 frames/s, has 1.6"
    zone = CameraRule(8, "a", "zone", "Vùng", ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9)))
    assert why_off(zone, make_watched(fps=0.05, resting=(8,)), EN) == "needs 0.10 frames/s, has 0.05"
    assert why_off(line, make_watched(failing=(7,)), EN) == "does not work: see the log of vision"
    assert why_off(line, make_watched(watching=(7,)), EN) == ""
    assert why_off(line, make_watched(watching=(6,)), EN) == "not taken up yet"


def test_minute_that_was_watched_in_part_says_so() -> None:
    """What was counted of half a minute is not shown as a minute's."""
    whole = Flow(watched_s=60.0, forward=12, back=3, stays=2, stayed_s=30.0, most=5)
    assert counted_words(RULE_KINDS["line"], whole, VI) == "12 lượt thuận, 3 lượt ngược mỗi phút"
    assert counted_words(RULE_KINDS["zone"], whole, EN) == "5 at once, stay 15 s"
    part = Flow(watched_s=31.2, most=5)
    assert counted_words(RULE_KINDS["zone"], part, EN) == "5 at once (31 s of it watched)"
    assert counted_words(RULE_KINDS["crowd"], whole, EN) == ""


def test_rule_says_what_was_counted_of_all_classes(connection: Connection, camera: str) -> None:
    """As the worker counts, class by class, and keeps it: two cars and a person go over a line, which three stand beside."""
    line = add(connection, CameraRule(0, camera, "line", "Vạch", ((0.0, 0.5), (1.0, 0.5))), "Hoa")
    everywhere = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    zone = add(connection, CameraRule(0, camera, "zone", "Vùng", everywhere), "Hoa")
    actors = [
        *(Actor(straight(x, 0.2, 0.0, 0.05), "car") for x in (0.2, 0.5)),
        Actor(straight(0.8, 0.8, 0.0, -0.05), "person"),
        *(Actor(straight(x, 0.9), "person", 0.05) for x in (0.1, 0.3, 0.6)),
    ]
    outcomes = show(watch_by(line, zone, camera=camera), actors, every(0.2, 59), camera)
    add_flows(connection, merged([flow for outcome in outcomes for flow in outcome.flows]))
    file = camera_file(connection, camera, START + timedelta(minutes=2))
    assert isinstance(file, CameraFile)
    said = {row["name"]: row["value"] for row in rules_data(file, None, EN)}
    assert said["Vạch"] == "2 forward, 1 back a minute"
    assert said["Vùng"].startswith("6 at once")


def test_rule_of_a_kind_that_is_no_more_is_left_out(connection: Connection, camera: str) -> None:
    """A rule kept by another version does not break the page."""
    kept = add(connection, CameraRule(0, camera, "line", "Vào", LINE), "Hoa")
    file = camera_file(connection, camera, datetime.now(UTC))
    assert isinstance(file, CameraFile)
    (row,) = rules_data(file, make_watched(watching=(kept.id,)), EN)
    assert (row["id"], row["by"], row["off"], row["value"]) == (kept.id, "Hoa", "", "")
    connection.execute("UPDATE camera_rule SET kind = 'teleport' WHERE id = %s", (kept.id,))
    file = camera_file(connection, camera, datetime.now(UTC))
    assert isinstance(file, CameraFile)
    assert rules_data(file, make_watched(), EN) == []


@pytest.mark.parametrize(
    ("kind", "found", "said", "priority"),
    [
        ("stopped", 2.0, "2 xe", 2),
        ("stopped", 0.0, "0 xe", 0),
        ("congestion", 1.0, "Ùn tắc", 2),
        ("congestion", 0.0, "Thông thoáng", 0),
        ("crowd", None, "", 0),
    ],
)
def test_rule_says_what_it_finds_now(
    connection: Connection, camera: str, kind: str, found: float | None, said: str, priority: int
) -> None:
    """With the unit or the state of its measure, in the colour of its alarm; what it does not know yet is left open."""
    zone = ((0.1, 0.1), (0.9, 0.1), (0.5, 0.9))
    rule = add(connection, CameraRule(0, camera, kind, "Vùng", zone), "Hoa")
    file = camera_file(connection, camera, datetime.now(UTC))
    assert isinstance(file, CameraFile)
    values = {} if found is None else {rule.id: found}
    (row,) = rules_data(file, make_watched(watching=(rule.id,), values=values), VI)
    assert (row["value"], row["priority"]) == (said, priority)


def test_what_a_kind_finds_is_measured_and_leads_to_an_alarm() -> None:
    """Every such measure is one that cameras report."""
    found = {kind.measure for kind in RULE_KINDS.values() if kind.measure}
    assert len(found) == 5
    assert all(measure in KINDS["camera"].measures and MEASURES[measure].rules for measure in found)


@pytest.mark.parametrize("language", LANGUAGES)
def test_editor_offers_every_kind_with_all_it_has(language: Language) -> None:
    """Each row of `RULE_KINDS` is offered, its numbers within their limits as they are typed."""
    offered = kinds_data(translator(language))["kinds"]
    assert list(offered) == list(RULE_KINDS)
    for key, kind in RULE_KINDS.items():
        assert offered[key]["label"] == kind.label.in_language(language)
        assert [one["key"] for one in offered[key]["settings"]] == [one.key for one in kind.settings]
        for one in offered[key]["settings"]:
            assert one["label"]
            assert one["least"] <= one["default"] <= one["most"]
            assert (one["unit"] == "%") == (one["scale"] == 100)


def test_figures_card_names_every_stage_and_reason(connection: Connection) -> None:
    """In both languages, nothing is left a key; an unknown number of reconnects is no zero."""
    stages = {name: StageTime(1.0, 2.0) for name in ("received", "batched", "inferred", "event", "committed", "total")}
    drops = {"overwritten": 3, "skipped": 1, "stale": 1, "gone": 1, "broken": 1, "late": 1, "failed": 1}
    for words in (VI, EN):
        said = str(figures_card(make_figures("a", stages=stages, drops=drops), words))
        assert "stage-of:" not in said
        assert "drop:" not in said
    assert "'–'" in str(figures_card(make_figures("a"), EN))


def test_figures_card_says_the_budget_that_is_followed() -> None:
    """As the worker has it; nothing where it looks at all that comes."""
    assert "nhiều nhất 0,5" in str(figures_card(make_figures("a", budget=0.5), VI))
    assert "at most" not in str(figures_card(make_figures("a"), EN))


def test_classes_have_the_colours_of_the_boxes() -> None:
    """The legend beside the picture is of the boxes in it."""
    drawn = {label: "#{2:02x}{1:02x}{0:02x}".format(*style[0]) for label, style in STYLE.items()}
    assert drawn == CLASS_COLOURS
    assert CLASS_COLOURS.keys() == VISION_CLASSES.keys()
