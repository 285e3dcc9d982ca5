"""Detections and counts in a real TimescaleDB: each frame once, whatever is handed in again."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import msgspec
import psycopg
import pytest

from ioc.db.pool import Connection
from ioc.errors import StorageError
from ioc.stack.embedded import Stack
from tests.fix_stack import Database
from tests.vision.test_scene import START, make
from vision.scene import Scene
from vision.store import Store, write_scenes


def counts(connection: Connection, camera: str) -> dict[tuple[datetime, str], tuple[int, int, int]]:
    rows = connection.execute(
        "SELECT time, label, frames, objects, most FROM camera_count WHERE camera = %s", (camera,)
    ).fetchall()
    return {(row[0], row[1]): row[2:] for row in rows}


def detections(connection: Connection, camera: str) -> int:
    row = connection.execute("SELECT count(*) FROM detection WHERE camera = %s", (camera,)).fetchone()
    assert row is not None
    return int(row[0])


def test_write_scenes_frame_handed_in_twice_counts_once(connection: Connection, topic: str) -> None:
    """The second time nothing is new and nothing changes."""
    scenes = [make(topic, 0, motorbike=3, car=1), make(topic, 1, motorbike=5)]
    assert write_scenes(connection, scenes) == scenes
    assert write_scenes(connection, scenes) == []
    minute = START.replace(second=0)
    assert detections(connection, topic) == 9
    assert counts(connection, topic)[minute, "motorbike"] == (2, 8, 5)
    assert counts(connection, topic)[minute, "car"] == (2, 1, 1)
    assert counts(connection, topic)[minute, "bus"] == (2, 0, 0)


def test_write_scenes_empty_frame_handed_in_twice_counts_once(connection: Connection, topic: str) -> None:
    """A frame without objects leaves no detection, and is known all the same."""
    for _ in range(3):
        write_scenes(connection, [make(topic, 0)])
    assert counts(connection, topic)[START.replace(second=0), "car"] == (1, 0, 0)


def test_write_scenes_restart_within_the_minute_adds_up(connection: Connection, db: Database, topic: str) -> None:
    """Another process, the same minute: the counts go on where they were."""
    write_scenes(connection, [make(topic, 0, car=2)])
    with db.connect() as other:
        write_scenes(other, [make(topic, 0, car=2), make(topic, 0.5, car=4)])
    assert counts(connection, topic)[START.replace(second=0), "car"] == (2, 6, 4)


def test_write_scenes_interrupted_leaves_nothing(connection: Connection, topic: str) -> None:
    """A transaction that fails half way stores neither detections nor counts, and the frame may come again."""
    good = make(topic, 0, car=1)
    second = make(topic, 1, car=1)
    # PostgreSQL has no text with a NUL; it refuses the row in the middle of the COPY.
    broken = Scene(topic, second.time, (msgspec.structs.replace(second.detections[0], label="car\0"),))
    with pytest.raises(StorageError):
        write_scenes(connection, [good, broken])
    assert detections(connection, topic) == 0
    assert counts(connection, topic) == {}
    assert write_scenes(connection, [good]) == [good]


def test_write_scenes_many_workers_at_once_count_every_frame_once(
    connection: Connection, db: Database, topic: str
) -> None:
    """Three workers hand in the same frames in different batches at the same time."""
    scenes = [make(topic, second, car=second % 3, motorbike=1) for second in range(60)]
    together = threading.Barrier(3)

    def work(seed: int) -> None:
        dice = random.Random(seed)
        with db.connect() as own:
            together.wait(60)
            start = 0
            while start < len(scenes):
                size = dice.randint(1, 7)
                write_scenes(own, scenes[start : start + size])
                start += size

    with ThreadPoolExecutor(3) as workers:
        list(workers.map(work, range(3)))
    rows = counts(connection, topic)
    times = connection.execute("SELECT DISTINCT time FROM detection WHERE camera = %s", (topic,)).fetchall()
    # A worker may overtake another, whose frame is then left out as late; what is stored is stored exactly once.
    kept = {row[0] for row in times}
    assert sum(frames for (_, label), (frames, _, _) in rows.items() if label == "motorbike") == len(kept)
    assert sum(objects for (_, label), (_, objects, _) in rows.items() if label == "car") == sum(
        scene.counts().get("car", 0) for scene in scenes if scene.time in kept
    )
    assert scenes[-1].time in kept


def end_connections(db: Database) -> None:
    with psycopg.connect(db.url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE application_name = 'vision' AND datname = current_database()"
        )


def test_store_ended_connection_costs_no_frame(db: Database, topic: str) -> None:
    """The server ends our connection, as at a restart: the next write finds a new one, and nothing is stored twice."""
    store = Store(db.url)
    try:
        assert store.wait(60)
        store.write([make(topic, 0, car=1)])
        end_connections(db)
        assert len(store.write([make(topic, 0, car=1), make(topic, 1, car=1)])) == 1
        assert store.missing is None
    finally:
        store.close()


def test_store_server_that_gives_no_answer_is_given_up(
    db: Database, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the connection and says nothing: the write fails, and the next one is stored on another connection."""
    monkeypatch.setattr("vision.store.ANSWER_S", 0.2)
    store = Store(db.url)
    try:
        assert store.wait(60)
        with psycopg.connect(db.url) as other, ThreadPoolExecutor(1) as thread:
            other.execute("LOCK TABLE camera_seen IN ACCESS EXCLUSIVE MODE")
            writing = thread.submit(store.write, [make(topic, 0, car=1)])
            while not writing.done():
                store.look()
                time.sleep(0.02)
            # Not the server's own word, after ten seconds, that it waited for a lock.
            with pytest.raises(StorageError, match="connection"):
                writing.result()
        assert store.wait(60)
        assert len(store.write([make(topic, 1, car=1)])) == 1
    finally:
        store.close()


def test_store_server_without_our_tables_is_not_usable(stack: Stack) -> None:
    """A database that was never migrated: refused with its reason, and tried again."""
    store = Store(stack.admin_url)
    try:
        deadline = time.monotonic() + 60
        while "camera_seen" not in (store.missing or ""):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with pytest.raises(StorageError, match="camera_seen"):
            store.write([make("cam-1", 0, car=1)])
    finally:
        store.close()
