"""Details of quarantine in the reader's language."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.detail_words import SENTENCES, detail_in_words
from ingest.dialects.chirpstack import Chirpstack
from ingest.dialects.native import Native
from ioc.catalog import KINDS
from ioc.i18n import translator
from tests.decoding import NOW_MS, Ear

VI, EN = translator("vi"), translator("en")
LORA = {"devEui": "70b3d57ed0061a01", "applicationId": "a", "deviceProfileName": "Parking"}


@pytest.mark.parametrize(
    ("topic", "payload", "said"),
    [
        ("ioc/a/telemetry", {"ts": NOW_MS, "values": {"waterLevel": 11}}, "nhận được 11, cho phép từ"),
        ("ioc/a/telemetry", {"ts": NOW_MS, "values": {"waterLevel": "x"}}, "waterLevel: nhận được 'x', cần một số"),
        ("ioc/a/telemetry", {"ts": NOW_MS, "values": {"powerState": "x"}}, "cần một trong off, on"),
        ("ioc/a/telemetry", {"ts": NOW_MS, "values": {"x": 1}}, "'x': không có trong danh mục"),
        ("ioc/lamp/telemetry", {"ts": NOW_MS, "values": {"waterLevel": 1}}, KINDS["streetlight"].label.vi),
        ("ioc/a/telemetry", {"ts": "2026-07-01 12:00", "values": {}}, "không nêu múi giờ; thêm Z hoặc +07:00 vào cuối"),
        ("ioc/a/telemetry", {"values": {}}, "ts: nhận được không có gì, cần mili giây epoch hoặc ISO-8601"),
        ("ioc/a/telemetry", {"ts": NOW_MS, "device": "b", "values": {}}, "nhưng topic là của a"),
        ("ioc/a/telemetry", [], "danh sách rỗng"),
        ("ioc/a/telemetry", [7], "nhận được 7, cần một đối tượng có ts và values"),
        ("ioc/a/state", b"not json", "JSON"),
        ("nobody/x", {}, "không giao thức nào dùng"),
        ("ioc/lora.x/telemetry", {}, "thuộc về thiết bị của giao thức khác"),
        ("application/a/device/70b3d57ed0061a01/event/up", {"deviceInfo": LORA, "fPort": 2, "data": "qrvM"}, "3 byte ở fPort 2"),
    ],
)  # fmt: skip
def test_what_ingest_says_is_said_in_vietnamese(topic: str, payload: object, said: str) -> None:
    """The sentences are those that ingest writes today; in English they are read as they were written."""
    dialect = Chirpstack() if topic.startswith("application") else Native(frozenset({"lora"}))
    (rejected,) = Ear(dialect, kinds={"lamp": "streetlight"}).hear(topic, payload).rejected
    assert said in detail_in_words(rejected.detail, VI), rejected.detail
    english = detail_in_words(rejected.detail, EN)
    assert english == rejected.detail or KINDS["streetlight"].label.en in english


def test_many_faults_are_each_said() -> None:
    """Faults of one message stand one after another, with how many more there were."""
    told = "a: not in the catalogue; b: got 1, possible are 2 to 3 m (and 4 more)"
    assert detail_in_words(told, VI) == (
        "a: không có trong danh mục; b: nhận được 1, cho phép từ 2 đến 3 m (và 4 lỗi nữa)"
    )


@given(st.text() | st.sampled_from(SENTENCES) | st.lists(st.sampled_from(SENTENCES)).map("; ".join))
def test_any_detail_is_survived(detail: str) -> None:
    """What is not known is left as it is, and English always is."""
    detail_in_words(detail, VI)
    assert detail_in_words(detail, EN) == detail
