"""The connection to the broker: one thread that connects, reads while there is room, and acknowledges what was committed."""

from __future__ import annotations

import os
import secrets
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from math import inf
from typing import Any, Final, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.dialect import GROUP, Filters, unshared
from ingest.inbox import Door
from ingest.message import OVERHEAD, Block, Outgoing, Raw
from ingest.metrics import RECEIVED, RECONNECTS
from ingest.mqtt import BLOCK, BlockClient
from ingest.outbox import Done, Outbox, always, forget
from ingest.session import Beginning, Held
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
#: Topic filters in one SUBSCRIBE or UNSUBSCRIBE; brokers bound the size of a packet.
_MOST_FILTERS: Final = 500
#: It is looked this often whether other sessions have left what is wanted here.
_LOOK_S: Final = 0.2


class _Wanted(NamedTuple):
    """Filters, each with whether its retained message is wanted; `is_all`: what else the session holds is of another time."""

    filters: Mapping[str, bool]
    is_all: bool


class Link:
    """Runs in a thread of its own until `stop`; messages go in at the door, blocks tagged with their connection's generation.

    Back-pressure: while there is no room the socket is not read, so that the broker, not we, holds what is too much.

    When processes begin to share the messages otherwise, none may come over two shares, nor over none: they leave what they held,
    the first one (`leads`) then takes what is wanted and leaves what it held, and then the others take their part.

    Args:
        service: its part `mqtt` is the connection, `mqtt subscription` what the broker grants.
        client_id: names the session.
        door: takes the messages.
        filters: what is wanted from the start.
        others: filters that sessions may hold which must have left what is wanted here otherwise.
        leads: it leaves last.
        leaving_after_s: take what waits, and end when nothing has come for so long; None = stay.
    """

    def __init__(
        self,
        service: Service,
        client_id: str,
        door: Door,
        filters: Filters,
        *,
        others: Callable[[], Collection[str]] = tuple,
        leads: bool = True,
        leaving_after_s: float | None = None,
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
        self._client.on_unsubscribe = self._on_unsubscribe
        self._client.on_publish = self._on_publish
        self._client_id = client_id
        self._filters = filters
        self._leaving_after_s = leaving_after_s
        self._others = others
        self._leads = leads
        self._wanted = _Wanted(filters.standing, leaving_after_s is not None)
        #: Whether no other session holds that otherwise.
        self._is_clear = False
        self._look_at = 0.0
        #: What the session may hold and is not noted here: of another machine, or of a broker that came back from its disk.
        self._elsewhere = frozenset(filters.unwanted)
        self._assumed: frozenset[str] = frozenset()
        #: What the broker was told over this connection, and what of it is not answered yet, by packet id.
        self._told = _Wanted({}, is_all=False)
        self._asked: dict[int | None, dict[str, bool]] = {}
        self._left: dict[int | None, set[str]] = {}
        #: What it has not granted as it was asked, and why.
        self._refused: dict[str, str] = {}
        #: Filters of which retained messages are wanted over this connection, and those whose came already in this session.
        self._retained: set[str] = set()
        self._retrieved: set[str] = set()
        self._outbox = Outbox()
        self._beginning = Beginning(settings.home, client_id)
        self._held = Held(settings.home, client_id)
        self._generation = 0
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
        self._part = "mqtt"
        if leaving_after_s is None:
            service.expect(self._part)
        else:
            self._part = f"mqtt ({client_id})"

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
        now = _Wanted(self._filters.standing | asked, is_all=True)
        if now != self._wanted:
            self._wanted = now
            self._rouse()

    def assume(self, filters: Iterable[str]) -> None:
        """The session may hold these too: it may be of another machine, or older than what is noted here."""
        shares = {"", self._filters.share, f"$share/{GROUP}/"}
        others = {share + name for name in filters for share in shares if name not in self._filters.bare}
        self._elsewhere |= others
        self._assumed |= others

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
            self._held.recall()
        except OSError as error:
            self._service.log.warning("what is known of the session cannot be read", why=str(error))
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
                self._service.degrade(self._part, error)
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
        if self._told is not self._wanted:
            self._tell(self._wanted)
        self._outbox.post(self._client)

    def _tell(self, wanted: _Wanted) -> None:
        if not self._is_clear:
            if time.monotonic() < self._look_at:
                return
            self._look_at = time.monotonic() + _LOOK_S
            self._is_clear = not self._is_held_otherwise()
        if not self._is_clear:
            self._service.degrade(f"{self._part} subscription", "another session of this machine holds it otherwise")
            # Told again, because a broker that was restarted may have forgotten what is shared.
            wanted = _Wanted(dict.fromkeys(self._held.names if self._leads else (), False), wanted.is_all)
        new = {name: is_asked for name, is_asked in wanted.filters.items() if self._told.filters.get(name) != is_asked}
        gone: list[str] = []
        if self._is_clear or not self._leads:
            may = (self._held.names | self._assumed).difference(wanted.filters, *self._left.values())
            gone = sorted(name for name in may if wanted.is_all or unshared(name) in self._filters.bare)
        self._note(self._held.names | new.keys())
        # In this order: of what comes in between nothing is missed; what has no time of its own may be stored twice.
        self._subscribe(new)
        for some in _packets(gone):
            _, mid = self._client.unsubscribe(some)
            self._left[mid] = set(some)
        self._assumed = self._assumed.difference(gone)
        self._retrieved.difference_update(gone)
        self._told = wanted
        self._settle()

    def _is_held_otherwise(self) -> bool:
        """Whether another session holds what is wanted here under another share, or under none."""
        ours = self._filters.standing
        plain = {unshared(name) for name in ours}
        return any(name not in ours and unshared(name) in plain for name in self._others())

    def _subscribe(self, filters: Mapping[str, bool]) -> None:
        for left in self._left.values():
            left.difference_update(filters)
        for some in _packets(list(filters)):
            asked = {name: filters[name] and name not in self._retrieved for name in some}
            self._retained.update(name for name in some if asked[name])
            if self._client.protocol is V5:
                _, mid = self._client.subscribe([(name, _options(retained=asked[name])) for name in some])
            else:
                _, mid = self._client.subscribe([(name, 1) for name in some])
            self._asked[mid] = asked

    def _settle(self) -> None:
        """See whether the broker has answered all that it was told."""
        if self._asked or self._left or self._told is not self._wanted:
            return
        refused = [f"{name}: {why}" for name, why in self._refused.items() if name in self._told.filters]
        if refused:
            self._service.degrade(f"{self._part} subscription", f"the broker refuses {'; '.join(refused)}")
        else:
            self._service.recover(f"{self._part} subscription")
        self.subscribed.set()
        self._service.recover(self._part)

    def _note(self, names: Iterable[str]) -> None:
        try:
            self._held.note(names)
        except OSError as error:
            self._service.log.warning("what the session holds is not on the disk", why=str(error))

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
            and self.subscribed.is_set()
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
            self._service.degrade(self._part, f"the broker refuses us: {reason}")
            return
        if not flags.session_present:
            try:
                self._beginning.begin()
            except OSError as error:
                self._service.log.warning("the session's name is not on the disk", why=str(error))
            self._note(())
            self._retrieved.clear()
        self._assumed = self._elsewhere if flags.session_present else frozenset()
        self._connected = True
        self._socket_options()
        self._outbox.take_back(self._client)
        if client.protocol is not V5 and any(name.startswith("$share/") for name in self._filters.standing):
            self._service.log.warning("ingest_group needs a broker that has shared subscriptions with MQTT 3.1.1 too")
        self._told, self._asked, self._left, self._refused = _Wanted({}, is_all=False), {}, {}, {}
        self._retained = set()
        self._read_at = time.monotonic()
        self._tell(self._wanted)

    def _on_subscribe(self, client: paho.Client, userdata: Any, mid: int, reasons: list[Any], properties: Any) -> None:
        del client, userdata, properties
        # Retained announcements are wanted once a process: the database may be a new one while the session is old. Nothing else
        # that is retained is wanted: it was received when it was sent.
        for (name, retained), reason in zip(self._asked.pop(mid, {}).items(), reasons, strict=False):
            self._refused.pop(name, None)
            if reason.is_failure:
                self._refused[name] = str(reason)
            elif reason.value < 1:
                self._refused[name] = "QoS 1; what is under way when a connection ends is lost"
            if retained and not reason.is_failure:
                self._retrieved.add(name)
        self._settle()

    def _on_unsubscribe(
        self, client: paho.Client, userdata: Any, mid: int, reasons: list[Any], properties: Any
    ) -> None:
        del client, userdata, properties
        left = self._left.pop(mid, set())
        if not any(reason.is_failure for reason in reasons):
            self._note(self._held.names - left)
        self._settle()

    def _on_publish(self, client: paho.Client, userdata: Any, mid: int, reason: Any, properties: Any) -> None:
        del client, userdata, properties
        self._outbox.settle(mid, reason)

    def _on_disconnect(self, client: paho.Client, userdata: Any, flags: Any, reason: Any, properties: Any) -> None:
        del client, userdata, flags, properties
        self._connected = False
        self._unacknowledged = 0
        if not self._ending.is_set():
            often = f": does another client connect as {self._client_id}?" if self._short >= _OFTEN else ""
            self._service.degrade(self._part, f"disconnected: {reason}{often}")

    def _socket_options(self) -> None:
        """Notice a peer that vanished, also while we only send."""
        sock: Any = self._client.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000)


def _packets(names: Sequence[str]) -> Iterable[list[str]]:
    return (list(names[at : at + _MOST_FILTERS]) for at in range(0, len(names), _MOST_FILTERS))


def _options(*, retained: bool) -> SubscribeOptions:
    handling = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
    return SubscribeOptions(qos=1, retainHandling=handling)
