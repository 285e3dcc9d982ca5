"""Acts on how vision looks at a camera; nothing of it goes to the change stream, the vision workers look it up."""

from __future__ import annotations

import msgspec

from ioc.camera_rules import CameraRule
from ioc.db import camera_rules
from ioc.db.camera_budgets import set_budget
from ioc.db.pool import Connection
from ioc.errors import FormError
from ioc.model import Change
from ioc.topics import DEVICE_ID


class KeepRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep a rule: a new one (id 0), or a change of the version that was seen."""

    rule: CameraRule

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        _require_id(self.rule)
        if self.rule.id:
            _require_seen(connection, self.rule)
            camera_rules.change(connection, self.rule, who)
        else:
            camera_rules.add(connection, self.rule, who)
        return []


class RemoveRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Remove the version of a rule that was seen."""

    rule: CameraRule

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        _require_id(self.rule)
        _require_seen(connection, self.rule)
        camera_rules.remove(connection, self.rule, who)
        return []


class SetBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give a camera another frame budget than the one that was seen; None = the common one."""

    camera: str
    fps: float | None
    seen: float | None

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        set_budget(connection, self.camera, self.fps, self.seen, who)
        return []


def _require_id(rule: CameraRule) -> None:
    if not DEVICE_ID.fullmatch(rule.camera):
        raise FormError({"camera": "unknown"})


def _require_seen(connection: Connection, rule: CameraRule) -> None:
    """Say so in a way that a page can tell people, if the rule is not any more what was seen.

    Whoever comes in between is refused by the act itself, which holds the rule.
    """
    kept = next((one for one in camera_rules.rules_of(connection, [rule.camera]) if one.id == rule.id), None)
    if kept is None:
        raise FormError({"rule": "gone"})
    if kept.version != rule.version:
        raise FormError({"rule": "changed"})
