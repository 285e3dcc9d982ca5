"""From publish to pixel: how long a reading takes from an MQTT client's publish to a painted wall in Chromium.

A probe device publishes a new water level several times a second while other devices publish at 2,000 messages/s. Three moments
are taken for each probe, all on this machine's clock: when the change stream has it (committed), when a plain reader of the feed
has it, and the animation frame in which the wall has drawn with it. The feed's tick bounds what is possible: a
perfect chain would need half a tick in the middle and a whole one at worst, which is the limit the table shows.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

from dashboards.feed import TICK_S
from ioc.db.migrate import migrate
from ioc.db.pool import connect
from ioc.live import Live
from ioc.model import ReadingsChanged
from ioc.stack.embedded import Stack, free_port
from ioc.stack.home import Home
from ioc.topics import build
from tests.bench.load import publish_steadily

PROBE = "bench-probe"
LOAD_PER_S = 2000
PROBES = 60
RUNS = 3
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: Notes the clock at the animation frame after the wall has taken a new value of the probe.
_WATCH = """
window.seen = {};
IOC.pages.push({name: "wall", mount() {}, update(what, city) {
  const at = IOC.device("%s");
  if (at === undefined || city.value[at] === null) return;
  const value = city.value[at].toFixed(3);
  if (!(value in seen)) requestAnimationFrame(() => { seen[value] = Date.now() / 1000; });
}});
"""


def main() -> dict[str, float]:
    """Measure, print the table, return the medians of the runs in milliseconds."""
    with ExitStack() as stay:
        url, environment = stay.enter_context(city())
        load = multiprocessing.get_context("spawn").Process(
            target=publish_steadily,
            args=(environment["IOC_MQTT_URL"], LOAD_PER_S, 20 + RUNS * (PROBES * 0.35 + 4)),
            daemon=True,
        )
        load.start()
        stay.callback(load.terminate)
        browser = stay.enter_context(sync_playwright()).chromium.launch(
            executable_path="/usr/bin/chromium", args=CHROMIUM
        )
        page = browser.new_page(bypass_csp=True, viewport={"width": 1920, "height": 1080})
        page.goto(url)
        page.wait_for_function("window.IOC && IOC.city && IOC.city.epoch")
        page.evaluate(_WATCH % PROBE)
        time.sleep(5)
        runs = [_run(page, url, environment, number) for number in range(RUNS)]
        browser.close()
    result = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    _show(result)
    return result


def _run(page, url: str, environment: dict[str, str], number: int) -> dict[str, float]:
    """One series of probes."""
    committed: dict[str, float] = {}
    fed: dict[str, float] = {}
    stop = threading.Event()
    live = Live(environment["IOC_REDIS_URL"])
    after = live.last_id()
    followers = [
        threading.Thread(target=_follow_stream, args=(live, after, committed, stop)),
        threading.Thread(target=_follow_feed, args=(url, fed, stop)),
    ]
    for follower in followers:
        follower.start()
    time.sleep(2)
    sent: dict[str, float] = {}
    with _client(environment["IOC_MQTT_URL"]) as client:
        for probe in range(PROBES):
            value = round(-4 + (number * PROBES + probe) * 0.001, 3)
            now = time.time()
            sent[f"{value:.3f}"] = now
            client.publish(
                build(PROBE, "telemetry"), json.dumps({"ts": int(now * 1000), "values": {"waterLevel": value}}), qos=1
            )
            # A step that is no multiple of the feed's tick, so that the probes fall on every part of it.
            time.sleep(0.33)
    time.sleep(2)
    stop.set()
    seen = page.evaluate("window.seen")
    for follower in followers:
        follower.join()
    live.close()
    with closing(connect(environment["IOC_DATABASE_URL"])) as connection:
        rows = connection.execute("SELECT value FROM reading WHERE device = %s", (PROBE,)).fetchall()
    if missing := set(sent) - {f"{value:.3f}" for (value,) in rows}:
        raise SystemExit(f"{len(missing)} of {PROBES} probes were not stored")
    # Of two probes in one batch, or one tick, only the newer goes on; the older was replaced, not late.
    pixel = [seen[value] - at for value, at in sent.items() if value in seen]
    feed = [fed[value] - at for value, at in sent.items() if value in fed]
    commit = [committed[value] - at for value, at in sent.items() if value in committed]
    figures = {}
    for name, values in (("commit", commit), ("feed", feed), ("pixel", pixel)):
        values.sort()
        figures[f"{name}_p50"] = 1000 * statistics.median(values)
        figures[f"{name}_p95"] = 1000 * values[int(0.95 * (len(values) - 1))]
        figures[f"{name}_shown"] = len(values)
    return figures


def _follow_stream(live: Live, after: str, committed: dict[str, float], stop: threading.Event) -> None:
    while not stop.is_set():
        changes = live.changes(after, block_ms=200)
        now = time.time()
        for entry, change in changes:
            after = entry
            if isinstance(change, ReadingsChanged):
                for reading in change.readings:
                    if reading.device == PROBE:
                        committed.setdefault(f"{reading.value:.3f}", now)


def _follow_feed(url: str, fed: dict[str, float], stop: threading.Event) -> None:
    number = None
    with httpx.stream("GET", f"{url}/feed", timeout=10) as answer:
        for line in answer.iter_lines():
            if stop.is_set():
                return
            if not line.startswith("data: "):
                continue
            now, body = time.time(), json.loads(line[6:])
            if "columns" in body:
                ids = body["columns"]["id"]
                number = ids.index(PROBE) if PROBE in ids else None
            for row in body.get("devices") or ():
                if row[1] == PROBE:
                    number = row[0]
            for row in body.get("d") or ():
                if row[0] == number and row[2] is not None:
                    fed.setdefault(f"{row[2]:.3f}", now)


@contextmanager
def city() -> Iterator[tuple[str, dict[str, str]]]:
    """The stack, ingest and the dashboards as processes, with the probe announced; gives the page's URL and the environment."""
    with ExitStack() as stay:
        folder = Path(stay.enter_context(tempfile.TemporaryDirectory(prefix="ioc-bench-", dir="/tmp")))
        folder.chmod(0o755)
        stack = stay.enter_context(Stack(Home.at(folder)))
        with closing(connect(stack.urls.database_url)) as connection:
            migrate(connection)
        port = free_port()
        environment = (
            os.environ | stack.urls.environment() | {"IOC_HOME": str(folder), "IOC_DASHBOARDS_PORT": str(port)}
        )
        for module in ("ingest", "dashboards"):
            process = subprocess.Popen([sys.executable, "-m", module], env=environment, stderr=subprocess.DEVNULL)
            stay.callback(process.wait)
            stay.callback(process.terminate)
        url = f"http://127.0.0.1:{port}"
        _wait_for(url)
        with _client(stack.urls.mqtt_url) as client:
            announcement = {"kind": "flood_gauge", "name": "Probe", "lat": 10.85, "lon": 106.77}
            client.publish(build(PROBE, "announce"), json.dumps(announcement), qos=1, retain=True).wait_for_publish(10)
        yield url, environment


def _wait_for(url: str) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if httpx.get(f"{url}/healthz", timeout=2).status_code < 500:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit(f"{url} did not answer within a minute")


@contextmanager
def _client(url: str) -> Iterator[mqtt.Client]:
    address = httpx.URL(url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    if address.username:
        client.username_pw_set(address.username, address.password)
    client.connect(address.host, address.port or 1883)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


def _show(result: dict[str, float]) -> None:
    table = Table(
        title=f"publish → page, {LOAD_PER_S} messages/s arriving beside, medians of {RUNS} runs of {PROBES} probes"
    )
    table.add_column("until")
    table.add_column("p50 ms", justify="right")
    table.add_column("p95 ms", justify="right")
    table.add_row("limit: the feed's tick alone", f"{500 * TICK_S:.0f}", f"{950 * TICK_S:.0f}")
    for key, label in (
        ("commit", "committed and in the change stream"),
        ("feed", "read by a plain client of the feed"),
        ("pixel", "painted on the wall in Chromium"),
    ):
        table.add_row(label, f"{result[f'{key}_p50']:.0f}", f"{result[f'{key}_p95']:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
