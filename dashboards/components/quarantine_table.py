"""Messages in quarantine, a page of them, newest first; plain data, drawn by `assets/quarantine.js`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from dash import html
from dash.development.base_component import Component

from dashboards.components.quarantine_overview import reason_name
from dashboards.detail_words import detail_in_words
from dashboards.payload_view import visible
from dashboards.quarantine_search import Page, key_of
from dashboards.when import ZONE
from ioc.db.quarantine import Held
from ioc.i18n import Translator

#: What an outcome is called; a message each.
OUTCOMES: Final = {
    "replayed": "outcome:replayed",
    "refused": "outcome:refused",
    "cut": "outcome:cut",
    "waiting": "outcome:waiting",
}


def rows_data(found: Page, names: Mapping[str, str], now: datetime, words: Translator) -> list[dict[str, Any]]:
    """The rows of a page.

    Args:
        found: what is shown.
        names: of devices, by id.
        now: the time.
        words: of the reader.
    """
    return [
        {
            "key": key_of(held),
            "time": _short(held.received, now),
            "reason": reason_name(held.reason, words),
            "place": visible(held.client or held.topic),
            "name": "" if names.get(held.client, held.client) == held.client else visible(names[held.client]),
            "topic": visible(held.topic),
            "detail": visible(detail_in_words(held.detail, words)),
            "raw": visible(held.detail),
            "state": state_of(held),
        }
        for held in found.rows
    ]


def state_of(held: Held) -> str:
    """That it waits for a replay, or the outcome of its last one; "" before any."""
    return "waiting" if held.replay is not None else held.outcome


def outcome_badge(held: Held, words: Translator) -> Component | None:
    """The same in words."""
    state = state_of(held)
    return html.Span(words(OUTCOMES[state]), className=f"pill outcome-{state}") if state else None


def size_of(size: int, words: Translator) -> str:
    """A size as people read it."""
    return words("{n} bytes", n=size) if size < 10_000 else f"{size / 1024:.0f} KiB"


def _short(time: datetime, now: datetime) -> str:
    """The time of day, with day and month when it is not today's; nothing here is a year old."""
    local = time.astimezone(ZONE)
    return local.strftime("%H:%M:%S" if local.date() == now.astimezone(ZONE).date() else "%d/%m %H:%M:%S")
