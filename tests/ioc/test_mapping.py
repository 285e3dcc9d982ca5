"""Mappings and their check: pure."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.i18n import LANGUAGES, translator
from ioc.json_path import PathError
from ioc.mapping import Item, TopicMapping, check, collides, parse_template, supplements

STANDING = {
    "ioc/+/telemetry": "native",
    "zigbee2mqtt/+": "zigbee2mqtt",
    "zigbee2mqtt/+/availability": "zigbee2mqtt",
    "tele/+/SENSOR": "tasmota",
    "v1/gateway/rpc": "thingsboard",
    "+/onvif-ej/#": "onvif",
}
ITEMS = (Item("t", "temperature"), Item("rh", "relativeHumidity", unit="%"))


def make_mapping(**changes: Any) -> TopicMapping:
    """A mapping that is as it should be."""
    good = TopicMapping("Nhà kính", "garden/+/air", device="{2}", items=ITEMS)
    return msgspec.structs.replace(good, **changes)


def faulty(mapping: TopicMapping, *others: TopicMapping) -> list[str]:
    """The fields that the check finds fault with."""
    return [fault.field for fault in check(mapping, others, STANDING)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"device": "gate-7"},
        {"device": "{2}/{dev.eui}", "time_path": "ts", "time_format": "epoch_s"},
        {"items": (), "device": ""},
        {"items": (Item("$", "temperature"),)},
        {"items": (*ITEMS, Item("meta", "ignore"), Item("$", "ignore"))},
        {"filter": "garden/#", "device": "{5}"},
        {"filter": "tele/gate/SENSOR", "device": ""},
        {"filter": "zigbee2mqtt/+", "device": "", "items": (Item("odd", "ignore"),)},
        {"items": (Item("s[*].t", "temperature"),), "device": "{s[*].id}"},
        {"items": (Item("s[*].t", "temperature"),), "device": "x", "time_path": "s[*].ts", "time_format": "iso"},
        {"items": (Item("s[*].t", "temperature"),), "device": "x"},
        {"kind": "air_station"},
        {"filter": "sensors/#", "device": "{2}"},
        {"filter": "zigbee2mqtt/hall/lamp", "device": "x"},
        {"filter": "zigbee2mqtt/+/availability", "device": "x"},
        {"filter": "homeassistant/+/x", "device": "x"},
        {"filter": "factory/+/cmd", "device": "x"},
    ],
)
def test_check_takes(changes: dict[str, Any]) -> None:
    """What may be stored."""
    assert faulty(make_mapping(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"filter": "a/b#"}, "filter"),
        ({"filter": "$SYS/#"}, "filter"),
        ({"filter": "#", "device": "x"}, "filter"),
        ({"filter": "tele/#"}, "filter"),
        ({"filter": "+/gate/SENSOR"}, "filter"),
        ({"filter": "ioc/custom/thing"}, "filter"),
        ({"filter": "zigbee2mqtt/+/set"}, "filter"),
        ({"filter": "zigbee2mqtt/hall/+"}, "filter"),
        ({"filter": "zigbee2mqtt/hall/lamp/set/state"}, "filter"),
        ({"filter": "zigbee2mqtt/bridge/logging"}, "filter"),
        ({"filter": "cmnd/+/X"}, "filter"),
        ({"filter": "/json/+/+/foo"}, "filter"),
        ({"filter": "/key/+/cmd"}, "filter"),
        ({"filter": "v1/gateway/claim"}, "filter"),
        ({"filter": "v1/gateway/rpc"}, "filter"),
        ({"filter": "application/1/device/+/command/down"}, "filter"),
        ({"filter": "spBv1.0/G/DCMD/n/d"}, "filter"),
        ({"kind": "toaster"}, "kind"),
        ({"kind": "waste_bin"}, "items.1"),
        ({"items": (Item("a b", "temperature"),)}, "items.0"),
        ({"items": (Item("a\n", "temperature"),)}, "items.0"),
        ({"items": (Item("a", "heat"),)}, "items.0"),
        ({"items": (Item("a", "temperature", scale=float("nan")),)}, "items.0"),
        ({"items": (Item("a", "temperature", offset=float("inf")),)}, "items.0"),
        ({"items": (Item("a", "temperature", scale=0.0),)}, "items.0"),
        ({"items": (Item("a", "temperature", unit="kg"),)}, "items.0"),
        ({"items": (Item("a", "temperature", unit="ppb"),)}, "items.0"),
        ({"items": (Item("a", "powerState", unit="W"),)}, "items.0"),
        ({"items": (*ITEMS, Item("u", "temperature"))}, "items.2"),
        ({"items": (*ITEMS, Item("t", "ignore"))}, "items.2"),
        ({"device": ""}, "device"),
        ({"device": "{4}"}, "device"),
        ({"device": "{0}"}, "device"),
        ({"device": "{a"}, "device"),
        ({"device": "a}"}, "device"),
        ({"device": "{a..b}"}, "device"),
        ({"device": "x\n"}, "device"),
        ({"time_format": "iso"}, "time"),
        ({"time_format": "iso", "time_path": "a["}, "time"),
        ({"items": (Item("s[*].t", "temperature"), Item("r[*].h", "relativeHumidity"))}, "items"),
        ({"items": (Item("s[*].t[*]", "temperature"),)}, "items"),
        ({"items": (Item("s[*].t", "temperature"), Item("h", "relativeHumidity"))}, "items"),
        ({"items": (Item("s[*].t", "temperature"),), "time_path": "ts", "time_format": "iso"}, "items"),
        ({"items": ITEMS, "device": "{s[*].id}"}, "items"),
        ({"items": tuple(Item(f"p{n}", "ignore") for n in range(501))}, "items"),
    ],
)
def test_check_refuses(changes: dict[str, Any], field: str) -> None:
    """What may not, and the field that says so."""
    assert faulty(make_mapping(**changes)) == [field]


def test_check_of_two_mappings() -> None:
    """No topic is two mappings', unless one of them sleeps; a mapping is not in its own way."""
    other = make_mapping(id=7, filter="garden/#")
    assert faulty(make_mapping(), other) == ["filter"]
    assert faulty(make_mapping(enabled=False), other) == []
    assert faulty(make_mapping(), msgspec.structs.replace(other, enabled=False)) == []
    assert faulty(make_mapping(id=7), other) == []
    assert faulty(make_mapping(filter="garage/+"), other) == []


