"""One message of quarantine, whole: why it lies there, what to do, and what it holds in three views."""

from __future__ import annotations

from datetime import datetime

from dash import html
from dash.development.base_component import Component

from dashboards.attributes import aria, data
from dashboards.components.quarantine_overview import reason_name
from dashboards.components.quarantine_table import outcome_badge, size_of
from dashboards.payload_view import (
    MOST_DUMPED,
    VIEWS,
    Line,
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
        html.Ul([html.Li(visible(part)) for part in held.detail.split("; ") if part], className="details"),
        html.Dl(
            [html.Div([html.Dt(words(label)), html.Dd(parts)], className="fact") for label, parts in facts],
            className="facts",
        ),
    ]


def message_payload(held: Held, wanted: object, words: Translator) -> list[Component]:
    """What it holds, in the view asked for, else in the one that shows most."""
    view = fitting_view(held.payload)
    if wanted in VIEWS and not (wanted == "json" and view != "json"):
        view = wanted
    return [_tabs(view, held, words), _shown(held, view, words)]


def _tabs(view: View, held: Held, words: Translator) -> Component:
    is_json = json_lines(held.payload, most=1) is not None
    names: dict[View, str] = {"json": "JSON", "text": words("Text"), "hex": words("Hexadecimal")}
    return html.Div(
        [
            html.Div(
                [
                    html.Button(
                        names[one],
                        type="button",
                        className="tab" + (" on" if one == view else ""),
                        disabled=one == "json" and not is_json,
                        **aria(pressed=one == view),
                        **data(view=one),
                    )
                    for one in VIEWS
                ],
                className="tabs",
                role="group",
            ),
            html.Button(words("Copy"), type="button", className="tab", **data(quarantine="copy")),
            html.A(
                words("Download"),
                href=f"/quarantine/payload/{key_of(held)}",
                download=f"quarantine-{held.id}.bin",
                className="tab",
            ),
        ],
        className="payload-tabs",
    )


def _shown(held: Held, view: View, words: Translator) -> Component:
    if not held.payload:
        return html.P(words("The payload is empty"), className="muted payload-empty")
    if view == "json":
        found = json_lines(held.payload, blamed(held.detail))
        assert found is not None
        lines, more = found
        rest = [html.Div(words("… more: download it to see all"), className="muted")] if more else []
        return html.Div([*map(_line, lines), *rest], className="payload payload-json", tabIndex=0)
    text = hex_dump(held.payload) if view == "hex" else as_text(held.payload)
    cut = len(held.payload) > MOST_DUMPED if view == "hex" else False
    parts: list[Component] = [html.Pre(text, className=f"payload payload-{view}", tabIndex=0)]
    return html.Div([*parts, html.Div(words("… more: download it to see all"), className="muted")] if cut else parts)


def _line(line: Line) -> Component:
    inner: list[Component | str] = [html.Span(line.key, className="json-key"), ": "] if line.key else []
    return html.Div(
        [*inner, line.text],
        className="json-line" + (" marked" if line.marked else ""),
        style={"paddingLeft": f"{0.6 + line.depth * 1.1:.1f}rem"},
    )
