"""The Sparkplug dialect: pure, message after message, up to the batch."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.batch import Batch
from ingest.dialects.sparkplug import Sparkplug
from ingest.dialects.sparkplug_payload import read, read_metric
from ioc.errors import CommandError
from ioc.model import REASONS
from tests.decoding import NOW_MS, Ear, device_of, reasons, sample, states, values
from tests.ingest.sparkplug_messages import make_metric, make_payload, session

NODE, LAMP = "spb.td.gw-1", "spb.td.gw-1.lamp-7"
NBIRTH, NDATA, NDEATH = (f"spBv1.0/td/{kind}/gw-1" for kind in ("NBIRTH", "NDATA", "NDEATH"))
DBIRTH, DDATA, DDEATH = (f"spBv1.0/td/{kind}/gw-1/lamp-7" for kind in ("DBIRTH", "DDATA", "DDEATH"))
NCMD = "spBv1.0/td/NCMD/gw-1"


@pytest.fixture
def host() -> Ear:
    return Ear(Sparkplug())


def births(host: Ear, **options: Any) -> dict[str, bytes]:
    """The sample's births; returns what is remembered."""
    kept: dict[str, bytes | None] = {}
    for topic, name in ((NBIRTH, "nbirth"), (DBIRTH, "dbirth")):
        kept |= host.hear(topic, sample(f"sparkplug/{name}.bin"), **options).context
    return {topic: payload for topic, payload in kept.items() if payload is not None}


def data(seq: int | None, *metrics: bytes, stamp: int | None = None) -> bytes:
    return make_payload(*metrics, seq=seq, stamp=NOW_MS + 100 * (seq or 0) if stamp is None else stamp)


def asked(batch: Batch) -> list[str]:
    """Where a rebirth was asked for."""
    for sent in batch.outgoing:
        (metric,) = [read_metric(raw) for raw in read(sent.payload).metrics]
        assert (metric.name, metric.datatype, metric.raw, sent.retain) == ("Node Control/Rebirth", 11, True, False)
    return [sent.topic for sent in batch.outgoing]


def test_birth_data_and_death_of_a_session(host: Ear) -> None:
    """Node and device appear and are online, aliases are understood with their datatypes, and a last will ends it all."""
    batch = host.hear(NBIRTH, sample("sparkplug/nbirth.bin"))
    assert values(batch) == [(NODE, "voltage", 228.5)]
    assert states(batch) == [(NODE, "online")]
    node = batch.discovered[NODE]
    assert (node.name, node.parent, node.kind, node.firmware) == ("gw-1", "", "", "4.2")
    assert batch.context == {NBIRTH: sample("sparkplug/nbirth.bin")}
    batch = host.hear(DBIRTH, sample("sparkplug/dbirth.bin"))
    assert values(batch) == [
        (LAMP, "powerConsumption", 41.0),
        (LAMP, "illuminanceLevel", 0.6),
        (LAMP, "powerState", 1.0),
        (LAMP, "temperature", -5.0),
    ]
    assert (states(batch), batch.discovered[LAMP].parent) == ([(LAMP, "online")], NODE)
    assert [one.detail for one in batch.rejected] == ["'Notes': a Bytes, of which nothing is stored"]
    batch = host.hear(DDATA, sample("sparkplug/ddata.bin"))
    assert values(batch) == [(LAMP, "powerConsumption", 43.0), (LAMP, "temperature", -6.0)]
    assert [round(one.time.timestamp() * 1000) - NOW_MS for one in batch.readings] == [900, 950]
    assert (batch.rejected, batch.events, batch.outgoing) == ([], [], [])
    batch = host.hear(NDEATH, sample("sparkplug/ndeath.bin"))
    assert states(batch) == [(NODE, "offline"), (LAMP, "offline")]
    assert batch.context == {NBIRTH: None, DBIRTH: None}
    assert batch.unstamped == {0, 1}


