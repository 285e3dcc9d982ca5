"""What the desk pages say: times, figures, rules as sentences, search, and what they believe of a browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.components.rule_words import rule_in_words
from dashboards.incident_search import STATES, Filters
from dashboards.screen import as_rem
from dashboards.search import fold, matches
from dashboards.when import clock, figure, number, span
from ioc.catalog import MEASURES, RULES
from ioc.i18n import LANGUAGES, Language, translator

VI, EN = translator("vi"), translator("en")


@pytest.mark.parametrize(
    ("text", "folded"),
    [("Đường Võ Nguyên Giáp", "duong vo nguyen giap"), ("ỚỬỠ", "ouo"), ("Linh Xuân", "linh xuan"), ("", "")],
)
def test_fold_drops_every_diacritic(text: str, folded: str) -> None:
    """Also those of đ, which Unicode does not decompose."""
    assert fold(text) == folded


@given(st.text(max_size=40))
def test_fold_twice_is_fold_once(text: str) -> None:
    """A folded text stays as it is, so that both sides of a comparison may be folded."""
    assert fold(fold(text)) == fold(text)


@given(st.lists(st.sampled_from(["Ngập nước", "An Khánh", "#12", "Đèn AK-01-10"]), min_size=1, unique=True))
def test_matches_whatever_the_order_of_words(texts: list[str]) -> None:
    """Every word occurs somewhere; their order means nothing."""
    words = " ".join(reversed(" ".join(texts).split()))
    assert matches(words, texts)
    assert not matches(words + " khongco", texts)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_is_a_sentence(rule: str, language: Language) -> None:
    """Whatever is declared can be explained, with nothing left to fill in."""
    measure = RULES[rule][1]
    sentence = rule_in_words(rule, 60.0, translator(language))
    assert sentence.endswith(".")
    assert "{" not in sentence
    if measure:
        assert MEASURES[measure].label.in_language(language) in sentence


def test_rule_states_limit_and_end_with_unit() -> None:
    """The limit, the delay, and the value at which it ends."""
    sentence = rule_in_words("water_alert_3", 60.0, VI)
    assert "1,60 m" in sentence
    assert "1,56 m" in sentence
    assert "30 giây" in sentence
    assert rule_in_words("no such rule", 60.0, VI) == ""


@pytest.mark.parametrize(
    ("measure", "value", "vietnamese", "english"),
    [
        ("waterLevel", 1.634, "1,63 m", "1.63 m"),
        ("occupancy", 0.755, "76 %", "76 %"),
        ("powerState", 1.0, "Bật", "On"),
        ("powerState", 9.0, "9", "9"),
        ("energyConsumed", 12345.67, "12.345,7 kWh", "12,345.7 kWh"),
        ("waterLevel", None, "–", "–"),
        ("no such measure", 2.5, "2,50", "2.50"),
    ],
)
def test_figure_is_in_the_readers_notation(measure: str, value: float | None, vietnamese: str, english: str) -> None:
    """Decimal comma and names of states in Vietnamese, point and names in English."""
    assert (figure(measure, value, VI), figure(measure, value, EN)) == (vietnamese, english)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (59, "59 s"), (200, "3 min 20 s"), (1800, "30 min"), (3660, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_span_has_at_most_two_units(seconds: float, said: str) -> None:
    """A length of time is read at a glance."""
    assert span(timedelta(seconds=seconds), EN) == said


def test_clock_is_the_citys_and_dated_when_not_today() -> None:
    """Midnight is in Thủ Đức, not in Greenwich."""
    now = datetime(2026, 3, 1, 18, 0, tzinfo=UTC)
    assert clock(datetime(2026, 3, 1, 17, 30, tzinfo=UTC), now) == "00:30:00"
    assert clock(datetime(2026, 3, 1, 16, 30, tzinfo=UTC), now) == "01/03/2026 23:30:00"


def test_number_keeps_its_digits() -> None:
    """Trailing zeros say how exact a figure is."""
    assert number(1.5, 2, VI) == "1,50"


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.lists(st.text())))
def test_filters_believe_no_browser(given_value: object) -> None:
    """Whatever a browser sends, the filters are choices of ours."""
    filters = Filters.of(given_value, given_value, given_value, given_value, given_value)
    assert filters.state in STATES
    assert filters.priority in (0, 1, 2, 3)
    assert len(filters.text) <= 200


@given(st.one_of(st.none(), st.text(), st.floats(), st.integers()))
def test_scale_is_within_reason(text: object) -> None:
    """A cookie does not make a chart of any size."""
    assert 12.0 <= as_rem(text) <= 64.0
