"""Sparkplug's protocol buffers, births, lamps and sequence numbers: pure."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.sparkplug_birth import birth_of, reported_as
from ingest.dialects.sparkplug_payload import MOST_METRICS, Write, command, read, read_metric, value_of
from ingest.dialects.sparkplug_sequence import Gap, SequenceNumbers
from ioc.errors import RejectedError
from tests.decoding import sample
from tests.ingest.sparkplug_messages import make_metric, make_payload


def value(datatype: int, field: str, raw: Any) -> Any:
    return value_of(read_metric(make_metric("x", raw, field=field)), datatype)


@pytest.mark.parametrize(
    ("datatype", "field", "raw", "stored"),
    [
        (1, "int_value", 0xFA, -6),
        (1, "int_value", 0xFFFFFFFA, -6),
        (1, "int_value", 127, 127),
        (2, "int_value", 0x8000, -32768),
        (2, "int_value", 0xFFFF8000, -32768),
        (3, "int_value", 0xFFFFFFFF, -1),
        (3, "int_value", 0x7FFFFFFF, 2**31 - 1),
        (3, "long_value", 2**64 - 1, -1),
        (4, "long_value", 2**64 - 5, -5),
        (4, "int_value", 7, 7),
        (5, "int_value", 255, 255),
        (6, "int_value", 65535, 65535),
        (7, "int_value", 2**32 - 1, 2**32 - 1),
        (8, "long_value", 2**64 - 1, 2**64 - 1),
        (9, "float_value", 0.5, 0.5),
        (10, "double_value", 0.1, 0.1),
        (9, "double_value", 0.1, 0.1),
        (11, "boolean_value", False, False),
        (12, "string_value", "Đèn", "Đèn"),
        (14, "string_value", "on", "on"),
        (15, "string_value", "9f2c", "9f2c"),
        (0, "boolean_value", True, True),
        (0, "float_value", 1.5, 1.5),
        (0, "string_value", "on", "on"),
        (0, "int_value", 127, 127),
    ],
)
def test_value_of_every_datatype(datatype: int, field: str, raw: Any, stored: Any) -> None:
    """Signs are those of the datatype's width, as the encoders in use write them."""
    found = value(datatype, field, raw)
    assert found == stored
    assert type(found) is type(stored)


@pytest.mark.parametrize(
    ("datatype", "field", "raw", "why"),
    [
        (1, "int_value", 300, "8 bits"),
        (2, "int_value", 70_000, "16 bits"),
        (5, "int_value", 256, "8 bits"),
        (3, "long_value", 2**33, "32 bits"),
        (3, "double_value", 1.5, "expected datatype 3"),
        (11, "int_value", 1, "expected datatype 11"),
        (12, "int_value", 1, "expected datatype 12"),
        (13, "long_value", 1, "DateTime"),
        (16, "dataset_value", b"", "DataSet"),
        (17, "bytes_value", b"", "Bytes"),
        (18, "bytes_value", b"", "File"),
        (19, "template_value", b"", "Template"),
        (30, "bytes_value", b"", "list"),
        (99, "int_value", 1, "datatype 99"),
        (0, "int_value", 250, "may be less than zero"),
        (0, "long_value", 2**63, "may be less than zero"),
        (0, "dataset_value", b"", "dataset_value"),
    ],
)
def test_value_that_is_none(datatype: int, field: str, raw: Any, why: str) -> None:
    """What is no single value, does not fit its datatype, or could be two values, is refused."""
    with pytest.raises(RejectedError, match=why) as refused:
        value(datatype, field, raw)
    assert refused.value.reason == "value"


