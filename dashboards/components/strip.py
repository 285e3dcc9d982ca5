"""What a device said of itself, and when it sent data, as two strips over the last day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from dash import html

from dashboards.components.evidence_view import STATE_WORDS, state_reason
from dashboards.when import clock
from ioc.catalog import MEASURES, PICTURE_STATES
from ioc.db.camera_truth import Condition
from ioc.i18n import Translator
from ioc.model import DeviceState


def state_strip(states: Sequence[DeviceState], since: datetime, until: datetime, words: Translator) -> html.Div:
    """One bar: each state as long as it held; before the first one nothing is known."""
    whole = until - since
    parts: list[html.Span] = []
    begins = [max(state.time, since) for state in states]
    if not states or begins[0] > since:
        parts.append(_part("unknown", since, begins[0] if begins else until, whole, "", words))
    for state, begin, end in zip(states, begins, [*begins, until][1:], strict=True):
        if end > begin:
            parts.append(_part(state.state, begin, end, whole, state.reason, words))
    return html.Div(parts, className="strip", role="img", **_label(words("States, last 24 h")))


def heard_strip(
    heard: Mapping[datetime, int], since: datetime, until: datetime, bucket: timedelta, words: Translator
) -> html.Div:
    """One bar: the quarter hours in which data came."""
    parts, time = [], _floor(since, bucket)
    while time < until:
        count = heard.get(time, 0)
        title = f"{clock(time, until)} · {words('{n} records', n=count)}"
        parts.append(
            html.Span(className="part " + ("s-heard" if count else "s-nothing"), title=title, style={"flexGrow": 1})
        )
        time += bucket
    return html.Div(parts, className="strip", role="img", **_label(words("Data, last 24 h")))


def picture_strip(found: Sequence[Condition], since: datetime, until: datetime, words: Translator) -> html.Div:
    """One bar: what was the matter with a camera's picture; where nobody watched nothing is known."""
    whole = until - since
    parts: list[html.Span] = []
    known = since
    for one in found:
        begin, end = max(one.began, since), min(one.ended, until)
        if begin > known:
            parts.append(_stretch("unknown", known, begin, whole, words("not watched")))
        if end > begin:
            label = MEASURES["pictureState"].state_labels[PICTURE_STATES.index(one.condition)]
            look = "online" if one.condition == "ok" else "offline"
            parts.append(_stretch(look, begin, end, whole, label.in_language(words.language)))
        known = max(known, end)
    if known < until:
        parts.append(_stretch("unknown", known, until, whole, words("not watched")))
    return html.Div(parts, className="strip", role="img", **_label(words("Picture, last 24 h")))


def _part(state: str, begin: datetime, end: datetime, whole: timedelta, reason: str, words: Translator) -> html.Span:
    label = STATE_WORDS[state].in_language(words.language)
    return _stretch(state, begin, end, whole, label + (f" · {state_reason(reason, words)}" if reason else ""))


def _stretch(look: str, begin: datetime, end: datetime, whole: timedelta, text: str) -> html.Span:
    return html.Span(
        className=f"part s-{look}",
        title=f"{clock(begin, end)} – {clock(end, end)} · {text}",
        style={"flexGrow": round((end - begin) / whole * 10000) or 1},
    )


def _label(text: str) -> dict[str, Any]:
    return {"aria-label": text}


def _floor(time: datetime, bucket: timedelta) -> datetime:
    """The beginning of the bucket, as TimescaleDB's `time_bucket` counts for widths that divide an hour."""
    seconds = bucket.total_seconds()
    return datetime.fromtimestamp(time.timestamp() // seconds * seconds, time.tzinfo)