def test_replay_leaves_the_session_as_it_is(host: Ear) -> None:
    """Of a birth and of data of then those values are stored that have their names; aliases and states are those of now."""

    def birth(session_number: int, *metrics: bytes) -> bytes:
        return make_payload(session(session_number), *metrics, seq=0, stamp=NOW_MS + session_number)

    old_birth = host.hear(
        NBIRTH, birth(1, make_metric("Power", 1.0, 10, alias=1), make_metric("Sludge", 5.0, 10, alias=2))
    )
    old_data = host.hear(
        NDATA, data(1, make_metric(None, 2.0, alias=1), make_metric("Temperature", 3.0), make_metric("Mud", 1.0))
    )
    assert reasons(old_birth) == reasons(old_data) == ["measure"]
    host.hear(NBIRTH, birth(2, make_metric("Voltage", 230.0, 10, alias=1), make_metric("Power", 9.0, 10, alias=2)))
    again = host.replay(old_birth)
    assert [(one.measure, one.value, one.time) for one in again.readings] == [
        (one.measure, one.value, one.time) for one in old_birth.readings
    ]
    assert (states(again), again.context, again.outgoing) == ([], {}, [])
    again = host.replay(old_data)
    assert values(again) == [(NODE, "temperature", 3.0)]
    assert [one.detail for one in again.again[0]] == [
        "alias 1: no birth of this session has named it; 'Mud': not in the catalogue, under no name"
    ]
    batch = host.hear(NDATA, data(1, make_metric(None, 231.0, alias=1)))
    assert (values(batch), batch.rejected, batch.events) == ([(NODE, "voltage", 231.0)], [], [])


def test_replayed_death_kills_nobody(host: Ear) -> None:
    """It was true when it came."""
    births(host)
    dead = host.hear(DDEATH, b"\x00")
    again = host.replay(dead)
    assert (states(again), [one.reason for one in again.again[0]]) == ([], ["time"])


def test_values_and_their_units(host: Ear) -> None:
    """A unit that the birth states holds for its data; a null is no value; what is transient is not to be kept."""
    host.hear(
        NBIRTH,
        make_payload(
            session(0),
            make_metric("Power", 1.5, 9, alias=1, properties={"engUnit": "kW"}),
            make_metric("Temp", 300.0, 10, alias=2, properties={"EngUnit": "K"}),
            make_metric("Fill", 0.5, 10, alias=3, properties={"engUnit": "furlong"}),
            seq=0,
        ),
    )
    batch = host.hear(
        NDATA,
        data(
            1,
            make_metric(None, 2.0, field="float_value", alias=1),
            make_metric(None, alias=2, is_null=True),
            make_metric(None, 280.0, alias=2, is_transient=True),
            make_metric(None, 0.25, alias=3),
        ),
    )
    assert values(batch) == [(NODE, "powerConsumption", 2000.0)]
    assert reasons(batch) == ["unit"]


def test_bad_quality_is_not_stored(host: Ear) -> None:
    """What its own node calls bad or stale must not look good on a wall."""
    host.hear(NBIRTH, make_payload(session(0), make_metric("Power", 1.0, 10, alias=1), seq=0))
    for quality, stored in ((0, 0), (500, 0), (192, 1)):
        metric = make_metric(None, 2.0, alias=1, properties={"Quality": quality})
        assert len(host.hear(NDATA, data(None, metric)).readings) == stored


def test_times_of_metrics(host: Ear) -> None:
    """A metric's own time, else the payload's, else that of receipt; the past needs its own."""
    host.hear(NBIRTH, make_payload(session(0), make_metric("Power", 1.0, 10, alias=1), seq=0))
    batch = host.hear(
        NDATA,
        data(
            1,
            make_metric(None, 2.0, alias=1, stamp=NOW_MS - 5000, is_historical=True),
            make_metric(None, 3.0, alias=1, stamp=None),
            make_metric(None, 4.0, alias=1, stamp=None, is_historical=True),
        ),
    )
    assert [(round(one.time.timestamp() * 1000) - NOW_MS, one.value) for one in batch.readings] == [
        (-5000, 2.0),
        (100, 3.0),
    ]
    assert reasons(batch) == ["time"]
    assert [
        one.quality
        for one in host.hear(NDATA, make_payload(make_metric(None, 5.0, alias=1, stamp=None), stamp=None)).readings
    ] == [3]


