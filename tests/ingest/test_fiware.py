"""FIWARE's IoT Agent for JSON: pure, up to the batch."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.dialects.fiware import MOST_ITEMS, Fiware
from ioc.errors import CommandError
from ioc.model import REASONS, Answer, Quality
from ioc.naming import device_id
from tests.decoding import RECEIVED, Ear, device_of, reasons, sample, values
from tests.ingest.test_thingsboard import JSON

KEY = "4jggokgpepnvsb2uv4s40d59ov"


def id_of(key: str, name: str) -> str:
    return device_id("fiware", name, hashlib.sha256(key.encode()).hexdigest()[:8])


LAMP = id_of(KEY, "lamp-7")
ATTRS, CMDEXE = f"/json/{KEY}/lamp-7/attrs", f"/json/{KEY}/lamp-7/cmdexe"


@pytest.fixture
def agent() -> Ear:
    return Ear(Fiware())


def test_measures_at_their_time(agent: Ear) -> None:
    """All attributes of an object are of its TimeInstant; the device is known under its own name."""
    batch = agent.hear(ATTRS, sample("fiware/attrs.json"))
    assert values(batch) == [(LAMP, "temperature", 31.5), (LAMP, "relativeHumidity", 0.7)]
    assert {one.time for one in batch.readings} == {RECEIVED}
    found = batch.discovered[LAMP]
    assert (found.name, found.dialect, found.attrs["device"], found.attrs["api_key"]) == (
        "lamp-7",
        "fiware",
        "lamp-7",
        KEY,
    )


def test_measures_in_a_list(agent: Ear) -> None:
    """Each object has its own time, or none."""
    batch = agent.hear(ATTRS, sample("fiware/attrs_list.json"))
    assert [(RECEIVED - one.time, one.value, one.quality) for one in batch.readings] == [
        (timedelta(seconds=20), 41.0, Quality.GOOD),
        (timedelta(seconds=10), 42.0, Quality.GOOD),
        (timedelta(0), 43.0, Quality.NO_TIME),
    ]


def test_measures_one_bad_among_good(agent: Ear) -> None:
    """A bad object or value costs itself alone; an unknown attribute can be mapped."""
    time = {"TimeInstant": "2026-07-01T12:00:00Z"}
    said = [
        7,
        {"power": 5, "h": 70, **time},
        {"power": 6, "TimeInstant": "2026-07-01T12:00:00"},
        {"power": "lots", **time},
    ]
    batch = agent.hear(ATTRS, said)
    assert values(batch) == [(LAMP, "powerConsumption", 5.0)]
    assert reasons(batch) == ["measure", "shape", "time", "value"]


@pytest.mark.parametrize(
    ("attribute", "payload", "stored"),
    [("power", b"41.5", 41.5), ("powerState", b"on", 1.0), ("powerState", b'"ON"', 1.0), ("relay", b"true", 1.0)],
)
def test_single_measure(agent: Ear, attribute: str, payload: bytes, stored: float) -> None:
    """A value by itself, as JSON or as a bare word, is of the attribute its topic names."""
    batch = agent.hear(f"{ATTRS}/{attribute}", payload)
    assert [(one.device, one.value, one.quality) for one in batch.readings] == [(LAMP, stored, Quality.NO_TIME)]
    assert batch.undated == {0}


def test_services_are_apart(agent: Ear) -> None:
    """Devices of one name in two services are two, and no id shows a service's key."""
    ids = {id_of(key, name) for key in (KEY, "other", "KEY") for name in ("lamp-7", "lamp-8", "đèn 7", "lamp/7")}
    assert len(ids) == 12
    batch = agent.hear("/json/other/lamp-7/attrs", {"power": 1})
    assert list(batch.discovered) == [id_of("other", "lamp-7")] != [LAMP]
    assert not any(KEY in key or "other" in key for key in ids)


