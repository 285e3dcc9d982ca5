"""One device connection to the broker: kept up, given back cleanly, or cut as a power failure cuts it.

Hundreds of connections share one asyncio loop and one thread: paho hands its socket over through its documented
callbacks for foreign event loops, so that no connection costs a thread.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from paho.mqtt import client as mqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ioc.mqtt import Client, Contact
from ioc.service import LogOnce, backoff

KEEPALIVE_S: Final = 45
#: A device buffers this many messages while the broker is away; then it drops what is new.
BUFFERED: Final = 1000
CONNECT_TIMEOUT_S: Final = 1.5


class Will(msgspec.Struct, frozen=True):
    """What the broker says in our name when we vanish."""

    topic: str
    payload: bytes
    retain: bool = False


class Link:
    """A connection that stays up until it is closed.

    Args:
        contact: the broker.
        client_id: unique on the broker.
        on_up: called on the loop each time the connection is there.
        will: last will, or None.
        lost: logs once when the broker is away and once when it is back; shared by all links.
        on_message: called with topic and payload of what the subscriptions bring.
        subscriptions: topic filters, QoS 1.
    """

    def __init__(
        self,
        contact: Contact,
        client_id: str,
        *,
        on_up: Callable[[], None],
        lost: LogOnce,
        will: Will | None = None,
        on_message: Callable[[str, bytes], None] | None = None,
        subscriptions: tuple[str, ...] = (),
    ) -> None:
        self.up = asyncio.Event()
        self.dropped = 0
        self._loop = asyncio.get_running_loop()
        self._contact = contact
        self._on_up = on_up
        self._lost = lost
        self._on_message = on_message
        self._subscriptions = subscriptions
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._down = asyncio.Event()
        self._closing = False
        self._client = self._make_client(client_id, will)

    def _make_client(self, client_id: str, will: Will | None) -> mqtt.Client:
        client = Client(self._contact, client_id)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_queued_messages_set(BUFFERED)
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_socket_open = self._socket_opened
        client.on_socket_close = self._socket_closed
        client.on_socket_register_write = self._write_wanted
        client.on_socket_unregister_write = self._write_done
        return client

    async def run(self) -> None:
        """Connect, and come back with jitter whenever the connection is lost, until `close`."""
        waits = backoff(0.2, 8.0)
        known = False
        while not self._closing:
            await self._wanted.wait()
            self._down.clear()
            try:
                await self._loop.run_in_executor(None, self._reconnect if known else self._connect)
                known = True
                await self._watch()
            except OSError as error:
                self._lost.lost(error)
            if self.is_up:
                self.up.clear()
                waits = backoff(0.2, 8.0)
            if not self._closing:
                await asyncio.sleep(next(waits))

    def _connect(self) -> None:
        address = self._contact.address
        self._client.connect(address.host, address.port, KEEPALIVE_S)

    def _reconnect(self) -> None:
        self._client.reconnect()

    async def _watch(self) -> None:
        """Keep the connection alive until it is down."""
        while not self._down.is_set():
            try:
                await asyncio.wait_for(self._down.wait(), KEEPALIVE_S / 3)
            except TimeoutError:
                self._client.loop_misc()

    @property
    def is_up(self) -> bool:
        """Whether the broker has let us in and the connection holds, as far as is known."""
        return self.up.is_set()

    def publish(self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> bool:
        """Send a message; at QoS 1 it waits for a lost connection to come back. False when it had to be dropped."""
        if qos == 0 and not self.is_up:
            return False
        info = self._client.publish(topic, payload, qos=qos, retain=retain)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            self.dropped += 1
            return False
        return True

    def cut(self) -> None:
        """Vanish without a word, as by a power failure: the broker tells the last will. `mend` brings it back."""
        self._wanted.clear()
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # the other side was faster: it is cut all the same
                sock.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Power is back: connect again."""
        self._wanted.set()

    async def close(self) -> None:
        """Send what is waiting, then disconnect in order, so that no last will is told. Under a second."""
        self._closing = True
        self._wanted.set()
        if self.is_up:
            for _ in range(16):
                if not self._client.want_write() and self._unacknowledged() == 0:
                    break
                await asyncio.sleep(0.05)
            self._client.disconnect()
            await asyncio.sleep(0)
        self._down.set()

    def _unacknowledged(self) -> int:
        return len(self._client._out_messages)  # noqa: SLF001 - paho offers no count of what awaits its PUBACK

    def _connected(
        self,
        client: mqtt.Client,
        userdata: object,
        flags: mqtt.ConnectFlags,
        code: ReasonCode,
        props: Properties | None,
    ) -> None:
        del userdata, flags, props
        if code.is_failure:
            self._lost.lost(f"the broker refused us: {code}")
            return
        if not self._wanted.is_set():
            self.cut()  # the power failed while we were connecting
            return
        self.up.set()
        self._lost.back()
        if self._subscriptions:
            client.subscribe([(topic, 1) for topic in self._subscriptions])
        # Not from inside the callback: paho holds a lock in it, and writes nothing until it returns.
        self._loop.call_soon(self._on_up)

    def _disconnected(
        self,
        client: mqtt.Client,
        userdata: object,
        flags: mqtt.DisconnectFlags,
        code: ReasonCode,
        props: Properties | None,
    ) -> None:
        del client, userdata, flags, props
        if not self._closing and self._wanted.is_set():
            self._lost.lost(f"the connection ended: {code}")
        self._down.set()

    def _received(self, client: mqtt.Client, userdata: object, message: mqtt.MQTTMessage) -> None:
        del client, userdata
        if self._on_message is not None:
            self._on_message(message.topic, bytes(message.payload))

    # The socket opens in the executor's thread, where the loop must not be touched; it closes in the loop's own.
    def _socket_opened(self, client: mqtt.Client, userdata: object, sock: mqtt.SocketLike) -> None:
        del userdata
        self._loop.call_soon_threadsafe(self._read_if_open, client, sock)

    def _socket_closed(self, client: mqtt.Client, userdata: object, sock: mqtt.SocketLike) -> None:
        del client, userdata
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    def _read_if_open(self, client: mqtt.Client, sock: mqtt.SocketLike) -> None:
        if sock.fileno() >= 0:
            self._loop.add_reader(sock, client.loop_read)

    def _write_wanted(self, client: mqtt.Client, userdata: object, sock: mqtt.SocketLike) -> None:
        del userdata
        self._loop.call_soon_threadsafe(self._write, client, sock)

    def _write(self, client: mqtt.Client, sock: mqtt.SocketLike) -> None:
        """Write at once, and wait for the socket only if it takes no more: one wake-up for most messages."""
        if sock.fileno() >= 0 and client.want_write():
            client.loop_write()
            if sock.fileno() >= 0 and client.want_write():
                self._loop.add_writer(sock, client.loop_write)

    def _write_done(self, client: mqtt.Client, userdata: object, sock: mqtt.SocketLike) -> None:
        del client, userdata
        self._loop.remove_writer(sock)
