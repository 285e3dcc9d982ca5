"""Sparkplug B's payloads: protocol buffers, read metric by metric; pure.

The messages are described here by the field numbers of the Sparkplug specification (3.0, chapter 6), for the official protobuf
runtime. Nested parts are described as bytes and read where they are wanted: a damaged metric costs itself alone, and nothing is
parsed deeper than a property of a metric, however deep it is. Data sets, templates and metadata are never parsed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from ioc.errors import RejectedError
from ioc.values import shorten

#: Metrics in one message.
MOST_METRICS: Final = 10_000
#: Properties that are read of a metric.
MOST_PROPERTIES: Final = 50
#: Characters of a metric's name.
MOST_NAME: Final = 255

#: Datatypes by their number (specification, 6.4.16): bits and sign of the whole numbers, and what the others are.
INTEGERS: Final = {
    1: (8, True),
    2: (16, True),
    3: (32, True),
    4: (64, True),
    5: (8, False),
    6: (16, False),
    7: (32, False),
    8: (64, False),
}
FLOAT: Final = 9
DOUBLE: Final = 10
BOOLEAN: Final = 11
STRING: Final = 12
#: String, Text, UUID.
_TEXTS: Final = frozenset({12, 14, 15})
#: Those of which nothing is stored, by the name a technician knows them under.
_OTHERS: Final = {13: "DateTime", 16: "DataSet", 17: "Bytes", 18: "File", 19: "Template"}
_ARRAYS: Final = range(22, 35)

#: Field name → number, type, whether repeated. Fields named `…_value` are alternatives of each other.
_FIELDS: Final[dict[str, dict[str, tuple[int, str, bool]]]] = {
    "Payload": {
        "timestamp": (1, "UINT64", False),
        "metrics": (2, "BYTES", True),
        "seq": (3, "UINT64", False),
        "uuid": (4, "BYTES", False),
        "body": (5, "BYTES", False),
    },
    "Metric": {
        "name": (1, "BYTES", False),
        "alias": (2, "UINT64", False),
        "timestamp": (3, "UINT64", False),
        "datatype": (4, "UINT32", False),
        "is_historical": (5, "BOOL", False),
        "is_transient": (6, "BOOL", False),
        "is_null": (7, "BOOL", False),
        "properties": (9, "BYTES", False),
        "int_value": (10, "UINT32", False),
        "long_value": (11, "UINT64", False),
        "float_value": (12, "FLOAT", False),
        "double_value": (13, "DOUBLE", False),
        "boolean_value": (14, "BOOL", False),
        "string_value": (15, "BYTES", False),
        "bytes_value": (16, "BYTES", False),
        "dataset_value": (17, "BYTES", False),
        "template_value": (18, "BYTES", False),
        "extension_value": (19, "BYTES", False),
    },
    "PropertySet": {"keys": (1, "BYTES", True), "values": (2, "BYTES", True)},
    "PropertyValue": {
        "type": (1, "UINT32", False),
        "is_null": (2, "BOOL", False),
        "int_value": (3, "UINT32", False),
        "long_value": (4, "UINT64", False),
        "float_value": (5, "FLOAT", False),
        "double_value": (6, "DOUBLE", False),
        "boolean_value": (7, "BOOL", False),
        "string_value": (8, "BYTES", False),
    },
}


class Said(NamedTuple):
    """A payload; metrics are still encoded.

    Attributes:
        stamp: when it was published, epoch milliseconds; None when it does not say.
        seq: 0 to 255, None when it has none.
    """

    stamp: int | None
    seq: int | None
    metrics: list[bytes]


class Metric(NamedTuple):
    """One metric.

    Attributes:
        name: "" when it goes by its alias alone.
        datatype: 0 when it does not say.
        field: in which field its value is, "" when it has none.
        raw: that field's content.
        properties: by name, lower case.
    """

    name: str
    alias: int | None
    stamp: int | None
    datatype: int
    field: str
    raw: Any
    is_null: bool
    is_historical: bool
    is_transient: bool
    properties: dict[str, Any]

    @property
    def label(self) -> str:
        """What a technician is told it is."""
        return shorten(self.name) if self.name else f"alias {self.alias}"


class Write(NamedTuple):
    """A metric to be written by a command: it goes by its alias where it has one, else by its name."""

    name: str
    alias: int | None
    datatype: int
    value: float | bool | str


def read(payload: bytes) -> Said:
    """Read a payload, all but its metrics.

    Raises:
        RejectedError: `shape` or `size`.
    """
    message = _parsed(_Payload, payload, "payload")
    if message.HasField("body"):
        raise RejectedError("shape", "a body instead of metrics (compressed?); switch compression off at the edge node")
    if len(message.metrics) > MOST_METRICS:
        raise RejectedError("size", f"{len(message.metrics)} metrics, most is {MOST_METRICS}")
    seq = message.seq if message.HasField("seq") else None
    if seq is not None and seq > 255:
        raise RejectedError("shape", f"seq: got {seq}, expected 0 to 255")
    return Said(message.timestamp if message.HasField("timestamp") else None, seq, list(message.metrics))


def read_metric(raw: bytes) -> Metric:
    """Read one metric.

    Raises:
        RejectedError: `shape`, `encoding` or `size`.
    """
    message = _parsed(_Metric, raw, "metric")
    name = _text(message.name, "a metric's name")
    if len(name) > MOST_NAME:
        raise RejectedError("size", f"a metric's name of {len(name)} characters, most is {MOST_NAME}")
    field = message.WhichOneof("value") or ""
    return Metric(
        name=name,
        alias=message.alias if message.HasField("alias") else None,
        stamp=message.timestamp if message.HasField("timestamp") else None,
        datatype=message.datatype,
        field=field,
        raw=getattr(message, field) if field else None,
        is_null=message.is_null,
        is_historical=message.is_historical,
        is_transient=message.is_transient,
        properties=_properties(message.properties) if message.HasField("properties") else {},
    )


def value_of(metric: Metric, datatype: int) -> float | bool | str:
    """The value of a metric that has one.

    Args:
        metric: as read.
        datatype: what it is, as the birth or the metric itself declares; 0 when neither does.

    Raises:
        RejectedError: `value` or `encoding`.
    """
    field, raw = metric.field, metric.raw
    if datatype in _OTHERS or datatype in _ARRAYS:
        raise RejectedError("value", f"{metric.label}: a {_OTHERS.get(datatype, 'list')}, of which nothing is stored")
    if datatype in INTEGERS and field in ("int_value", "long_value"):
        return _integer(metric, *INTEGERS[datatype])
    if datatype in (FLOAT, DOUBLE, 0) and field in ("float_value", "double_value"):
        return float(raw)
    if datatype in (BOOLEAN, 0) and field == "boolean_value":
        return bool(raw)
    if (datatype in _TEXTS or not datatype) and field == "string_value":
        return _text(raw, metric.label)
    if not datatype and field in ("int_value", "long_value"):
        if raw < 128:  # that is the same number in every width, with a sign or without
            return int(raw)
        raise RejectedError("value", f"{metric.label}: got {raw} without a datatype, which may be less than zero")
    raise RejectedError("value", f"{metric.label}: got {field or 'no value'}, expected datatype {datatype}")


def command(stamp: int, writes: Iterable[Write]) -> bytes:
    """The payload of an NCMD or DCMD."""
    message = _Payload(timestamp=stamp)
    for write in writes:
        metric = _Metric(timestamp=stamp, datatype=write.datatype)
        if write.alias is None:
            metric.name = write.name.encode()
        else:
            metric.alias = write.alias
        if write.datatype in INTEGERS:
            bits, _ = INTEGERS[write.datatype]
            wide = bits == 64
            setattr(metric, "long_value" if wide else "int_value", int(write.value) % (1 << (64 if wide else 32)))
        elif write.datatype == FLOAT:
            metric.float_value = write.value
        elif write.datatype == DOUBLE:
            metric.double_value = write.value
        elif write.datatype == BOOLEAN:
            metric.boolean_value = bool(write.value)
        else:
            metric.string_value = str(write.value).encode()
        message.metrics.append(metric.SerializeToString())
    encoded: bytes = message.SerializeToString()
    return encoded


def _integer(metric: Metric, bits: int, signed: bool) -> int:
    """A whole number of so many bits; a negative one is its two's complement in that width or, as some write, in a wider one."""
    raw: int = metric.raw
    if raw < 1 << bits:
        return raw - (1 << bits) if signed and raw >> (bits - 1) else raw
    if signed:
        wide = 32 if metric.field == "int_value" else 64
        if raw >= (1 << wide) - (1 << (bits - 1)):
            return raw - (1 << wide)
    raise RejectedError("value", f"{metric.label}: got {raw}, more than {bits} bits hold")


