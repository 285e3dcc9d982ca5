"""paho, reading the socket in large blocks.

paho reads each packet with three or more calls of recv and handles it under several locks: 12,000 messages/s. This client reads
up to 256 KiB at once and takes PUBLISH packets apart itself; everything else of MQTT stays paho's. It leans on names that paho
keeps private (`_sock_recv`, `_in_packet`, `_packet_handle`, `_packet_queue`, `_loop_rc_handle`), which is why paho's version is
pinned and `tests/ingest/test_mqtt.py` holds every kind of packet against it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.exception import MQTTException
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.message import Raw
from ingest.metrics import RETAINED
from ioc.mqtt import V5, Client, Contact

#: Bytes asked of the socket at once.
BLOCK: Final = 262_144
_PUBLISH: Final = 0x30
_PUBACK: Final = 0x40
#: Of a PUBLISH's first byte: it was kept by the broker, and comes because of a new subscription.
_RETAIN: Final = 0x01
#: How long the broker keeps our session, with what it could not hand over, while no ingest runs.
SESSION_S: Final = 14 * 86_400


#: First byte of what nearly every packet is: a PUBLISH of QoS 1, not retained; and the bit of one that is handed over again.
_PLAIN: Final = 0x32
_AGAIN: Final = 0x08


class Blocks:
    """Cuts a byte stream into MQTT packets; pure.

    A packet that is not complete waits for the next block.

    Args:
        properties: a PUBLISH has properties, as in MQTT 5.
    """

    def __init__(self, *, properties: bool) -> None:
        self._properties = properties
        self._parts: list[bytes] = []
        self._held = 0
        self._need = 2

    def feed(self, data: bytes) -> tuple[list[Raw], list[tuple[int, int, bytes]]]:
        """Packets completed by these bytes.

        Returns:
            Messages of QoS 1 that are not retained, which is what comes by the thousand. All else as (how many of those came
            before it, first byte, body).

        Raises:
            ValueError: a length field that MQTT forbids, or a PUBLISH that is cut off.
            IndexError: likewise.
        """
        messages: list[Raw] = []
        others: list[tuple[int, int, bytes]] = []
        self._parts.append(data)
        self._held += len(data)
        if self._held < self._need:  # not yet: joining now would copy a large packet again and again
            return messages, others
        buffer = data if len(self._parts) == 1 else b"".join(self._parts)
        properties = self._properties
        at, end = 0, len(buffer)
        self._need = 2
        while end - at >= 2:
            first, length, body = buffer[at], buffer[at + 1], at + 2
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
            at = after
            if first & ~_AGAIN == _PLAIN:
                mid = body + 2 + (buffer[body] << 8 | buffer[body + 1])
                start = mid + 2
                if properties:
                    # One byte tells the length of nearly all properties, which are none.
                    if buffer[start] > 127:
                        messages.append(published(first, buffer[body:after]))
                        continue
                    start += 1 + buffer[start]
                if start > after:
                    raise ValueError("a PUBLISH shorter than its topic and properties")
                messages.append(
                    (buffer[body + 2 : mid], buffer[start:after], buffer[mid] << 8 | buffer[mid + 1], first != _PLAIN)
                )
            else:
                others.append((len(messages), first, buffer[body:after]))
        self._parts = [buffer[at:]] if at < end else []
        self._held = end - at
        return messages, others


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


def published_311(first: int, body: bytes) -> Raw:
    """Take an MQTT 3.1.1 PUBLISH apart, which has no properties.

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
    if at > len(body):
        raise ValueError("a PUBLISH shorter than its topic")
    return topic, body[at:], mid, bool(first & 8)


class BlockClient(Client):
    """A client whose `loop_read` takes everything the socket has, and delivers the messages of one read together.

    Messages go to `deliver`, never to `on_message`, and are acknowledged by `acknowledge` alone. For an outer event loop:
    `loop_start` and `loop_forever` are not for it. Its session outlives it.

    Args:
        contact: the broker.
        client_id: the name of the session.
        deliver: takes the messages of one read, and how many bytes they were.
        keepalive_s: the broker gives us up after one and a half times as long without a word.
        inflight: how many messages an MQTT 5 broker may hand out before we acknowledge; to one of 3.1.1 that cannot be said.
        wants_retained: topics of which retained messages are delivered. A subscription of MQTT 5 says by itself what is
            wanted; to one of 3.1.1 the broker hands over every retained message each time, although it was received when it
            was sent: those are acknowledged, counted and passed over.
        queues_retained: what is retained comes out of the session's queue like all else. If not, it has no place in the order of
            the queue, and does not come again: it is acknowledged, and delivered as if it were of QoS 0.
    """

    def __init__(
        self,
        contact: Contact,
        client_id: str,
        deliver: Callable[[list[Raw], int], None],
        *,
        keepalive_s: int,
        inflight: int,
        wants_retained: Callable[[bytes], bool] = lambda _topic: False,
        queues_retained: bool = True,
    ) -> None:
        super().__init__(contact, client_id, clean=False, manual_ack=True, reconnect_on_failure=False)
        self._deliver = deliver
        self._wants_retained = wants_retained
        self._queues_retained = queues_retained
        self._blocks = Blocks(properties=False)
        self.connect_async(
            contact.address.host,
            contact.address.port,
            keepalive=keepalive_s,
            clean_start=False,
            properties=connect_properties(inflight),
        )

    def reconnect(self) -> MQTTErrorCode:
        """Connect again; what was read of the old connection's last packet is forgotten."""
        outcome = super().reconnect()
        self._blocks = Blocks(properties=self._protocol is V5)
        return outcome

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
        outcome = MQTTErrorCode.MQTT_ERR_SUCCESS
        messages: list[Raw] = []
        before = added = 0
        try:
            messages, others = self._blocks.feed(data)
            for before, first, body in others:
                if first & 0xF0 != _PUBLISH:
                    outcome = self._handle_other(first, body)
                elif message := self._unusual(first, body):
                    messages.insert(before + added, message)
                    added += 1
                if outcome or self._sock is None:
                    del messages[before + added :]
                    break
        except (ValueError, IndexError):
            outcome = MQTTErrorCode.MQTT_ERR_PROTOCOL
            del messages[before + added :]
        if messages:
            self._deliver(messages, len(data))
        if outcome and self._sock is not None:
            return self._loop_rc_handle(outcome)
        return outcome

    def acknowledge(self, mids: Sequence[int]) -> None:
        """Send PUBACKs, many in one write; only for messages of this connection, and only from the loop's thread."""
        if mids and self._sock is not None:
            words = [_PUBACK << 8 | 2] * (2 * len(mids))
            words[1::2] = mids
            self._packet_queue(_PUBACK, struct.pack(f"!{len(words)}H", *words), mids[-1], 1)

    def keep_alive(self) -> None:
        """Ping although nothing is read, so that the broker does not take a paused reader for a dead one."""
        self._send_pingreq()
        self._ping_t = 0.0  # the answer lies in the socket unread: its absence proves nothing
        with self._msgtime_mutex:
            self._last_bytes_received = self._last_msg_out = paho.time_func()

    def _unusual(self, first: int, body: bytes) -> Raw | None:
        """A message that is retained, or of another QoS; None when it is passed over."""
        message = (published if self._protocol is V5 else published_311)(first, body)
        topic, payload, mid, _ = message
        if first & _RETAIN:
            is_wanted = self._protocol is V5 or self._wants_retained(topic)
            if is_wanted and self._queues_retained:
                return message
            self.acknowledge([mid] if mid else [])
            if is_wanted:
                return topic, payload, 0, False
            RETAINED.inc()
            return None
        return message

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
