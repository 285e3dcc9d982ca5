"""An ingest that is away for an hour of the demo, on the broker as it is embedded, loses nothing."""

from __future__ import annotations

from ingest.simulator import city
from ingest.simulator.cli import LAMPS, SEED
from ingest.simulator.world import REPORT_S
from tests.faults.conftest import Publish, Spawn
from tests.fix_stack import BrokerServer, Database
from tests.ledger import Ledger

HOUR_S = 3600


def demo_messages(seconds: float) -> int:
    """What the devices of the demo report in that time, and a third more for states and for devices of other makers."""
    reports = sum(seconds / REPORT_S[site.kind] for site in city.build(SEED, LAMPS).sites if site.kind in REPORT_S)
    return round(reports * 4 / 3)


def test_absent_for_an_hour_of_the_demo(
    spawn: Spawn, publish: Publish, broker: BrokerServer, db: Database, topic: str
) -> None:
    """An hour's messages wait, some of them over a restart of the broker in order; then all are stored, each once."""
    number = demo_messages(HOUR_S)
    assert number > 200_000
    process = spawn()
    assert process.stop() == 0
    loads = []
    for part in range(3):
        if part:
            broker.stop()
            broker.start()
        loads.append(publish(Ledger.mixed(f"{part}-{topic}", number // 3, seed=part), rate=None))
        loads[-1].wait_published(within_s=300)
    process = spawn()
    for load in loads:
        load.finish(db, within_s=300)
        assert load.flood.sent_again == 0
    assert process.alive
