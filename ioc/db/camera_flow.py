"""What the rules of cameras count, minute by minute, and the camera's figures that follow from whole minutes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from psycopg.rows import class_row

from ioc.camera_rules import VEHICLES, CameraRule
from ioc.db.pool import Connection
from ioc.model import Quality, Reading

MINUTE: Final = timedelta(minutes=1)
#: Seconds of a minute that must have been watched: with less its figures are left out. With more than there are it was watched by
#: two, who counted the same twice.
WHOLE_S: Final = (57.0, 60.5)


class Flow(msgspec.Struct):
    """What is counted; see 0014_camera_rules.sql."""

    watched_s: float = 0.0
    forward: int = 0
    back: int = 0
    stays: int = 0
    stayed_s: float = 0.0
    seconds: float = 0.0
    metres: float = 0.0
    most: int = 0

    def part(self, share: float) -> Flow:
        """Take that share of the times and ways away, and return it."""
        taken = Flow()
        for name in ("watched_s", "seconds", "metres"):
            value = getattr(self, name)
            setattr(taken, name, value * share)
            setattr(self, name, value * (1 - share))
        return taken

    def add(self, other: Flow) -> None:
        """Add what was counted later."""
        for name in _COUNTED:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, max(mine, theirs) if name == "most" else mine + theirs)


class CameraFlow(Flow, kw_only=True):
    """What one rule counted of one class in one minute."""

    time: datetime
    camera: str
    rule: int
    version: int
    label: str

    def key(self) -> tuple[datetime, str, int, int, str]:
        """What tells it from others."""
        return self.time, self.camera, self.rule, self.version, self.label


_COUNTED: Final = Flow.__struct_fields__
_KEY: Final = ("time", "camera", "rule", "version", "label")
_COLUMNS: Final = (*_KEY, *_COUNTED)
_COUNTED_TYPES: Final = ("int" if field.type is int else "float8" for field in msgspec.structs.fields(Flow))
_TYPES: Final = ("timestamptz", "text", "bigint", "bigint", "text", *_COUNTED_TYPES)
_SUMS: Final = ", ".join(
    f"{name} = " + (f"greatest(f.{name}, excluded.{name})" if name == "most" else f"f.{name} + excluded.{name}")
    for name in _COUNTED
)
_ADD: Final = (
    f"INSERT INTO camera_flow AS f ({', '.join(_COLUMNS)})"  # noqa: S608 - names of fields
    f" SELECT * FROM unnest({', '.join(f'%s::{name}[]' for name in _TYPES)}) AS n ({', '.join(_KEY)})"
    f" ORDER BY camera, time, rule, version, label ON CONFLICT (camera, time, rule, version, label) DO UPDATE SET {_SUMS}"
)
_OF: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM camera_flow WHERE camera = %s AND time >= %s AND time < %s"  # noqa: S608 - names of fields
    " ORDER BY time, rule, version, label"
)
#: What was watched, and was there at once, is of all classes together; the rest is counted class by class.
_TOTALS: Final = ", ".join(
    f"max({name}) AS {name}" if name in ("watched_s", "most") else f"sum({name})::{kind} AS {name}"
    for name, kind in zip(_COUNTED, _TYPES[len(_KEY) :], strict=True)
)
_NEWEST: Final = (
    f"SELECT DISTINCT ON (rule) time, camera, rule, version, '' AS label, {_TOTALS} FROM camera_flow"  # noqa: S608 - names of fields
    " WHERE camera = %s AND time >= %s GROUP BY time, camera, rule, version ORDER BY rule, time DESC, version DESC"
)


def add_flows(connection: Connection, flows: Sequence[CameraFlow]) -> None:
    """Add to what is counted; inside the transaction that stores the frames it was counted on. Each key once."""
    if flows:
        connection.execute(_ADD.encode(), [[getattr(flow, name) for flow in flows] for name in _COLUMNS])


def flows_of(connection: Connection, camera: str, since: datetime, until: datetime) -> list[CameraFlow]:
    """What the rules of a camera counted in the minutes of a span, by minute, rule, version and label."""
    with connection.cursor(row_factory=class_row(CameraFlow)) as cursor:
        return cursor.execute(_OF.encode(), (camera, since, until)).fetchall()


def newest_flows(connection: Connection, camera: str, since: datetime) -> list[CameraFlow]:
    """What each rule of a camera counted of all classes in its newest minute, by rule; those idle since are left out."""
    with connection.cursor(row_factory=class_row(CameraFlow)) as cursor:
        return cursor.execute(_NEWEST.encode(), (camera, since)).fetchall()


def figures_of_minute(
    minute: datetime, camera: str, rules: Sequence[CameraRule], flows: Collection[CameraFlow], now: datetime
) -> list[Reading]:
    """A camera's figures of one minute, as readings at its end; those whose rules did not watch all of it are left out.

    * intensity: vehicles that went over a line of the camera, each once however many lines it meets
    * averageVehicleSpeed: way of the vehicles over the ground by the time they took (Edie 1963)
    * occupancy: mean share of a congestion zone covered; of several zones the fullest
    * peopleCount: mean number of people in the counting zones and crowd zones together
    * averageDwellTime: mean stay of those who came into a counting zone and left it within this minute
    """
    watched = {(flow.rule, flow.version): flow for flow in flows if flow.label == ""}

    def whole(kind: str, looks_at: Collection[str] = ()) -> list[CameraFlow]:
        """What the rules of a kind watched; [] unless there are some, and all of them did."""
        found = [
            watched.get((rule.id, rule.version))
            for rule in rules
            if rule.kind == kind and (not looks_at or set(looks_at) & set(rule.looks_at()))
        ]
        kept = [flow for flow in found if flow is not None and WHOLE_S[0] <= flow.watched_s <= WHOLE_S[1]]
        return kept if len(kept) == len(found) else []

    def of(rows: Sequence[CameraFlow]) -> list[CameraFlow]:
        """What rules counted, class by class."""
        keys = {(row.rule, row.version) for row in rows}
        return [flow for flow in flows if (flow.rule, flow.version) in keys and flow.label]

    camera_wide = [flow for flow in flows if flow.rule == 0]
    figures: dict[str, float] = {}
    if whole("line", VEHICLES):
        figures["intensity"] = sum(flow.forward for flow in camera_wide if flow.label in VEHICLES)
    ground = [flow for flow in of(whole("ground")) if flow.label in VEHICLES]
    if seconds := sum(flow.seconds for flow in ground):
        figures["averageVehicleSpeed"] = sum(flow.metres for flow in ground) / seconds * 3.6
    if zones := whole("congestion"):
        figures["occupancy"] = min(1.0, max(flow.seconds / flow.watched_s for flow in zones))
    kinds = [
        kind for kind in ("zone", "crowd") if any(rule.kind == kind and "person" in rule.looks_at() for rule in rules)
    ]
    people = [whole(kind, ("person",)) for kind in kinds]
    if people and all(people):
        span = min(flow.watched_s for rows in people for flow in rows)
        figures["peopleCount"] = sum(flow.seconds for flow in camera_wide if flow.label == "person") / span
    stays = of(whole("zone"))
    if number := sum(flow.stays for flow in stays):
        figures["averageDwellTime"] = sum(flow.stayed_s for flow in stays) / number
    return [Reading(minute + MINUTE, camera, key, float(value), Quality.GOOD, now) for key, value in figures.items()]
