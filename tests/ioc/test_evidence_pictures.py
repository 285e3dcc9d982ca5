"""Evidence pictures in a real TimescaleDB: kept once, bound to their alarm; originals open only with a reason that stays."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from ioc.db.audit import verify_audit
from ioc.db.evidence_pictures import (
    DESTROY,
    MOST_BYTES,
    OPEN,
    UNPROVED,
    EvidencePicture,
    SeenBox,
    about,
    accesses,
    blurred,
    destroy_originals,
    first_pictures,
    keep_pictures,
    open_original,
    pictures_of,
    retain_pictures,
)
from ioc.db.pool import Connection
from ioc.errors import ActionError, OriginalError, StorageError
from ioc.sealing import MasterKey
from ioc.service import utc_now
from ioc.settings import Settings
from tests.fix_stack import Database

KEY = MasterKey(bytes(range(32)))
JPEG = b"\xff\xd8 as it came \xff\xd9"
MEASURE = "peopleCount"
SHOWN = datetime(2026, 3, 1, 8, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
def camera() -> str:
    return f"cam-{uuid.uuid4().hex[:8]}"


def make_picture(
    camera: str, time: datetime = SHOWN, key: MasterKey | None = KEY, jpeg: bytes = JPEG
) -> EvidencePicture:
    boxes = (SeenBox("person", 0.9, 0.1, 0.2, 0.3, 0.9), SeenBox("car", 0.5, 0.0, 0.0, 1.0, 1.0))
    original = None if key is None else key.seal(jpeg, about(camera, MEASURE, time))
    return EvidencePicture(camera, MEASURE, time, "Quảng trường", 1280, 720, boxes, b"\xff\xd8 blurred", original)


def make_alarm(
    connection: Connection,
    camera: str,
    *,
    rule: str = "test-crowd",
    opened: datetime | None = None,
    returned: datetime | None = None,
) -> tuple[int, int]:
    """An alarm of the camera; returns its id and its incident's."""
    opened = opened or utc_now()
    (incident,) = connection.execute(
        "INSERT INTO incident (cause, ward, priority, state, opened, changed) VALUES ('traffic', '', 2, 'open', %s, %s)"
        " RETURNING id",
        (opened, opened),
    ).fetchone() or (0,)
    (alarm,) = connection.execute(
        "INSERT INTO alarm (rule, device, measure, ward, cause, priority, state, opened, changed, returned, incident)"
        " VALUES (%s, %s, %s, '', 'traffic', 2, %s, %s, %s, %s, %s) RETURNING id",
        (rule, camera, MEASURE, "normal" if returned else "unacknowledged", opened, opened, returned, incident),
    ).fetchone() or (0,)
    return alarm, incident


def kept(connection: Connection, camera: str) -> int:
    """Id of the newest picture of a camera."""
    row = connection.execute("SELECT max(id) FROM evidence_picture WHERE camera = %s", (camera,)).fetchone()
    assert row is not None
    return int(row[0])


def age(connection: Connection, picture: int, by: timedelta) -> None:
    connection.execute("UPDATE evidence_picture SET kept = now() - %s WHERE id = %s", (by, picture))


# --- keeping ---


def test_keep_pictures_same_moment_twice_is_one(connection: Connection, camera: str) -> None:
    """A frame that is handed in again after a crash adds neither a picture nor a second original."""
    assert keep_pictures(connection, [make_picture(camera), make_picture(camera)]) == 1
    assert keep_pictures(connection, [make_picture(camera)]) == 0
    assert keep_pictures(connection, [make_picture(camera, SHOWN + timedelta(seconds=1))]) == 1
    rows = connection.execute(
        "SELECT count(*) FROM evidence_original o JOIN evidence_picture p ON p.id = o.picture WHERE camera = %s",
        (camera,),
    ).fetchone()
    assert rows == (2,)


def test_keep_pictures_goes_with_the_transaction(connection: Connection, camera: str) -> None:
    """What its reading does not survive it does not survive either."""
    with connection.transaction(force_rollback=True):
        assert keep_pictures(connection, [make_picture(camera)]) == 1
    assert connection.execute("SELECT count(*) FROM evidence_picture WHERE camera = %s", (camera,)).fetchone() == (0,)


