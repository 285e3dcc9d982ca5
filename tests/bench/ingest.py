"""Ingest beside its limits, on the same machine in the same minutes: a subscriber that throws away, and bare staged COPY.

A generator process publishes at QoS 1 as fast as the broker takes it. The subscriber that throws away reads the socket as
ingest does and acknowledges at once: no chain can be faster. Ingest is a process as in service; its time ends when
TimescaleDB holds every reading. Bare COPY writes the same readings through the same writer from memory. The three take
turns, so that other work on the machine hits all alike. CPU seconds are those of the subscribing process itself, and say
what it costs where cores are not idle. Latency is from a device's own time to the commit's entry in the change stream,
at 1,000 messages/s.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from multiprocessing.synchronize import Event
from pathlib import Path
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions
from rich.console import Console
from rich.table import Table

from ingest.message import Raw
from ingest.mqtt import BlockClient
from ioc.broker import BrokerAddress
from ioc.catalog import KINDS
from ioc.db.copy import READING, store
from ioc.db.migrate import migrate
from ioc.db.pool import Connection, connect
from ioc.live import Live
from ioc.model import Reading, ReadingsChanged
from ioc.mqtt import Contact
from ioc.stack.embedded import Stack
from ioc.stack.home import Home
from tests.flood import Flood

RUNS = 3
#: Messages of one value, and messages of eight, in one run.
SINGLE, WIDE = 40_000, 8_000
DEVICES = 1000
MEASURES = KINDS["air_station"].measures
BATCH = 5000
LATENCY_PER_S, LATENCY_S = 1000, 8
PATIENCE_S = 60


def main() -> dict[str, float]:
    """Measure, print the table, return the figures."""
    thrown, thrown_cpu, single, single_cpu, wide, copied = [], [], [], [], [], []
    with running() as (stack, connection, pid):
        port = urlsplit(stack.urls.mqtt_url).port or 1883
        for run in range(RUNS):
            rate, cpu = throw_away(stack.urls.mqtt_url, port, f"thrown{run}")
            thrown.append(rate)
            thrown_cpu.append(cpu)
            rate, cpu = persist(connection, pid, port, f"one{run}", SINGLE, 1)
            single.append(rate)
            single_cpu.append(cpu)
            wide.append(len(MEASURES) * persist(connection, pid, port, f"all{run}", WIDE, len(MEASURES))[0])
            copied.append(bare_copy(connection, f"copy{run}"))
        latencies = latency(stack.urls.redis_url, port)
    result = {
        "thrown_away_messages_s": statistics.median(thrown),
        "thrown_away_cpu_s_per_million": statistics.median(thrown_cpu),
        "ingest_messages_s": statistics.median(single),
        "ingest_cpu_s_per_million": statistics.median(single_cpu),
        "messages_share": statistics.median(i / t for i, t in zip(single, thrown, strict=True)),
        "copy_rows_s": statistics.median(copied),
        "ingest_rows_s": statistics.median(wide),
        "rows_share": statistics.median(i / c for i, c in zip(wide, copied, strict=True)),
        "latency_p50_ms": 1000 * statistics.median(latencies),
        "latency_p99_ms": 1000 * sorted(latencies)[int(0.99 * (len(latencies) - 1))],
        "latency_readings": float(len(latencies)),
        "load_average": os.getloadavg()[0],
    }
    _show(result)
    return result


@contextmanager
def running() -> Iterator[tuple[Stack, Connection, int]]:
    """The whole stack and an ingest process that is subscribed; gives its process id."""
    with ExitStack() as stay:
        folder = Path(stay.enter_context(tempfile.TemporaryDirectory(prefix="ioc-bench-", dir="/tmp")))
        folder.chmod(0o755)
        stack = stay.enter_context(Stack(Home.at(folder)))
        connection = stay.enter_context(closing(connect(stack.urls.database_url)))
        migrate(connection)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("IOC_")}
        environment = inherited | stack.urls.environment() | {"IOC_HOME": str(folder), "IOC_LOG_LEVEL": "warning"}
        process = subprocess.Popen([sys.executable, "-m", "ingest"], env=environment)
        stay.callback(process.wait)
        stay.callback(process.terminate)
        live = stay.enter_context(closing(Live(stack.urls.redis_url)))
        wait(lambda: any(beat.service == "ingest" for beat in live.heartbeats()))
        port = urlsplit(stack.urls.mqtt_url).port or 1883
        persist(connection, process.pid, port, "warm", 2000, 1)
        yield stack, connection, process.pid


def messages(root: str, name: str, number: int, values: int) -> list[tuple[str, bytes]]:
    """Telemetry of a thousand devices, padded to what a real message weighs (165 bytes and more)."""
    base = round(time.time() * 1000) - number
    return [
        (
            f"{root}/{name}-{index % DEVICES}/telemetry",
            json.dumps(
                {
                    "ts": base + index,
                    "values": dict.fromkeys(MEASURES[:values], 0.5 + index % 7 / 14),
                    "boot": "5f1c2a9e",
                    "seq": index,
                    "fw": "2.4.1-city-2026.07.01-7f3d9a1c0b",
                }
            ).encode(),
        )
        for index in range(number)
    ]


def publish(port: int, root: str, name: str, number: int, values: int, ready: Event, go: Event) -> None:
    """The generator process."""
    made = messages(root, name, number, values)
    ready.set()
    go.wait()
    Flood("127.0.0.1", port).publish(made)


@contextmanager
def generating(port: int, root: str, name: str, number: int, values: int) -> Iterator[Callable[[], None]]:
    """A generator process with its messages made; gives what makes it go."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    process = context.Process(target=publish, args=(port, root, name, number, values, ready, go))
    process.start()
    ready.wait(PATIENCE_S)
    try:
        yield go.set
    finally:
        go.set()
        process.join(PATIENCE_S)


