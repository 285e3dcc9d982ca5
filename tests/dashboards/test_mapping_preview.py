"""What the mapping editor is told: a first guess, and what a mapping would store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.components.mapping_list import differences
from dashboards.mapping_preview import preview
from dashboards.mapping_suggestion import UNITS_OF, suggest
from dashboards.quarantine_search import SPANS, Filters, as_key, series
from ioc.catalog import MEASURES
from ioc.db.mappings import history, save, tell_standing
from ioc.db.pool import Connection
from ioc.db.quarantine import HOUR, Bar, count, store_rejected
from ioc.i18n import translator
from ioc.mapping import IGNORE, Item, TopicMapping, check
from ioc.model import Rejected
from ioc.units import convert
from tests.fix_stack import Database
from tests.ioc.test_json_path import JSON
from tests.ioc.test_mapping import STANDING, make_mapping

VI, EN = translator("vi"), translator("en")


def measures(mapping: TopicMapping) -> dict[str, str]:
    return {item.path: item.measure for item in mapping.items}


def test_suggest_for_a_plain_payload() -> None:
    """The level with a digit is the device; names the catalogue knows, in either language, are its measures."""
    payload = {
        "nhiet_do": 26.5,
        "do-am": 61,
        "PM2.5": 12,
        "co2": 640,
        "luc": "2026-07-01 10:00:00",
        "fw": "1",
        "x": None,
    }
    mapping = suggest("truong/phong-2/khi", payload, (), STANDING)
    assert (mapping.filter, mapping.device) == ("truong/+/khi", "{2}")
    assert (mapping.time_path, mapping.time_format) == ("luc", "iso_local")
    assert measures(mapping) == {
        "nhiet_do": "temperature",
        "do-am": "relativeHumidity",
        '["PM2.5"]': "pm25",
        "co2": IGNORE,
        "fw": IGNORE,
    }
    assert {item.measure: item.unit for item in mapping.items}["relativeHumidity"] == "%"


def test_suggest_for_a_list() -> None:
    """Each element is a device with a time of its own."""
    payload = {"gw": "g", "s": [{"id": "a", "temp": 20, "ts": 1782907200000}, {"id": "b", "temp": 21}]}
    mapping = suggest("gw/1/data", payload, (), STANDING)
    assert (mapping.filter, mapping.device) == ("gw/1/data", "{s[*].id}")
    assert (mapping.time_path, mapping.time_format) == ("s[*].ts", "epoch_ms")
    assert measures(mapping) == {"gw": IGNORE, "s[*].temp": "temperature"}


def test_suggest_within_a_dialect() -> None:
    """Only what the dialect refused is named, on that topic alone."""
    payload = {"ts": 1, "values": {"pm25": 1, "tvoc": 2}}
    mapping = suggest("ioc/air/telemetry", payload, {"tvoc"}, STANDING)
    assert (mapping.filter, mapping.device, measures(mapping)) == ("ioc/air/telemetry", "", {"values.tvoc": IGNORE})


@given(st.text(st.characters(exclude_characters="+#\0"), min_size=1, max_size=30), JSON)
def test_suggest_for_anything(topic: str, payload: Any) -> None:
    """Whatever the message, the guess can be judged; and of usual ones it passes the check."""
    mapping = suggest(topic, payload, (), STANDING)
    faults = check(mapping, [], STANDING)
    if (
        topic.isascii()
        and topic.isprintable()
        and not topic.startswith("$")
        and topic.strip("/ ") == topic
        and "//" not in topic
    ):
        assert {fault.field for fault in faults} <= {"items", "device", "filter"}


@pytest.mark.parametrize("key", UNITS_OF)
def test_units_offered_can_be_used(key: str) -> None:
    """Every unit that the editor offers becomes the catalogue's; its own comes first."""
    row = MEASURES[key]
    assert UNITS_OF[key][0] == row.unit
    for unit in UNITS_OF[key]:
        convert(1.0, unit, row.unit, molar_mass=row.molar_mass)


