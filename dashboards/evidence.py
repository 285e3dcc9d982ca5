"""What was true around one alarm: readings before and after, what the neighbours measured, which camera stood near."""

from __future__ import annotations

from datetime import datetime, timedelta
from math import cos, hypot, radians
from typing import Any, Final, NamedTuple

from dashboards.city import CityState
from ioc.catalog import MEASURES, RULES
from ioc.db.audit import AuditEntry
from ioc.db.devices import device as read_device
from ioc.db.devices import state_history
from ioc.db.evidence_pictures import KeptPicture, accesses, pictures_of
from ioc.db.pool import Connection
from ioc.db.readings import Point, history
from ioc.model import Alarm, Device, DeviceState

#: Time shown before an alarm and after its end.
BEFORE: Final = timedelta(minutes=30)
AFTER: Final = timedelta(minutes=10)
#: Longer alarms are shown from their beginning only this far.
AT_MOST: Final = timedelta(hours=24)
BUCKETS: Final = 360
NEIGHBOURS: Final = 5
#: A camera further away shows nothing of it.
CAMERA_WITHIN_M: Final = 500.0
_M_PER_DEGREE: Final = 111_320.0


class Neighbour(NamedTuple):
    """Another device with the same measure: how far, and its newest value."""

    id: str
    name: str
    metres: float
    value: float
    time: datetime
    attrs: dict[str, Any]


class Evidence(NamedTuple):
    """Around one alarm.

    Attributes:
        measure: what is drawn: the rule's, or the headline of a device that fell silent; "" = nothing to draw.
        width: of a bucket of `points`.
        states: what the device said of itself in that time.
        pictures: what a camera saw when it opened, and while it holds.
        accesses: who opened or destroyed the original of a picture, by its id.
    """

    alarm: Alarm
    device: Device | None
    measure: str
    since: datetime
    until: datetime
    width: timedelta
    points: list[Point]
    neighbours: list[Neighbour]
    states: list[DeviceState]
    pictures: list[KeptPicture]
    accesses: dict[int, list[AuditEntry]]


def gather(connection: Connection, alarm: Alarm, headline: str, now: datetime) -> Evidence:
    """Read what was true around an alarm.

    Args:
        connection: to TimescaleDB.
        alarm: the alarm.
        headline: the measure to draw where the rule watches none, "" = none.
        now: the end, while it is not over.

    Raises:
        StorageError: TimescaleDB is away.
    """
    rule, _ = RULES.get(alarm.rule, (None, ""))
    window = timedelta(seconds=max(rule.window_s, rule.on_delay_s)) if rule is not None else timedelta()
    since = alarm.opened - BEFORE - window
    ended = alarm.returned or now
    until = max(min(ended + AFTER, now), min(alarm.opened + AFTER, now))
    until = min(until, since + AT_MOST)
    measure = alarm.measure or headline
    points = history(connection, alarm.device, measure, since, until, BUCKETS) if measure in MEASURES else []
    width = max(timedelta(seconds=1), (until - since) / BUCKETS)
    device = read_device(connection, alarm.device)
    neighbours = _neighbours(connection, device, measure) if device is not None and measure else []
    states = state_history(connection, alarm.device, since, until)
    pictures = pictures_of(connection, alarm.id)
    seen = {picture.id: accesses(connection, picture.id) for picture in pictures if picture.original != "none"}
    drawn = measure if measure in MEASURES else ""
    return Evidence(alarm, device, drawn, since, until, width, points, neighbours, states, pictures, seen)


def metres(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Distance of two points of the city, on the plane that touches it.

    >>> round(metres(10.80, 106.75, 10.81, 106.75))
    1113
    """
    east = (other_lon - lon) * cos(radians((lat + other_lat) / 2))
    return hypot(other_lat - lat, east) * _M_PER_DEGREE


def camera_near(city: CityState, lat: float, lon: float, now: float) -> tuple[Device, float] | None:
    """The nearest camera within `CAMERA_WITHIN_M` that has shown a picture in the last minute, and its distance."""
    best: tuple[float, Device] | None = None
    for name in city.scenes.keys() | city.frames.keys():
        if name not in city.number or not shows_picture(city, name, now):
            continue
        device = city.devices[city.number[name]]
        if device.lat is None or device.lon is None:
            continue
        away = metres(lat, lon, device.lat, device.lon)
        if away <= CAMERA_WITHIN_M and (best is None or away < best[0]):
            best = (away, device)
    return None if best is None else (best[1], best[0])


def shows_picture(city: CityState, camera: str, now: float) -> bool:
    """Whether a camera has sent a picture in the last minute, looked at by vision or not."""
    scene, frame = city.scenes.get(camera), city.frames.get(camera)
    times = [scene.time.timestamp()] if scene is not None else []
    times += [frame.timestamp()] if frame is not None else []
    return now - max(times, default=0.0) <= _PICTURE_S


_PICTURE_S: Final = 60.0


def _neighbours(connection: Connection, device: Device, measure: str) -> list[Neighbour]:
    if device.lat is None or device.lon is None:
        return []
    rows = connection.execute(_NEIGHBOURS, {"measure": measure, "id": device.id, "lat": device.lat, "lon": device.lon})
    near = [
        Neighbour(key, name, metres(device.lat, device.lon, lat, lon), value, time, attrs)
        for key, name, lat, lon, value, time, attrs in rows
    ]
    return sorted(near, key=lambda one: one.metres)[:NEIGHBOURS]


# Degrees of latitude and longitude differ by 2 % here, which the exact distance then sorts out among a few more.
_NEIGHBOURS: Final = (
    "SELECT d.id, d.name, d.lat, d.lon, l.value, l.time, d.attrs FROM latest l JOIN device d ON d.id = l.device"
    " WHERE l.measure = %(measure)s AND d.id <> %(id)s AND d.status <> 'retired' AND d.lat IS NOT NULL"
    " AND d.lon IS NOT NULL ORDER BY (d.lat - %(lat)s) ^ 2 + (d.lon - %(lon)s) ^ 2 LIMIT 10"
)
