"""Pictures that prove alarms: blurred ones to look at, and the originals sealed, each opening written down before it happens.

A picture is kept with the reading that it proves, under the same camera, measure and time. Which alarms and incident it belongs
to is told by the view `evidence_of_alarm`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from ioc.db.audit import AuditEntry, append, entries_of
from ioc.db.pool import Connection, translated
from ioc.errors import OriginalError, SealError
from ioc.service import utc_now
from ioc.settings import Settings
from ioc.typed import typed_name, typed_text

if TYPE_CHECKING:
    # Its library is large, and who keeps no originals needs none of it.
    from ioc.sealing import MasterKey, Sealed

#: Bytes of a blurred picture at most; the table refuses more.
MOST_BYTES: Final = 393_216
#: Bytes of a picture whose original is kept at most.
MOST_ORIGINAL_BYTES: Final = 4_000_000
#: An original that has proved no alarm by then is destroyed.
UNPROVED: Final = timedelta(days=1)
#: Largest number that a picture or an incident can have.
MOST_ID: Final = 2**63 - 1
#: Characters of a reason.
REASON_AT_MOST: Final = 2000

#: What the audit log calls them.
OPEN: Final = "original.open"
DESTROY: Final = "original.destroy"


class SeenBox(msgspec.Struct, frozen=True, array_like=True):
    """A box on a picture: class, confidence, and its corners in shares of the picture."""

    label: str
    confidence: float
    x1: float
    y1: float
    x2: float
    y2: float


class EvidencePicture(msgspec.Struct, frozen=True):
    """What is stored of one moment.

    Attributes:
        measure: of the camera; the reading that it proves has the same measure and time.
        rule: what found it, as people call it.
        jpeg: with faces and number plates blurred; at most `MOST_BYTES`.
        original: the picture as it came, sealed about `about(...)`; None = it is not kept.
    """

    camera: str
    measure: str
    time: datetime
    rule: str
    width: int
    height: int
    boxes: tuple[SeenBox, ...]
    jpeg: bytes
    original: Sealed | None = None


#: `none`: it was never kept. `sealed`: it can be opened. `destroyed`: nobody can open it any more.
Original = Literal["none", "sealed", "destroyed"]


class KeptPicture(msgspec.Struct, frozen=True):
    """A stored picture without its pixels."""

    id: int
    camera: str
    measure: str
    time: datetime
    rule: str
    width: int
    height: int
    boxes: list[SeenBox]
    original: Original


def about(camera: str, measure: str, time: datetime) -> str:
    """What an original is sealed about: it opens as the picture of this moment only."""
    return f"evidence of {measure} at {camera}, {time.timestamp():.6f}"


def keep_pictures(connection: Connection, pictures: Sequence[EvidencePicture]) -> int:
    """Store pictures, each moment once; returns how many were new. Call it in the transaction that stores their readings."""
    new = 0
    for picture in pictures:
        row = connection.execute(
            "INSERT INTO evidence_picture (camera, measure, time, rule, width, height, boxes, jpeg)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
            (
                picture.camera,
                picture.measure,
                picture.time,
                picture.rule,
                picture.width,
                picture.height,
                Jsonb(msgspec.to_builtins(picture.boxes)),
                picture.jpeg,
            ),
        ).fetchone()
        if row is None:
            continue
        new += 1
        if picture.original is not None:
            connection.execute(
                "INSERT INTO evidence_original (picture, master, wrapped, sealed) VALUES (%s, %s, %s, %s)",
                (row[0], picture.original.master, picture.original.wrapped, picture.original.sealed),
            )
    return new


def pictures_of(connection: Connection, alarm: int, most: int = 12) -> list[KeptPicture]:
    """The pictures that prove an alarm, the first first: that is the one it opened with."""
    with translated():
        rows = connection.execute(
            "SELECT p.id, p.camera, p.measure, p.time, p.rule, p.width, p.height, p.boxes, CASE WHEN o.picture IS NULL"
            " THEN 'none' WHEN o.wrapped IS NULL THEN 'destroyed' ELSE 'sealed' END FROM evidence_of_alarm e"
            " JOIN evidence_picture p ON p.id = e.picture LEFT JOIN evidence_original o ON o.picture = p.id"
            " WHERE e.alarm = %s ORDER BY p.time LIMIT %s",
            (alarm, most),
        ).fetchall()
    return [msgspec.convert(dict(zip(KeptPicture.__struct_fields__, row, strict=True)), KeptPicture) for row in rows]


def first_pictures(connection: Connection, alarms: Collection[int]) -> dict[int, int]:
    """By alarm: the picture it opened with; alarms without one are absent."""
    with translated():
        rows = connection.execute(
            "SELECT DISTINCT ON (e.alarm) e.alarm, p.id FROM evidence_of_alarm e JOIN evidence_picture p ON p.id = e.picture"
            " WHERE e.alarm = ANY(%s) ORDER BY e.alarm, p.time",
            (list(alarms),),
        ).fetchall()
    return dict(rows)


def blurred(connection: Connection, picture: int) -> bytes | None:
    """The blurred JPEG, None when there is no such picture."""
    with translated():
        row = connection.execute("SELECT jpeg FROM evidence_picture WHERE id = %s", (picture,)).fetchone()
    return None if row is None else bytes(row[0])


def open_original(connection: Connection, who: str, reason: str, picture: int, key: MasterKey | None) -> bytes:
    """The JPEG as it came from the camera; that it is opened, by whom and why, is committed to the audit log first.

    Args:
        connection: in autocommit and outside a transaction, so that nobody can take the entry back.
        who: the person.
        reason: why it must be seen.
        picture: its id.
        key: the master key of this process, None when it has none.

    Raises:
        ActionError: no name or no reason.
        OriginalError: it cannot be opened.
        StorageError: nothing was written down, and nothing opened.
    """
    if connection.info.transaction_status != TransactionStatus.IDLE or not connection.autocommit:
        raise ValueError(
            "inside a transaction the entry in the audit log could be taken back after the picture was seen"
        )
    name, why = typed_name(who), typed_text(reason, "a reason", most=REASON_AT_MOST)
    if key is None:
        raise OriginalError("no_key", "no master key is configured here: set IOC_EVIDENCE_MASTER_KEY_FILE")
    with translated(), connection.transaction():
        camera, measure, time, sealed = _sealed(connection, picture)
        incidents = _incidents(connection, picture)
        if sealed.master != key.name:
            raise OriginalError("sealed", f"sealed under the master key {sealed.master}, the one here is {key.name}")
        after = {"reason": why, "camera": camera, "measure": measure, "time": time.isoformat(), "incidents": incidents}
        append(connection, name, OPEN, subject(picture), after=after)
    try:
        return key.open(sealed, about(camera, measure, time))
    except SealError as error:
        raise OriginalError("sealed", str(error)) from error


def destroy_originals(connection: Connection, who: str, reason: str, incident: int) -> int:
    """Throw the data keys of an incident's originals away, and what they sealed; returns how many there were.

    Raises:
        ActionError: no name or no reason.
        StorageError: nothing was destroyed.
    """
    name, why = typed_name(who), typed_text(reason, "a reason", most=REASON_AT_MOST)
    with translated(), connection.transaction():
        gone = connection.execute(
            _DESTROY
            + " AND EXISTS (SELECT FROM evidence_of_alarm e WHERE e.picture = p.id AND e.incident = %(incident)s)"
            " RETURNING o.picture",
            {"now": utc_now(), "incident": incident},
        ).fetchall()
        for (picture,) in sorted(gone):
            append(connection, name, DESTROY, subject(picture), after={"reason": why, "incidents": [incident]})
    return len(gone)


def master_key(settings: Settings) -> MasterKey | None:
    """The master key of this process, None when it has none."""
    if not settings.evidence_master_key.get_secret_value():
        return None
    from ioc.sealing import MasterKey

    return MasterKey.of(settings)


def accesses(connection: Connection, picture: int, most: int = 50) -> list[AuditEntry]:
    """Who opened or destroyed the original of a picture, and why; newest first."""
    with translated():
        return entries_of(connection, subject(picture), (OPEN, DESTROY), most)


def retain_pictures(connection: Connection, settings: Settings, now: datetime) -> tuple[int, int]:
    """Drop what is older than the settings say; returns how many pictures were dropped and how many originals destroyed."""
    with translated():
        dropped = connection.execute(
            "DELETE FROM evidence_picture WHERE kept < %s", (now - timedelta(days=settings.retention_evidence_days),)
        ).rowcount
        destroyed = connection.execute(
            _DESTROY + " AND (p.kept < %(old)s OR (p.kept < %(unproved)s"
            " AND NOT EXISTS (SELECT FROM evidence_of_alarm e WHERE e.picture = p.id)))",
            {
                "now": now,
                "old": now - timedelta(days=settings.retention_originals_days),
                "unproved": now - UNPROVED,
            },
        ).rowcount
    return dropped, destroyed


def subject(picture: int) -> str:
    """What the audit log calls a picture."""
    return f"picture-{picture}"


_DESTROY: Final = (
    "UPDATE evidence_original o SET wrapped = NULL, sealed = NULL, destroyed = %(now)s FROM evidence_picture p"
    " WHERE p.id = o.picture AND o.destroyed IS NULL"
)


def _sealed(connection: Connection, picture: int) -> tuple[str, str, datetime, Sealed]:
    """Camera, measure, time and original of a picture; nobody destroys it before the transaction ends."""
    from ioc.sealing import Sealed

    row = connection.execute(
        "SELECT camera, measure, time FROM evidence_picture WHERE id = %s FOR SHARE", (picture,)
    ).fetchone()
    if row is None:
        raise OriginalError("absent", f"picture {picture}: there is none")
    original = connection.execute(
        "SELECT master, wrapped, sealed FROM evidence_original WHERE picture = %s FOR SHARE", (picture,)
    ).fetchone()
    if original is None:
        raise OriginalError("none", f"picture {picture}: its original was not kept")
    if original[1] is None:
        raise OriginalError("destroyed", f"picture {picture}: the key of its original was destroyed")
    return *row, Sealed(*original)


def _incidents(connection: Connection, picture: int) -> list[int]:
    rows = connection.execute(
        "SELECT DISTINCT incident FROM evidence_of_alarm WHERE picture = %s ORDER BY 1", (picture,)
    ).fetchall()
    if not rows:
        raise OriginalError("unattached", f"picture {picture} belongs to no incident")
    return [row[0] for row in rows]
