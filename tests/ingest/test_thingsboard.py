"""ThingsBoard gateways: pure, up to the batch."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.thingsboard import MOST_ITEMS, ThingsBoard
from ioc.errors import CommandError
from ioc.model import REASONS, Answer, Quality
from ioc.naming import device_id
from tests.decoding import NOW_MS, RECEIVED, Ear, device_of, reasons, sample, states, values

LAMP = device_id("tb", "Đèn hẻm 12")
AIR = "tb.air-7"
TELEMETRY, ATTRIBUTES, RPC = "v1/gateway/telemetry", "v1/gateway/attributes", "v1/gateway/rpc"
CONNECT, DISCONNECT = "v1/gateway/connect", "v1/gateway/disconnect"


@pytest.fixture
def gateway() -> Ear:
    return Ear(ThingsBoard())


def test_what_is_no_number_is_not_taken_for_one(gateway: Ear) -> None:
    """A truth is neither a watt nor a full battery, and an underscore parts no digits."""
    item = {"ts": NOW_MS, "values": {"power": True, "battery": False, "temperature": "1_0", "powerState": True}}
    batch = gateway.hear(TELEMETRY, {"air-7": item})
    assert values(batch) == [(AIR, "powerState", 1.0)]
    assert batch.rejected[0].detail.split("; ") == [
        "powerConsumption: got True, expected a number",
        "batteryLevel: got False, expected a number",
        "temperature: got '1_0', expected a number in °C",
    ]


def test_telemetry_of_several_devices(gateway: Ear) -> None:
    """Each item is stored at its own time; what only tells of updates is left out, what is unknown can be mapped."""
    batch = gateway.hear(TELEMETRY, sample("thingsboard/telemetry.json"))
    assert values(batch) == [
        (LAMP, "powerConsumption", 41.0),
        (LAMP, "voltage", 228.5),
        (LAMP, "powerState", 1.0),
        (LAMP, "powerConsumption", 42.5),
        (AIR, "pm25", 12.0),
        (AIR, "relativeHumidity", 0.8),
    ]
    assert [one.time for one in batch.readings][:4:3] == [RECEIVED - timedelta(seconds=10), RECEIVED]
    assert all(one.quality == Quality.GOOD for one in batch.readings)
    assert reasons(batch) == ["measure"]
    assert "'mood'" in batch.rejected[0].detail
    lamp = batch.discovered[LAMP]
    assert (lamp.name, lamp.dialect, lamp.firmware, lamp.attrs) == (
        "Đèn hẻm 12",
        "thingsboard",
        "2.3.1",
        {"device": "Đèn hẻm 12"},
    )


def test_telemetry_without_time(gateway: Ear) -> None:
    """Values alone are stored when they come, each reading at a moment of its own, marked as such, told by their delivery."""
    batch = gateway.hear(TELEMETRY, sample("thingsboard/telemetry_without_time.json"))
    assert [one.value for one in batch.readings] == [31.5, 0.61, 31.75]
    assert {one.quality for one in batch.readings} == {Quality.NO_TIME}
    assert len({(one.measure, one.time) for one in batch.readings}) == 3
    assert batch.undated == {0}


def test_telemetry_one_bad_device_or_item(gateway: Ear) -> None:
    """A bad device, item or value costs itself alone."""
    good = {"ts": NOW_MS, "values": {"power": 5}}
    said = {
        "a": [7, good, {"ts": "soon", "values": {"power": 6}}, {"values": [1]}],
        "": [good],
        "b": 4,
        "c": good,
        "d\u0000": [good],
    }
    batch = gateway.hear(TELEMETRY, said)
    assert values(batch) == [("tb.a", "powerConsumption", 5.0), ("tb.c", "powerConsumption", 5.0)]
    assert reasons(batch) == ["device", "encoding", "shape", "time"]


def test_attributes_describe_or_measure(gateway: Ear) -> None:
    """What the catalogue knows is a value, firmware is firmware, and the rest stays with the device over later messages."""
    batch = gateway.hear(ATTRIBUTES, sample("thingsboard/attributes.json"))
    assert values(batch) == [(LAMP, "batteryLevel", 0.87)]
    assert batch.discovered[LAMP].firmware == "1.0"
    assert batch.discovered[LAMP].attrs == {"device": "Đèn hẻm 12", "pole": "TD-0412", "phase": "R"}
    more = gateway.hear(ATTRIBUTES, {"Đèn hẻm 12": {"phase": "S", "device": "another", "nested": {"a": 1}}})
    assert more.discovered[LAMP].attrs == {"device": "Đèn hẻm 12", "pole": "TD-0412", "phase": "S"}
    assert reasons(more) == ["shape"]
    assert not gateway.hear(TELEMETRY, sample("thingsboard/telemetry.json")).discovered[LAMP].attrs.keys() - {
        "device",
        "pole",
        "phase",
    }


def test_attributes_from_the_platform_are_none(gateway: Ear) -> None:
    """How a platform tells gateways of changed attributes, on the same topic, is nobody's message."""
    batch = gateway.hear(ATTRIBUTES, {"device": "x", "data": {"battery": 4}})
    assert not batch.readings
    assert not batch.discovered
    assert not batch.rejected
    assert not batch.seen


