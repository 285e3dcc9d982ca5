"""What the camera pages read: when frames came, how vision copes, and the file of one camera."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from psycopg.rows import class_row

from dashboards.city import CityState
from dashboards.device_records import alarms_of_device
from ioc.camera_rules import CameraRule
from ioc.db.audit import entries_of
from ioc.db.camera_budgets import SET, budgets
from ioc.db.camera_flow import CameraFlow, newest_flows
from ioc.db.camera_rules import ACTS, history, rules_of
from ioc.db.devices import device as read_device
from ioc.db.evidence_pictures import first_pictures
from ioc.db.pool import Connection
from ioc.db.readings import latest_of
from ioc.model import Alarm, CameraFigures, Device, Reading

#: The chart of what was in view: how far back, in steps of how long.
COUNTED: Final = timedelta(hours=24)
STEP: Final = timedelta(minutes=15)
#: What a rule counted is shown as its value for so long.
RECENT: Final = timedelta(minutes=5)
#: Acts on rules that are looked through for who changed a rule last.
_ENTRIES: Final = 200


class Counted(NamedTuple):
    """What was in view of one class in one step: objects a frame, and most at once."""

    time: datetime
    label: str
    mean: float
    most: int


class Edit(NamedTuple):
    """Who changed something last, and when."""

    who: str
    time: datetime


class CameraFile(NamedTuple):
    """One camera with what is drawn on its picture and what became of it.

    Attributes:
        edits: by rule.
        budget: frames a second, None = the common one; and who set it.
        flows: the newest of the last minutes, by rule.
        shots: by alarm: the picture it opened with.
    """

    device: Device
    rules: list[CameraRule]
    edits: dict[int, Edit]
    budget: tuple[float | None, Edit | None]
    flows: dict[int, CameraFlow]
    latest: dict[str, Reading]
    alarms: list[Alarm]
    shots: dict[int, int]


def cameras(city: CityState) -> list[str]:
    """Ids of the cameras in service."""
    return [device.id for device in city.devices if device.kind == "camera" and device.status != "retired"]


def grid_facts(
    city: CityState, keys: Iterable[str], figures: Mapping[str, CameraFigures]
) -> dict[str, tuple[float, float | None]]:
    """By camera: when its newest frame was taken (epoch s, 0 = none yet), frames a second that vision looks at (None = none)."""
    facts = {}
    for key in keys:
        frame, one = city.frames.get(key), figures.get(key)
        taken = round(frame.timestamp(), 3) if frame is not None else 0.0
        facts[key] = (taken, one.frames_s if one is not None else None)
    return facts


def camera_file(connection: Connection, key: str, now: datetime) -> CameraFile | None:
    """Everything stored about one camera; None when there is no camera of that id.

    Raises:
        StorageError: TimescaleDB is away.
    """
    device = read_device(connection, key)
    if device is None or device.kind != "camera":
        return None
    edits: dict[int, Edit] = {}
    for entry in history(connection, key, _ENTRIES):
        rule = (entry.after or entry.before or {}).get("id")
        if isinstance(rule, int) and entry.what in ACTS:
            edits.setdefault(rule, Edit(entry.who, entry.time))
    set_by = next((Edit(entry.who, entry.time) for entry in entries_of(connection, key, (SET,), 1)), None)
    alarms = alarms_of_device(connection, key)
    return CameraFile(
        device,
        rules_of(connection, [key]),
        edits,
        (budgets(connection).get(key), set_by),
        {flow.rule: flow for flow in newest_flows(connection, key, now - RECENT)},
        {reading.measure: reading for reading in latest_of(connection, key)},
        alarms,
        first_pictures(connection, [alarm.id for alarm in alarms]),
    )


def counted(connection: Connection, key: str, now: datetime) -> list[Counted]:
    """What was in view over the last day, step by step and class by class; a step in which nobody looked is absent.

    Raises:
        StorageError: TimescaleDB is away.
    """
    with connection.cursor(row_factory=class_row(Counted)) as cursor:
        return cursor.execute(_COUNTED, {"camera": key, "since": now - COUNTED, "step": STEP}).fetchall()


_COUNTED: Final = (
    "SELECT time_bucket(%(step)s, time) AS time, label, sum(objects)::float8 / sum(frames) AS mean, max(most) AS most"
    " FROM camera_count WHERE camera = %(camera)s AND time >= %(since)s AND frames > 0 GROUP BY 1, 2 ORDER BY 1, 2"
)
