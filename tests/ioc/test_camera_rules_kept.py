"""Rules of cameras as they are kept, on a real TimescaleDB: checked, audited, and changed by one person at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from structlog.testing import capture_logs

from ioc.camera_rules import CameraRule
from ioc.db.audit import verify_audit
from ioc.db.camera_rules import ADD, CHANGE, REMOVE, add, change, history, remove, rules_of
from ioc.db.pool import Connection
from ioc.errors import ActionError, FormError
from tests.fix_stack import Database
from tests.ioc.test_camera_rules import make_rule

WHO = "Kỹ thuật viên"


@pytest.fixture
def camera(connection: Connection, topic: str) -> str:
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (topic, topic))
    return topic


def at(camera: str, kind: str = "zone", **fields: object) -> CameraRule:
    return make_rule(kind, camera=camera, **fields)


def test_add_change_remove(connection: Connection, camera: str) -> None:
    """A rule comes back as it was drawn, and each step is in the audit log with what was before and after."""
    first = add(connection, at(camera, name=" Làn 1 ", classes=("car",)), WHO)
    assert first.id
    assert (first.name, first.version) == ("Làn 1", 1)
    stop = add(connection, at(camera, "stopped", settings={"seconds": 45.5}), WHO)
    assert rules_of(connection, [camera]) == [first, stop]
    moved = ((0.1, 0.1), (0.5, 0.1), (0.25, 0.75))
    second = change(connection, msgspec.structs.replace(first, points=moved, classes=()), "Người khác")
    assert (second.id, second.version, second.points) == (first.id, 2, moved)
    remove(connection, stop, WHO)
    assert rules_of(connection, [camera]) == [second]
    log = history(connection, camera)
    assert [(entry.what, entry.who) for entry in log] == [
        (REMOVE, WHO),
        (CHANGE, "Người khác"),
        (ADD, WHO),
        (ADD, WHO),
    ]
    assert log[3].after == log[1].before
    assert log[0].before == log[2].after
    assert log[0].after is log[3].before is None
    assert log[1].after is not None
    assert log[1].after["points"] == [list(point) for point in moved]
    assert verify_audit(connection) is None


def test_a_rule_up_to_the_edges_of_the_picture_leaves_the_log_whole(connection: Connection, camera: str) -> None:
    """Whole numbers come back from the database without their decimals, and are the same numbers."""
    corners = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    kept = add(connection, at(camera, points=corners), WHO)
    change(connection, msgspec.structs.replace(kept, points=corners[:3]), WHO)
    assert verify_audit(connection) is None


def test_rules_of_asks_for_some_cameras_alone(connection: Connection, camera: str) -> None:
    """Those of others are not read."""
    add(connection, at(camera), WHO)
    assert rules_of(connection, []) == []
    assert rules_of(connection, ["elsewhere"]) == []
    assert [rule.camera for rule in rules_of(connection, ["elsewhere", camera])] == [camera]


def test_what_cannot_be_is_refused_and_leaves_nothing(connection: Connection, camera: str) -> None:
    """No shape, no camera, no name of a person, a camera that was retired, a second ground."""
    with pytest.raises(FormError, match="points"):
        add(connection, at(camera, points=()), WHO)
    with pytest.raises(ActionError, match="expected a name"):
        add(connection, at(camera), " ")
    with pytest.raises(ActionError, match="nowhere: there is none"):
        add(connection, at("nowhere"), WHO)
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'streetlight', '')", (f"{camera}-lamp",))
    with pytest.raises(ActionError, match="there is none"):
        add(connection, at(f"{camera}-lamp"), WHO)
    ground = add(connection, at(camera, "ground"), WHO)
    with pytest.raises(FormError, match="ground"):
        add(connection, at(camera, "ground"), WHO)
    assert change(connection, msgspec.structs.replace(ground, settings={"width": 7.0}), WHO).version == 2
    connection.execute("UPDATE device SET status = 'retired' WHERE id = %s", (camera,))
    with pytest.raises(ActionError, match="there is none"):
        add(connection, at(camera), WHO)
    assert len(history(connection, camera)) == 2


def test_a_row_that_is_not_ours_is_left_out_and_named(connection: Connection, camera: str) -> None:
    """Written past us: which rule it is, and what to do; the others are followed all the same."""
    kept = add(connection, at(camera), WHO)
    connection.execute(
        "INSERT INTO camera_rule (camera, kind, name, points, classes, settings, version)"
        " VALUES (%s, 'zone', 'x', '{\"x\": 1}', '[]', '{}', 1)",
        (camera,),
    )
    with capture_logs() as told:
        assert rules_of(connection, [camera]) == [kept]
    (line,) = told
    assert f"of camera {camera} is not of our shape" in line["why"]
    assert "delete its row" in line["why"]


def test_change_of_what_is_no_longer_so_is_refused(connection: Connection, camera: str) -> None:
    """Changed by somebody else, gone, or made another kind."""
    first = add(connection, at(camera), WHO)
    change(connection, msgspec.structs.replace(first, name="mới"), WHO)
    with pytest.raises(ActionError, match="changed meanwhile"):
        change(connection, msgspec.structs.replace(first, name="cũ"), WHO)
    with pytest.raises(ActionError, match="changed meanwhile"):
        remove(connection, first, WHO)
    (current,) = rules_of(connection, [camera])
    with pytest.raises(ActionError, match="does not change"):
        change(connection, msgspec.structs.replace(current, kind="stopped"), WHO)
    remove(connection, current, WHO)
    with pytest.raises(ActionError, match="no rule"):
        change(connection, current, WHO)
    with pytest.raises(ActionError, match="no rule"):
        remove(connection, current, WHO)


def test_one_ground_also_when_two_draw_it_at_once(connection: Connection, db: Database, camera: str) -> None:
    """Several people press the button together: one ground is kept, the others are told."""
    together = threading.Barrier(4)

    def draw(_: int) -> bool:
        with db.connect() as own:
            together.wait(30)
            try:
                add(own, at(camera, "ground"), WHO)
            except FormError:
                return False
            return True

    with ThreadPoolExecutor(4) as people:
        assert sorted(people.map(draw, range(4))) == [False, False, False, True]
    assert len(rules_of(connection, [camera])) == 1


def test_one_of_two_changes_at_once_is_kept(connection: Connection, db: Database, camera: str) -> None:
    """Whoever comes second is told that the rule is no longer what was seen."""
    seen = add(connection, at(camera), WHO)
    together = threading.Barrier(4)

    def edit(number: int) -> bool:
        with db.connect() as own:
            together.wait(30)
            try:
                change(own, msgspec.structs.replace(seen, name=f"lần {number}"), WHO)
            except ActionError:
                return False
            return True

    with ThreadPoolExecutor(4) as people:
        assert sorted(people.map(edit, range(4))) == [False, False, False, True]
    (kept,) = rules_of(connection, [camera])
    assert kept.version == 2
