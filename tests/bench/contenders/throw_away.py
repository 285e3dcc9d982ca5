"""The first limit: a subscriber that reads the socket as ingest does, acknowledges at once and throws the message away."""

from __future__ import annotations

import select
import time

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.link import DEEP_BREATH_S
from ingest.message import Raw
from ingest.mqtt import BlockClient
from ioc.broker import BrokerAddress
from ioc.mqtt import Contact
from tests.bench.arena import PATIENCE_S, Arena
from tests.bench.generate import flooding
from tests.bench.messages import Series

_ROOT = "thrown"


def throw_away(arena: Arena, series: Series) -> dict[str, float]:
    """Messages a second that it gets, and CPU seconds per million; no chain behind the same broker can be faster."""
    mids: list[int] = []
    got = 0

    def deliver(block: list[Raw], size: int) -> None:
        nonlocal got
        got += len(block)
        mids.extend(mid for _, _, mid, _ in block if mid)

    def subscribe(client: paho.Client, *rest: object) -> None:
        client.subscribe([(f"{_ROOT}/+/telemetry", SubscribeOptions(qos=1))])

    granted: list[bool] = []
    contact = Contact(BrokerAddress.parse(arena.urls.mqtt_url))
    client = BlockClient(contact, series.name, deliver, keepalive_s=60, inflight=20_000)
    client.on_connect = subscribe
    client.on_subscribe = lambda *rest: granted.append(True)
    client.reconnect()

    def turn() -> None:
        sock = client.socket()
        readable, _, _ = select.select([sock], [], [], 0.1)
        if readable:
            time.sleep(DEEP_BREATH_S)
            client.loop_read()
        client.acknowledge(mids)
        mids.clear()
        if client.want_write():
            client.loop_write()

    until = time.monotonic() + PATIENCE_S
    while not granted and time.monotonic() < until:
        turn()
    with flooding(arena.port, _ROOT, series) as go:
        began, used = time.monotonic(), time.process_time()
        go()
        while got < series.number and time.monotonic() < began + PATIENCE_S:
            turn()
        took, used = time.monotonic() - began, time.process_time() - used
    client.disconnect()
    return {"messages_s": got / took, "cpu_s_per_million": used / max(got, 1) * 1e6}
