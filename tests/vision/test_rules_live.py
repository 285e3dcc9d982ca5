"""From a rule that a person draws to the alarm that it opens: real worker, detector, TimescaleDB, Redis and alarm engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest
from prometheus_client import REGISTRY

from ioc.alarms.engine import serve
from ioc.db.camera_rules import add, remove
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.model import ReadingsChanged
from ioc.service import Service
from ioc.settings import Settings
from tests.fix_stack import Database
from tests.vision.film import ASPECT, every, scene, watch_by
from tests.vision.test_rules import make, people
from tests.vision.test_worker import PATIENCE_S, frame, patient, rows, until, working
from vision.engine.detector import Detector
from vision.findings import Findings
from vision.rulebook import Rulebook
from vision.rules.cameras import Watchers
from vision.rules.congestion import Congestion
from vision.store import write_scenes

__all__ = ["patient"]
WHOLE = ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0))


@contextmanager
def filmed(live: Live, camera: str, jpeg: bytes) -> Iterator[None]:
    """The camera sends its picture five times a second."""
    done = threading.Event()

    def send() -> None:
        while not done.wait(0.2):
            live.put_frame(frame(camera, jpeg))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def alarmed(settings: Settings) -> Iterator[None]:
    """An alarm engine."""
    service = Service("alarms", settings)
    thread = threading.Thread(target=serve, args=(service,))
    thread.start()
    try:
        yield
    finally:
        service.stopping.set()
        thread.join(PATIENCE_S)


def test_what_a_drawn_rule_finds_becomes_an_alarm(
    patient: Settings,
    detector: Detector,
    connection: Connection,
    db: Database,
    live: Live,
    topic: str,
    street: bytes,
) -> None:
    """A crowd zone is drawn while the worker works: reading, change, alarm and counts follow; removed, its alarm returns."""
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (topic, topic))
    after = live.last_id()

    def alarms() -> list[tuple[object, ...]]:
        return rows(db, "SELECT rule, measure, state FROM alarm WHERE device = %s", topic)

    def forgotten() -> bool:
        return live.rules_watched(topic) is None

    def values() -> dict[int, float]:
        watched = live.rules_watched(topic)
        return watched.values if watched is not None else {}

    with alarmed(patient), working(patient, detector) as worker, filmed(live, topic, street):
        until(lambda: worker.figures()["frames_s"] > 0)
        assert forgotten()
        rule = make("crowd", points=WHOLE, people=1, seconds=5)
        drawn = add(connection, msgspec.structs.replace(rule, camera=topic), "Kỹ thuật viên")
        until(lambda: bool(alarms()))
        # Told of after the reading, which the alarm follows.
        until(lambda: values() == {drawn.id: 1.0})
        watched = live.rules_watched(topic)
        assert watched is not None
        assert (watched.watching, watched.resting) == ((drawn.id,), ())
        assert watched.fps > 0
        remove(connection, drawn, "Kỹ thuật viên")
        until(lambda: alarms() == [("crowded", "crowded", "returned_unacknowledged")])
        until(forgotten)
    assert alarms() == [("crowded", "crowded", "returned_unacknowledged")]
    stored = rows(
        db, "SELECT value, quality FROM reading WHERE device = %s AND measure = 'crowded' ORDER BY time", topic
    )
    assert set(stored[:-1]) == {(1.0, 0)}
    assert stored[-1] == (0.0, 0)
    published = [
        reading.value
        for _, change in live.changes(after, count=5000)
        if isinstance(change, ReadingsChanged)
        for reading in change.readings
        if (reading.device, reading.measure) == (topic, "crowded")
    ]
    assert set(published[:-1]) == {1.0}
    assert published[-1] == 0.0
    ((seconds, watched_s),) = rows(
        db,
        "SELECT sum(seconds) FILTER (WHERE label = 'person'), sum(watched_s) FILTER (WHERE label = '') FROM camera_flow"
        " WHERE camera = %s AND rule = %s",
        topic,
        drawn.id,
    )
    assert isinstance(seconds, float)
    assert isinstance(watched_s, float)
    assert seconds >= watched_s * 0.9 > 0


def test_what_a_worker_before_us_found_ends_with_its_rule(connection: Connection, db: Database, topic: str) -> None:
    """It died with its finding stored, and the rule was removed before we began. What a camera says of itself is not ours."""
    cameras = [topic, f"{topic}-own"]
    for camera in cameras:
        connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (camera, camera))
    drawn = add(connection, msgspec.structs.replace(make("crowd", people=2, seconds=5), camera=topic), "Người vẽ")
    watch = watch_by(drawn, camera=topic)
    shown = [scene(time, people(3), topic) for time in every(0.2, 10)]
    outcomes = [outcome for one in shown if (outcome := watch.look(one, ASPECT)) is not None]
    write_scenes(connection, shown, Findings(outcomes))
    connection.execute(
        "INSERT INTO latest (device, measure, time, value, quality, received) VALUES (%s, 'crowded', now(), 1, 0, now())",
        (cameras[1],),
    )
    remove(connection, drawn, "Người vẽ")
    book = Rulebook(db.url)
    try:
        watchers = Watchers(book)
        for camera in cameras:
            assert watchers.look(scene(10.0, [], camera), ASPECT) is None
        until(lambda: book.standing(topic) == {"crowded"})
        assert watchers.look(scene(11.0, [], cameras[1]), ASPECT) is None
        last = scene(11.0, [], topic)
        outcome = watchers.look(last, ASPECT)
        assert outcome is not None
        assert [(one.measure, one.value) for one in outcome.readings] == [("crowded", 0.0)]
        write_scenes(connection, [last], Findings([outcome]))
        until(lambda: watchers.look(scene(12.0, [], topic), ASPECT) is None and not book.standing(topic))
    finally:
        book.close()


def test_a_rule_that_fails_is_told_of_and_the_others_go_on(
    patient: Settings,
    detector: Detector,
    connection: Connection,
    live: Live,
    topic: str,
    street: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The heartbeat names it and the metrics count it; the page hears what the others do; when it works again, all is well."""
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (topic, topic))
    monkeypatch.setattr("vision.rules.camera.TRY_AGAIN_S", 1.0)
    faulty = add(connection, msgspec.structs.replace(make("congestion", points=WHOLE), camera=topic), "Người vẽ")
    zone = add(connection, msgspec.structs.replace(make("zone", points=WHOLE), camera=topic), "Người vẽ")

    def fail(_rule: Congestion, _look: object) -> None:
        raise ZeroDivisionError("a fault")

    def rules() -> tuple[tuple[int, ...], tuple[int, ...]] | None:
        watched = live.rules_watched(topic)
        return None if watched is None else (watched.watching, watched.failing)

    failures = REGISTRY.get_sample_value("ioc_vision_rules_failed_total") or 0.0
    with working(patient, detector) as worker, filmed(live, topic, street):
        service = worker._service
        with monkeypatch.context() as patch:
            patch.setattr(Congestion, "look", fail)
            until(lambda: rules() == ((zone.id,), (faulty.id,)))
            until(lambda: f"rules: rule {faulty.id} of {topic}" in service.heartbeat().reason)
            assert (REGISTRY.get_sample_value("ioc_vision_rules_failed_total") or 0.0) > failures
        until(lambda: rules() == ((faulty.id, zone.id), ()))
        until(lambda: "rules" not in service.heartbeat().reason)


