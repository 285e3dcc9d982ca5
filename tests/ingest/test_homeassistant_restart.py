"""What configurations say outlives the process that read them."""

from __future__ import annotations

from ioc.db.devices import device as registered
from ioc.live import Live
from ioc.model import Quality
from tests.fix_ingest import Device, Spawn, eventually, wait_beating
from tests.fix_stack import Database


def test_states_sent_while_ingest_was_dead(spawn: Spawn, db: Database, live: Live, device: Device, topic: str) -> None:
    """Ingest is killed; what devices say meanwhile is stored afterwards, each once, by a configuration nobody sends again."""
    # Not retained: the next process has it from memory alone.
    config = {
        "stat_t": f"{topic}/state",
        "val_tpl": "{{ value_json.t }}",
        "dev_cla": "temperature",
        "unit_of_meas": "°C",
    }
    with db.connect() as connection:

        def values() -> list[float]:
            query = "SELECT value FROM reading WHERE device = %s AND quality = %s ORDER BY time"
            return [value for (value,) in connection.execute(query, [f"ha.{topic}", Quality.NO_TIME])]

        process = spawn()
        wait_beating(live, process)
        device.send(f"homeassistant/sensor/{topic}/config", {**config, "dev": {"ids": [topic]}})
        eventually(lambda: registered(connection, f"ha.{topic}"))
        eventually(lambda: (device.send(f"{topic}/state", {"t": 20.0}), values())[1])
        process.kill()
        process.wait()
        sent = [30.0 + number / 10 for number in range(50)]
        for value in sent:
            device.send(f"{topic}/state", {"t": value})
        process = spawn()
        eventually(lambda: values()[-1:] == sent[-1:])
        assert [value for value in values() if value >= 30] == sent
        process.kill()
        process.wait()
        device.send(f"homeassistant/sensor/{topic}/config", b"")
        device.send(f"{topic}/state", {"t": 40.0})
        process = spawn()
        eventually(lambda: registered(connection, f"ha.{topic}").state_reason == "no longer announced")
        kept = "SELECT reason FROM quarantine WHERE topic = %s"
        eventually(lambda: connection.execute(kept, [f"{topic}/state"]).fetchall() == [("topic",)])
        assert 40.0 not in values()
        assert connection.execute("SELECT count(*) FROM dialect_context").fetchone() == (0,)
