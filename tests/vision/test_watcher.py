"""The watcher on a real Redis and TimescaleDB: what is wrong with a picture becomes readings, every second is in the ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from ioc.camera_view import accept_view
from ioc.catalog import PICTURE_STATES
from ioc.db.camera_truth import conditions, lessons, uptime, view_learnt
from ioc.db.devices import Placed, announce, enter
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.model import Announcement, DevicesChanged, Frame, FrameArrived, ReadingsChanged
from ioc.service import Service
from ioc.settings import Settings
from tests.fix_stack import Database
from vision.picture import encode_jpeg
from vision.watcher import Watcher, serve

PATIENCE_S = 90.0
DICE = np.random.default_rng(11)
#: A scene with structure everywhere.
SCENE = np.kron(DICE.integers(40, 200, (9, 16, 3)), np.ones((20, 20, 1))).astype(np.float32)


def alive(shift: int = 0) -> bytes:
    """The scene with the noise of a sensor, moved to the right by so many pixels of 320."""
    noisy = np.roll(SCENE, shift, axis=1) + DICE.normal(0, 3, SCENE.shape)
    return encode_jpeg(np.clip(noisy, 0, 255).astype(np.uint8))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    with db.connect() as opened:
        # Each test has its own time, which may lie before that of the last.
        opened.execute("TRUNCATE camera_watch, camera_condition")
        yield opened


@pytest.fixture
def camera(connection: Connection, topic: str) -> str:
    """A registered camera that is expected to send every second."""
    announce(connection, [Placed(Announcement(topic, "camera", "Ngã tư", attrs={"period_s": 1}), "26824")])
    return topic


class Driven:
    """A watcher whose time the test drives."""

    def __init__(self, settings: Settings, connection: Connection, live: Live, now: float | None = None) -> None:
        self.live = live
        self.now = time.time() if now is None else now
        self.watcher = Watcher(Service("truth", settings), connection, live, lambda: self.now)
        self.watcher._begin()

    def shows(self, camera: str, jpeg: bytes, behind_s: float = 0.0) -> None:
        """A picture comes, is looked at and judged; two seconds pass."""
        self.now += 2
        taken = datetime.fromtimestamp(self.now - behind_s, UTC)
        self.live.put_frame(Frame(camera, datetime.fromtimestamp(self.now, UTC), jpeg))
        self.watcher._take(FrameArrived(camera, taken), self.now)
        self.watcher._look_at(camera, self.watcher.cameras[camera])
        self.watcher.judge(self.now)

    def passes(self, seconds: float) -> None:
        """Nothing comes."""
        self.now += seconds
        self.watcher.judge(self.now)


def said(connection: Connection, camera: str) -> list[str]:
    """What the readings say, each change once."""
    rows = connection.execute(
        "SELECT value FROM reading WHERE device = %s AND measure = 'pictureState' ORDER BY time", (camera,)
    ).fetchall()
    states = [PICTURE_STATES[int(value)] for (value,) in rows]
    return [state for at, state in enumerate(states) if at == 0 or states[at - 1] != state]


def entered(connection: Connection, camera: str) -> list[str]:
    now = datetime.now(UTC)
    found = conditions(connection, camera, now - timedelta(days=1), now + timedelta(days=1))
    assert all(one.ended == two.began for one, two in pairwise(found))
    return [one.condition for one in found]


def test_watcher_tells_what_is_wrong_and_keeps_the_ledger(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """Well, frozen, missing, black, late: a reading for each change, on the stream too, no second lost or counted twice."""
    driven = Driven(settings, connection, live)
    after = live.last_id()
    begin = driven.now
    for _ in range(5):
        driven.shows(camera, alive())
    still = alive()
    for _ in range(20):
        driven.shows(camera, still)
    for _ in range(4):
        driven.shows(camera, alive())
    driven.passes(7)
    driven.passes(3)
    for _ in range(4):
        driven.shows(camera, alive())
    for _ in range(6):
        driven.shows(camera, encode_jpeg(np.zeros((180, 320, 3), np.uint8)))
    for _ in range(10):
        driven.shows(camera, alive())
    for _ in range(8):
        driven.shows(camera, alive(), behind_s=40)
    wanted = ["ok", "frozen", "ok", "missing", "ok", "black", "ok", "late"]
    assert said(connection, camera) == wanted
    assert entered(connection, camera) == wanted
    published = [
        PICTURE_STATES[int(reading.value)]
        for _, change in live.changes(after, count=5000)
        if isinstance(change, ReadingsChanged)
        for reading in change.readings
        if reading.device == camera
    ]
    assert [one for at, one in enumerate(published) if at == 0 or published[at - 1] != one] == wanted
    found = conditions(connection, camera, datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(driven.now, UTC))
    assert (found[1].ended - found[1].began).total_seconds() == pytest.approx(40, abs=4)
    (share,) = uptime(connection, datetime.fromtimestamp(driven.now, UTC), camera)
    assert share.day is not None
    assert 0 < share.day < 1
    assert set(share.lost) == {"frozen", "missing", "black", "late"}


def test_watcher_restart_forgets_neither_view_nor_condition(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """The view is learnt and stored; another watcher sees at once that the camera has moved, and says it once."""
    driven = Driven(settings, connection, live)
    for _ in range(60):
        driven.shows(camera, alive())
    assert view_learnt(connection, camera) is not None
    for _ in range(20):
        driven.shows(camera, alive(shift=32))
    assert said(connection, camera) == ["ok", "moved"]
    again = Driven(settings, connection, live, driven.now)
    for _ in range(45):
        again.shows(camera, alive(shift=32))
    assert said(connection, camera) == ["ok", "moved"]
    assert entered(connection, camera) == ["ok", "moved"]
    # A technician says that this is what it shall show.
    accept_view(connection, "Kỹ thuật viên", camera)
    again.passes(3)
    assert lessons(connection)[camera] == 1
    for _ in range(65):
        again.shows(camera, alive(shift=32))
    assert said(connection, camera) == ["ok", "moved", "ok"]
    assert view_learnt(connection, camera) is not None


def test_watcher_camera_out_of_service_is_not_watched(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """Under maintenance nothing is missing."""
    driven = Driven(settings, connection, live)
    for _ in range(5):
        driven.shows(camera, alive())
    (device,) = announce_maintenance(connection, camera)
    driven.watcher._take(device, driven.now)
    driven.passes(100)
    driven.passes(100)
    assert said(connection, camera) == ["ok"]
    assert driven.watcher.cameras[camera].written is None


def announce_maintenance(connection: Connection, camera: str) -> list[DevicesChanged]:
    return [DevicesChanged([enter(connection, camera, {"status": "maintenance"})])]


def test_watcher_unreadable_pictures_are_missing(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """A camera that sends half pictures alone sends none."""
    driven = Driven(settings, connection, live)
    for _ in range(5):
        driven.shows(camera, alive())
    for _ in range(5):
        driven.shows(camera, alive()[:2000])
    for _ in range(60):  # also while they come more often than they are looked at
        driven.now += 0.5
        at = datetime.fromtimestamp(driven.now, UTC)
        live.put_frame(Frame(camera, at, alive()[:2000]))
        driven.watcher._take(FrameArrived(camera, at), driven.now)
        driven.watcher._look()
        driven.watcher.judge(driven.now)
    assert said(connection, camera) == ["ok", "missing"]
    assert entered(connection, camera)[-1] == "missing"


def test_watcher_that_was_deaf_says_nothing_of_that_time(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """Ingest is gone for ten minutes and no camera is heard: none is called missing, and the ledger has a hole."""
    driven = Driven(settings, connection, live)
    for _ in range(9):
        driven.shows(camera, alive())
    driven.watcher._listen()
    assert driven.watcher.hearing
    lost = driven.now
    for _ in range(60):
        driven.now += 10
        driven.watcher._listen()
    assert not driven.watcher.hearing
    driven.now += 2
    driven.watcher._take(FrameArrived(camera, datetime.fromtimestamp(driven.now, UTC)), driven.now)
    driven.watcher._listen()
    assert driven.watcher.hearing
    for _ in range(3):
        driven.shows(camera, alive())
    assert said(connection, camera) == ["ok"]
    one, two = conditions(
        connection, camera, datetime.fromtimestamp(lost - 60, UTC), datetime.fromtimestamp(driven.now + 60, UTC)
    )
    assert (one.condition, two.condition) == ("ok", "ok")
    assert one.ended.timestamp() <= lost + 1
    assert two.began.timestamp() >= lost + 600


def test_watcher_deaf_soon_after_it_began_goes_on_all_the_same(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """Nothing of the first seconds is certain; afterwards the ledger is kept as ever."""
    driven = Driven(settings, connection, live)
    driven.shows(camera, alive())
    driven.now += 600
    driven.watcher._listen()
    driven.watcher._take(FrameArrived(camera, datetime.fromtimestamp(driven.now, UTC)), driven.now)
    driven.watcher._listen()
    for _ in range(9):
        driven.shows(camera, alive())
    assert entered(connection, camera) == ["ok"]


def test_watcher_unknown_view_is_learnt_anew(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """A view that another version stored does not stop the watch."""
    connection.execute(
        "INSERT INTO camera_view (camera, learnt, view) VALUES (%s, now(), %s)", (camera, b"of another version")
    )
    driven = Driven(settings, connection, live)
    driven.shows(camera, alive())
    assert driven.watcher.cameras[camera].truth.view is None


@contextmanager
def watching(settings: Settings) -> Iterator[Service]:
    service = Service("truth", settings)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(serve, service)
        try:
            yield service
        finally:
            service.stopping.set()
            running.result(PATIENCE_S)


def test_watchers_two_at_once_write_once_and_relieve_each_other(
    settings: Settings, connection: Connection, live: Live, camera: str
) -> None:
    """One acts, one stands by; a camera that falls silent is missing without any detector; when one goes, the other goes on."""
    sending = threading.Event()
    sending.set()
    stopping = threading.Event()

    def send() -> None:
        while not stopping.wait(0.5):
            # Another camera is always heard, so that the watcher knows that it is not deaf.
            live.put_frame(Frame("t-other", datetime.now(UTC), alive()))
            if sending.is_set():
                live.put_frame(Frame(camera, datetime.now(UTC), alive()))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with watching(settings) as first:
            until(lambda: said(connection, camera) == ["ok"])
            with watching(settings) as second:
                assert first.figures()["acting"] == 1
                until(lambda: second.figures().get("acting") == 0)
                sending.clear()
                until(lambda: said(connection, camera) == ["ok", "missing"])
                first.stopping.set()
                until(lambda: second.figures()["acting"] == 1)
                sending.set()
                until(lambda: said(connection, camera) == ["ok", "missing", "ok"])
    finally:
        stopping.set()
        thread.join()
    assert entered(connection, camera) == ["ok", "missing", "ok"]