def test_rules_are_read_again_when_they_change_and_hold_while_the_database_is_away(
    connection: Connection, db: Database, topic: str
) -> None:
    """Added, changed and removed within seconds; an ended connection is made anew, and meanwhile what was known holds."""
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (topic, topic))
    book = Rulebook(db.url)
    try:
        assert book.rules(topic) == ()
        first = add(connection, msgspec.structs.replace(make("line"), camera=topic), "Người vẽ")
        until(lambda: book.rules(topic) == (first,))
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vision-rules'"
            " AND datname = current_database()"
        )
        assert book.rules(topic) == (first,)
        second = add(connection, msgspec.structs.replace(make("zone"), camera=topic), "Người vẽ")
        until(lambda: book.rules(topic) == (first, second))
        remove(connection, first, "Người vẽ")
        until(lambda: book.rules(topic) == (second,))
        # A newer version of the program knows a kind that we do not; ours goes on with the others.
        connection.execute(
            "INSERT INTO camera_rule (camera, kind, name, points, classes, settings, version)"
            " VALUES (%s, 'teleport', 'x', '[]', '[]', '{}', 1)",
            (topic,),
        )
        third = add(connection, msgspec.structs.replace(make("stopped"), camera=topic), "Người vẽ")
        until(lambda: book.rules(topic) == (second, third))
    finally:
        book.close()


def test_a_camera_that_another_worker_looks_at_is_forgotten(
    patient: Settings,
    detector: Detector,
    connection: Connection,
    live: Live,
    topic: str,
    street: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As soon as it leaves our share, so that it begins anew if it comes back."""
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (topic, topic))
    add(connection, msgspec.structs.replace(make("zone", points=WHOLE), camera=topic), "Người vẽ")
    with working(patient, detector) as worker, filmed(live, topic, street):
        until(lambda: topic in worker._watchers._watches)
        monkeypatch.setattr(worker._share, "mine", lambda _heard: frozenset())
        until(lambda: not worker._watchers._watches)