def test_payload_as_tahu_encodes_it() -> None:
    """What the generated code of Eclipse Tahu writes is read field by field."""
    said = read(sample("sparkplug/dbirth.bin"))
    metrics = [read_metric(raw) for raw in said.metrics]
    assert (said.stamp, said.seq) == (1782907200000, 1)
    assert [(one.name, one.alias, one.datatype) for one in metrics] == [
        ("Lamp/Power", 10, 6),
        ("Lamp/Dimming", 11, 5),
        ("Lamp/PowerState", 12, 11),
        ("Temperature", 13, 1),
        ("Notes", 14, 17),
    ]
    assert [value_of(one, one.datatype) for one in metrics[:4]] == [41, 60, True, -5]


def test_payload_too_large_or_odd() -> None:
    """More metrics than a node has, a body, a number that is none, and bytes that are no protocol buffer."""
    for payload, reason in (
        (make_payload(*[b""] * (MOST_METRICS + 1)), "size"),
        (b"\x2a\x02zz", "shape"),
        (make_payload(seq=256), "shape"),
        (b"\xff" * 12, "shape"),
        (b'{"ts": 1}', "shape"),
    ):
        with pytest.raises(RejectedError) as refused:
            read(payload)
        assert refused.value.reason == reason
    assert read(b"").metrics == []


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"\x0a\x01\xff", "encoding"),
        (make_metric("x" * 256, 1.0), "size"),
        (b"\x0a\xff", "shape"),
        (b"\x4a\x02\xff\xff", "shape"),
    ],
    ids=["name", "long name", "cut off", "properties"],
)
def test_metric_that_cannot_be_read(raw: bytes, reason: str) -> None:
    """A damaged metric says what is wrong with it."""
    with pytest.raises(RejectedError) as refused:
        read_metric(raw)
    assert refused.value.reason == reason


def test_depth_costs_nothing() -> None:
    """Property sets within property sets, and templates within templates, are never descended into."""
    deep = b""
    for _ in range(5000):
        deep = b"\x12" + _varint(len(deep)) + deep
    assert read_metric(b"\x92\x01" + _varint(len(deep)) + deep).field == "template_value"
    assert read_metric(b"\x0a\x01x\x4a" + _varint(len(deep)) + deep).properties == {}


@given(st.binary())
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    """Whatever comes, nothing but a RejectedError is raised."""
    for reader in (read, read_metric):
        try:
            found = reader(raw)
        except RejectedError:
            continue
        for one in getattr(found, "metrics", []):
            try:
                metric = read_metric(one)
                value_of(metric, metric.datatype)
            except RejectedError:
                continue


@given(
    st.one_of(
        *(
            st.tuples(st.just(kind), st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1))
            for kind, bits in ((1, 8), (2, 16), (3, 32), (4, 64))
        ),
        *(st.tuples(st.just(kind), st.integers(0, 2**bits - 1)) for kind, bits in ((5, 8), (6, 16), (7, 32), (8, 64))),
        st.tuples(st.just(9), st.floats(width=32, allow_nan=False)),
        st.tuples(st.just(10), st.floats(allow_nan=False)),
        st.tuples(st.just(11), st.booleans()),
        st.tuples(st.just(12), st.text()),
    ),
    st.none() | st.integers(0, 2**64 - 1),
)
def test_command_says_what_was_meant(typed: tuple[int, Any], alias: int | None) -> None:
    """A written value is read back as it was, by its alias where it has one."""
    datatype, meant = typed
    said = read(command(5, [Write("Lamp/Dimming", alias, datatype, meant)]))
    (metric,) = [read_metric(raw) for raw in said.metrics]
    assert (said.stamp, said.seq, metric.stamp) == (5, None, 5)
    assert (metric.name, metric.alias) == (("Lamp/Dimming", None) if alias is None else ("", alias))
    assert value_of(metric, metric.datatype) == meant


def test_names_of_measures() -> None:
    """Folders are looked past, from the outside in; where two metrics could be one measure, none is it."""
    assert reported_as(["Power", "Lamp/Power", "Phase/Voltage/R", "A/Spin", "L1/Current", "L2/Current"]) == {
        "Power": "Power",
        "Lamp/Power": "",
        "Phase/Voltage/R": "Voltage/R",
        "A/Spin": "A/Spin",
        "L1/Current": "",
        "L2/Current": "",
    }
    assert reported_as(["power", "Power"]) == {"power": "", "Power": ""}