def test_ambiguous_metrics_are_kept_apart(host: Ear) -> None:
    """Two lamps behind one device: neither power is the device's, and a technician is told why."""
    batch = host.hear(
        NBIRTH, make_payload(session(0), make_metric("L1/Power", 1.0, 10), make_metric("L2/Power", 2.0, 10), seq=0)
    )
    assert (values(batch), reasons(batch)) == ([], ["measure"])
    assert "named as the same measure" in batch.rejected[0].detail


def test_gap_is_an_event_and_asks_for_a_birth(host: Ear) -> None:
    """What is missing is counted on the node; its data are stored all the same."""
    births(host)
    host.hear(DDATA, sample("sparkplug/ddata.bin"))
    batch = host.hear(DDATA, data(6, make_metric(None, 44, 6, alias=10)))
    assert [(one.device, one.kind, one.data) for one in batch.events] == [
        (NODE, "gap", {"expected": 3, "got": 6, "missing": 3})
    ]
    assert asked(batch) == [NCMD]
    assert values(batch) == [(LAMP, "powerConsumption", 44.0)]
    assert not host.hear(NDATA, data(7)).events


def test_asking_is_rare(host: Ear) -> None:
    """A node that does not answer is asked after ten seconds, then twenty, and so on; a quiet while makes it new."""
    metric = make_metric(None, 1.0, alias=99)
    times = [after for after in range(200) if asked(host.hear(NDATA, data(None, metric), after_s=min(after, 1)))]
    assert times == [0, 10, 30, 70, 150]
    assert asked(host.hear(NDATA, data(None, metric), after_s=10_000)) == [NCMD]
    assert asked(host.hear(NDATA, data(None, metric), after_s=10)) == [NCMD]


def test_data_before_a_birth(host: Ear) -> None:
    """What names itself is stored, the rest is kept with its reason, and a birth is asked for."""
    batch = host.hear(
        DDATA,
        data(
            9,
            make_metric("Power", 5.0, 10),
            make_metric("temperature", 21.5),
            make_metric("Lamp/Voltage", 230.0, 10),
            make_metric("voltage", 250, field="int_value"),
            make_metric(None, 1.0, alias=7),
        ),
    )
    assert values(batch) == [(LAMP, "powerConsumption", 5.0), (LAMP, "temperature", 21.5)]
    assert reasons(batch) == ["measure", "value"]
    assert "alias 7: no birth" in batch.rejected[0].detail
    assert (asked(batch), batch.events) == ([NCMD], [])
    assert batch.discovered[LAMP].parent == NODE
    assert NODE in batch.discovered


def test_alias_nobody_defined(host: Ear) -> None:
    """An alias, or a name, that its birth lacks asks for a birth; the rest of the message is stored."""
    births(host)
    batch = host.hear(DDATA, data(2, make_metric(None, 44, 6, alias=10), make_metric(None, 1.0, alias=77)))
    assert (values(batch), reasons(batch), asked(batch)) == ([(LAMP, "powerConsumption", 44.0)], ["measure"], [NCMD])
    # The node's own aliases are not the device's.
    assert reasons(host.hear(DDATA, data(3, make_metric(None, 230.0, alias=1)))) == ["measure"]


def test_restart_recalls_births(host: Ear) -> None:
    """A new process understands aliases at once, sees no gap in what it missed, and asks once for all values anew."""
    kept = births(host)
    later = Ear(Sparkplug())
    later.recall(kept)
    batch = later.hear(DDATA, data(77, make_metric(None, 250, field="int_value", alias=13)))
    assert values(batch) == [(LAMP, "temperature", -6.0)]
    assert (batch.rejected, batch.events, asked(batch)) == ([], [], [NCMD])
    batch = later.hear(DDATA, data(78, make_metric(None, 44, 6, alias=10)), after_s=3600)
    assert (batch.rejected, batch.events, batch.outgoing, batch.states) == ([], [], [], [])
    assert later.hear(DDATA, data(80)).events


