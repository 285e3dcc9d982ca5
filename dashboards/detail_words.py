"""What is wrong with a message, in the reader's language; pure.

Quarantine keeps the detail as ingest wrote it: English sentences with the message's own values in them. A sentence that is known
here is said again in the reader's words, one that is not stays as it is.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from ioc.catalog import KINDS
from ioc.i18n import Translator

#: The first that fits is taken.
SENTENCES: Final = (
    "{rest} (and {n} more)",
    "{name}: got {got}, possible are {least} to {most}",
    "{name}: got {got}, but the topic is that of {other}",
    "{name}: got {got}, which states no zone",
    "end it with Z or +07:00",
    "unit: got {got}, which is not known",
    "unit: got {got}, which cannot become {expected}",
    "{name}: got {got}, expected {expected}",
    "got {got}, expected {expected}",
    "expected {expected}",
    "{name}: not in the catalogue, under no name",
    "{name}: not in the catalogue",
    "{name}: not reported by a {kind}",
    "{name}: such names belong to devices of another dialect",
    "{name}: a second value of {measure}, beside {other}",
    "{name}: a string with a NUL",
    "{name}: nested deeper than {n}",
    "topic {topic}: no dialect speaks on it",
    "channel {name}: devices publish nothing there that is stored",
    "{n} bytes on fPort {port} that were not decoded",
    "give the device profile {name} a codec in ChirpStack",
    "{n} bytes, most is {most}",
    "a list of {n}, most is {most}",
    "an empty list",
    "nested too deep",
    "JSON is malformed: {why}",
    "Expecting value: line {line} column {column} (char {n})",
    "Extra data: line {line} column {column} (char {n})",
    "mapping {name} listens here and names no values yet",
    "template {name} is not evaluated: {why}",
    "{name}: the mapping does not name it",
    "it says how things stood when it came, which may hold no more",
)
#: What was expected, where that is no value.
EXPECTED: Final = (
    "one of {names}",
    "a number in {unit}",
    "a number",
    "a finite number",
    "a text",
    "one value",
    "an object",
    "an object of values",
    "an object of measures",
    "an object of attributes",
    "an object with ts and values",
    "a list",
    "a list of objects",
    "its name",
    "a device id",
    "the number of a command",
    "epoch milliseconds or ISO-8601 with a zone",
    "none",
)


def detail_in_words(detail: str, words: Translator) -> str:
    """A detail, sentence by sentence.

    >>> from ioc.i18n import translator
    >>> detail_in_words("pm25: got 'x', expected a number; who knows", translator("vi"))
    "pm25: nhận được 'x', cần một số; who knows"
    """
    return "; ".join(_said(part, "detail", words) for part in detail.split("; "))


def _said(text: str, family: str, words: Translator) -> str:
    for message in SENTENCES if family == "detail" else EXPECTED:
        if found := _pattern(message).fullmatch(text):
            values = {name: _value(name, value, words) for name, value in found.groupdict().items()}
            return words(f"{family}:{message}", **values)
    return text


def _value(name: str, text: str, words: Translator) -> str:
    if name == "rest":
        return _said(text, "detail", words)
    if name == "expected":
        return _said(text, "expected", words)
    if name == "kind" and text in KINDS:
        return KINDS[text].label.in_language(words.language)
    return words("nothing") if name == "got" and text == "nothing" else text


@cache
def _pattern(message: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>.+?)", re.escape(message)), re.DOTALL)
