"""Rules that people draw into a camera's picture, being followed: one file a kind, each a pure class fed with tracked frames."""

from __future__ import annotations

from ioc.camera_rules import CameraRule
from vision.rules.base import Watching
from vision.rules.congestion import Congestion
from vision.rules.crowd import Crowd
from vision.rules.ground import Ground
from vision.rules.line import Line
from vision.rules.loitering import Loitering
from vision.rules.stopped import Stopped
from vision.rules.wrong_way import WrongWay
from vision.rules.zone import Zone


def watching(rule: CameraRule, ground: Ground | None) -> Watching:
    """A rule, about to be followed; the ground is that of its camera."""
    match rule.kind:
        case "line":
            return Line(rule)
        case "zone":
            return Zone(rule)
        case "stopped":
            return Stopped(rule)
        case "wrong_way":
            return WrongWay(rule)
        case "congestion":
            return Congestion(rule)
        case "crowd":
            return Crowd(rule, ground)
        case "loitering":
            return Loitering(rule)
        case "ground":
            return Ground(rule)
        case _:
            raise ValueError(f"rule {rule.id}: no such kind: {rule.kind}")