@pytest.mark.parametrize(
    ("said", "ok", "why"),
    [(sample("fiware/cmdexe.json"), True, ""), ({"light": "error: relay stuck"}, False, "error: relay stuck")],
)
def test_answers_are_heard(agent: Ear, said: Any, ok: bool, why: str) -> None:
    """The result of a command shows that the device lives; it names no number, so its delivery tells it from a second one."""
    batch = agent.hear(CMDEXE, said)
    assert (list(batch.seen), batch.readings, batch.rejected) == ([LAMP], [], [])
    assert batch.answers == [Answer(LAMP, None, ok, why, RECEIVED)]
    assert batch.undated == {0}


def test_answers_to_others_are_none(agent: Ear) -> None:
    """What is not our command's result answers nothing of ours."""
    batch = agent.hear(CMDEXE, {"reboot": "error"})
    assert (list(batch.seen), batch.answers, batch.rejected) == ([LAMP], [], [])


def test_light_writes_to_the_command_topic(agent: Ear) -> None:
    """A command goes to the device's own topic, which does not begin with the protocol."""
    lamp = device_of(agent.hear(ATTRS, {"power": 1}), LAMP)
    (sent,) = Fiware().light(lamp, 0.4, 7)
    assert (sent.topic, json.loads(sent.payload), sent.retain) == (f"/{KEY}/lamp-7/cmd", {"light": 0.4}, False)


def test_light_refuses_what_is_no_lamp(agent: Ear) -> None:
    """What is no lamp, or was never heard of, is not commanded."""
    lamp = device_of(agent.hear(ATTRS, {"power": 1}), LAMP)
    with pytest.raises(CommandError, match="cannot be told to shine"):
        Fiware().light(msgspec.structs.replace(lamp, kind="waste_bin"), 1, 1)
    with pytest.raises(CommandError, match="api_key is not known"):
        Fiware().light(msgspec.structs.replace(lamp, attrs={}), 1, 1)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        (ATTRS, b"", "json"),
        (ATTRS, b"\xff", "encoding"),
        (ATTRS, b"7", "shape"),
        (ATTRS, b"[]", "shape"),
        (ATTRS, b"[" * 20_000 + b"]" * 20_000, "json"),
        (ATTRS, json.dumps([{}] * (MOST_ITEMS + 1)).encode(), "size"),
        (f"{ATTRS}/power", b"\xff", "encoding"),
        (f"{ATTRS}/power", b"", "value"),
        (f"{ATTRS}/power", b'{"a":1}', "value"),
        (CMDEXE, b"[]", "shape"),
        (CMDEXE, b"light=ok", "json"),
        ("/json//lamp-7/attrs", b"{}", "topic"),
        ("/json/k/lamp-7/cmd", b"{}", "topic"),
        ("/json/k/lamp-7/attrs/", b"1", "topic"),
        (f"/json/{'k' * 256}/lamp-7/attrs", b"{}", "topic"),
    ],
)
def test_poison_goes_to_quarantine(agent: Ear, topic: str, payload: bytes, reason: str) -> None:
    """Poison stores nothing and is kept with its reason."""
    batch = agent.hear(topic, payload)
    assert reasons(batch) == [reason]
    assert not batch.readings


def test_topics_of_others() -> None:
    """Nothing else is this dialect's, not even what begins with an empty level."""
    assert Fiware().route(f"/{KEY}/lamp-7/attrs") is None
    assert Fiware().route("json/k/d/attrs") is None


@given(st.sampled_from([ATTRS, f"{ATTRS}/power", f"{ATTRS}/x", f"/json/{KEY}/lamp-7/cmdexe"]), st.binary() | JSON)
def test_anything_is_survived(topic: str, payload: Any) -> None:
    """Whatever comes, the decoder gives reasons and no fault of its own."""
    batch = Ear(Fiware()).hear(topic, payload)
    assert all(one.reason in REASONS and "decoder failed" not in one.detail for one in batch.rejected)
