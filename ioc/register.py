"""What people enter of devices: a device that was discovered is adopted, a registered one edited, put under maintenance, retired.

A device that announces itself in the native dialect has the last word on what it announces; of all others it is the person.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from ioc.catalog import KINDS
from ioc.db.audit import append
from ioc.db.devices import device as read_device
from ioc.db.devices import enter, lock_device
from ioc.db.errands import call_ingest
from ioc.db.pool import Connection, translated
from ioc.errors import ActionError, FormError
from ioc.geo import BBOX, ward_at
from ioc.model import Change, Device, DevicesChanged
from ioc.topics import DEVICE_ID
from ioc.typed import typed_name

#: What the audit log calls it.
ADOPT: Final = "device.adopt"
EDIT: Final = "device.edit"
RETIRE: Final = "device.retire"
ACTS: Final = (ADOPT, EDIT, RETIRE)

NAME_AT_MOST: Final = 200
#: Degrees around the city within which a device may stand: a gauge upstream is one of ours, another country's is a mistake.
_AROUND: Final = 0.5
#: A longer chain of parents is a circle.
_MOST_PARENTS: Final = 20
_ENTERED: Final = ("name", "kind", "lat", "lon", "ward", "parent", "status")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person enters of one device; the ward follows from the place.

    Attributes:
        lat / lon: WGS 84 degrees, both or neither; whoever adopts a device says where it stands.
        parent: id of the device it stands below, "" if none.
        status: `retired` takes it out of service and leaves everything else as it is.
    """

    device: str
    name: str = ""
    kind: str = ""
    lat: float | None = None
    lon: float | None = None
    parent: str = ""
    status: Literal["active", "maintenance", "retired"] = "active"


def register(connection: Connection, who: str, entry: Entry, *, now: datetime | None = None) -> list[Change]:
    """Write down what a person entered; [] when nothing of it is new.

    Raises:
        FormError: fields that cannot be so.
        ActionError: no name, no such device.
        StorageError: nothing was changed.
    """
    name = typed_name(who)
    with translated(), connection.transaction():
        before = lock_device(connection, entry.device) if DEVICE_ID.fullmatch(entry.device) else None
        if before is None:
            raise ActionError(f"device {entry.device}: there is none")
        wanted = _values(connection, before, entry)
        was = {field: getattr(before, field) for field in _ENTERED}
        if wanted == was:
            return []
        device = enter(connection, entry.device, wanted)
        what = ADOPT if before.status == "new" and entry.status != "retired" else EDIT
        what = RETIRE if entry.status == "retired" else what
        call_ingest(connection)
        append(connection, name, what, entry.device, before=was, after=wanted, now=now)
    return [DevicesChanged([device])]


def _values(connection: Connection, before: Device, entry: Entry) -> dict[str, Any]:
    """The columns as they shall be."""
    if entry.status == "retired":
        return {field: getattr(before, field) for field in _ENTERED} | {"status": "retired"}
    name = "".join(c for c in entry.name if c.isprintable()).strip()
    faults = _faults(entry, name) | _faults_of_parent(connection, entry)
    if before.status == "new" and entry.lat is None and entry.lon is None:
        faults["lat"] = "place"
    if faults:
        raise FormError(faults)
    placed = entry.lat is not None and entry.lon is not None
    lat, lon = (round(entry.lat or 0.0, 6), round(entry.lon or 0.0, 6)) if placed else (None, None)
    ward = ward_at(lat, lon) if lat is not None and lon is not None else None
    return {
        "name": name,
        "kind": entry.kind,
        "lat": lat,
        "lon": lon,
        "ward": ward.code if ward is not None else "",
        "parent": entry.parent,
        "status": entry.status,
    }


def _faults(entry: Entry, name: str) -> dict[str, str]:
    faults = {}
    if not name:
        faults["name"] = "empty"
    elif len(name) > NAME_AT_MOST:
        faults["name"] = "long"
    if entry.kind not in KINDS:
        faults["kind"] = "kind"
    if (entry.lat is None) != (entry.lon is None):
        faults["lat" if entry.lat is None else "lon"] = "half"
    west, south, east, north = BBOX
    for field, degrees, least, most in (("lat", entry.lat, south, north), ("lon", entry.lon, west, east)):
        if degrees is not None and not least - _AROUND <= degrees <= most + _AROUND:
            faults[field] = "far"
    return faults


def _faults_of_parent(connection: Connection, entry: Entry) -> dict[str, str]:
    above = entry.parent
    if above == entry.device:
        return {"parent": "itself"}
    if above and not DEVICE_ID.fullmatch(above):
        return {"parent": "unknown"}
    for _ in range(_MOST_PARENTS):
        if not above:
            return {}
        if above == entry.device:
            break
        parent = read_device(connection, above)
        if parent is None or (parent.status == "retired" and above == entry.parent):
            # An ancestor that is gone is not this form's fault.
            return {"parent": "unknown"} if above == entry.parent else {}
        above = parent.parent
    return {"parent": "circle"}