@given(st.none() | st.text() | st.dictionaries(st.sampled_from(["span", "reason", "dialect", "text", "status"]), JSON))
def test_filters_of_anything(given_by_a_browser: Any) -> None:
    """What comes from a browser becomes filters of ours."""
    filters = Filters.of(given_by_a_browser)
    assert filters.span in SPANS
    wanted = filters.wanted(datetime(2026, 7, 1, 12, 34, tzinfo=UTC), [("a", "b")])
    assert wanted.since < wanted.until
    assert filters.step < HOUR or wanted.since.minute == 0


@pytest.mark.parametrize("given_key", [None, "", "1", "1-", "-1", "1-x", "１-1", "9" * 18 + "-1", "1e3-1", {}, "1-1-1"])
def test_as_key_of_no_message(given_key: object) -> None:
    """A name of a message is two numbers."""
    assert as_key(given_key) is None


def test_series_is_aligned_and_complete() -> None:
    """A bar for every span, also where nothing came."""
    since = datetime(2026, 7, 1, 12, tzinfo=UTC)
    bars = [Bar(since + 2 * HOUR, "json", 5), Bar(since + 2 * HOUR, "unit", 1), Bar(since, "json", 2)]
    assert series(bars, "json", since, since + 3.5 * HOUR, HOUR) == [2, 0, 5, 0]
    days = series([Bar(since.replace(hour=17), "json", 1)], "json", since, since + timedelta(days=2), timedelta(days=1))
    assert days == [0, 1, 0]


# --- with messages in quarantine ---------------------------------------------------------------------------------------------


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection in autocommit to an empty quarantine."""
    with db.connect() as made:
        made.execute("DELETE FROM quarantine; DELETE FROM quarantine_hour; DELETE FROM mapping")
        tell_standing(made, STANDING)
        yield made


def hold(connection: Connection, topic: str, payload: Any, **changes: Any) -> tuple[datetime, int]:
    """A message in quarantine; returns its name."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    one = Rejected(datetime.now(UTC), topic, "", "", "topic", "no dialect speaks on it", raw, len(raw))
    one = msgspec.structs.replace(one, **changes)
    with connection.transaction():
        count(connection, store_rejected(connection, [one]))
    row = connection.execute("SELECT received, id FROM quarantine ORDER BY id DESC LIMIT 1").fetchone()
    assert row is not None
    return row[0], row[1]


def test_preview_says_what_would_be_stored(connection: Connection) -> None:
    """On the message and on others that the filter matches; new devices are told from known ones; why not is said."""
    for place in ("bed-1", "bed-2", "bed-2"):
        hold(connection, f"garden/{place}/air", {"t": 24.5, "rh": 61, "fw": "1"})
    hold(connection, "other/bed-1/air", {"t": 1})
    chosen = hold(connection, "garden/bed-3/air", {"t": 99, "rh": 61, "fw": "1"})
    found = preview(connection, make_mapping(), chosen, {"map.bed-1": "Luống 1"}, VI)
    assert (found.faults, found.supplements, found.topic) == ([], "", "garden/bed-3/air")
    assert [(leaf.path, leaf.sample, leaf.kind) for leaf in found.leaves] == [
        ("t", "99", "number"),
        ("rh", "61", "number"),
        ("fw", "1", "text"),
    ]
    assert found.results["rh"].text == "61 %"
    assert found.results["t"].bad
    devices = [(one.device, one.name) for one in found.tried]
    assert devices == [("map.bed-3", ""), ("map.bed-2", ""), ("map.bed-2", ""), ("map.bed-1", "Luống 1")]
    assert found.tried[1].values == ["Nhiệt độ 24,5 °C", "Độ ẩm 61 %"]
    assert found.tried[1].faults == ["Đại lượng lạ: 'fw': ánh xạ không nêu giá trị này"]
    assert [fault.partition(":")[0] for fault in found.tried[0].faults] == ["Ngoài khoảng", "Đại lượng lạ"]