def test_keep_pictures_too_large_a_picture_is_refused_by_the_table(connection: Connection, camera: str) -> None:
    picture = make_picture(camera)
    large = EvidencePicture(camera, MEASURE, SHOWN, "", 1, 1, (), bytes(MOST_BYTES + 1), picture.original)
    with pytest.raises(psycopg.errors.CheckViolation):
        keep_pictures(connection, [large])
    assert keep_pictures(connection, [EvidencePicture(camera, MEASURE, SHOWN, "", 1, 1, (), bytes(MOST_BYTES))]) == 1


def test_keep_pictures_original_lies_in_the_database_sealed_only(connection: Connection, camera: str) -> None:
    """Nothing of the frame, and nothing of a key, can be read from the tables."""
    keep_pictures(connection, [make_picture(camera)])
    row = connection.execute("SELECT o::text FROM evidence_original o WHERE picture = %s", (kept(connection, camera),))
    (text,) = row.fetchone() or ("",)
    assert JPEG[2:-2].hex() not in text
    assert bytes(range(32)).hex() not in text


# --- which alarm it proves ---


def test_pictures_of_the_picture_that_opened_the_alarm_and_those_while_it_lasts(
    connection: Connection, camera: str
) -> None:
    """Kept just before the engine opened it, and while it holds; with what was seen and the rule's name."""
    keep_pictures(connection, [make_picture(camera)])
    alarm, _ = make_alarm(connection, camera)
    keep_pictures(connection, [make_picture(camera, SHOWN + timedelta(seconds=30), key=None)])
    first, second = pictures_of(connection, alarm)
    assert (first.camera, first.measure, first.time, first.rule) == (camera, MEASURE, SHOWN, "Quảng trường")
    assert first.boxes[0] == SeenBox("person", 0.9, 0.1, 0.2, 0.3, 0.9)
    assert (first.original, second.original) == ("sealed", "none")
    assert blurred(connection, first.id) == b"\xff\xd8 blurred"
    assert first_pictures(connection, [alarm, 0]) == {alarm: first.id}


def test_pictures_of_another_camera_measure_or_time_do_not_prove_it(connection: Connection, camera: str) -> None:
    now = utc_now()
    keep_pictures(connection, [make_picture(camera)])
    other, _ = make_alarm(connection, f"{camera}-b")
    late, _ = make_alarm(connection, camera, rule="test-later", opened=now + timedelta(minutes=11))
    over, _ = make_alarm(
        connection, camera, rule="test-over", opened=now - timedelta(hours=1), returned=now - timedelta(minutes=5)
    )
    assert pictures_of(connection, other) == pictures_of(connection, late) == pictures_of(connection, over) == []


def test_pictures_of_two_alarms_one_after_another_each_has_its_own(connection: Connection, camera: str) -> None:
    """The picture of the first is not shown as proof of the second that opened a minute later."""
    now = utc_now()
    keep_pictures(connection, [make_picture(camera)])
    age(connection, kept(connection, camera), timedelta(minutes=4))
    first, _ = make_alarm(connection, camera, opened=now - timedelta(minutes=4), returned=now - timedelta(minutes=3))
    keep_pictures(connection, [make_picture(camera, SHOWN + timedelta(minutes=3))])
    second, _ = make_alarm(connection, camera)
    assert [picture.time for picture in pictures_of(connection, first)] == [SHOWN]
    assert [picture.time for picture in pictures_of(connection, second)] == [SHOWN + timedelta(minutes=3)]


# --- opening ---


def test_open_original_is_written_down_and_comes_back(connection: Connection, camera: str) -> None:
    keep_pictures(connection, [make_picture(camera)])
    _, incident = make_alarm(connection, camera)
    picture = kept(connection, camera)
    assert open_original(connection, "Lan", "Tìm xe gây tai nạn", picture, KEY) == JPEG
    (entry,) = accesses(connection, picture)
    assert (entry.who, entry.what) == ("Lan", OPEN)
    assert entry.after is not None
    assert entry.after["reason"] == "Tìm xe gây tai nạn"
    assert entry.after["incidents"] == [incident]
    assert entry.after["camera"] == camera
    assert verify_audit(connection) is None
    open_original(connection, "Minh", "Công an yêu cầu", picture, KEY)
    assert [entry.who for entry in accesses(connection, picture)] == ["Minh", "Lan"]


