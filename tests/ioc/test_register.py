"""What people enter of devices, on a real TimescaleDB: checked, written with its audit entry, and never undone by a discovery."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as limits
from hypothesis import strategies as st

from ioc.catalog import KINDS
from ioc.db.audit import entries_of, newest_entry, verify_audit
from ioc.db.devices import Placed, announce, device, discover
from ioc.db.pool import Connection
from ioc.errors import ActionError, FormError
from ioc.geo import ward_at
from ioc.model import Announcement, Device, DevicesChanged, Discovery
from ioc.register import ACTS, ADOPT, EDIT, RETIRE, Entry, register

PLACE = {"lat": 10.8506, "lon": 106.7719}


def discovered(connection: Connection, key: str, **more: Any) -> Discovery:
    found = Discovery(key, "zigbee2mqtt", "0x00158d0001", attrs={"friendly_name": key}, **more)
    discover(connection, [found])
    return found


def good(key: str, **more: Any) -> Entry:
    return msgspec.structs.replace(Entry(key, "Đèn Võ Văn Ngân 12", "streetlight", **PLACE), **more)


def entered(connection: Connection, entry: Entry) -> Device:
    (change,) = register(connection, "Kỹ thuật", entry)
    assert isinstance(change, DevicesChanged)
    (changed,) = change.devices
    assert changed == device(connection, entry.device)
    return changed


def test_adopt_places_and_activates(connection: Connection, topic: str) -> None:
    """A discovered device gets name, kind, place and ward, is active, and the audit log says who did it and what it was."""
    discovered(connection, topic, kind="cabinet")
    adopted = entered(connection, good(topic))
    ward = ward_at(**PLACE)
    assert ward is not None
    assert (adopted.status, adopted.kind, adopted.name, adopted.ward) == (
        "active",
        "streetlight",
        "Đèn Võ Văn Ngân 12",
        ward.code,
    )
    assert (adopted.dialect, adopted.attrs) == ("zigbee2mqtt", {"friendly_name": topic})
    (entry,) = entries_of(connection, topic, ACTS)
    assert (entry.what, entry.who) == (ADOPT, "Kỹ thuật")
    assert entry.before == {
        "name": "0x00158d0001",
        "kind": "cabinet",
        "lat": None,
        "lon": None,
        "ward": "",
        "parent": "",
        "status": "new",
    }
    assert entry.after == {**entry.before, **PLACE, "name": adopted.name, "kind": "streetlight", "ward": ward.code} | {
        "status": "active"
    }
    assert verify_audit(connection) is None


def test_discovery_does_not_undo_what_a_person_entered(connection: Connection, topic: str) -> None:
    """Name, kind, place and parent stay; what the dialect needs to speak to it follows the device."""
    found = discovered(connection, topic, kind="cabinet", parent="gateway-1")
    adopted = entered(connection, good(topic))
    discover(connection, [msgspec.structs.replace(found, name="khác", kind="camera", parent="gateway-2", firmware="2")])
    now = device(connection, topic)
    assert now == msgspec.structs.replace(adopted, firmware="2")


def test_announcement_has_the_last_word_on_a_native_device(connection: Connection, topic: str) -> None:
    """Such a device says itself what it is; that it is under maintenance is the person's word, and stays."""
    said = Announcement(topic, "streetlight", "Đèn 7", 10.8, 106.75)
    announce(connection, [Placed(said, "")])
    entered(connection, good(topic, status="maintenance"))
    announce(connection, [Placed(said, "")])
    now = device(connection, topic)
    assert now is not None
    assert (now.name, now.lat, now.status) == ("Đèn 7", 10.8, "maintenance")


def test_edit_maintenance_and_retire(connection: Connection, topic: str) -> None:
    """Each is an entry of its own; the same again is none."""
    discovered(connection, topic)
    adopted = entered(connection, good(topic))
    assert register(connection, "x", good(topic)) == []
    assert entered(connection, good(topic, status="maintenance")).status == "maintenance"
    assert entered(connection, good(topic, name="Đèn khác")).name == "Đèn khác"
    retired = entered(connection, Entry(topic, status="retired"))
    assert retired == msgspec.structs.replace(adopted, name="Đèn khác", status="retired")
    assert register(connection, "x", Entry(topic, status="retired")) == []
    assert [entry.what for entry in entries_of(connection, topic, ACTS)] == [RETIRE, EDIT, EDIT, ADOPT]
    assert entered(connection, good(topic)).status == "active"