def throw_away(url: str, port: int, name: str) -> tuple[float, float]:
    """Messages/s that a subscriber gets which does nothing with them, and its CPU seconds per million."""
    mids: list[int] = []
    got = 0

    def deliver(block: list[Raw], size: int) -> None:
        nonlocal got
        got += len(block)
        mids.extend(mid for _, _, mid, _ in block if mid)

    def subscribe(client: paho.Client, *rest: object) -> None:
        client.subscribe([("thrown/+/telemetry", SubscribeOptions(qos=1))])

    granted: list[bool] = []
    client = BlockClient(Contact(BrokerAddress.parse(url)), name, deliver, keepalive_s=60, inflight=20_000)
    client.on_connect = subscribe
    client.on_subscribe = lambda *rest: granted.append(True)
    client.reconnect()

    def turn() -> None:
        sock = client.socket()
        readable, _, _ = select.select([sock], [], [], 0.1)
        if readable:
            client.loop_read()
        client.acknowledge(mids)
        mids.clear()
        if client.want_write():
            client.loop_write()

    until = time.monotonic() + PATIENCE_S
    while not granted and time.monotonic() < until:
        turn()
    with generating(port, "thrown", name, SINGLE, 1) as go:
        began, used = time.monotonic(), time.process_time()
        go()
        while got < SINGLE and time.monotonic() < began + PATIENCE_S:
            turn()
        took, used = time.monotonic() - began, time.process_time() - used
    client.disconnect()
    return got / took, used / max(got, 1) * 1e6


def persist(connection: Connection, pid: int, port: int, name: str, number: int, values: int) -> tuple[float, float]:
    """Messages/s that ingest has in the database, and its CPU seconds per million messages."""
    last = f"{name}-{(number - 1) % DEVICES}"

    def ended() -> bool:
        # One publisher's messages come in order, so the last device's tell without counting all.
        row = connection.execute(
            "SELECT count(*) FROM reading WHERE device = %s AND measure = %s", [last, MEASURES[values - 1]]
        ).fetchone()
        return row is not None and row[0] == len(range((number - 1) % DEVICES, number, DEVICES))

    with generating(port, "ioc", name, number, values) as go:
        began, used = time.monotonic(), cpu_of(pid)
        go()
        while not ended() and time.monotonic() < began + PATIENCE_S:
            time.sleep(0.02)
        took, used = time.monotonic() - began, cpu_of(pid) - used
    row = connection.execute("SELECT count(*) FROM reading WHERE device LIKE %s", [f"{name}-%"]).fetchone()
    have = 0 if row is None else row[0]
    return have / values / took, used / number * 1e6


