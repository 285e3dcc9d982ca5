"""Payloads read with mappings: pure."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.catalog import MEASURES
from ioc.errors import RejectedError
from ioc.json_path import MISSING
from ioc.mapped import Found, Reader, stamp_of, value_of
from ioc.mapping import TIME_FORMATS, Item, TopicMapping
from ioc.model import REASONS
from ioc.topics import DEVICE_ID
from tests.ioc.test_json_path import JSON
from tests.ioc.test_mapping import make_mapping

TOPIC = "garden/bed-3/air"


def read(payload: Any, **changes: Any) -> Found:
    """What a mapping makes of a payload."""
    return Reader(make_mapping(**changes)).read(TOPIC, payload)


def values(found: Found) -> list[tuple[str, dict[str, float]]]:
    return [(entry.device, {item.measure: value for item, value in entry.values}) for entry in found.entries]


def reasons(found: Found) -> list[str]:
    return [fault.reason for fault in found.faults]


def test_read_values_of_one_device() -> None:
    """Paths, units and the topic's level become a device's measures."""
    found = read({"t": 24.5, "rh": 61})
    assert values(found) == [("map.bed-3", {"temperature": 24.5, "relativeHumidity": 0.61})]
    assert found.entries[0].stamp is None
    assert found.faults == []


def test_read_says_what_it_does_not_know() -> None:
    """A value nobody named is told of; null is none, ignored ones are not told of, however deep."""
    items = (Item("t", "temperature"), Item("meta", "ignore"))
    found = read({"t": 1, "meta": {"a": [1, {"b": 2}]}, "fw": "1.2", "x": None, "y": {}, "z": {"q": 3}}, items=items)
    assert values(found) == [("map.bed-3", {"temperature": 1.0})]
    assert [fault.detail for fault in found.faults] == [
        "'fw': the mapping does not name it",
        "'z': the mapping does not name it",
    ]
    assert read({"t": 1, "fw": 2}, items=(Item("t", "temperature"), Item("$", "ignore"))).faults == []


def test_read_of_one_bad_value() -> None:
    """It costs itself alone."""
    found = read({"t": "warm", "rh": 50})
    assert values(found) == [("map.bed-3", {"relativeHumidity": 0.5})]
    assert reasons(found) == ["value"]
    assert reasons(read({"t": {"v": 1}, "rh": 120})) == ["value", "range"]


def test_read_of_a_list() -> None:
    """Each element is a device of its own, at its own time; one without a name costs itself alone."""
    found = read(
        {
            "site": "A",
            "s": [{"id": 1, "ts": 100, "t": 20}, {"id": "b/ö", "ts": 101, "t": 21}, {"ts": 1, "t": 22}, {"id": 4}],
        },
        items=(Item("s[*].t", "temperature"),),
        device="{site}-{s[*].id}",
        time_path="s[*].ts",
        time_format="epoch_s",
    )
    assert [(entry.name, entry.stamp) for entry in found.entries] == [("A-1", 100_000), ("A-b/ö", 101_000)]
    assert found.entries[0].device == "map.A-1"
    assert found.entries[1].device.startswith("map.A-b-o-")
    assert reasons(found) == ["device"]


def test_read_of_no_list_and_of_a_long_one() -> None:
    """A list that is none, and one longer than a message may hold."""
    items = (Item("s[*].t", "temperature"),)
    for payload, reason in (({"s": 7}, "shape"), ({"s": [{"t": 1}] * 1001}, "size")):
        with pytest.raises(RejectedError) as caught:
            read(payload, items=items)
        assert caught.value.reason == reason
    assert reasons(read({"r": []}, items=items)) == []
    assert reasons(read({"r": 1}, items=items)) == ["measure"]


def test_read_of_a_bare_number() -> None:
    """One value a topic, as simple sensors send."""
    assert values(read(21.5, items=(Item("$", "temperature"),))) == [("map.bed-3", {"temperature": 21.5})]


@pytest.mark.parametrize(
    ("device", "payload", "name"),
    [
        ("{2}", {"t": 1}, "bed-3"),
        ("gate", {"t": 1}, "gate"),
        ("{1}.{id}", {"t": 1, "id": 7}, "garden.7"),
        ("{id}", {"t": 1, "id": " a "}, "a"),
        ("{9}", {"t": 1}, None),
        ("{id}", {"t": 1}, None),
        ("{id}", {"t": 1, "id": True}, None),
        ("{id}", {"t": 1, "id": 1.5}, None),
        ("{id}", {"t": 1, "id": ""}, None),
        ("{id}", {"t": 1, "id": "a\0"}, None),
        ("{id}", {"t": 1, "id": "x" * 201}, None),
        ("{id}", {"t": 1, "id": [1]}, None),
    ],
)
def test_read_which_device(device: str, payload: Any, name: str | None) -> None:
    """From the topic, the payload, both, or neither; and what cannot be a name."""
    found = read(payload, device=device, items=(Item("t", "temperature"),))
    assert [entry.name for entry in found.entries] == ([] if name is None else [name])
    assert reasons(found) == ([] if name is not None else ["device"])


def test_device_of_a_topic() -> None:
    """Known before the payload is read where the topic tells it."""
    assert Reader(make_mapping()).device_of(TOPIC) == "map.bed-3"
    assert Reader(make_mapping(device="{id}")).device_of(TOPIC) == ""
    assert Reader(make_mapping(device="{9}")).device_of(TOPIC) == ""


@pytest.mark.parametrize(
    ("raw", "form", "stamp"),
    [
        (1782907200, "epoch_s", 1_782_907_200_000),
        ("1782907200.25", "epoch_s", 1_782_907_200_250),
        (1782907200123, "epoch_ms", 1_782_907_200_123),
        ("2026-07-01T19:00:00+07:00", "iso", 1_782_907_200_000),
        ("2026-07-01T12:00:00Z", "iso", 1_782_907_200_000),
        ("2026-07-01 19:00:00", "iso_local", 1_782_907_200_000),
        ("2026-07-01T12:00:00Z", "iso_local", 1_782_907_200_000),
        ("2026-07-01T12:00:00", "iso", None),
        ("yesterday", "iso_local", None),
        (1782907200, "iso", None),
        (True, "epoch_s", None),
        (-1, "epoch_s", None),
        (10**400, "epoch_ms", None),
        (float("nan"), "epoch_s", None),
        ("9" * 5000, "epoch_s", None),
        (None, "epoch_s", None),
        (MISSING, "iso", None),
        ([], "epoch_ms", None),
    ],
)
def test_stamp_of(raw: Any, form: Any, stamp: float | None) -> None:
    """Times as devices write them; a zone is not guessed unless the mapping says so."""
    if stamp is None:
        with pytest.raises(RejectedError) as caught:
            stamp_of(raw, form)
        assert caught.value.reason == "time"
    else:
        assert stamp_of(raw, form) == stamp


@pytest.mark.parametrize(
    ("item", "raw", "value"),
    [
        (Item("", "temperature", scale=0.1), 254, 25.4),
        (Item("", "temperature", scale=0.1, offset=-40), "654", 25.4),
        (Item("", "temperature", unit="°F"), 86, 30.0),
        (Item("", "waterLevel", scale=0.1, unit="cm"), 1370, 1.37),
        (Item("", "no2", unit="ppb"), 100, pytest.approx(188.04, abs=0.01)),
        (Item("", "powerState"), "ON", 1.0),
        (Item("", "powerState"), True, 1.0),
        (Item("", "powerState"), 1, 1.0),
    ],
)
def test_value_of(item: Item, raw: Any, value: Any) -> None:
    """Scale and offset first, then the unit; states by name without case."""
    assert value_of(item, raw) == value


def test_item_named_for_a_dialect() -> None:
    """A dialect's name of a value is the path, its keys, or the last key where only one has it; ignoring goes downwards."""
    items = (
        Item("a.t", "temperature"),
        Item("b.t", "pressure"),
        Item("c[0].rh", "relativeHumidity"),
        Item("update", "ignore"),
    )
    reader = Reader(TopicMapping("x", "zigbee2mqtt/x", items=items))
    named = {name: reader.item_named(name) for name in ("a.t", "t", "rh", "c.rh", "update.state", "update", "q", "")}
    assert {name: item and item.path for name, item in named.items()} == {
        "a.t": "a.t",
        "t": None,
        "rh": "c[0].rh",
        "c.rh": "c[0].rh",
        "update.state": "update",
        "update": "update",
        "q": None,
        "": None,
    }
    everything = Reader(TopicMapping("x", "zigbee2mqtt/x", items=(Item("$", "ignore"),)))
    assert everything.item_named("whatever") is not None


