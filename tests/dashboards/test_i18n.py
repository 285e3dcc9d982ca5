"""Words: every message of the pages is in both languages, and no catalogue holds a message that nobody says."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import dashboards
from dashboards.city import Health
from dashboards.components.mapping_list import FIELDS
from dashboards.components.quarantine_table import OUTCOMES
from dashboards.detail_words import EXPECTED, SENTENCES
from dashboards.links import SERVICES
from dashboards.shell import PLACES
from dashboards.trends import TRENDS
from ioc.catalog import CAUSES, KINDS, MEASURES, RULES, VISION_CLASSES
from ioc.i18n import LANGUAGES, as_language, translator
from ioc.kpis import KPIS
from ioc.mapping import TIME_FORMATS
from ioc.model import REASONS

ROOT = Path(dashboards.__file__).parent
#: What may stand before the brackets where a message is said: `words("…")`, `reader.words("…")`, `_("…")`.
SPEAKERS = {"words", "_"}
#: Units that are written alike everywhere.
SYMBOLS = re.compile(r"[µ°%A-Za-z³/]{1,6}")


def said_in_python() -> tuple[set[str], set[str]]:
    """Messages said whole, and the beginnings of those put together from a key (`words(f"quality:{key}")`)."""
    whole: set[str] = set()
    beginnings: set[str] = set()
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name not in SPEAKERS:
                continue
            joined = [part for part in ast.walk(node.args[0]) if isinstance(part, ast.JoinedStr)]
            pieces = {id(piece) for part in joined for piece in ast.walk(part)}
            beginnings |= {part.values[0].value for part in joined if isinstance(part.values[0], ast.Constant)}
            texts = (
                part for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant) and id(part) not in pieces
            )
            whole |= {text.value for text in texts if isinstance(text.value, str) and text.value}
    return whole, beginnings


def said_in_scripts() -> tuple[set[str], set[str]]:
    """The same of the pages' scripts."""
    whole: set[str] = set()
    beginnings: set[str] = set()
    for file in (ROOT / "assets").glob("*.js"):
        for said in re.findall(r"(?<![\w.])(?:IOC\.)?t\(([^()]*(?:\([^()]*\)[^()]*)*)\)", file.read_text("utf-8")):
            # The values that fill a message's fields are no messages.
            message = re.split(r",\s*\{", said)[0]
            whole |= set(re.findall(r'"((?:[^"\\]|\\.)+)"', message))
            beginnings |= set(re.findall(r"`([^`$]+)\$\{", message))
    return whole, beginnings


def said_by_name() -> set[str]:
    """Families whose messages are put together from a key."""
    links = ("mqtt", "timescaledb", "redis", *SERVICES)
    return {
        *(name for _, name in PLACES),
        *(trend.title for trend in TRENDS),
        *(f"link:{key}" for key in links),
        *(f"state:{state}" for state in ("ok", "degraded", "lost", "unknown")),
        *(f"stage:{stage}" for stage in ("normal", "alert", "emergency")),
        *(f"health:{health.name.lower()}" for health in Health),
        *(f"{family}:{reason}" for reason in REASONS for family in ("reason", "means", "do")),
        *OUTCOMES.values(),
        *FIELDS.values(),
        *(f"form:{form}" for form in TIME_FORMATS),
        *(f"detail:{sentence}" for sentence in SENTENCES),
        *(f"expected:{phrase}" for phrase in EXPECTED),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_in_the_catalogue(language: str) -> None:
    """What the pages say, they can say in both languages."""
    said = said_in_python()[0] | said_in_scripts()[0] | said_by_name()
    assert len(said) > 80
    assert sorted(said - translator(language).messages.keys()) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_family_of_messages_has_members(language: str) -> None:
    """A message put together from a key has its family in the catalogue."""
    families = said_in_python()[1] | said_in_scripts()[1]
    known = translator(language).messages
    assert {"link:", "state:", "stage:", "health:"} <= families
    assert sorted(family for family in families if sum(message.startswith(family) for message in known) < 2) == []


def test_both_catalogues_hold_the_same_messages() -> None:
    """Neither language lags behind."""
    vietnamese, english = (translator(language).messages.keys() for language in ("vi", "en"))
    assert sorted(vietnamese ^ english) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_fields_of_a_message_survive_translation(language: str) -> None:
    """A message keeps the fields that the code fills in."""
    for message, text in translator(language).messages.items():
        assert sorted(re.findall(r"\{(\w+)\}", text)) == sorted(re.findall(r"\{(\w+)\}", message)), message


def test_vietnamese_is_vietnamese() -> None:
    """A message left in English is an oversight, unless it is a name or a word that both languages share."""
    shared = {"link:mqtt", "link:timescaledb", "link:redis", "Cameras", "Firmware", "TimescaleDB"}
    vietnamese, english = translator("vi").messages, translator("en").messages
    same = {
        message for message, text in vietnamese.items() if text == english[message] and re.search(r"[A-Za-z]{4}", text)
    }
    assert sorted(same - shared) == []


def test_units_are_symbols_or_words_of_the_catalogue() -> None:
    """A unit that is a word has a word in Vietnamese."""
    units = {measure.unit for measure in MEASURES.values()} - {"", "1"}
    assert sorted(unit for unit in units if not SYMBOLS.fullmatch(unit) and unit not in translator("vi").messages) == []


def test_labels_of_catalogue_rows_are_there_in_both_languages() -> None:
    """Names of measures, kinds, rules, causes, classes and key figures."""
    rows = [*MEASURES.values(), *KINDS.values(), *(rule for rule, _ in RULES.values()), *KPIS.values()]
    labels = [row.label for row in rows] + [*CAUSES.values(), *VISION_CLASSES.values()]
    assert [label for label in labels if not label.vi.strip() or not label.en.strip()] == []


def test_message_nobody_knows_is_shown_as_it_is() -> None:
    """A missing translation is readable, and not an error at night."""
    assert translator("vi")("No such message {n}", n=3) == "No such message 3"


def test_language_that_is_not_spoken_falls_back() -> None:
    """`?lang=` comes from outside."""
    assert [as_language(text, "vi") for text in ("en", "vi", "fr", "", None)] == ["en", "vi", "vi", "vi", "vi"]
