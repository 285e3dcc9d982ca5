"""What people enter of devices changes what ingest takes from them, without a restart."""

from __future__ import annotations

from ingest.clock import Clocks
from ingest.entries import Entries
from ingest.intake import Intake
from ingest.service import Ingest
from ioc.db.audit import append, newest_entry
from ioc.db.devices import device as registered
from ioc.db.devices import discover
from ioc.db.pool import Connection
from ioc.model import Discovery
from ioc.register import Entry, register
from tests.fix_ingest import Device, eventually, now_ms

PLACE = {"lat": 10.8506, "lon": 106.7719}


def test_kind_that_a_person_entered_decides_what_is_taken(
    ingest: Ingest, device: Device, connection: Connection, topic: str
) -> None:
    """A device of no kind may report anything; dust readings of a lamp go to quarantine; retired, it is free again."""

    def sent(measure: str, value: float) -> str:
        """Send one value again and again until it is taken or refused; which of the two."""
        stamp = now_ms()
        device.send(f"ioc/{topic}/telemetry", {"ts": stamp, "values": {measure: value}})
        query = (
            "SELECT 'taken' FROM reading WHERE device = %(d)s AND time = to_timestamp(%(t)s / 1000.0)"
            " UNION ALL SELECT reason FROM quarantine WHERE client = %(d)s AND convert_from(payload, 'UTF8') LIKE %(like)s"
        )
        row = eventually(lambda: connection.execute(query, {"d": topic, "t": stamp, "like": f"%{stamp}%"}).fetchone())
        return str(row[0])

    assert sent("pm25", 12.5) == "taken"
    eventually(lambda: registered(connection, topic))
    register(connection, "Kỹ thuật", Entry(topic, "Đèn", "streetlight", **PLACE))
    eventually(lambda: sent("pm25", 13.5) == "measure")
    assert sent("illuminanceLevel", 0.4) == "taken"
    register(connection, "Kỹ thuật", Entry(topic, "Trạm", "air_station", **PLACE))
    eventually(lambda: sent("pm25", 14.5) == "taken")
    assert sent("illuminanceLevel", 0.4) == "measure"
    register(connection, "Kỹ thuật", Entry(topic, status="retired"))
    eventually(lambda: sent("illuminanceLevel", 0.5) == "taken")


def test_entries_follows_from_where_it_stood(connection: Connection, topic: str) -> None:
    """It looks at what came after, once, and at acts on devices alone."""
    for number in range(3):
        discover(connection, [Discovery(f"{topic}-{number}", "zigbee2mqtt", "x")])
    register(connection, "x", Entry(f"{topic}-0", "A", "streetlight", **PLACE))
    intake, applied = Intake({}, Clocks(ahead_s=300, behind_s=86_400)), []

    def apply(change):  # type: ignore[no-untyped-def]
        applied.append(change)
        change(intake)

    entries = Entries(apply)
    entries.seen = newest_entry(connection)
    entries(connection)
    assert applied == []
    register(connection, "x", Entry(f"{topic}-1", "B", "camera", **PLACE))
    with connection.transaction():
        append(connection, "x", "lamp.light", f"{topic}-2")
    register(connection, "x", Entry(f"{topic}-2", "C", "cabinet", **PLACE))
    register(connection, "x", Entry(f"{topic}-2", status="retired"))
    entries(connection)
    assert intake.kinds == {f"{topic}-1": "camera"}
    assert entries.seen == newest_entry(connection)
    entries(connection)
    assert len(applied) == 1
