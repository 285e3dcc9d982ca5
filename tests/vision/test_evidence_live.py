"""From a rule that a person draws to the picture that proves its alarm: real worker, detector, database, Redis, alarm engine."""

from __future__ import annotations

import msgspec

from ioc.db.camera_rules import add
from ioc.db.evidence_pictures import KeptPicture, blurred, open_original, pictures_of
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.sealing import MasterKey
from ioc.settings import Settings
from tests.fix_stack import Database
from tests.vision.test_privacy import SEALING
from tests.vision.test_rules import make
from tests.vision.test_rules_live import WHOLE, alarmed, filmed
from tests.vision.test_worker import patient, rows, until, working
from vision.engine.detector import Detector
from vision.faces import Faces
from vision.picture import decode_jpeg

__all__ = ["patient"]


def test_what_a_drawn_rule_finds_is_proved_by_a_picture(
    patient: Settings,
    detector: Detector,
    connection: Connection,
    db: Database,
    live: Live,
    topic: str,
    street: bytes,
) -> None:
    """The alarm has the frame its reading came of, under the rule's name, without a face; the original opens with a reason."""
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (topic, topic))
    keeping = patient.model_copy(
        update={"evidence_master_key": Settings(evidence_master_key=SEALING).evidence_master_key}
    )
    rule = msgspec.structs.replace(make("crowd", points=WHOLE, people=1, seconds=5), camera=topic, name="Cổng trường")
    add(connection, rule, "Kỹ thuật viên")

    def proofs() -> list[KeptPicture]:
        return [
            picture
            for (alarm,) in rows(db, "SELECT id FROM alarm WHERE device = %s", topic)
            for picture in pictures_of(connection, int(str(alarm)))
        ]

    with alarmed(keeping), working(keeping, detector), filmed(live, topic, street):
        until(lambda: bool(proofs()))
    picture = proofs()[0]
    assert (picture.camera, picture.measure, picture.rule) == (topic, "crowded", "Cổng trường")
    assert {box.label for box in picture.boxes} >= {"person"}
    readings = rows(
        db, "SELECT value FROM reading WHERE device = %s AND measure = 'crowded' AND time = %s", topic, picture.time
    )
    assert readings == [(1.0,)]
    jpeg = blurred(connection, picture.id)
    assert jpeg is not None
    shown = decode_jpeg(jpeg, (picture.height, picture.width))
    assert shown.shape[:2] == (picture.height, picture.width)
    onlooker = Faces(confidence=0.3)
    assert len(onlooker.find(decode_jpeg(street, (1080, 1920)))) > 0
    assert len(onlooker.find(shown)) == 0
    assert open_original(connection, "Lan", "Kiểm tra", picture.id, MasterKey.of(keeping)) == street
