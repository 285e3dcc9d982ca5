"""The connection to the broker: one thread that connects, reads while there is room, and acknowledges what was committed."""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from math import inf
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.dialect import Filters
from ingest.inbox import Door
from ingest.message import OVERHEAD, Block, Outgoing, Raw
from ingest.metrics import RECEIVED, RECONNECTS
from ingest.mqtt import BLOCK, BlockClient
from ingest.outbox import Done, Outbox, always, forget
from ingest.session import Beginning
from ioc.mqtt import V5, Contact
from ioc.service import Service, backoff, utc_now
from ioc.topics import covers

#: Every connection has a number of its own, also beside those of earlier processes, so that an acknowledgement finds the one it
#: belongs to, and what is noted of it is known as its own (`ingest.order`).
_GENERATIONS: Final = count(1 + secrets.randbits(62))
_FULL_POLL_S: Final = 0.01
#: The socket is read this often at most; less often while more messages than that come with each read.
_BREATH_S: Final = 0.002
DEEP_BREATH_S: Final = 0.006
_POURING: Final = 30
#: A lost peer must not be waited for longer than this when it leaves no word.
_CONNACK_S: Final = 10.0
#: After so many connections that ended soon it is asked why.
_OFTEN: Final = 2
#: So long the broker may take to read our last words.
_GOODBYE_S: Final = 3.0
#: Topic filters in one SUBSCRIBE; brokers bound the size of a packet.
_MOST_FILTERS: Final = 500