ITEM = st.builds(
    Item,
    st.sampled_from(["a", "b.c", "d[0]", "s[*].v", "$", '["odd key"]']),
    st.sampled_from(["ignore", *MEASURES]),
    st.floats(allow_nan=False).filter(bool),
    st.floats(allow_nan=False),
)
MAPPINGS = st.builds(
    TopicMapping,
    st.just("m"),
    st.just("garden/+/air"),
    st.sampled_from(["{2}", "{a}", "x", "{s[*].id}", "{7}"]),
    st.just(""),
    st.sampled_from(["ts", "s[*].ts", "a"]),
    st.sampled_from(TIME_FORMATS),
    st.lists(ITEM, max_size=4).map(tuple),
)
SHAPED = st.fixed_dictionaries(
    {},
    optional={
        "a": JSON,
        "b": st.fixed_dictionaries({"c": JSON}) | JSON,
        "d": st.lists(JSON, max_size=2) | JSON,
        "s": st.lists(st.fixed_dictionaries({"v": JSON, "id": JSON, "ts": JSON}), max_size=3) | JSON,
        "ts": JSON | st.floats() | st.text(max_size=20),
    },
)


@given(MAPPINGS, SHAPED | JSON, st.text(max_size=12))
def test_read_anything(mapping: TopicMapping, payload: Any, topic: str) -> None:
    """No payload raises anything but a rejection; what is read is a value the catalogue allows, of a device with an id."""
    try:
        found = Reader(mapping).read(topic, payload)
    except RejectedError:
        return
    assert {fault.reason for fault in found.faults} <= set(REASONS)
    for entry in found.entries:
        assert DEVICE_ID.fullmatch(entry.device)
        assert entry.device.startswith("map")
        assert entry.stamp is None or 0 <= entry.stamp < 253_402_300_800_000
        for item, value in entry.values:
            least, most = MEASURES[item.measure].range
            assert least <= value <= most
            assert math.isfinite(value)


def test_read_is_linear_in_the_payload() -> None:
    """A megabyte of strange values names a few of them and holds none of the rest."""
    payload = json.loads("{" + ",".join(f'"k{n}":{n}' for n in range(50_000)) + "}")
    assert len(read(payload).faults) == 50
