"""The reader of MQTT packets, held against paho's own."""

from __future__ import annotations

import struct
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.message import Raw
from ingest.mqtt import BLOCK, Blocks, published, published_311


class Wire(paho.Client):
    """paho as a writer of packets: what it would send is kept."""

    def __init__(self, version: MQTTProtocolVersion) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=version)
        self.written: list[bytes] = []

    def _packet_queue(self, command, packet, mid, qos, info=None):  # type: ignore[no-untyped-def]
        self.written.append(bytes(packet))
        return paho.MQTT_ERR_SUCCESS


V5, V311 = MQTTProtocolVersion.MQTTv5, MQTTProtocolVersion.MQTTv311
READERS = {V5: published, V311: published_311}
each_version = pytest.mark.parametrize("version", READERS)


def make_publish(
    topic: str,
    payload: bytes,
    mid: int,
    *,
    dup: bool = False,
    qos: int = 1,
    user: str = "",
    version: MQTTProtocolVersion = V5,
) -> bytes:
    """A PUBLISH as paho writes it."""
    wire = Wire(version)
    wire._sock = object()  # type: ignore[assignment]
    properties = None
    if user:
        properties = Properties(PacketTypes.PUBLISH)
        properties.UserProperty = ("from", user)
    wire._send_publish(mid, topic.encode(), payload, qos, False, dup, None, properties)
    wire._sock = None
    return wire.written[0]


messages = st.lists(
    st.tuples(
        st.text(st.characters(codec="utf-8", exclude_characters="\0+#"), min_size=1, max_size=30),
        st.binary(max_size=400),
        st.integers(1, 65_535),
        st.booleans(),
    ),
    max_size=8,
)


@each_version
@given(messages, st.lists(st.integers(1, 200), max_size=40))
def test_blocks_cut_anywhere(
    version: MQTTProtocolVersion, sent: list[tuple[str, bytes, int, bool]], cuts: list[int]
) -> None:
    """Wherever the stream is cut, the same messages come out, in order."""
    stream = b"".join(make_publish(topic, payload, mid, dup=dup, version=version) for topic, payload, mid, dup in sent)
    blocks, at = Blocks(properties=version is V5), 0
    got: list[Raw] = []
    for cut in [*cuts, len(stream)]:
        found, others = blocks.feed(stream[at : at + cut])
        assert not others
        got += found
        at += cut
    assert got == [(topic.encode(), payload, mid, dup) for topic, payload, mid, dup in sent]


def test_blocks_large_packet_in_many_reads() -> None:
    """A packet of megabytes over many reads comes out whole, and so does the one after it."""
    payload = bytes(5_000_000)
    stream = make_publish("a", payload, 1) + make_publish("b", b"x", 2)
    blocks, got = Blocks(properties=True), []
    for at in range(0, len(stream), BLOCK):
        got += blocks.feed(stream[at : at + BLOCK])[0]
    assert got == [(b"a", payload, 1, False), (b"b", b"x", 2, False)]


def test_published_with_properties_and_qos_0() -> None:
    """Properties are passed over; QoS 0 has no packet id."""
    for user in ("x", "x" * 300):
        with_properties = make_publish("a/b", b"payload", 7, user=user)
        assert Blocks(properties=True).feed(with_properties) == ([(b"a/b", b"payload", 7, False)], [])
    plain = make_publish("c", b"", 8)
    ((before, first, body),) = Blocks(properties=True).feed(plain + make_publish("a", b"p", 0, qos=0) + plain)[1]
    assert before == 1
    assert published(first, body) == (b"a", b"p", 0, False)
    ((_, first, body),) = Blocks(properties=False).feed(make_publish("a", b"p", 0, qos=0, version=V311))[1]
    assert published_311(first, body) == (b"a", b"p", 0, False)


@each_version
@given(st.sampled_from([0x32, 0x3A]), st.binary(max_size=40))
def test_plain_messages_are_read_as_all_others(version: MQTTProtocolVersion, first: int, body: bytes) -> None:
    """The short cut for the common packet and the long way say the same of any bytes, or both refuse them."""
    packet = bytes([first, len(body)]) + body
    try:
        expected = READERS[version](first, body)
    except (ValueError, IndexError):
        with pytest.raises((ValueError, IndexError)):
            Blocks(properties=version is V5).feed(packet)
    else:
        assert Blocks(properties=version is V5).feed(packet) == ([expected], [])


@each_version
@given(st.integers(0, 15), st.binary(max_size=40))
def test_published_from_anything(version: MQTTProtocolVersion, low: int, body: bytes) -> None:
    """A broken packet is told by ValueError or IndexError alone, which the client takes for a protocol fault."""
    try:
        topic, _, _, _ = READERS[version](0x30 | low, body)
    except (ValueError, IndexError):
        return
    assert len(topic) <= len(body)


def test_blocks_endless_length() -> None:
    """A length of five bytes is no MQTT."""
    with pytest.raises(ValueError, match="four bytes"):
        Blocks(properties=True).feed(struct.pack("7B", 0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1))


def test_paho_is_the_one_that_was_read() -> None:
    """The client leans on private names of paho: another version is read, tried and pinned before it is used."""
    assert version("paho-mqtt") == "2.2.0"