@pytest.mark.parametrize(("who", "reason"), [("Lan", ""), ("Lan", " \n\x00"), ("", "vì sao"), ("Lan", "x" * 2001)])
def test_open_original_without_name_or_reason_is_refused(
    who: str, reason: str, connection: Connection, camera: str
) -> None:
    keep_pictures(connection, [make_picture(camera)])
    make_alarm(connection, camera)
    with pytest.raises(ActionError):
        open_original(connection, who, reason, kept(connection, camera), KEY)
    assert accesses(connection, kept(connection, camera)) == []


def test_open_original_that_belongs_to_no_incident_is_refused(connection: Connection, camera: str) -> None:
    """What proves nothing is nobody's business; nothing is written down as opened."""
    keep_pictures(connection, [make_picture(camera)])
    with pytest.raises(OriginalError) as caught:
        open_original(connection, "Lan", "tò mò", kept(connection, camera), KEY)
    assert caught.value.why == "unattached"
    assert accesses(connection, kept(connection, camera)) == []


def test_open_original_says_why_it_cannot(connection: Connection, camera: str) -> None:
    """No such picture, none kept, no key here, another key."""
    keep_pictures(connection, [make_picture(camera, key=None)])
    make_alarm(connection, camera)
    picture = kept(connection, camera)

    def why(number: int, key: MasterKey | None) -> str:
        with pytest.raises(OriginalError) as caught:
            open_original(connection, "Lan", "cần xem", number, key)
        return caught.value.why

    assert why(2**62, KEY) == "absent"
    assert why(picture, KEY) == "none"
    assert why(picture, None) == "no_key"
    keep_pictures(connection, [make_picture(camera, SHOWN + timedelta(seconds=9))])
    assert why(kept(connection, camera), MasterKey(bytes(32))) == "sealed"
    assert accesses(connection, kept(connection, camera)) == []


def test_open_original_put_in_another_pictures_place_does_not_open_and_the_attempt_stays(
    connection: Connection, camera: str
) -> None:
    """Whoever can write to the tables cannot make one picture pass for another."""
    keep_pictures(connection, [make_picture(camera), make_picture(camera, SHOWN + timedelta(seconds=9))])
    make_alarm(connection, camera)
    picture = kept(connection, camera)
    connection.execute(
        "UPDATE evidence_original o SET wrapped = f.wrapped, sealed = f.sealed FROM evidence_original f"
        " WHERE o.picture = %s AND f.picture = %s",
        (picture, picture - 1),
    )
    with pytest.raises(OriginalError, match="changed"):
        open_original(connection, "Lan", "cần xem", picture, KEY)
    assert len(accesses(connection, picture)) == 1


def test_open_original_inside_a_transaction_is_refused(connection: Connection, camera: str) -> None:
    """A caller that rolls back would have seen the picture with no trace of it."""
    keep_pictures(connection, [make_picture(camera)])
    make_alarm(connection, camera)
    with pytest.raises(ValueError, match="taken back"), connection.transaction():
        open_original(connection, "Lan", "cần xem", kept(connection, camera), KEY)


def test_open_original_that_cannot_be_written_down_is_not_opened(
    db: Database, connection: Connection, camera: str
) -> None:
    """The audit log refuses, so the picture stays closed."""
    keep_pictures(connection, [make_picture(camera)])
    make_alarm(connection, camera)
    connection.execute("ALTER TABLE audit ADD CONSTRAINT full_disk CHECK (who <> 'Lan-1') NOT VALID")
    try:
        with pytest.raises(StorageError):
            open_original(connection, "Lan-1", "cần xem", kept(connection, camera), KEY)
    finally:
        connection.execute("ALTER TABLE audit DROP CONSTRAINT full_disk")
    assert accesses(connection, kept(connection, camera)) == []


# --- destroying ---