def test_connect_and_disconnect(gateway: Ear) -> None:
    """A device is online and offline when its gateway says so."""
    batch = gateway.hear(CONNECT, sample("thingsboard/connect.json"))
    assert states(batch) == [(LAMP, "online")]
    assert batch.discovered[LAMP].attrs == {"device": "Đèn hẻm 12", "type": "lamp"}
    assert states(gateway.hear(DISCONNECT, {"device": "Đèn hẻm 12"})) == [(LAMP, "offline")]


def test_rpc_calls_pass_and_answers_are_heard(gateway: Ear) -> None:
    """Calls come back to us on the topic we sent them to; answers show that the device lives, and what went wrong."""
    assert not gateway.hear(RPC, sample("thingsboard/rpc_call.json")).seen
    batch = gateway.hear(RPC, sample("thingsboard/rpc_answer.json"))
    assert (list(batch.seen), batch.events, batch.rejected) == ([LAMP], [], [])
    assert batch.answers == [Answer(LAMP, 7, True, "", RECEIVED)]
    batch = gateway.hear(RPC, {"device": "Đèn hẻm 12", "id": 8, "data": {"success": False, "error": "no answer"}})
    assert batch.answers == [Answer(LAMP, 8, False, "no answer", RECEIVED)]
    assert [(one.device, one.kind, one.source, one.data) for one in batch.events] == [
        (LAMP, "fault", "rpc 8", {"call": "8", "error": "no answer"})
    ]


@pytest.mark.parametrize("call", [0, -1, 2**63, "7", 7.0, True, None])
def test_rpc_answer_to_another_server_is_none_of_ours(gateway: Ear, call: Any) -> None:
    """A number that no command of ours can have is another server's: the device lives, and that is all."""
    batch = gateway.hear(RPC, {"device": "Đèn hẻm 12", "id": call, "data": {"success": True}})
    assert (list(batch.seen), batch.answers, batch.events, batch.rejected) == ([LAMP], [], [], [])


def test_light_calls_the_gateway(gateway: Ear) -> None:
    """A lamp is lit by a call of `setLight`, on the topic of all gateways, under the name its gateway knows."""
    lamp = device_of(gateway.hear(CONNECT, sample("thingsboard/connect.json")), LAMP)
    (sent,) = ThingsBoard().light(lamp, 0.4, 7)
    assert (sent.topic, sent.retain) == (RPC, False)
    assert json.loads(sent.payload) == sample("thingsboard/rpc_call.json")


def test_light_refuses_what_is_no_lamp(gateway: Ear) -> None:
    """What nobody said to be a lamp, and what was never heard of, is not commanded."""
    lamp = device_of(gateway.hear(CONNECT, sample("thingsboard/connect.json")), LAMP)
    for kind, why in (("air_station", "cannot be told to shine"), ("", "kind is not set")):
        with pytest.raises(CommandError, match=why):
            ThingsBoard().light(msgspec.structs.replace(lamp, kind=kind), 1, 1)
    with pytest.raises(CommandError, match="device is not known"):
        ThingsBoard().light(msgspec.structs.replace(lamp, attrs={}), 1, 1)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (TELEMETRY, b"", "json"),
        (TELEMETRY, b"\xff", "encoding"),
        (TELEMETRY, b"[]", "shape"),
        (TELEMETRY, b"[" * 20_000 + b"]" * 20_000, "json"),
        (TELEMETRY, json.dumps({"a": [{"power": 1}] * (MOST_ITEMS + 1)}).encode(), "size"),
        (TELEMETRY, json.dumps({str(n): [] for n in range(MOST_ITEMS + 1)}).encode(), "size"),
        (ATTRIBUTES, json.dumps({str(n): {} for n in range(MOST_ITEMS + 1)}).encode(), "size"),
        (ATTRIBUTES, b'{"a": 4}', "shape"),
        (CONNECT, b"{}", "device"),
        (CONNECT, b'{"device": ["a"]}', "device"),
        (DISCONNECT, b'{"device": "\\ud800"}', "encoding"),
        (CONNECT, json.dumps({"device": "x" * 256}).encode(), "device"),
        (RPC, b'{"device": "a"}', "shape"),
        ("v1/gateway/claim", b"{}", "topic"),
        ("v1/gateway/telemetry/x", b"{}", "topic"),
    ],
)
def test_poison_goes_to_quarantine(gateway: Ear, topic: str, payload: bytes, reason: str) -> None:
    """Poison stores nothing and is kept with its reason."""
    batch = gateway.hear(topic, payload)
    assert reasons(batch) == [reason]
    assert not batch.readings
    assert not batch.states
    assert not batch.discovered


def test_topics_of_others() -> None:
    """A gateway's own data names no device, so it is nobody's here."""
    assert ThingsBoard().route("v1/devices/me/telemetry") is None


KEYS = st.text() | st.sampled_from(["ts", "values", "power"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)
NAMED = st.dictionaries(st.text() | st.sampled_from(["device", "data", "id", "type", "a"]), JSON, max_size=4)


@given(st.sampled_from([TELEMETRY, ATTRIBUTES, CONNECT, DISCONNECT, RPC]), st.binary() | JSON | NAMED)
def test_anything_is_survived(topic: str, payload: Any) -> None:
    """Whatever comes, the decoder gives reasons and no fault of its own."""
    batch = Ear(ThingsBoard()).hear(topic, payload)
    assert all(one.reason in REASONS and "decoder failed" not in one.detail for one in batch.rejected)
    assert all(len(one.attrs) <= 41 for one in batch.discovered.values())