def test_preview_suggests_and_goes_on_with_what_listens(connection: Connection) -> None:
    """A new mapping for a topic nobody speaks for; the listening one, filled in, where one does; a finished one as it is."""
    chosen = hold(connection, "garden/bed-3/air", {"temp": 20})
    new = preview(connection, None, chosen, {}, EN).mapping
    assert (new.id, new.filter, measures(new)) == (0, "garden/+/air", {"temp": "temperature"})
    draft = save(connection, make_mapping(name="Vườn", items=(), device="", filter="garden/#"), "x")
    filled = preview(connection, None, chosen, {}, EN).mapping
    assert (filled.id, filled.name, filled.filter, filled.device) == (draft.id, "Vườn", "garden/#", "{2}")
    assert measures(filled) == {"temp": "temperature"}
    done = save(connection, msgspec.structs.replace(filled, items=(Item("temp", IGNORE),)), "x")
    assert preview(connection, None, chosen, {}, EN).mapping == done


def test_preview_of_a_supplement(connection: Connection) -> None:
    """The values it adds, and no device: that is the dialect's to say."""
    refused = "'tvoc': not in the catalogue"
    chosen = hold(
        connection,
        "ioc/air/telemetry",
        {"ts": 1, "values": {"tvoc": 20}},
        client="air",
        dialect="native",
        reason="measure",
        detail=refused,
    )
    mapping = TopicMapping("x", "ioc/air/telemetry", items=(Item("values.tvoc", "pm10"),))
    found = preview(connection, mapping, chosen, {}, EN)
    assert found.supplements == "native"
    assert [leaf.refused for leaf in found.leaves] == [False, True]
    assert [(one.device, one.values) for one in found.tried] == [("", ["Dust PM10 20 µg/m³"])]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff\xfe\0",
        b"[" * 50_000,
        b'{"a":' * 500,
        b'"<script>alert(1)</script>\\u202e"',
        b"{" + b'"k":1,' * 9000 + b'"z":1}',
    ],
)
def test_preview_of_hostile_payloads(connection: Connection, payload: bytes) -> None:
    """Whatever lies there, the editor gets an answer that can be sent and shown."""
    chosen = hold(connection, "garden/\u202ebed/air", payload)
    for mapping in (
        None,
        make_mapping(),
        make_mapping(filter="garden/#", device="{a..", items=(Item("a b", "nothing"),)),
    ):
        found = preview(connection, mapping, chosen, {}, VI)
        sent = msgspec.json.encode(msgspec.structs.replace(found, mapping=make_mapping())).decode()
        assert "\u202e" not in sent
        assert len(sent) < 200_000
        assert len(found.leaves) <= 200


def test_preview_names_faults_in_the_readers_language(connection: Connection) -> None:
    """Fields and words, with the names of measures and kinds."""
    found = preview(connection, make_mapping(kind="waste_bin", filter="ioc/#"), None, {}, VI)
    assert found.faults == [
        ("filter", "Chồng lên ioc/+/telemetry của giao thức native: phải nằm hẳn bên trong hoặc hẳn bên ngoài"),
        ("items.1", "Thiết bị loại Thùng rác không đo Độ ẩm"),
    ]


def test_differences_of_a_change(connection: Connection) -> None:
    """What a change changed, as people read it."""
    first = save(connection, make_mapping(), "x")
    items = (Item("t", "temperature", scale=0.1, offset=-4, unit="K"), Item("fw", IGNORE))
    save(connection, msgspec.structs.replace(first, name="Vườn", items=items), "y")
    newest, oldest = history(connection, first.id)
    assert differences(oldest.before, oldest.after, VI) == []
    assert differences(newest.before, newest.after, VI) == [
        "Tên: Nhà kính → Vườn",
        "t: Nhiệt độ → Nhiệt độ × 0.1 -4 K",
        "rh: Độ ẩm % → –",
        "fw: – → bỏ qua",
    ]
