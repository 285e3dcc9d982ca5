"""paho, reading the socket in large blocks.

paho reads each packet with three or more calls of recv and handles it under several locks: 12,000 messages/s. This client reads
up to 256 KiB at once and takes PUBLISH packets apart itself; everything else of MQTT 5 stays paho's. It leans on names that paho
keeps private (`_sock_recv`, `_in_packet`, `_packet_handle`, `_packet_queue`, `_loop_rc_handle`), which is why paho's version is
pinned and `tests/ingest/test_mqtt.py` holds every kind of packet against it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.message import Raw
from ioc.broker import BrokerAddress

#: Bytes asked of the socket at once.
BLOCK: Final = 262_144
_PUBLISH: Final = 0x30
_PUBACK: Final = 0x40
#: How long the broker keeps our session, with what it could not hand over, while no ingest runs.
SESSION_S: Final = 7 * 86_400


class Blocks:
    """Cuts a byte stream into MQTT packets; pure.

    `feed` gives the packets that are complete: (first byte, body). A packet that is not waits for the next block.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0
        self._need = 2

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Packets completed by these bytes.

        Raises:
            ValueError: a length field that MQTT forbids.
        """
        self._parts.append(data)
        self._held += len(data)
        if self._held < self._need:  # not yet: joining now would copy a large packet again and again
            return []
        buffer = data if len(self._parts) == 1 else b"".join(self._parts)
        packets = []
        at, end = 0, len(buffer)
        self._need = 2
        while end - at >= 2:
            length, body = buffer[at + 1], at + 2
            if length > 127:
                length &= 127
                shift = 7
                while True:
                    if body >= end:
                        length = -1
                        break
                    byte = buffer[body]
                    body += 1
                    length |= (byte & 127) << shift
                    if byte < 128:
                        break
                    shift += 7
                    if shift > 21:
                        raise ValueError("a length of more than four bytes")
                if length < 0:
                    self._need = end - at + 1
                    break
            after = body + length
            if after > end:
                self._need = after - at
                break
            packets.append((buffer[at], buffer[body:after]))
            at = after
        self._parts = [buffer[at:]] if at < end else []
        self._held = end - at
        return packets


def published(first: int, body: bytes) -> Raw:
    """Take an MQTT 5 PUBLISH apart: topic, payload, packet id, redelivered. Its properties are passed over.

    Raises:
        ValueError: the packet is cut off, or its QoS is none.
    """
    qos = first >> 1 & 3
    if qos == 3:
        raise ValueError("a PUBLISH of QoS 3")
    at = 2 + (body[0] << 8 | body[1])
    topic, mid = body[2:at], 0
    if qos:
        mid = body[at] << 8 | body[at + 1]
        at += 2
    properties = shift = 0
    while True:
        byte = body[at]
        at += 1
        properties |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    at += properties
    if at > len(body):
        raise ValueError("a PUBLISH shorter than its properties")
    return topic, body[at:], mid, bool(first & 8)


class BlockClient(paho.Client):
    """A client whose `loop_read` takes everything the socket has, and delivers the messages of one read together.

    Messages go to `deliver`, never to `on_message`, and are acknowledged by `acknowledge` alone. For an outer event loop:
    `loop_start` and `loop_forever` are not for it.
    """

    def __init__(self, client_id: str, deliver: Callable[[list[Raw], int], None]) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self._deliver = deliver
        self._blocks = Blocks()

    def reconnect(self) -> MQTTErrorCode:
        """Connect again; what was read of the old connection's last packet is forgotten."""
        self._blocks = Blocks()
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:
        """Read one block and handle every packet that is complete."""
        del max_packets
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            data = self._sock_recv(BLOCK)
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            data = b""
        if not data:
            return self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
        with self._msgtime_mutex:
            self._last_bytes_received = paho.time_func()
        messages: list[Raw] = []
        outcome = MQTTErrorCode.MQTT_ERR_SUCCESS
        try:
            for first, body in self._blocks.feed(data):
                if first & 0xF0 == _PUBLISH:
                    messages.append(published(first, body))
                else:
                    outcome = self._handle_other(first, body)
                    if outcome or self._sock is None:
                        break
        except (ValueError, IndexError):
            outcome = MQTTErrorCode.MQTT_ERR_PROTOCOL
        if messages:
            self._deliver(messages, len(data))
        if outcome and self._sock is not None:
            return self._loop_rc_handle(outcome)
        return outcome

    def acknowledge(self, mids: Sequence[int]) -> None:
        """Send PUBACKs, many in one write; only for messages of this connection, and only from the loop's thread."""
        if mids and self._sock is not None:
            pack = struct.Struct("!BBH").pack
            self._packet_queue(_PUBACK, b"".join([pack(_PUBACK, 2, mid) for mid in mids]), mids[-1], 1)

    def keep_alive(self) -> None:
        """Ping although nothing is read, so that the broker does not take a paused reader for a dead one."""
        self._send_pingreq()
        self._ping_t = 0.0  # the answer lies in the socket unread: its absence proves nothing
        with self._msgtime_mutex:
            self._last_bytes_received = self._last_msg_out = paho.time_func()

    def _handle_other(self, first: int, body: bytes) -> MQTTErrorCode:
        self._in_packet = {
            "command": first,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            return self._packet_handle()
        except MQTTException:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL


def connect_properties(inflight: int) -> Properties:
    """A session that outlives us, and how many messages the broker may hand out before we acknowledge."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_S
    properties.ReceiveMaximum = inflight
    return properties


def point_at(client: paho.Client, url: str, *, keepalive_s: int, properties: Properties) -> None:
    """Tell a client where its broker is: `mqtt://` or `mqtts://`, with user and password if it wants them.

    Raises:
        SettingsError: the URL is another.
    """
    address = BrokerAddress.parse(url)
    address.enter(client)
    client.connect_async(address.host, address.port, keepalive=keepalive_s, clean_start=False, properties=properties)