class Link:
    """Runs in a thread of its own until `stop`; messages go in at the door, blocks tagged with their connection's generation.

    Back-pressure: while there is no room the socket is not read, so that the broker, not we, holds what is too much.
    """

    def __init__(
        self, service: Service, client_id: str, door: Door, filters: Filters, *, leaving_after_s: float | None = None
    ) -> None:
        settings = service.settings
        self._service = service
        self._door = door
        self._keepalive_s = settings.mqtt_keepalive_s
        self._client = BlockClient(
            Contact.of(settings),
            client_id,
            self._on_block,
            keepalive_s=settings.mqtt_keepalive_s,
            inflight=settings.ingest_inflight,
            wants_retained=self._wants_retained,
            queues_retained=settings.broker != "rabbitmq",
        )
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client_id = client_id
        self._filters = filters
        self._leaving_after_s = leaving_after_s
        #: Filters asked for beside those, what the broker was last told of them, and those that its session may still hold.
        self._wanted: dict[str, bool] = {}
        self._listening: dict[str, bool] = {}
        self._gone: set[str] = set()
        self._asked: dict[int | None, list[str]] = {}
        #: Filters of which retained messages are wanted over this connection.
        self._retained: set[str] = set()
        self._outbox = Outbox()
        self._beginning = Beginning(settings.home, client_id)
        self._generation = 0
        self._taken_up = False
        self._asked_retained = False
        self._connected = False
        self._acks: deque[tuple[int, Sequence[int]]] = deque()
        self._unacknowledged = 0
        #: How many connections ended soon, one after the other.
        self._short = 0
        self._read_at = 0.0
        self._breath_s = _BREATH_S
        self._reading = threading.Event()
        self._reading.set()
        self._ending = threading.Event()
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self.received = 0
        #: Set once the broker has granted the subscriptions.
        self.subscribed = threading.Event()
        if leaving_after_s is None:
            service.expect("mqtt")

    @property
    def inflight(self) -> int:
        """Messages of this connection that are not acknowledged yet."""
        return self._unacknowledged

    def acknowledge(self, generation: int, mids: Sequence[int]) -> None:
        """Have messages acknowledged, from any thread; those of an earlier connection are left to be redelivered."""
        self._acks.append((generation, mids))
        self._rouse()

    def listen(self, wanted: Mapping[str, bool], shared: Iterable[str] = (), by_name: Iterable[str] = ()) -> None:
        """Also take these topics, and no longer those asked for before.

        Args:
            wanted: filters, each with whether its retained message is wanted.
            shared: filters that several processes share, without what is retained.
            by_name: topics that are taken anyway, whose retained message must be asked for by name.
        """
        names = {**dict.fromkeys(shared, False), **wanted}
        wide = [name for name in names if "+" in name or name.endswith("#")]
        asked = {
            name if name in wanted else self._filters.share + name: retained
            for name, retained in names.items()
            # What another filter brings too would arrive twice.
            if not any(covers(known, name) for known in self._filters.bare)
            and (retained or not any(other != name and covers(other, name) for other in wide))
        } | dict.fromkeys(by_name, True)
        if asked != self._wanted:
            self._gone = (self._gone | self._wanted.keys()) - asked.keys()
            self._wanted = asked
            self._rouse()

    def leave(self, filters: Iterable[str]) -> None:
        """Have the broker's session, which may be older than this process, forget filters that are not wanted now."""
        named = {
            share + name for name in filters for share in ("", self._filters.share) if name not in self._filters.bare
        }
        self._gone |= named - self._wanted.keys()

    def publish(
        self,
        message: Outgoing,
        *,
        within_s: float = inf,
        done: Done = forget,
        wanted: Callable[[], bool] = always,
    ) -> None:
        """Have a message published at QoS 1, from any thread; see `Outbox.put`."""
        self._outbox.put(message, within_s=within_s, done=done, wanted=wanted)
        self._rouse()

    def noted(self, name: bytes) -> None:
        """The database knows of the session of that name; from any thread."""
        try:
            self._beginning.noted(name)
        except OSError as error:
            self._service.log.warning("the session's name stays on the disk", why=str(error))

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
        try:
            self._beginning.recall()
        except OSError as error:
            self._service.log.warning("the session's name cannot be read", why=str(error))
        while not self._ending.is_set():
            try:
                self._generation = next(_GENERATIONS)
                self._client.reconnect()
                began = time.monotonic()
                self._serve()
                self._short += 1
                if time.monotonic() - began > _CONNACK_S:
                    self._short = 0
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
            if self._ending.is_set() or self._is_left(now):
                self._ending.set()
                self._say_goodbye()
                return
            if not self._connected and now - began > _CONNACK_S:
                raise TimeoutError(f"the broker did not answer CONNECT within {_CONNACK_S:g} s")
            room = not self._connected or (self._reading.is_set() and self._door.has_room)
            readers: list[Any] = [self._woken, sock] if room else [self._woken]
            readable, writable, _ = select.select(
                readers, [sock] if client.want_write() else [], [], 0.5 if room else _FULL_POLL_S
            )
            if self._woken in readable:
                self._woken.recv(4096)
            self._send_acks()
            if sock in readable:
                # Under load the socket is always readable: a short breath makes few large blocks of many small ones.
                time.sleep(max(0.0, self._read_at + self._breath_s - time.monotonic()))
                before = self.received
                self._read()
                self._breath_s = DEEP_BREATH_S if self.received - before > _POURING else _BREATH_S
                self._read_at = time.monotonic()
            self._follow()
            if writable:
                client.loop_write()
            if room:
                paused = 0.0
                client.loop_misc()
            else:
                paused = paused or now
                if now - max(paused, pinged) > self._keepalive_s / 2:
                    pinged = now
                    client.keep_alive()

    def _say_goodbye(self) -> None:
        """Acknowledge what is committed, and leave when the broker has read that.

        Closing a socket in which messages lie unread resets the connection, and what was sent last is thrown away over there.
        """
        self._send_acks()
        until = time.monotonic() + _GOODBYE_S
        sock: Any = self._client.socket()
        with socket.socket(fileno=os.dup(sock.fileno())) as wire, suppress(OSError):
            self._client.disconnect()
            while self._client.want_write() and time.monotonic() < until:
                select.select([], [wire], [], 0.1)
                self._client.loop_write()
            wire.settimeout(_GOODBYE_S)
            while time.monotonic() < until and wire.recv(BLOCK):
                pass

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

    def _follow(self) -> None:
        """Tell the broker what is wanted now, and publish what waits."""
        if not self._connected:
            return
        wanted = self._wanted
        if wanted != self._listening:
            gone = [name for name in self._listening if name not in wanted]
            if gone:
                self._client.unsubscribe(gone)
            self._subscribe({name: keep for name, keep in wanted.items() if name not in self._listening})
            self._listening = dict(wanted)
        self._outbox.post(self._client)

    def _subscribe(self, filters: Mapping[str, bool]) -> None:
        names = list(filters)
        self._retained.update(name for name in names if filters[name])
        for at in range(0, len(names), _MOST_FILTERS):
            some = names[at : at + _MOST_FILTERS]
            if self._client.protocol is V5:
                _, mid = self._client.subscribe([(name, _options(retained=filters[name])) for name in some])
            else:
                _, mid = self._client.subscribe([(name, 1) for name in some])
            self._asked[mid] = some

    def _wants_retained(self, topic: bytes) -> bool:
        """Whether a retained message is wanted that the broker hands over unasked, as MQTT 3.1.1 has it."""
        name = topic.decode("utf-8", "replace")
        return name in self._retained or any(
            covers(one, name) for one in self._retained if one.endswith("#") or "+" in one
        )

    def _is_left(self, now: float) -> bool:
        """Whether all that waited in a session that is being left was fetched and committed."""
        return (
            self._leaving_after_s is not None
            and self._connected
            and not self._unacknowledged
            and now - self._read_at > self._leaving_after_s
        )

    def _rouse(self) -> None:
        with suppress(OSError):  # it is awake, its buffer full of calls; or it has ended
            self._wake.send(b"\0")

    def _on_block(self, messages: list[Raw], size: int) -> None:
        counted = len([None for message in messages if message[2]])
        # Messages of QoS 0 alone may be left out on the way.
        begins = self._beginning.tell() if counted else b""
        size += OVERHEAD * len(messages)
        self._door.put(Block(self._generation, utc_now(), messages, size, self._client_id, begins=begins))
        self._unacknowledged += counted
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
        if not flags.session_present:
            try:
                self._beginning.begin()
            except OSError as error:
                self._service.log.warning("the session's name is not on the disk", why=str(error))
        self._connected = True
        self._socket_options()
        self._outbox.take_back(self._client)
        # Retained announcements are wanted once a process: the database may be a new one while the session is old. Nothing else
        # that is retained is wanted: it was received when it was sent.
        again = self._asked_retained and flags.session_present
        if client.protocol is not V5 and any(name.startswith("$share/") for name in self._filters.standing):
            self._service.log.warning("ingest_group needs a broker that has shared subscriptions with MQTT 3.1.1 too")
        self._asked, self._retained = {}, set()
        if flags.session_present and not self._taken_up and self._filters.unwanted:
            client.unsubscribe(list(self._filters.unwanted))
        self._taken_up = True
        self._read_at = time.monotonic()
        self._listening = dict(self._wanted)
        gone = sorted(self._gone)
        for at in range(0, len(gone), _MOST_FILTERS):
            client.unsubscribe(gone[at : at + _MOST_FILTERS])
        wanted = self._filters.standing | self._listening
        self._subscribe({name: retained and not again for name, retained in wanted.items()})

    def _on_subscribe(self, client: paho.Client, userdata: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        del client, userdata, properties
        names = self._asked.pop(mid, [])
        refused = [f"{name}: {reason}" for name, reason in zip(names, reasons, strict=False) if reason.is_failure]
        if refused:
            self._service.degrade("mqtt subscription", f"the broker refuses {'; '.join(refused)}")
        if not self._asked:
            self._asked_retained = True
            self.subscribed.set()
            self._service.recover("mqtt")

    def _on_publish(self, client: paho.Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        del client, userdata, properties
        self._outbox.settle(mid, reason)

    def _on_disconnect(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, userdata, flags, properties
        self._connected = False
        self._unacknowledged = 0
        if not self._ending.is_set():
            often = f": does another client connect as {self._client_id}?" if self._short >= _OFTEN else ""
            self._service.degrade("mqtt", f"disconnected: {reason}{often}")

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