def test_restart_with_redelivery(host: Ear) -> None:
    """After a crash the broker hands over again what was not acknowledged: no gap, no birth asked for, nothing offline."""
    kept = births(host)
    later = Ear(Sparkplug())
    later.recall(kept)
    for topic, payload in (
        (NBIRTH, sample("sparkplug/nbirth.bin")),
        (DBIRTH, sample("sparkplug/dbirth.bin")),
        (DDATA, sample("sparkplug/ddata.bin")),
    ):
        batch = later.hear(topic, payload, redelivered=True)
        assert (batch.events, batch.outgoing) == ([], [])
        assert "offline" not in dict(states(batch)).values()
    batch = later.hear(DDATA, data(3, make_metric(None, 44, 6, alias=10)))
    assert (batch.events, values(batch)) == ([], [(LAMP, "powerConsumption", 44.0)])


def test_reconnect_with_redelivery(host: Ear) -> None:
    """In one process: births and data that come again, in the middle of a session, change neither sequence nor states."""
    births(host)
    messages = [(DDATA, data(seq, make_metric(None, 40 + seq, 6, alias=10))) for seq in range(2, 8)]
    for topic, payload in messages:
        host.hear(topic, payload)
    again = [(NBIRTH, sample("sparkplug/nbirth.bin")), (DBIRTH, sample("sparkplug/dbirth.bin")), *messages]
    for topic, payload in again[:1] + again[3:]:
        batch = host.hear(topic, payload, redelivered=True)
        assert (batch.events, batch.outgoing) == ([], [])
    batch = host.hear(NDATA, data(8))
    assert (batch.events, batch.outgoing, batch.states) == ([], [], [])


def test_lost_birth_makes_aliases_doubtful(host: Ear) -> None:
    """When the numbers begin anew without a birth, an alias may mean something else now: it is not believed."""
    births(host)
    for seq in range(2, 40):
        host.hear(DDATA, data(seq))
    batch = host.hear(DDATA, data(1, make_metric(None, 44, 6, alias=10), stamp=NOW_MS + 60_000))
    assert (values(batch), reasons(batch), asked(batch)) == ([], ["measure"], [NCMD])
    assert batch.events[0].data["missing"] is None


def test_device_not_born_again_is_gone(host: Ear) -> None:
    """A node's birth begins a session; a device that is not born in it is offline when the first data come."""
    births(host)
    host.hear(NBIRTH, make_payload(session(4), seq=0, stamp=NOW_MS + 5000))
    batch = host.hear(NDATA, data(1, stamp=NOW_MS + 5100))
    assert (states(batch), batch.context) == ([(LAMP, "offline")], {DBIRTH: None})
    host.hear(NBIRTH, make_payload(session(5), seq=0, stamp=NOW_MS + 6000))
    host.hear(DBIRTH, make_payload(make_metric("Power", 3.0, 10), seq=1, stamp=NOW_MS + 6100))
    assert host.hear(NDATA, data(2, stamp=NOW_MS + 6200)).states == []


def test_device_death(host: Ear) -> None:
    """A device that died is offline and its birth void; its death is one of the numbered messages."""
    births(host)
    batch = host.hear(DDEATH, data(2))
    assert (states(batch), batch.context, batch.events) == ([(LAMP, "offline")], {DBIRTH: None}, [])
    batch = host.hear(NDATA, data(3))
    assert (batch.events, batch.outgoing) == ([], [])
    assert reasons(host.hear(DDATA, data(4, make_metric(None, 44, 6, alias=10)))) == ["measure"]


