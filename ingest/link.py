"""The connection to the broker: one thread that connects, reads while there is room, and acknowledges what was committed."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.inbox import Inbox
from ingest.message import Block, Raw
from ingest.metrics import RECEIVED, RECONNECTS
from ingest.mqtt import BlockClient, connect_properties, point_at
from ioc.service import Service, backoff, utc_now
from ioc.topics import subscriptions

KEEPALIVE_S: Final = 20
#: What a message takes in memory beside its bytes.
_OVERHEAD: Final = 250
_FULL_POLL_S: Final = 0.01
#: A lost peer must not be waited for longer than this when it leaves no word.
_CONNACK_S: Final = 10.0


class Link:
    """Runs in a thread of its own until `stop`; messages go into the inbox, blocks tagged with their connection's generation.

    Back-pressure: while the inbox is full the socket is not read, so that the broker, not we, holds what is too much.
    """

    def __init__(self, service: Service, client_id: str, inbox: Inbox) -> None:
        settings = service.settings
        self._service = service
        self._inbox = inbox
        self._client = BlockClient(client_id, self._on_block)
        point_at(
            self._client,
            settings.require("mqtt_url"),
            keepalive_s=KEEPALIVE_S,
            properties=connect_properties(settings.ingest_inflight),
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._filters = subscriptions(settings.ingest_group)
        self._generation = 0
        self._asked_retained = False
        self._connected = False
        self._acks: deque[tuple[int, Sequence[int]]] = deque()
        self._unacknowledged = 0
        self._reading = threading.Event()
        self._reading.set()
        self._ending = threading.Event()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self.received = 0
        #: Set once the broker has granted the subscriptions.
        self.subscribed = threading.Event()

    @property
    def inflight(self) -> int:
        """Messages of this connection that are not acknowledged yet."""
        return self._unacknowledged

    def acknowledge(self, generation: int, mids: Sequence[int]) -> None:
        """Have messages acknowledged, from any thread; those of an earlier connection are left to be redelivered."""
        self._acks.append((generation, mids))
        self._rouse()

    def stop_reading(self) -> None:
        """Take nothing more; go on acknowledging."""
        self._reading.clear()
        self._rouse()

    def stop(self) -> None:
        """Send what is to be acknowledged, say goodbye (the session stays), and end the thread."""
        self._ending.set()
        self._rouse()

    def run(self) -> None:
        """Connect, serve, and connect again until stopped."""
        waits = backoff()
        while not self._ending.is_set():
            try:
                self._generation += 1
                self._client.reconnect()
                began = time.monotonic()
                self._serve()
                if time.monotonic() - began > _CONNACK_S:
                    waits = backoff()
            except (OSError, ValueError) as error:
                self._service.degrade("mqtt", error)
            if not self._ending.is_set():
                RECONNECTS.inc()
                self._ending.wait(next(waits))
        self._woken.close()
        self._wake.close()

    def _serve(self) -> None:
        client, began = self._client, time.monotonic()
        paused = pinged = 0.0
        while (sock := client.socket()) is not None:
            now = time.monotonic()
            if self._ending.is_set():
                self._send_acks()
                client.disconnect()
                client.loop_write()
                return
            if not self._connected and now - began > _CONNACK_S:
                raise TimeoutError(f"the broker did not answer CONNECT within {_CONNACK_S:g} s")
            room = not self._connected or (self._reading.is_set() and self._inbox.has_room)
            readers: list[Any] = [self._woken, sock] if room else [self._woken]
            readable, writable, _ = select.select(
                readers, [sock] if client.want_write() else [], [], 0.5 if room else _FULL_POLL_S
            )
            if self._woken in readable:
                self._woken.recv(4096)
            self._send_acks()
            if sock in readable:
                self._read()
            if writable:
                client.loop_write()
            if room:
                paused = 0.0
                client.loop_misc()
            else:
                paused = paused or now
                if now - max(paused, pinged) > KEEPALIVE_S / 2:
                    pinged = now
                    client.keep_alive()

    def _read(self) -> None:
        client = self._client
        client.loop_read()
        # TLS may hold decrypted bytes that select cannot see.
        while (sock := client.socket()) is not None and getattr(sock, "pending", int)() > 0:
            client.loop_read()

    def _send_acks(self) -> None:
        mids: list[int] = []
        while self._acks:
            generation, more = self._acks.popleft()
            if generation == self._generation:
                mids.extend(more)
        if mids and self._connected:
            self._unacknowledged -= len(mids)
            self._client.acknowledge(mids)

    def _rouse(self) -> None:
        with suppress(OSError):  # it is awake, its buffer full of calls; or it has ended
            self._wake.send(b"\0")

    def _on_block(self, messages: list[Raw], size: int) -> None:
        self._inbox.put(Block(self._generation, utc_now(), messages, size + _OVERHEAD * len(messages)))
        self._unacknowledged += sum(1 for message in messages if message[2])
        self.received += len(messages)
        RECEIVED.inc(len(messages))

    def _on_connect(
        self, client: paho.Client, userdata: Any, flags: paho.ConnectFlags, reason: Any, properties: Any
    ) -> None:
        del userdata, properties
        self._unacknowledged = 0
        if reason.is_failure:
            self._service.degrade("mqtt", f"the broker refuses us: {reason}")
            return
        self._connected = True
        self._socket_options()
        # Retained announcements are wanted once a process: the database may be a new one while the session is old. Nothing else
        # that is retained is wanted: it was received when it was sent.
        again = self._asked_retained and flags.session_present
        client.subscribe(
            [(name, _options(retained=name.endswith("/announce") and not again)) for name in self._filters]
        )

    def _on_subscribe(self, client: paho.Client, userdata: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        del client, userdata, mid, properties
        refused = [
            f"{name}: {reason}" for name, reason in zip(self._filters, reasons, strict=False) if reason.is_failure
        ]
        if refused:
            self._service.degrade("mqtt", f"the broker refuses subscriptions: {'; '.join(refused)}")
        else:
            self._asked_retained = True
            self.subscribed.set()
            self._service.recover("mqtt")

    def _on_disconnect(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, userdata, flags, properties
        self._connected = False
        self._unacknowledged = 0
        if not self._ending.is_set():
            self._service.degrade("mqtt", f"disconnected: {reason}")

    def _socket_options(self) -> None:
        """Notice a peer that vanished, also while we only send."""
        sock: Any = self._client.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)


def _options(*, retained: bool) -> SubscribeOptions:
    handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(qos=1, retainHandling=handling)
