"""Sparkplug payloads for tests, field by field."""

from __future__ import annotations

from typing import Any

from ingest.dialects import sparkplug_payload as spb
from tests.decoding import NOW_MS

#: Datatype → the field its values are in.
FIELDS = {
    **dict.fromkeys((1, 2, 3, 5, 6, 7), "int_value"),
    **dict.fromkeys((4, 8, 13), "long_value"),
    9: "float_value",
    10: "double_value",
    11: "boolean_value",
    **dict.fromkeys((12, 14, 15), "string_value"),
    16: "dataset_value",
    **dict.fromkeys((17, 18, 22), "bytes_value"),
    19: "template_value",
}


def make_metric(
    name: str | None = None,
    value: Any = None,
    datatype: int = 0,
    *,
    alias: int | None = None,
    stamp: int | None = NOW_MS,
    field: str | None = None,
    properties: dict[str, Any] | None = None,
    **flags: bool,
) -> bytes:
    """One metric; without a datatype its value is a double, unless `field` says otherwise."""
    one = spb._Metric(**flags)
    if name is not None:
        one.name = name.encode()
    if alias is not None:
        one.alias = alias
    if stamp is not None:
        one.timestamp = stamp
    if datatype:
        one.datatype = datatype
    if value is not None:
        raw = value.encode() if isinstance(value, str) else value
        setattr(one, field or FIELDS.get(datatype, "double_value"), raw)
    if properties is not None:
        stated = spb._PropertySet()
        for key, content in properties.items():
            stated.keys.append(key.encode())
            one_value = spb._PropertyValue(type=12 if isinstance(content, str) else 3)
            if isinstance(content, str):
                one_value.string_value = content.encode()
            elif isinstance(content, bool):
                one_value.boolean_value = content
            else:
                one_value.int_value = content
            stated.values.append(one_value.SerializeToString())
        one.properties = stated.SerializeToString()
    return one.SerializeToString()


def make_payload(*metrics: bytes, seq: int | None = None, stamp: int | None = NOW_MS) -> bytes:
    """A payload of some metrics."""
    message = spb._Payload(metrics=metrics)
    if seq is not None:
        message.seq = seq
    if stamp is not None:
        message.timestamp = stamp
    return message.SerializeToString()


def session(number: int) -> bytes:
    """The metric that numbers a node's connection."""
    return make_metric("bdSeq", number, 4)