def bare_copy(connection: Connection, name: str) -> float:
    """Rows/s of the one COPY writer with rows from memory: nothing received, decoded, checked, kept as latest or rolled up."""
    now = datetime.now(UTC)
    rows = [
        Reading(datetime.fromtimestamp(said["ts"] / 1000, UTC), topic.split("/")[1], measure, value, 0, now)
        for topic, payload in messages("ioc", name, WIDE, len(MEASURES))
        for said in [json.loads(payload)]
        for measure, value in said["values"].items()
    ]
    began = time.monotonic()
    for at in range(0, len(rows), BATCH):
        with connection.transaction():
            store(connection, READING, rows[at : at + BATCH])
    return len(rows) / (time.monotonic() - began)


def latency(redis_url: str, port: int) -> list[float]:
    """Seconds from a message's own time to the moment a reader of the change stream has it, under a steady load."""
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=publish_steadily, args=(port, ready))
    with closing(Live(redis_url)) as live:
        after, took = live.last_id(), []
        process.start()
        ready.wait(PATIENCE_S)
        until = time.monotonic() + LATENCY_S + 3
        while time.monotonic() < until:
            for entry, change in live.changes(after, block_ms=50):
                after = entry
                now = time.time()
                if isinstance(change, ReadingsChanged):
                    took += [now - one.time.timestamp() for one in change.readings if one.device.startswith("steady-")]
        process.join(PATIENCE_S)
    return took


def publish_steadily(port: int, ready: Event) -> None:
    """A thousand messages a second, each stamped when it is sent, each device once a second so that none is merged away."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(5000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    ready.set()
    began = time.monotonic()
    for index in range(LATENCY_PER_S * LATENCY_S):
        wait_s = began + index / LATENCY_PER_S - time.monotonic()
        if wait_s > 0:
            time.sleep(wait_s)
        body = json.dumps({"ts": time.time() * 1000, "values": {"pm25": index % 100}})
        client.publish(f"ioc/steady-{index % LATENCY_PER_S}/telemetry", body, qos=1)
    time.sleep(1)
    client.disconnect()
    client.loop_stop()


def cpu_of(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(check: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > until:
            raise SystemExit(f"ingest did not start within {PATIENCE_S} s")
        time.sleep(0.1)


def _show(result: dict[str, float]) -> None:
    table = Table(title=f"MQTT → TimescaleDB, medians of {RUNS} runs, load average {result['load_average']:.1f}")
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("subscriber that throws away, messages/s", f"{result['thrown_away_messages_s']:,.0f}")
    table.add_row("ingest, messages/s in the database", f"{result['ingest_messages_s']:,.0f}")
    table.add_row("share (budget: 80 %)", f"{result['messages_share']:.0%}")
    table.add_row("bare staged COPY, rows/s", f"{result['copy_rows_s']:,.0f}")
    table.add_row("ingest, rows/s of messages of eight values", f"{result['ingest_rows_s']:,.0f}")
    table.add_row("share (budget: 80 %)", f"{result['rows_share']:.0%}")
    table.add_row("CPU s per million messages, throwing away", f"{result['thrown_away_cpu_s_per_million']:.1f}")
    table.add_row("CPU s per million messages, ingest (budget: 15)", f"{result['ingest_cpu_s_per_million']:.1f}")
    table.add_row(f"publish → commit told, p50 ms at {LATENCY_PER_S:,}/s", f"{result['latency_p50_ms']:.0f}")
    table.add_row(f"publish → commit told, p99 ms at {LATENCY_PER_S:,}/s", f"{result['latency_p99_ms']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
