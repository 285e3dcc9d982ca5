"""An alarm rule as a sentence."""

from __future__ import annotations

from datetime import timedelta

from dashboards.when import figure, span
from ioc.catalog import MEASURES, RULES, Rule
from ioc.i18n import Translator


def rule_in_words(key: str, period_s: float, words: Translator) -> str:
    """What makes the rule fire and what ends it; "" for a rule that the catalogue no longer has.

    Args:
        key: of the rule.
        period_s: how often the device says anything.
        words: the reader's language.
    """
    if key not in RULES:
        return ""
    rule, measure = RULES[key]
    delay = _span(rule.on_delay_s, words)
    if rule.kind == "silent":
        total = _span(rule.limit * period_s, words)
        return words("Nothing was heard of the device for {total}, {n} of its periods.", total=total, n=int(rule.limit))
    if rule.kind == "offline":
        return words("The device, or its last will at the broker, says that it is offline, for {delay}.", delay=delay)
    label = MEASURES[measure].label.in_language(words.language)
    if rule.kind == "is_state":
        row = MEASURES[measure]
        states = ", ".join(row.state_labels[row.states.index(s)].in_language(words.language) for s in rule.states)
        if rule.on_delay_s:
            return words("{measure} is one of: {states}, for {delay}.", measure=label, states=states, delay=delay)
        return words("{measure} is one of: {states}.", measure=label, states=states)
    limit = figure(measure, rule.limit, words)
    if rule.kind == "rise":
        window = _span(rule.window_s, words)
        return words("{measure} rises by {limit} or more within {window}.", measure=label, limit=limit, window=window)
    return _level(rule, measure, label, limit, delay, words)


def _level(rule: Rule, measure: str, label: str, limit: str, delay: str, words: Translator) -> str:
    above = rule.kind == "above"
    end = figure(measure, rule.limit - rule.hysteresis if above else rule.limit + rule.hysteresis, words)
    sentence = (
        "{measure} at {limit} or more for {delay}; it ends at {end} or less."
        if above
        else "{measure} at {limit} or less for {delay}; it ends at {end} or more."
    )
    return words(sentence, measure=label, limit=limit, delay=delay, end=end)


def _span(seconds: float, words: Translator) -> str:
    return span(timedelta(seconds=seconds), words)