def test_supplements_names_the_dialect() -> None:
    """A filter within a dialect's topics is that dialect's."""
    assert supplements("zigbee2mqtt/lamp7", STANDING) == "zigbee2mqtt"
    assert supplements("garden/+/air", STANDING) == ""


@given(st.builds(TopicMapping, st.text(max_size=5), st.text(max_size=9), st.text(max_size=9)) | st.builds(TopicMapping))
def test_check_of_anything(mapping: TopicMapping) -> None:
    """Whatever a browser sends is judged, not crashed on, and every fault can be said in words."""
    for fault in check(mapping, [], STANDING):
        assert str(fault)


@given(st.text(max_size=30))
def test_parse_template_of_anything(text: str) -> None:
    """No text fails in another way; one without braces is itself."""
    try:
        parts = parse_template(text)
    except PathError:
        assert "{" in text or "}" in text
        return
    if "{" not in text:
        assert parts == ((text,) if text else ())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_is_in_the_catalogue(language: str) -> None:
    """The editor says them in the reader's language."""
    known = translator(language).messages
    cases = next(mark.args[1] for mark in test_check_refuses.pytestmark)  # type: ignore[attr-defined]
    said = {fault.message for changes, _ in cases for fault in check(make_mapping(**changes), [], STANDING)}
    said |= {fault.message for fault in check(make_mapping(), [make_mapping(id=7)], STANDING)}
    assert len(said) >= 19
    assert sorted(said - known.keys()) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("site/+/air", False),
        ("site/#", False),
        ("site/onvif-ej/x", True),
        ("site/air", False),
        ("+/+/x", False),
        ("#", True),
    ],
)
def test_collides_with_a_dialect_below_any_level(pattern: str, expected: bool) -> None:
    """A wildcard on the second level meets ONVIF's filter, and is let pass; the level by name is not."""
    assert collides("+/onvif-ej/#", pattern) is expected
