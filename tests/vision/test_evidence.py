"""Which of what rules find is worth a picture, and that nothing found is held up by one that cannot be made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from ioc.db.evidence_pictures import EvidencePicture
from ioc.db.pool import Connection
from ioc.model import RulesWatched
from ioc.service import Service
from ioc.settings import Settings
from tests.vision.test_rules import make
from vision.evidence import Evidence, Shot
from vision.findings import Findings
from vision.picture import encode_jpeg
from vision.rules.camera import Opened, Outcome
from vision.scene import Scene
from vision.store import write_scenes

START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
STREET = np.full((90, 160, 3), 120, dtype=np.uint8)


@pytest.fixture
def evidence() -> Evidence:
    return Evidence(Service("vision", Settings()))


def shot(camera: str, after_s: float, *found: tuple[str, str], jpeg: bytes = b"") -> Shot:
    """A frame on which rules found something: names of rules with their measures."""
    time = START + timedelta(seconds=after_s)
    opened = tuple(Opened(msgspec.structs.replace(make("crowd"), name=name), measure) for name, measure in found)
    watched = RulesWatched(camera, time, 2.0, (), (), {})
    outcome = Outcome(camera, time, (), (), (), opened, watched)
    return Shot(outcome, STREET, Scene(camera, time, ()), jpeg)


def told(pictures: list[EvidencePicture]) -> list[tuple[str, str, str, float]]:
    return [(p.camera, p.measure, p.rule, (p.time - START).total_seconds()) for p in pictures]


def test_pictures_one_for_each_measure_of_a_frame(evidence: Evidence) -> None:
    """Two rules that find the same kind of thing share one; a rule without a name leaves its place empty."""
    frame = shot("cam-1", 0, ("Cổng", "crowded"), ("Sân", "crowded"), ("", "stoppedVehicles"))
    assert told(evidence.pictures([frame])) == [
        ("cam-1", "crowded", "Cổng, Sân", 0),
        ("cam-1", "stoppedVehicles", "", 0),
    ]
    assert evidence.pictures([shot("cam-1", 30)]) == []


def test_pictures_of_one_thing_are_ten_seconds_apart(evidence: Evidence) -> None:
    """What flickers is not kept at every flicker; another camera or measure waits for nobody; a clock set back starts anew."""
    found = ("Cổng", "crowded")
    assert len(evidence.pictures([shot("cam-1", 0, found), shot("cam-1", 4, found), shot("cam-2", 4, found)])) == 2
    assert evidence.pictures([shot("cam-1", 9.9, found)]) == []
    assert len(evidence.pictures([shot("cam-1", 9.9, ("Làn", "stoppedVehicles"))])) == 1
    assert len(evidence.pictures([shot("cam-1", 10, found)])) == 1
    assert len(evidence.pictures([shot("cam-1", -600, found)])) == 1


def test_pictures_that_were_not_stored_are_made_again(evidence: Evidence) -> None:
    """The database was away: what is found again a second later has its picture."""
    found = ("Cổng", "crowded")
    lost = evidence.pictures([shot("cam-1", 0, found)])
    evidence.lost(lost)
    assert len(evidence.pictures([shot("cam-1", 1, found)])) == 1


def test_pictures_one_that_cannot_be_made_is_told_and_left_out(evidence: Evidence) -> None:
    """A frame that is no JPEG after all: the others are kept, the service says what is missing, and later that it is well."""
    found = ("Cổng", "crowded")
    broken = shot("cam-1", 0, found, jpeg=b"\xff\xd8 cut short")
    whole = shot("cam-2", 0, found, jpeg=encode_jpeg(STREET))
    service = evidence._service
    assert told(evidence.pictures([whole, broken])) == [("cam-2", "crowded", "Cổng", 0)]
    assert "evidence" in service.heartbeat().reason
    assert len(evidence.pictures([shot("cam-1", 1, found)])) == 1
    assert service.heartbeat().reason == ""


def test_findings_store_pictures_of_new_frames_alone(connection: Connection, evidence: Evidence, topic: str) -> None:
    """A frame that is handed in again, or that another worker stored before, brings no second picture."""
    frame = shot(topic, 0, ("Cổng", "crowded"))
    pictures = evidence.pictures([frame])
    for _ in range(2):
        write_scenes(connection, [frame.scene], Findings([frame.outcome], pictures))
    late = shot(topic, -5, ("Cổng", "crowded"))
    write_scenes(connection, [late.scene], Findings([late.outcome], evidence.pictures([late])))
    rows = connection.execute("SELECT time, rule FROM evidence_picture WHERE camera = %s", (topic,)).fetchall()
    assert rows == [(START, "Cổng")]
