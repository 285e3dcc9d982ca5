"""The rules of the demo's cameras: drawn once on what shows the footage they are for, never where a person has drawn."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from psycopg.types.json import Jsonb

from ingest.simulator.footage import find
from ioc.camera_rules import RULE_KINDS, CameraRule
from ioc.db.audit import verify_audit
from ioc.db.camera_rules import ADD, add, change, history, remove, rules_of
from ioc.db.pool import Connection
from ioc.demo_rules import DRAWN, WHO, draw
from ioc.settings import Settings
from tests.fix_ingest import eventually
from tests.fix_stack import Database

SOURCE, RULES = next(iter(DRAWN.items()))
LINE = ((0.2, 0.5), (0.8, 0.5))


@pytest.fixture
def cameras(connection: Connection, topic: str) -> Iterator[list[str]]:
    """Three cameras that show the footage; afterwards they show none, so that no other test draws on them."""
    keys = [f"{topic}-{number}" for number in range(3)]
    for key in keys:
        register(connection, key, footage_source=SOURCE)
    yield keys
    connection.execute("UPDATE device SET attrs = '{}' WHERE id = ANY(%s)", (keys,))


def register(connection: Connection, key: str, kind: str = "camera", status: str = "active", **attrs: str) -> None:
    connection.execute(
        "INSERT INTO device (id, kind, name, status, attrs) VALUES (%s, %s, '', %s, %s)",
        (key, kind, status, Jsonb(attrs)),
    )


def names(connection: Connection, camera: str) -> list[str]:
    return [rule.name for rule in rules_of(connection, [camera])]


def test_every_rule_can_be_followed() -> None:
    """As the editor would ask of them, with names of their own, on as many frames as a CPU looks at."""
    for rules in DRAWN.values():
        for rule in rules:
            rule.check()
            assert RULE_KINDS[rule.kind].least_fps(rule.classes) <= Settings().vision_max_fps
        assert len({rule.name for rule in rules}) == len(rules)
        assert sum(rule.kind == "ground" for rule in rules) <= 1


def test_footage_is_named_as_the_simulator_names_it(tmp_path: Path) -> None:
    """What set-up fetches is cut and shown by the simulator under a source that has rules here."""
    video = cv2.VideoWriter(str(tmp_path / "vtest.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for shade in range(60):
        video.write(np.full((48, 64, 3), shade * 4, dtype=np.uint8))
    video.release()
    shown = {clip.source for clip in find(tmp_path, tmp_path / "none", tmp_path / "cache").values()}
    assert shown == set(DRAWN)


def test_rules_are_drawn_once_and_audited(connection: Connection, cameras: list[str]) -> None:
    """On each camera that shows the footage, under the demo's name; a second time changes nothing."""
    assert set(cameras) <= set(draw(connection))
    for camera in cameras:
        kept = rules_of(connection, [camera])
        assert [(r.kind, r.name, r.points, r.classes, r.settings) for r in kept] == [
            (r.kind, r.name, r.points, r.classes, r.settings) for r in RULES
        ]
        assert {(one.what, one.who) for one in history(connection, camera)} == {(ADD, WHO)}
    assert draw(connection) == []
    assert all(len(names(connection, camera)) == len(RULES) for camera in cameras)
    assert verify_audit(connection) is None


def test_what_a_person_did_stays(connection: Connection, cameras: list[str]) -> None:
    """Drawn before the demo came, moved, removed, even if nothing is left: the camera is theirs."""
    own, empty, changed = cameras
    add(connection, CameraRule(0, own, "line", "Của tôi", LINE), "Hoa")
    rule = add(connection, CameraRule(0, empty, "line", "Thử", LINE), "Hoa")
    remove(connection, rule, "Hoa")
    assert changed in (drawn := draw(connection))
    assert not {own, empty} & set(drawn)
    first, second, *_ = rules_of(connection, [changed])
    change(connection, msgspec.structs.replace(first, name="Của tôi"), "Hoa")
    remove(connection, second, "Hoa")
    assert draw(connection) == []
    assert names(connection, own) == ["Của tôi"]
    assert names(connection, empty) == []
    assert names(connection, changed) == ["Của tôi", *(rule.name for rule in RULES[2:])]


def test_other_cameras_are_left_alone(connection: Connection, topic: str) -> None:
    """Those that show what they see or other footage, those out of service, and what is no camera."""
    register(connection, f"{topic}-own")
    register(connection, f"{topic}-other", footage_source="ultralytics assets")
    register(connection, f"{topic}-gone", status="retired", footage_source=SOURCE)
    register(connection, f"{topic}-lamp", kind="streetlight", footage_source=SOURCE)
    assert not [camera for camera in draw(connection) if camera.startswith(topic)]


def test_one_of_several_that_draw_at_once_draws(connection: Connection, db: Database, cameras: list[str]) -> None:
    """Two demos on one database, or one that was started again: each rule is there once."""
    together = threading.Barrier(3)

    def begin(_: int) -> list[str]:
        with db.connect() as own:
            together.wait(30)
            return draw(own)

    with ThreadPoolExecutor(3) as demos:
        drawn = [camera for found in demos.map(begin, range(3)) for camera in found if camera in cameras]
    assert sorted(drawn) == cameras
    assert all(len(names(connection, camera)) == len(RULES) for camera in cameras)


def test_service_draws_on_cameras_as_they_come(environment: dict[str, str], connection: Connection, topic: str) -> None:
    """It is there before the cameras are, and ends in order when it is told to."""
    service = subprocess.Popen(
        [sys.executable, "-m", "ioc.demo_rules"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert service.stdout is not None
        assert "started" in service.stdout.readline()
        register(connection, topic, footage_source=SOURCE)
        eventually(lambda: len(names(connection, topic)) == len(RULES))
    finally:
        service.terminate()
        said, _ = service.communicate(timeout=60)
        connection.execute("UPDATE device SET attrs = '{}' WHERE id = %s", (topic,))
    assert service.returncode == 0, said