@pytest.mark.parametrize(
    ("number", "dead", "certain"),
    [
        (3, True, True),
        (2, False, False),
        (4, True, False),
        (250, False, False),
        (130, True, False),
        (None, True, False),
    ],
)
def test_death_of_another_session(host: Ear, number: int | None, dead: bool, certain: bool) -> None:
    """A late will of an earlier session says nothing; of a later one, or of none, it is believed and the node is asked."""
    births(host)
    batch = host.hear(NDEATH, make_payload(*([] if number is None else [session(number)])))
    assert states(batch) == ([(NODE, "offline"), (LAMP, "offline")] if dead else [])
    assert bool(batch.context) == certain
    assert asked(batch) == ([NCMD] if dead and not certain else [])


def test_death_that_comes_again(host: Ear) -> None:
    """The redelivered will of a session that is over does not end the one after it, though the node always counts from 3."""
    births(host)
    will = sample("sparkplug/ndeath.bin")
    host.hear(NDEATH, will)
    births(host)
    batch = host.hear(NDEATH, will, redelivered=True)
    assert (batch.states, batch.context) == ([], {})


def test_death_of_a_stranger(host: Ear) -> None:
    """The will of a node nobody has heard of makes it known as offline."""
    batch = host.hear(NDEATH, sample("sparkplug/ndeath.bin"))
    assert (states(batch), list(batch.discovered)) == ([(NODE, "offline")], [NODE])


def test_data_after_death_asks(host: Ear) -> None:
    """After a death aliases are void; a node that goes on is asked for its birth."""
    births(host)
    host.hear(NDEATH, sample("sparkplug/ndeath.bin"))
    batch = host.hear(DDATA, sample("sparkplug/ddata.bin"))
    assert (values(batch), reasons(batch), asked(batch)) == ([], ["measure"], [NCMD])


def test_one_bad_metric_among_good(host: Ear) -> None:
    """A damaged metric costs itself alone."""
    host.hear(NBIRTH, make_payload(session(0), make_metric("Power", 1.0, 10, alias=1), seq=0))
    batch = host.hear(
        NDATA, data(1, b"\x0a\x01\xff", b"\xff", make_metric(None, 2.0, alias=1), make_metric("Humidity", "wet", 12))
    )
    assert values(batch) == [(NODE, "powerConsumption", 2.0)]
    assert reasons(batch) == ["encoding", "shape", "value"]


def written(sent: Any) -> list[tuple[str, int | None, int, Any]]:
    return [(one.name, one.alias, one.datatype, one.raw) for one in map(read_metric, read(sent.payload).metrics)]


def test_light_writes_level_and_switch(host: Ear) -> None:
    """The metrics that the birth declared are written in their units and datatypes, by their aliases."""
    host.hear(NBIRTH, sample("sparkplug/nbirth.bin"))
    lamp = device_of(host.hear(DBIRTH, sample("sparkplug/dbirth.bin")), LAMP)
    (sent,) = Sparkplug().light(lamp, 0.4, 7)
    assert (sent.topic, sent.retain) == ("spBv1.0/td/DCMD/gw-1/lamp-7", False)
    assert written(sent) == [("", 12, 11, True), ("", 11, 5, 40)]
    (sent,) = Sparkplug().light(lamp, 0, 8)
    assert written(sent) == [("", 12, 11, False), ("", 11, 5, 0)]


def test_light_of_a_node(host: Ear) -> None:
    """A node that is itself a lamp gets an NCMD; a metric without alias goes by its name."""
    node = device_of(host.hear(NBIRTH, make_payload(session(0), make_metric("illuminanceLevel", 0.5, 9), seq=0)), NODE)
    (sent,) = Sparkplug().light(node, 0.25, 7)
    assert (sent.topic, written(sent)) == (NCMD, [("illuminanceLevel", None, 9, 0.25)])


