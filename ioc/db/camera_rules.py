"""The rules of cameras as they are kept: read by pages and vision workers; what people change is checked and audited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import structlog
from psycopg.types.json import Jsonb

from ioc.camera_rules import RULE_KINDS, CameraRule
from ioc.db.audit import AuditEntry, append, entries_of
from ioc.db.pool import Connection, translated
from ioc.errors import ActionError, FormError, StorageError
from ioc.typed import typed_name

#: What the audit log calls what happens to a rule; its subject is the camera.
ADD: Final = "camera_rule.add"
CHANGE: Final = "camera_rule.change"
REMOVE: Final = "camera_rule.remove"
ACTS: Final = (ADD, CHANGE, REMOVE)

_FIELDS: Final = CameraRule.__struct_fields__
_ALL: Final = f"SELECT {', '.join(_FIELDS)} FROM camera_rule"  # noqa: S608 - names of fields
_OF: Final = f"{_ALL} WHERE camera = ANY(%s) ORDER BY camera, id"
_LOCKED: Final = f"{_ALL} WHERE id = %s FOR UPDATE"
#: A camera may report such a measure itself; it is a rule's where one of its kind is drawn, or was when it was said. A worker may
#: hear of a removal later, and the camera's clock may be off: so some minutes more.
_STANDING: Final = (
    "SELECT device, measure FROM latest JOIN unnest(%s::text[], %s::text[]) AS found (kind, measure) USING (measure)"
    " WHERE device = ANY(%s) AND value > 0 AND (EXISTS (SELECT FROM camera_rule"
    " WHERE camera = latest.device AND kind = found.kind)"
    " OR EXISTS (SELECT FROM audit WHERE subject = latest.device AND what = ANY(%s)"
    " AND coalesce(before, after) ->> 'kind' = found.kind AND audit.time > latest.time - interval '10 minutes'))"
)
_CAMERA: Final = "SELECT FROM device WHERE id = %s AND kind = 'camera' AND status <> 'retired'"
_GROUND: Final = "SELECT FROM camera_rule WHERE camera = %s AND kind = 'ground' AND id <> %s"
_ADD: Final = (
    "INSERT INTO camera_rule (camera, kind, name, points, classes, settings, version)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING id"
)
_CHANGE: Final = (
    "UPDATE camera_rule SET name = %s, points = %s, classes = %s, settings = %s, version = version + 1 WHERE id = %s"
)


def rules_of(connection: Connection, cameras: Sequence[str]) -> list[CameraRule]:
    """The rules of some cameras, by camera and age; one that is not of our shape is left out and told of.

    Raises:
        StorageError: TimescaleDB is away.
    """
    with translated():
        rows = connection.execute(_OF.encode(), (list(cameras),)).fetchall()
    rules = []
    for row in rows:
        try:
            rules.append(_rule(row))
        except StorageError as error:
            # The others are needed all the same.
            structlog.get_logger().error("rule left out", why=str(error))
    return rules


def standing_of(connection: Connection, cameras: Sequence[str]) -> dict[str, frozenset[str]]:
    """By camera: measures of which was said last that a rule finds something, whether the rule is still there or not.

    Raises:
        StorageError: TimescaleDB is away.
    """
    finding = [kind for kind in RULE_KINDS.values() if kind.measure]
    values = [kind.key for kind in finding], [kind.measure for kind in finding], list(cameras), list(ACTS)
    with translated():
        rows = connection.execute(_STANDING, values).fetchall()
    found: dict[str, set[str]] = {}
    for camera, measure in rows:
        found.setdefault(camera, set()).add(measure)
    return {camera: frozenset(measures) for camera, measures in found.items()}


def add(connection: Connection, rule: CameraRule, who: str) -> CameraRule:
    """Keep a new rule, whatever its `id`; returns it as kept.

    Raises:
        FormError: it does not pass its check, or is a second ground.
        ActionError: no name of who acts, or no such camera.
        StorageError: nothing was changed.
    """
    name = typed_name(who)
    rule.check()
    with translated(), connection.transaction():
        # Holds the camera, so that two grounds cannot be drawn side by side.
        if connection.execute(f"{_CAMERA} FOR UPDATE".encode(), (rule.camera,)).fetchone() is None:
            raise ActionError(f"camera {rule.camera}: there is none")
        _one_ground(connection, rule)
        kept = msgspec.structs.replace(rule, id=0, name=rule.name.strip(), version=1)
        row = connection.execute(_ADD, (kept.camera, kept.kind, *_values(kept), kept.version)).fetchone()
        assert row is not None
        kept = msgspec.structs.replace(kept, id=row[0])
        append(connection, name, ADD, kept.camera, after=_plain(kept))
    return kept


def change(connection: Connection, rule: CameraRule, who: str) -> CameraRule:
    """Change a rule's name, points, classes and settings; its `version` is the one that was seen. Returns it as kept.

    Raises:
        FormError: it does not pass its check.
        ActionError: no name of who acts, there is no such rule, it is of another kind or camera, or was changed meanwhile.
        StorageError: nothing was changed.
    """
    name = typed_name(who)
    rule.check()
    with translated(), connection.transaction():
        before = _current(connection, rule)
        if (rule.camera, rule.kind) != (before.camera, before.kind):
            raise ActionError(
                f"rule {before.id} is of kind {before.kind} at camera {before.camera}, which does not change"
            )
        after = msgspec.structs.replace(rule, name=rule.name.strip(), version=before.version + 1)
        connection.execute(_CHANGE, (*_values(after), after.id))
        append(connection, name, CHANGE, after.camera, before=_plain(before), after=_plain(after))
    return after


def remove(connection: Connection, rule: CameraRule, who: str) -> None:
    """Remove a rule; its `version` is the one that was seen. What it counted stays.

    Raises:
        ActionError: no name of who acts, there is no such rule, or it was changed meanwhile.
        StorageError: nothing was changed.
    """
    name = typed_name(who)
    with translated(), connection.transaction():
        before = _current(connection, rule)
        connection.execute("DELETE FROM camera_rule WHERE id = %s", (before.id,))
        append(connection, name, REMOVE, before.camera, before=_plain(before))


def history(connection: Connection, camera: str, most: int = 50) -> list[AuditEntry]:
    """What was done to the rules of a camera, newest first."""
    return entries_of(connection, camera, ACTS, most)


def _current(connection: Connection, rule: CameraRule) -> CameraRule:
    row = connection.execute(_LOCKED.encode(), (rule.id,)).fetchone()
    if row is None:
        raise ActionError(f"there is no rule {rule.id}")
    before = _rule(row)
    if before.version != rule.version:
        raise ActionError(f"rule {before.name!r} was changed meanwhile: load it again")
    return before


def _one_ground(connection: Connection, rule: CameraRule) -> None:
    if rule.kind == "ground" and connection.execute(_GROUND, (rule.camera, rule.id)).fetchone() is not None:
        raise FormError({"kind": "ground"})


def _values(rule: CameraRule) -> tuple[str, Jsonb, Jsonb, Jsonb]:
    return rule.name, Jsonb(rule.points), Jsonb(rule.classes), Jsonb(rule.settings)


def _plain(rule: CameraRule) -> dict[str, Any]:
    """As the audit log keeps it: what a person decides, and the number of the rule."""
    body: dict[str, Any] = msgspec.to_builtins(rule)
    return {name: value for name, value in body.items() if name not in ("camera", "version")}


def _rule(row: tuple[Any, ...]) -> CameraRule:
    try:
        return msgspec.convert(dict(zip(_FIELDS, row, strict=True)), CameraRule)
    except msgspec.ValidationError as error:
        raise StorageError(
            f"rule {row[0]} of camera {row[1]} is not of our shape: {error}; mend or delete its row"
        ) from error
