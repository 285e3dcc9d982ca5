"""An incident's log as a timeline: what happened, when, who says so, and that nobody changed it since."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from dash import html

from dashboards.when import clock, figure, moment, span
from ioc.alarms.log import KIND_LABELS, SYSTEM, Entry
from ioc.catalog import RULES
from ioc.chain import Fault
from ioc.i18n import Translator

#: Entries of one kind by the system in a row, from which on they are folded into one line.
FOLD_FROM: Final = 4


def timeline(log: Sequence[Entry], names: dict[str, str], now: datetime, words: Translator) -> html.Ol:
    """The log, oldest first; runs of the same machine-made entry are folded.

    Args:
        log: all entries in order.
        names: names of devices by id.
        now: what "today" is.
        words: the reader's language.
    """
    items: list[html.Li] = []
    for (kind, who), run in groupby(log, key=lambda entry: (entry.kind, entry.who)):
        entries = list(run)
        if who == SYSTEM and len(entries) >= FOLD_FROM:
            items.append(_folded(kind, entries, names, now, words))
        else:
            items += [html.Li(_entry(entry, names, now, words), className=_class(entry)) for entry in entries]
    return html.Ol(items, className="timeline")


def chain_mark(log: Sequence[Entry], fault: Fault | None, words: Translator) -> html.Span:
    """Whether the log is as it was written."""
    if fault is not None:
        why = words("Entry {n}: {why}", n=fault.seq, why=words(fault.why))
        return html.Span(["✕ ", words("Log was tampered with"), " · ", why], className="chain broken", role="alert")
    title = words("Each entry carries the hash of the one before; all of them were computed again just now.")
    return html.Span(["✓ ", words("{n} entries, chain verified", n=len(log))], className="chain", title=title)


def details_in_words(entry: Entry, names: dict[str, str], words: Translator) -> str:
    """What an entry is about, from its details."""
    details, parts = entry.details, []
    rule = details.get("rule")
    if rule in RULES:
        row, measure = RULES[rule]
        parts.append(row.label.in_language(words.language))
        device = str(details.get("device", ""))
        parts.append(names.get(device, device))
        if isinstance(details.get("value"), (int, float)) and measure:
            parts.append(figure(measure, float(details["value"]), words))
    if isinstance(details.get("after_s"), (int, float)):
        parts.append(words("after {span}", span=span(timedelta(seconds=details["after_s"]), words)))
    if isinstance(details.get("alarms"), list) and details["alarms"]:
        parts.append(words("{n} alarms", n=len(details["alarms"])))
    if isinstance(details.get("until"), str):
        until = datetime.fromisoformat(details["until"])
        parts.append(words("until {time}", time=clock(until, entry.time)))
    if details.get("forced"):
        parts.append(words("before the condition was gone"))
    return " · ".join(part for part in parts if part)


def openings(log: Sequence[Entry]) -> dict[int, float]:
    """The value that opened each alarm, by the alarm's id."""
    found: dict[int, float] = {}
    for entry in log:
        alarm, value = entry.details.get("alarm"), entry.details.get("value")
        if entry.kind == "detected" and isinstance(alarm, int) and isinstance(value, (int, float)):
            found[alarm] = float(value)
    return found


def _class(entry: Entry) -> str:
    return f"entry e-{entry.kind}" + ("" if entry.who == SYSTEM else " by-person")


def _folded(kind: str, entries: list[Entry], names: dict[str, str], now: datetime, words: Translator) -> html.Li:
    first, last = entries[0], entries[-1]
    times: list[str | html.Time] = [moment(first.time, now)]
    if last.time != first.time:
        times += [" – ", moment(last.time, now)]
    summary = html.Summary(
        [
            html.Span([_label(first, words), html.Strong(f" × {len(entries)}")], className="entry-kind"),
            html.Span(times, className="entry-time"),
        ]
    )
    inner = html.Ol([html.Li(_entry(entry, names, now, words), className=_class(entry)) for entry in entries])
    return html.Li(html.Details([summary, inner]), className=f"entry folded e-{kind}")


def _entry(entry: Entry, names: dict[str, str], now: datetime, words: Translator) -> list[html.Div]:
    who = words("System") if entry.who == SYSTEM else entry.who
    head = html.Div(
        [
            html.Span(_label(entry, words), className="entry-kind"),
            html.Span(who, className="entry-who"),
            moment(entry.time, now, "entry-time"),
        ],
        className="entry-head",
    )
    about = details_in_words(entry, names, words)
    hashes = html.Code(entry.hash.hex()[:10], title=f"SHA-256 {entry.hash.hex()}", className="hash")
    rows = [head, html.Div([html.Span(about, className="entry-about"), hashes], className="entry-detail")]
    if entry.text:
        text = entry.text if entry.who != SYSTEM else words("because of: {why}", why=_reason(entry.text, names, words))
        rows.append(html.Div(text, className="entry-text"))
    return rows


def _label(entry: Entry, words: Translator) -> str:
    return KIND_LABELS[entry.kind].in_language(words.language) if entry.kind in KIND_LABELS else entry.kind


def _reason(text: str, names: dict[str, str], words: Translator) -> str:
    """The machine's reason in words: a rule, a device, or a message."""
    if text in RULES:
        return RULES[text][0].label.in_language(words.language)
    return names.get(text) or words(text)
