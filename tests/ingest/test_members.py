"""Several ingest processes on one subscription: nothing stored twice, nothing parked with a member that is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from ingest.identity import numbers
from ioc.db.mappings import save
from ioc.db.pool import Connection
from ioc.live import Live
from ioc.mapping import Item, TopicMapping
from ioc.model import Heartbeat
from ioc.settings import Settings
from tests.fix_ingest import Device, eventually, now_ms
from tests.fix_stack import BrokerServer, Database
from tests.ledger import Ledger
from tests.load import Load

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Start `ioc-ingest --processes N` with a home of the test's own; what still runs is stopped after it."""
    started: list[subprocess.Popen[bytes]] = []

    def run(processes: int, **more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ingest", "--processes", str(processes)]
        started.append(subprocess.Popen(command, env=environment | {"IOC_HOME": str(tmp_path)} | more))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.wait(60)


def children(pid: int) -> list[int]:
    """Members by their parent, in the order they were started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def beats(live: Live) -> dict[int, Heartbeat]:
    """Heartbeats of ingest processes that are well, by process id."""
    found = (beat for beat in live.heartbeats() if beat.service == "ingest" and beat.state == "ok")
    return {int(beat.instance.rpartition("-")[2]): beat for beat in found}


def all_well(live: Live, process: subprocess.Popen[bytes], number: int) -> list[int]:
    """The members' process ids once all of them say that they are well."""

    def well() -> list[int]:
        members = children(process.pid)
        return members if len(members) == number and set(members) <= set(beats(live)) else []

    members: list[int] = eventually(well)
    return members


def test_members_share_and_survive(start: Start, broker: BrokerServer, db: Database, live: Live, topic: str) -> None:
    """Three members share the messages; one is killed, one is stopped for good: both come back under their number."""
    process = start(3)
    members = all_well(live, process, 3)
    load = Load(broker.port, Ledger.mixed(topic, 16_000, seed=3), rate=1500)
    busy: set[int] = set()

    def each_has_its_share() -> bool:
        busy.update(pid for pid, beat in beats(live).items() if beat.figures["rows_s"] > 0)
        return busy >= set(members)

    eventually(each_has_its_share)
    os.kill(members[1], signal.SIGKILL)
    os.kill(members[2], signal.SIGSTOP)
    eventually(lambda: not set(members[1:]) & set(children(process.pid)))
    load.finish(db)
    assert len(set(members[:1]) & set(all_well(live, process, 3))) == 1, "the first was never touched"


def test_fewer_members_fetch_what_waits(
    start: Start, broker: BrokerServer, db: Database, live: Live, settings: Settings, tmp_path: Path, topic: str
) -> None:
    """What the broker parked with members that no longer run is fetched by those that do."""
    process = start(3)
    all_well(live, process, 3)
    process.terminate()
    assert process.wait(60) == 0
    load = Load(broker.port, Ledger.mixed(topic, 3000, seed=3), rate=None)
    load.wait_published()
    alone = start(1)
    eventually(lambda: alone.pid in beats(live))
    load.finish(db)
    eventually(lambda: numbers(tmp_path) == [1], within_s=120)
    again = Load(broker.port, Ledger.mixed(f"b-{topic}", 500, seed=3), rate=None)
    again.finish(db)


def test_nothing_is_doubled_when_it_is_shared_otherwise(
    start: Start, device: Device, connection: Connection, live: Live, tmp_path: Path, topic: str
) -> None:
    """Of messages without a time: sent while nobody runs and once all do, by one process, by several, in this group or that."""
    save(connection, TopicMapping(topic, f"{topic}/+/air", topic, items=(Item("n", "temperature", scale=0.01),)), "Ai")
    sent = count(1)
    number = 0

    def send() -> None:
        nonlocal number
        for _ in range(10):
            number = next(sent)
            device.send(f"ioc/{topic}/telemetry", b"poison %d" % number)
            device.send(f"{topic}/bed/air", {"n": number})

    def stored(what: str) -> tuple[int, int]:
        row = connection.execute(
            f"SELECT count({what} payload), count({what} value) FROM"
            " (SELECT payload, NULL AS value FROM quarantine WHERE topic = %s"
            " UNION ALL SELECT NULL, value FROM reading WHERE device LIKE %s) AS both_kinds",
            (f"ioc/{topic}/telemetry", f"%{topic}"),
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    shares = [(1, ""), (2, ""), (1, ""), (2, "b"), (2, "c"), (1, "c"), (1, "")]
    for place, (processes, group) in enumerate(shares):
        if place:
            send()
        process = start(processes, IOC_INGEST_GROUP=group)
        if processes > 1:
            all_well(live, process, processes)
        eventually(lambda: processes > 1 or process.pid in beats(live))  # noqa: B023
        send()
        eventually(lambda: stored("DISTINCT") == (number, number))
        assert stored("ALL") == (number, number), shares[place]
        if place < len(shares) - 1:
            process.terminate()
            assert process.wait(60) == 0
    eventually(lambda: numbers(tmp_path) == [1])
    assert stored("ALL") == (number, number)


def test_wrong_announcement_is_kept_once(
    start: Start, device: Device, connection: Connection, live: Live, topic: str
) -> None:
    """Each member is told of it, and at each start again; until the device sends another one it is one entry."""

    def entries() -> int:
        row = connection.execute(
            "SELECT count(*) FROM quarantine WHERE topic = %s", [f"ioc/{topic}/announce"]
        ).fetchone()
        assert row is not None
        return int(row[0])

    for number, name in enumerate(("a", "a", "b"), start=1):
        device.send(f"ioc/{topic}/announce", {"kind": "unheard-of", "name": name}, retain=True)
        process = start(2)
        all_well(live, process, 2)
        eventually(lambda: entries() >= (number + 1) // 2)  # noqa: B023
        device.send(f"ioc/{topic}/announce", {"kind": "unheard-of", "name": name})
        process.terminate()
        assert process.wait(60) == 0
        assert entries() == (number + 1) // 2


def test_data_brings_a_device_back_whoever_reads_it(
    start: Start, device: Device, db: Database, live: Live, topic: str
) -> None:
    """A last will is read by one member and data by another; after both the device is as the later one says."""
    all_well(live, start(3), 3)

    def state() -> str:
        with db.connect() as connection:
            row = connection.execute("SELECT state FROM device WHERE id = %s", [topic]).fetchone()
        return "" if row is None else row[0]

    def report() -> None:
        device.send(f"ioc/{topic}/telemetry", {"ts": now_ms(), "values": {"pm25": 5}})

    for _ in range(2):
        eventually(lambda: report() or state() == "online")
        device.send(f"ioc/{topic}/state", {"state": "offline", "reason": "lwt"})
        eventually(lambda: state() == "offline")