def test_place_may_be_taken_away(connection: Connection, topic: str) -> None:
    """A device on its way to the workshop stands nowhere; then it is in no ward."""
    discovered(connection, topic)
    assert entered(connection, good(topic)).ward
    away = entered(connection, good(topic, lat=None, lon=None))
    assert (away.lat, away.lon, away.ward) == (None, None, "")


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"name": " \n"}, {"name": "empty"}),
        ({"name": "\u200b\x00"}, {"name": "empty"}),
        ({"name": "x" * 201}, {"name": "long"}),
        ({"kind": ""}, {"kind": "kind"}),
        ({"kind": "toaster"}, {"kind": "kind"}),
        ({"lat": None, "lon": None}, {"lat": "place"}),
        ({"lat": None}, {"lat": "half"}),
        ({"lon": None}, {"lon": "half"}),
        ({"lat": 106.7719, "lon": 10.8506}, {"lat": "far", "lon": "far"}),
        ({"lat": float("nan")}, {"lat": "far"}),
        ({"lat": 21.03}, {"lat": "far"}),
        ({"parent": "nobody-knows"}, {"parent": "unknown"}),
        ({"parent": "nobody\x00knows"}, {"parent": "unknown"}),
        ({"name": "", "kind": "", "parent": "nobody-knows"}, {"name": "empty", "kind": "kind", "parent": "unknown"}),
    ],
)
def test_form_faults_are_named_by_field(
    connection: Connection, topic: str, changes: dict[str, Any], faults: dict[str, str]
) -> None:
    """Each field that cannot be so is named, all at once, and nothing is written."""
    discovered(connection, topic)
    before, newest = device(connection, topic), newest_entry(connection)
    with pytest.raises(FormError) as refused:
        register(connection, "x", good(topic, **changes))
    assert refused.value.faults == faults
    assert (device(connection, topic), newest_entry(connection)) == (before, newest)


def test_parent_that_makes_a_circle_is_refused(connection: Connection, topic: str) -> None:
    """Nothing stands below itself, not even by way of others."""
    for number in range(3):
        discovered(connection, f"{topic}-{number}")
    entered(connection, good(f"{topic}-0"))
    entered(connection, good(f"{topic}-1", parent=f"{topic}-0"))
    entered(connection, good(f"{topic}-2", parent=f"{topic}-1"))
    for parent, fault in ((f"{topic}-2", "circle"), (f"{topic}-1", "circle"), (f"{topic}-0", "itself")):
        with pytest.raises(FormError) as refused:
            register(connection, "x", good(f"{topic}-0", parent=parent))
        assert refused.value.faults == {"parent": fault}
    entered(connection, Entry(f"{topic}-0", status="retired"))
    assert entered(connection, good(f"{topic}-1", parent="")).parent == ""


def test_device_that_is_not_there_is_refused(connection: Connection, topic: str) -> None:
    """A form makes no devices; they make themselves known."""
    with pytest.raises(ActionError, match="there is none"):
        register(connection, "x", good(topic))
    with pytest.raises(ActionError, match="there is none"):
        register(connection, "x", good("\x00"))
    with pytest.raises(ActionError, match="name"):
        register(connection, "  ", good(topic))


@limits(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.text(max_size=250),
    kind=st.sampled_from(["", *KINDS]) | st.text(max_size=10),
    lat=st.none() | st.floats(),
    lon=st.none() | st.floats(),
    parent=st.text(max_size=70),
)
def test_whatever_is_typed_is_refused_or_stored(
    connection: Connection, name: str, kind: str, lat: float | None, lon: float | None, parent: str
) -> None:
    """No input leads to anything but a fault that is named or a device that can be read back."""
    key = "typed"
    with connection.transaction(force_rollback=True):
        discovered(connection, key)
        try:
            (change,) = register(connection, "x", Entry(key, name, kind, lat, lon, parent))
        except FormError as error:
            named = set(error.faults)
            assert named <= {"name", "kind", "lat", "lon", "parent"}
        else:
            assert isinstance(change, DevicesChanged)
            assert change.devices == [device(connection, key)]
