"""Messages in quarantine, a page of them, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.components.quarantine_overview import reason_name
from dashboards.payload_view import visible
from dashboards.quarantine_search import Page, key_of
from dashboards.when import moment
from ioc.db.quarantine import Held
from ioc.i18n import Translator

#: What an outcome is called; a message each.
OUTCOMES: Final = {
    "replayed": "outcome:replayed",
    "refused": "outcome:refused",
    "cut": "outcome:cut",
    "waiting": "outcome:waiting",
}


def message_rows(found: Page, names: Mapping[str, str], now: datetime, words: Translator) -> list[Component]:
    """The table, or the words that say why there is nothing.

    Args:
        found: what is shown.
        names: of devices, by id.
        now: the time.
        words: of the reader.
    """
    if not found.rows:
        return [
            html.Div(
                [
                    html.Div("✓", className="empty-mark"),
                    html.P(words("Nothing lies in quarantine for what was asked")),
                    html.P(words("A longer span or fewer filters may show more."), className="muted"),
                ],
                className="empty",
            )
        ]
    heads = ("Received", "Reason", "Device or topic", "What was wrong", "")
    return [
        html.Table(
            [
                html.Thead(html.Tr([html.Th(words(head) if head else "") for head in heads])),
                html.Tbody([_row(held, names, now, words) for held in found.rows]),
            ],
            className="table messages",
        )
    ]


def size_of(size: int, words: Translator) -> str:
    """A size as people read it."""
    return words("{n} bytes", n=size) if size < 10_000 else f"{size / 1024:.0f} KiB"


def outcome_badge(held: Held, words: Translator) -> Component | None:
    """What became of a replay, or that it waits for one."""
    state = "waiting" if held.replay is not None else held.outcome
    if not state:
        return None
    return html.Span(words(OUTCOMES[state]), className=f"pill outcome-{state}")


def _row(held: Held, names: Mapping[str, str], now: datetime, words: Translator) -> Component:
    key = key_of(held)
    name = names.get(held.client, "")
    place: list[Component | str] = [
        html.Span(visible(held.client or held.topic), className="mono", title=visible(held.topic))
    ]
    if name and name != held.client:
        place.append(html.Small(visible(name), className="muted"))
    return html.Tr(
        [
            html.Td(moment(held.received, now), className="when"),
            html.Td(reason_name(held.reason, words)),
            html.Td(place, className="where"),
            html.Td(html.Span(visible(held.detail)), className="detail", title=visible(held.detail)),
            html.Td(outcome_badge(held, words), className="end"),
        ],
        tabIndex=0,
        key=key,
        **data(message=key),
    )