@pytest.mark.parametrize(
    ("metric", "level", "why"),
    [
        (make_metric("Temperature", 5.0, 10), 1, "declares no writable metric"),
        (make_metric("Dimming", 5.0, 10, properties={"readOnly": True}), 1, "declares no writable metric"),
        (make_metric("PowerState", True, 11), 0.5, "only be on or off"),
        (make_metric("illuminanceLevel", 1, 5), 0.5, "a whole number in 1"),
        (make_metric("Dimming", 1, 5, properties={"engUnit": "furlong"}), 0.5, "light level"),
    ],
)
def test_light_refuses_what_cannot_be_said(host: Ear, metric: bytes, level: float, why: str) -> None:
    """A lamp whose birth declares nothing to write, or nothing that fits, is refused with the reason."""
    node = device_of(host.hear(NBIRTH, make_payload(session(0), metric, seq=0)), NODE)
    with pytest.raises(CommandError, match=why):
        Sparkplug().light(node, level, 1)


def test_light_refuses_what_is_no_lamp(host: Ear) -> None:
    """A device of another kind is not written to, whatever its birth declares."""
    node = device_of(host.hear(NBIRTH, make_payload(session(0), make_metric("illuminanceLevel", 0.5, 9), seq=0)), NODE)
    with pytest.raises(CommandError, match="cannot be told to shine"):
        Sparkplug().light(msgspec.structs.replace(node, kind="cabinet"), 1, 1)


def test_light_forgets_an_older_birth(host: Ear) -> None:
    """When a later birth no longer declares the metric, the lamp cannot be written to."""
    birth = make_payload(session(0), make_metric("illuminanceLevel", 0.5, 9), seq=0)
    attrs = host.hear(NBIRTH, birth).discovered[NODE].attrs
    attrs |= host.hear(NBIRTH, make_payload(session(1), seq=0)).discovered[NODE].attrs
    node = msgspec.structs.replace(device_of(host.hear(NBIRTH, birth), NODE), attrs=attrs)
    with pytest.raises(CommandError, match="declares no writable metric"):
        Sparkplug().light(node, 1, 1)


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/td/NDATA", "spBv1.0/td/NDATA/gw-1/lamp", "spBv1.0/td/DDATA/gw-1", "spBv1.0/td/DDATA/gw-1/", "spBv1.0//NDATA/g",
     "spBv1.0/td/NDATA/", "spBv1.0/STATE/host", "spBv1.0/td/NCMD/gw-1", "spBv1.0/td/NDATA/" + "g" * 256],
)  # fmt: skip
def test_topics_outside_the_grammar(host: Ear, topic: str) -> None:
    """What is none of a node's six messages goes to quarantine."""
    assert reasons(host.hear(topic, b"")) == ["topic"]


def test_topics_of_others() -> None:
    """Another version's namespace is nobody's."""
    assert Sparkplug().route("spAv1.0/td/NDATA/gw-1") is None


METRICS = st.builds(
    make_metric,
    st.none() | st.text(max_size=20) | st.sampled_from(["Power", "Lamp/Power", "Lamp/Dimming", "Temperature"]),
    st.none() | st.floats(),
    st.integers(0, 40).filter(
        lambda kind: kind not in (1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17, 18, 19, 22)
    ),
    alias=st.none() | st.integers(0, 2**64 - 1),
    stamp=st.none() | st.integers(0, 2**64 - 1),
    is_historical=st.booleans(),
    is_null=st.booleans(),
)
PAYLOADS = st.binary() | st.builds(
    lambda metrics, seq, stamp: make_payload(*metrics, seq=seq, stamp=stamp),
    st.lists(METRICS | st.binary(max_size=30), max_size=5),
    st.none() | st.integers(0, 260),
    st.none() | st.integers(0, 2**64 - 1),
)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.sampled_from([NBIRTH, NDATA, NDEATH, DBIRTH, DDATA, DDEATH]), PAYLOADS, st.booleans()), max_size=12
    )
)
def test_anything_is_survived(messages: list[tuple[str, bytes, bool]]) -> None:
    """Whatever comes in whatever order, there are reasons and no fault of ours, and no node is asked twice at once."""
    host = Ear(Sparkplug())
    sent = 0
    for topic, payload, redelivered in messages:
        batch = host.hear(topic, payload, redelivered=redelivered)
        assert all(one.reason in REASONS and "decoder failed" not in one.detail for one in batch.rejected)
        sent += len(batch.outgoing)
    assert sent <= 1