def _properties(raw: bytes) -> dict[str, Any]:
    """The plain properties of a metric.

    Raises:
        RejectedError: `shape` or `encoding`.
    """
    message = _parsed(_PropertySet, raw, "properties")
    properties: dict[str, Any] = {}
    for key, value in list(zip(message.keys, message.values, strict=False))[:MOST_PROPERTIES]:
        one = _parsed(_PropertyValue, value, "property")
        field = one.WhichOneof("value")
        if field is not None and not one.is_null:
            content = getattr(one, field)
            name = _text(key, "a property's name").casefold()
            properties[name] = _text(content, f"property {shorten(name)}") if field == "string_value" else content
    return properties


def _text(raw: bytes, what: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RejectedError("encoding", f"{what}: {error}") from error


def _parsed(kind: Any, raw: bytes, what: str) -> Any:
    try:
        return kind.FromString(raw)
    except DecodeError as error:
        raise RejectedError("shape", f"{what}: not Sparkplug B: {error}") from error


def _message_classes() -> Iterable[Any]:
    """The message classes, from a pool of their own: another library in the process may bring its own description."""
    file = descriptor_pb2.FileDescriptorProto(name="ioc/sparkplug_b.proto", package="ioc.sparkplug", syntax="proto2")
    field_type = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        described = file.message_type.add(name=name)
        if "int_value" in fields:
            described.oneof_decl.add(name="value")
        for field, (number, kind, repeated) in fields.items():
            one = described.field.add(name=field, number=number)
            one.type = field_type.Type.Value(f"TYPE_{kind}")
            one.label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
            if field.endswith("_value"):
                one.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ioc.sparkplug.{name}")) for name in _FIELDS]


_Payload, _Metric, _PropertySet, _PropertyValue = _message_classes()
