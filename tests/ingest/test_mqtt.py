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

from ingest.mqtt import BLOCK, Blocks, point_at, published
from ioc.errors import SettingsError


class Wire(paho.Client):
    """paho as a writer of packets: what it would send is kept."""

    def __init__(self) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.written: list[bytes] = []

    def _packet_queue(self, command, packet, mid, qos, info=None):  # type: ignore[no-untyped-def]
        self.written.append(bytes(packet))
        return paho.MQTT_ERR_SUCCESS


def make_publish(topic: str, payload: bytes, mid: int, *, dup: bool = False, qos: int = 1, user: str = "") -> bytes:
    """A PUBLISH as paho writes it."""
    wire = Wire()
    wire._sock = object()  # type: ignore[assignment]
    properties = Properties(PacketTypes.PUBLISH)
    if user:
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


@given(messages, st.lists(st.integers(1, 200), max_size=40))
def test_blocks_cut_anywhere(sent: list[tuple[str, bytes, int, bool]], cuts: list[int]) -> None:
    """Wherever the stream is cut, the same messages come out, in order."""
    stream = b"".join(make_publish(topic, payload, mid, dup=dup) for topic, payload, mid, dup in sent)
    blocks, got, at = Blocks(), [], 0
    for cut in [*cuts, len(stream)]:
        got += [published(first, body) for first, body in blocks.feed(stream[at : at + cut])]
        at += cut
    assert got == [(topic.encode(), payload, mid, dup) for topic, payload, mid, dup in sent]


def test_blocks_large_packet_in_many_reads() -> None:
    """A packet of megabytes over many reads comes out whole, and so does the one after it."""
    payload = bytes(5_000_000)
    stream = make_publish("a", payload, 1) + make_publish("b", b"x", 2)
    blocks, got = Blocks(), []
    for at in range(0, len(stream), BLOCK):
        got += [published(*packet) for packet in blocks.feed(stream[at : at + BLOCK])]
    assert got == [(b"a", payload, 1, False), (b"b", b"x", 2, False)]


def test_published_with_properties_and_qos_0() -> None:
    """Properties are passed over; QoS 0 has no packet id."""
    with_properties = make_publish("a/b", b"payload", 7, user="x" * 300)
    ((first, body),) = Blocks().feed(with_properties)
    assert published(first, body) == (b"a/b", b"payload", 7, False)
    ((first, body),) = Blocks().feed(make_publish("a", b"p", 0, qos=0))
    assert published(first, body) == (b"a", b"p", 0, False)


@given(st.integers(0, 15), st.binary(max_size=40))
def test_published_from_anything(low: int, body: bytes) -> None:
    """A broken packet is told by ValueError or IndexError alone, which the client takes for a protocol fault."""
    try:
        topic, _, _, _ = published(0x30 | low, body)
    except (ValueError, IndexError):
        return
    assert len(topic) <= len(body)


def test_blocks_endless_length() -> None:
    """A length of five bytes is no MQTT."""
    with pytest.raises(ValueError, match="four bytes"):
        Blocks().feed(struct.pack("7B", 0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1))


@pytest.mark.parametrize("url", ["http://h", "mqtt://", "mqtt://h:port", "h:1883"])
def test_point_at_bad_url(url: str) -> None:
    """A URL that is none of ours is told as a setting, and its password is not."""
    with pytest.raises(SettingsError, match="mqtt_url"):
        point_at(Wire(), url, keepalive_s=10, properties=Properties(PacketTypes.CONNECT))


def test_paho_is_the_one_that_was_read() -> None:
    """The client leans on private names of paho: another version is read, tried and pinned before it is used."""
    assert version("paho-mqtt") == "2.2.0"
