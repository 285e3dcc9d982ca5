"""What pages begin from, as it is read from a real TimescaleDB."""

from __future__ import annotations

from dashboards.snapshot import read
from ioc.db.devices import all_devices
from ioc.db.snapshot import latest
from ioc.model import DevicesChanged, ReadingsChanged
from tests.fix_stack import Database


def test_read_is_what_is_stored(db: Database) -> None:
    """Devices field by field, with the newest of their readings as last seen; headline values alone; nothing of the retired."""
    with db.connect() as connection:
        connection.execute(
            "INSERT INTO device VALUES ('g-1', 'flood_gauge', 'Cầu', 10.8, 106.7, '26824', 'g-0', 'native', '1.2', '{\"a\": 1}',"
            " 'active', 'offline', '2026-07-01 12:00+00', 'will', '2026-06-01 12:00+00', '2026-07-01 11:00+00', 0.5)"
        )
        connection.execute("INSERT INTO device (id, kind, name, status) VALUES ('g-2', 'flood_gauge', '', 'retired')")
        connection.execute(
            "INSERT INTO latest VALUES ('g-1', 'waterLevel', '2026-07-01 10:00+00', 1.4, 0, '2026-07-01 10:01+00'),"
            " ('g-1', 'batteryLevel', '2026-07-01 10:02+00', 0.9, 1, '2026-07-01 10:03+00')"
        )
        devices, readings, _ = read(connection).changes
        assert devices == DevicesChanged([one for one in all_devices(connection) if one.id == "g-1"])
        headlines = [one for one in latest(connection) if one.measure == "waterLevel"]
        assert (headlines[0].value, headlines[0].device) == (1.4, "g-1")
        assert readings == ReadingsChanged(headlines)
        connection.execute("UPDATE latest SET received = '2026-07-01 13:00+00' WHERE measure = 'batteryLevel'")
        (later,) = read(connection).changes[0].devices
        assert later.last_seen.isoformat() == "2026-07-01T13:00:00+00:00"