def test_destroy_originals_of_an_incident_are_gone_for_good(connection: Connection, camera: str) -> None:
    """Key and original; the blurred picture and the log of who saw it stay."""
    keep_pictures(connection, [make_picture(camera)])
    alarm, incident = make_alarm(connection, camera)
    picture = kept(connection, camera)
    open_original(connection, "Lan", "cần xem", picture, KEY)
    assert destroy_originals(connection, "Minh", "Người dân yêu cầu xóa", incident) == 1
    assert destroy_originals(connection, "Minh", "Người dân yêu cầu xóa", incident) == 0
    with pytest.raises(OriginalError) as caught:
        open_original(connection, "Lan", "cần xem", picture, KEY)
    assert caught.value.why == "destroyed"
    assert [(entry.what, entry.who) for entry in accesses(connection, picture)] == [(DESTROY, "Minh"), (OPEN, "Lan")]
    assert [p.original for p in pictures_of(connection, alarm)] == ["destroyed"]
    assert connection.execute(
        "SELECT wrapped, sealed FROM evidence_original WHERE picture = %s", (picture,)
    ).fetchone() == (None, None)
    assert verify_audit(connection) is None


def test_destroy_originals_of_another_incident_stay(connection: Connection, camera: str) -> None:
    keep_pictures(connection, [make_picture(camera)])
    make_alarm(connection, camera)
    _, other = make_alarm(connection, f"{camera}-b")
    assert destroy_originals(connection, "Minh", "nhầm", other) == 0
    assert open_original(connection, "Lan", "cần xem", kept(connection, camera), KEY) == JPEG


def test_open_and_destroy_at_once_never_open_without_an_entry(db: Database, camera: str) -> None:
    """Ten openings against one destruction: each that got the picture is in the log, and none got it after the destruction."""
    with db.connect() as connection:
        keep_pictures(connection, [make_picture(camera)])
        _, incident = make_alarm(connection, camera)
        picture = kept(connection, camera)
    opened: list[str] = []
    refused: list[str] = []
    together = threading.Barrier(6)

    def look(name: str) -> None:
        with db.connect() as own:
            together.wait(60)
            for round_ in range(2):
                try:
                    open_original(own, f"{name}-{round_}", "cần xem", picture, KEY)
                except OriginalError as error:
                    refused.append(error.why)
                else:
                    opened.append(f"{name}-{round_}")

    def destroy() -> None:
        with db.connect() as own:
            together.wait(60)
            destroy_originals(own, "Minh", "hết hạn", incident)

    threads = [threading.Thread(target=look, args=(f"người-{i}",)) for i in range(5)] + [
        threading.Thread(target=destroy)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    with db.connect() as connection:
        log = accesses(connection, picture)
        assert verify_audit(connection) is None
    assert set(refused) <= {"destroyed"}
    assert len(refused) + len(opened) == 10
    assert sorted(entry.who for entry in log if entry.what == OPEN) == sorted(opened)
    destroyed_at = next(entry.seq for entry in log if entry.what == DESTROY)
    assert all(entry.seq < destroyed_at for entry in log if entry.what == OPEN)


# --- retention ---


def test_retain_pictures_by_the_settings(connection: Connection, camera: str) -> None:
    """Pictures go after their days, originals after theirs; what proves an alarm keeps its original longer than a day."""
    settings = Settings(retention_evidence_days=90, retention_originals_days=30)
    ages = {"new": timedelta(days=2), "month": timedelta(days=31), "old": timedelta(days=91)}
    pictures = {}
    for name, old in ages.items():
        keep_pictures(connection, [make_picture(f"{camera}-{name}")])
        pictures[name] = kept(connection, f"{camera}-{name}")
        age(connection, pictures[name], old)
        make_alarm(connection, f"{camera}-{name}", opened=utc_now() - old)
    keep_pictures(connection, [make_picture(camera)])
    age(connection, kept(connection, camera), UNPROVED + timedelta(minutes=1))
    assert retain_pictures(connection, settings, utc_now()) == (1, 2)
    assert retain_pictures(connection, settings, utc_now()) == (0, 0)
    assert blurred(connection, pictures["old"]) is None
    assert blurred(connection, pictures["month"]) is not None
    assert open_original(connection, "Lan", "cần xem", pictures["new"], KEY) == JPEG
    with pytest.raises(OriginalError, match="destroyed"):
        open_original(connection, "Lan", "cần xem", pictures["month"], KEY)
    states = connection.execute(
        "SELECT destroyed IS NOT NULL FROM evidence_original WHERE picture = %s", (kept(connection, camera),)
    )
    assert states.fetchone() == (True,)
