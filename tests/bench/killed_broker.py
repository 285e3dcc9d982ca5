"""What a broker loses when it is killed with SIGKILL: of what it had acknowledged to publishers, while nobody consumed.

Each as it is embedded. A session is made and left; messages are published at an even rate; the broker is killed at several
moments between two of Mosquitto's saves, started again, and the session is fetched.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from rich.table import Table

from ioc.stack.embedded import Stack, Urls
from ioc.stack.home import Home
from ioc.stack.process import Child
from tests.bench.arena import PATIENCE_S, wait_until
from tests.flood import Flood

Name = Literal["mosquitto", "rabbitmq"]
#: Messages a second: about what the demo sends, and a city twenty times as busy.
RATES: Final = (50, 1000)
#: Seconds of publishing before the kill; they lie differently to the ten seconds between two saves.
KILLS_S: Final = (11.0, 13.0, 15.0, 17.0, 19.0)
#: A session is saved like a message: one that is younger than this is lost as a whole.
_SAVED_S: Final = 12.0
#: Number of the message that ends the fetching.
_LAST: Final = -1
#: RabbitMQ takes long to be back.
_BACK_S: Final = 300.0
_TOPIC: Final = "bench/killed"


def main() -> dict[str, Any]:
    """Measure, print the table, return the figures."""
    figures = {
        name: {str(rate): [killed(name, rate, after_s) for after_s in KILLS_S] for rate in RATES}
        for name in ("mosquitto", "rabbitmq")
    }
    table = Table(title=f"SIGKILL of the broker, {len(KILLS_S)} times each, nobody consuming")
    table.add_column("")
    for heading in ("messages/s", "acknowledged", "lost", "most at once", "oldest lost, s before"):
        table.add_column(heading, justify="right")
    for name, rates in figures.items():
        for rate, runs in rates.items():
            lost = [run["lost"] for run in runs]
            table.add_row(
                name,
                rate,
                f"{sum(run['acknowledged'] for run in runs):,.0f}",
                f"{sum(lost):,.0f}",
                f"{max(lost):,.0f}",
                f"{max(run['oldest_s'] for run in runs):.1f}",
            )
    Console().print(table)
    return figures


def killed(name: Name, rate: float, after_s: float) -> dict[str, float]:
    """Kill it once.

    Returns:
        acknowledged: messages it had acknowledged.
        lost: those of them that it does not hand over when it is back.
        oldest_s: how long before the kill the first of those was sent.
    """
    with _broker(name) as (stack, broker, port):
        _leave_a_session(port)
        time.sleep(_SAVED_S)
        flood = Flood("127.0.0.1", port)
        messages = [(_TOPIC, b"%d" % index) for index in range(int(rate * after_s * 2))]
        ended = threading.Event()
        thread = threading.Thread(
            target=flood.publish, args=(messages,), kwargs={"rate": rate, "until": ended.is_set}, daemon=True
        )
        thread.start()
        time.sleep(after_s)
        broker.kill()
        at = time.time()
        ended.set()
        thread.join(PATIENCE_S)
        acknowledged = set(flood.acknowledged)
        wait_until(
            lambda: stack.revive() or all(child.alive() for child in stack.children), "the broker is back", _BACK_S
        )
        lost = acknowledged - _fetch(port)
    return {
        "acknowledged": len(acknowledged),
        "lost": len(lost),
        "oldest_s": max((at - flood.sent_at[index] for index in lost), default=0.0),
    }


@contextmanager
def _broker(name: Name) -> Iterator[tuple[Stack, Child, int]]:
    with tempfile.TemporaryDirectory(prefix="ioc-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        elsewhere = Urls(database_url="postgresql://elsewhere/ioc", redis_url="redis://elsewhere")
        with Stack(Home.at(folder), elsewhere, broker=name) as stack:
            child = next(child for child in stack.children if child.name == name)
            yield stack, child, int(stack.urls.mqtt_url.rpartition(":")[2])


def _client(port: int, take: Callable[[bytes], None]) -> paho.Client:
    """Of a session that stays when its client leaves."""
    client = paho.Client(CallbackAPIVersion.VERSION2, "bench-killed", clean_session=False)
    client.on_message = lambda _client, _data, message: take(message.payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    return client


def _leave_a_session(port: int) -> None:
    client = _client(port, lambda _payload: None)
    granted = threading.Event()
    client.on_subscribe = lambda *_: granted.set()
    client.subscribe(_TOPIC, qos=1)
    wait_until(granted.is_set, "the subscription is granted")
    client.disconnect()
    client.loop_stop()


def _fetch(port: int) -> set[int]:
    """What waits in the session, up to a message that is published behind all others."""
    Flood("127.0.0.1", port).publish([(_TOPIC, b"%d" % _LAST)])
    got: set[int] = set()
    client = _client(port, lambda payload: got.add(int(payload)))
    wait_until(lambda: _LAST in got, "the last message came", _BACK_S)
    client.disconnect()
    client.loop_stop()
    return got