def test_birth_definitions() -> None:
    """Aliases, datatypes, units and what may be written; administrative metrics claim no measure."""
    birth = birth_of(
        read_metric(raw)
        for raw in (
            make_metric("Lamp/Power", 1.5, 9, alias=1, properties={"engUnit": "kW"}),
            make_metric("Properties/Power", 5.0, 10),
            make_metric("Properties/Firmware Version", "4.2", 12),
            make_metric("Dimming", 60, 5, properties={"readOnly": True}),
            make_metric("bdSeq", 3, 4),
            make_metric(None, 1.0, 10, alias=9),
        )
    )
    power, dimming = birth.names["Lamp/Power"], birth.names["Dimming"]
    assert (power.alias, power.datatype, power.unit, power.measure, power.is_writable) == (1, 9, "kW", "Power", True)
    assert not dimming.is_writable
    assert birth.aliases == {1: power}
    assert (birth.session, birth.firmware) == (3, "4.2")
    assert birth.properties == {"Power": 5.0, "Firmware Version": "4.2"}


def follow(sequence: SequenceNumbers, *said: tuple[int, int], redelivered: bool = False) -> list[Gap | None]:
    return [sequence.follow(seq, stamp, redelivered=redelivered) for seq, stamp in said]


def test_sequence_goes_round() -> None:
    """After 255 comes 0; nothing is missing."""
    sequence = SequenceNumbers()
    sequence.begin(250, 0)
    assert follow(sequence, *((seq % 256, seq) for seq in range(251, 800))) == [None] * 549


def test_sequence_gap_is_seen_once() -> None:
    """What is missing is counted; a message that comes late after all changes nothing."""
    sequence = SequenceNumbers()
    sequence.begin(254, 0)
    assert follow(sequence, (2, 40), (255, 10), (1, 30), (3, 50)) == [Gap(255, 2, 3), None, None, None]


def test_sequence_begins_with_what_comes() -> None:
    """When it is not known, the next message tells it."""
    assert follow(SequenceNumbers(), (77, 1), (78, 2)) == [None, None]


def test_sequence_redelivered_is_no_gap() -> None:
    """What was delivered before neither shows a gap nor moves the sequence back, nor does it begin one."""
    sequence = SequenceNumbers()
    sequence.begin(0, 0)
    follow(sequence, *((seq, seq) for seq in range(1, 21)))
    assert follow(sequence, (15, 15), (16, 16), (20, 20), redelivered=True) == [None] * 3
    assert follow(sequence, (21, 21)) == [None]
    fresh = SequenceNumbers()
    assert follow(fresh, (1, 1), (2, 2), redelivered=True) == [None] * 2
    assert follow(fresh, (77, 77)) == [None]


def test_sequence_that_begins_anew_lost_its_birth() -> None:
    """A lower number on a newer message: a birth went missing, and nobody knows how much with it."""
    sequence = SequenceNumbers()
    sequence.begin(100, 0)
    assert follow(sequence, (101, 10), (2, 20), (3, 30)) == [None, Gap(102, 2, None), None]


@given(st.lists(st.booleans(), min_size=1, max_size=600))
def test_sequence_counts_what_is_lost(kept: list[bool]) -> None:
    """As long as fewer than half the numbers are lost in a row, the gaps add up to what was lost."""
    lost = run = 0
    for one in [*kept, True]:
        run = 0 if one else run + 1
        if run > 120:
            return
    sequence = SequenceNumbers()
    sequence.begin(0, 0)
    counted = 0
    for number, one in enumerate([*kept, True], start=1):
        if not one:
            lost += 1
        elif (gap := sequence.follow(number % 256, number, redelivered=False)) is not None:
            counted += gap.missing or 0
    assert counted == lost


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])
