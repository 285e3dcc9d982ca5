"""One message of quarantine, whole: why it lies there, what to do, and what it holds in one of three views."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards.components.quarantine_overview import reason_name
from dashboards.components.quarantine_table import outcome_badge, size_of
from dashboards.detail_words import detail_in_words
from dashboards.payload_view import (
    MOST_DUMPED,
    MOST_TEXT,
    VIEWS,
    View,
    as_text,
    blamed,
    fitting_view,
    hex_dump,
    json_lines,
    visible,
)
from dashboards.quarantine_search import key_of
from dashboards.when import moment
from ioc.db.quarantine import Held
from ioc.i18n import Translator


def message_head(held: Held, name: str, now: datetime, words: Translator) -> list[Component]:
    """Why it lies there, in words, and the facts."""
    device: list[Component | str] = (
        [html.A(name or held.client, href=f"/devices?id={held.client}")] if held.client else ["–"]
    )
    facts: list[tuple[str, list[Component | str]]] = [
        ("Received", [moment(held.received, now)]),
        ("Device", device),
        ("Dialect", [visible(held.dialect) or words("none takes this topic")]),
        (
            "Size",
            [
                size_of(held.size, words),
                html.Small(
                    "" if held.is_whole else words("kept: the first {n} KiB", n=held.kept // 1024), className="muted"
                ),
            ],
        ),
    ]
    badge = outcome_badge(held, words)
    return [
        html.Div(
            [
                html.H2([reason_name(held.reason, words), badge]),
                html.Code(visible(held.topic), className="topic"),
            ],
            className="head-words",
        ),
        html.Div(
            [
                html.P(words(f"means:{held.reason}")),
                html.P([html.Strong(words("What to do:")), " ", words(f"do:{held.reason}")]),
            ],
            className="advice",
        ),
        html.Ul(
            [
                html.Li(visible(detail_in_words(part, words)), title=visible(part))
                for part in held.detail.split("; ")
                if part
            ],
            className="details",
        ),
        html.Dl(
            [html.Div([html.Dt(words(label)), html.Dd(parts)], className="fact") for label, parts in facts],
            className="facts",
        ),
    ]


def payload_data(held: Held, wanted: object) -> dict[str, Any]:
    """What it holds, in the view asked for, else in the one that shows most; drawn by `assets/quarantine.js`."""
    fitting = fitting_view(held.payload)
    view: View = wanted if wanted in VIEWS and not (wanted == "json" and fitting != "json") else fitting
    shown: dict[str, Any] = {"key": key_of(held), "id": held.id, "view": view, "json": fitting == "json"}
    if not held.payload:
        return {**shown, "view": "empty"}
    if view == "json":
        found = json_lines(held.payload, blamed(held.detail))
        assert found is not None
        return {**shown, "lines": found[0], "more": found[1]}
    if view == "hex":
        return {**shown, "text": hex_dump(held.payload), "more": len(held.payload) > MOST_DUMPED}
    return {**shown, "text": as_text(held.payload), "more": len(held.payload) > MOST_TEXT}
