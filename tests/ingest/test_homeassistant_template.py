"""Templates of configurations: the simple ones are evaluated, the others are refused and cost nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.dialects.homeassistant.template import MISSING, Said, Template
from ioc.errors import RejectedError

SAID = {"a": {"b": 21.57, "s": "7.5"}, "list": [{"t": 3}], "on": True, "off": False, "none": None, "word": "ON"}


def value_of(source: str, payload: Any = None, **kwargs: bool) -> Any:
    body = payload if isinstance(payload, bytes) else json.dumps(SAID if payload is None else payload).encode()
    return Template(source, **kwargs).value(Said(body))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ value_json.a.b }}", 21.57),
        ("{{value_json.a.b}}", 21.57),
        ("  {{- value_json['a']['b'] -}}\n", 21.57),
        ('{{ value_json["list"][0].t }}', 3),
        ("{{ value_json.list[0]['t'] | int }}", 3),
        ("{{ value_json.a.b | round(1) }}", 21.6),
        ("{{ value_json.a.s | float }}", 7.5),
        ("{{ value_json.a.s | float(0) | round }}", 8),
        ("{{ value_json.a.b | is_defined }}", 21.57),
        ("{{ (value_json.a.b | float) / 10 }}", 2.157),
        ("{{ value_json.a.b * 2 - 1 }}", 42.14),
        ("{{ 'yes' if value_json.word == 'ON' else 'no' }}", "yes"),
        ("{{ value_json.a.b if value_json.a is defined else 0 }}", 21.57),
        ("{{ value_json.word | lower }}", "on"),
        ("{{ value_json.on }}", True),
        ("{{ value_json.none }}", None),
        ("{{ 'offline' }}", "offline"),
        ("online", "online"),
    ],
)
def test_simple_templates_are_evaluated(source: str, expected: Any) -> None:
    """As Home Assistant evaluates them."""
    got = value_of(source)
    assert got == pytest.approx(expected) if isinstance(expected, float) else got == expected


def test_value_is_the_message_itself() -> None:
    """`value` is text, and no template at all is the same."""
    assert value_of("{{ value }}", b"23.5") == value_of("", b"23.5") == "23.5"
    assert value_of("{{ value | float }}", b"23.5") == 23.5


@pytest.mark.parametrize(
    "source",
    [
        "{{ value_json.x }}",
        "{{ value_json.a.x.y }}",
        "{{ value_json.list[4] }}",
        "{{ value_json.word.upper }}",
        "{{ value_json.x | float(0) }}",
    ],
)
def test_missing_is_not_zero(source: str) -> None:
    """What a message does not say has no value, whatever default would stand for it."""
    assert value_of(source) is MISSING
    assert value_of(source, b"not JSON") is MISSING


def test_defaults_count_for_states_only() -> None:
    """A switch that says nothing is off if its template says so; a reading that says nothing is not 0."""
    source = "{{ value_json.x | default('OFF') }}"
    assert value_of(source) is MISSING
    assert value_of(source, defaults=True) == "OFF"


@pytest.mark.parametrize(
    "source",
    [
        "{{ states('sensor.x') }}",
        "{{ now() }}",
        "{{ value_json.a.items() }}",
        "{{ value_json | tojson }}",
        "{{ value.split(',')[0] }}",
        "{% if value_json.on %}ON{% else %}OFF{% endif %}",
        "{% for x in range(1000000000) %}x{% endfor %}",
        "{{ value_json.a.b }} and {{ value_json.a.s }}",
        "{{ value_json.a.b ** 99999999 }}",
        "{{ [value_json] }}",
        "{{ value_json[value] }}",
        "{{ this.x }}",
        "{{ value_json.a.b | round(1, 'floor') }}",
        "{{ value",
        "{{ " + "(" * 240 + "1" + ")" * 240 + " }}",
        "{{ value_json.a.b" + " | float" * 100 + " }}",
        "x" * 501,
        "{{ cycler.__init__.__globals__ }}",
    ],
)
def test_other_templates_are_refused_by_name(source: str) -> None:
    """The refusal names the template and what in it is not evaluated."""
    with pytest.raises(RejectedError, match="template") as caught:
        Template(source)
    assert caught.value.reason == "shape"


@pytest.mark.parametrize(
    "source",
    ["{{ value_json.word + 1 }}", "{{ 'a' * 99999999 }}", "{{ value_json.a.b / 0 }}", "{{ value_json.list * 9 }}"],
)
def test_arithmetic_is_for_numbers(source: str) -> None:
    """No text is multiplied, nothing divided by zero."""
    with pytest.raises(RejectedError, match="expected numbers"):
        value_of(source)


def test_dunders_are_only_names() -> None:
    """Attributes are places in the JSON and nothing else."""
    assert value_of("{{ value_json.__class__.__mro__ }}") is MISSING
    assert value_of("{{ value.__class__ }}") is MISSING


def test_path_of_a_plain_place() -> None:
    """Where a value is taken as it is, its place is known."""
    assert Template("{{ value_json.a['b'] | float | round(1) }}").path == ("a", "b")
    assert Template("{{ value_json.a / 10 }}").path == ()
    assert Template("{{ value }}").path == ()


class Counted(Said):
    """Counts how often its JSON is asked for."""

    asked = 0

    @property
    def json(self) -> Any:
        """What was said."""
        self.asked += 1
        return SAID


def test_chain_of_filters_is_evaluated_once() -> None:
    """No filter looks at what it filters twice, or a long chain would never end."""
    said = Counted(b"")
    assert Template("{{ value_json.x" + "|default(1)|round" * 20 + " }}", defaults=True).value(said) == 1
    assert said.asked == 1


PIECES = st.sampled_from(
    [
        "value",
        "value_json",
        ".a",
        "['a']",
        "[0]",
        "|float",
        "|int(0)",
        "|round(2)",
        "|default('x')",
        "(",
        ")",
        " if ",
        " else ",
        "==",
        "+",
        "*",
        "/",
        "-",
        "1",
        "'t'",
        "{{",
        "}}",
        "{%",
        "%}",
        "9" * 400,
        "~",
        "\0",
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join), st.binary(max_size=30) | st.just(json.dumps(SAID).encode()))
def test_any_template_is_evaluated_or_refused(source: str, payload: bytes) -> None:
    """Whatever is written, and whatever is said: a value, or a refusal."""
    for text in (source, "{{ " + source + " }}"):
        try:
            Template(text).value(Said(payload))
        except RejectedError as error:
            refused = error
        else:
            continue
        assert refused.reason in ("shape", "value", "encoding")
