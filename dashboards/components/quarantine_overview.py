"""How much lies in quarantine: by reason with its course over time, and the places it comes from. Each is a filter."""

from __future__ import annotations

from dash import html
from dash.development.base_component import Component

from dashboards.attributes import aria, data
from dashboards.payload_view import visible
from dashboards.quarantine_search import Filters, Overview, series
from dashboards.when import number
from ioc.db.quarantine import Wanted
from ioc.i18n import Translator
from ioc.model import REASONS


def reason_cards(found: Overview, filters: Filters, wanted: Wanted, words: Translator) -> list[Component]:
    """A card for each reason, those with most messages first; those without are small."""
    totals = {reason: found.total(reason) for reason in REASONS}
    highest = max((bar.messages for bar in found.bars), default=1)
    there = sorted((reason for reason in REASONS if totals[reason]), key=lambda reason: -totals[reason])
    cards: list[Component] = []
    for reason in there:
        counts = series(found.bars, reason, wanted.since, wanted.until, filters.step)
        cards.append(
            html.Button(
                [
                    html.Span(reason_name(reason, words), className="reason-name"),
                    html.Strong(number(totals[reason], 0, words), className="figure"),
                    html.Span(
                        # A square root shows a few beside many; a bar that is there is seen.
                        [
                            html.I(
                                style={"height": f"{max(8.0, 100 * (count / highest) ** 0.5):.0f}%" if count else "0"}
                            )
                            for count in counts
                        ],
                        className="bars",
                        **aria(hidden=True),
                    ),
                ],
                type="button",
                className="reason" + (" on" if filters.reason == reason else ""),
                title=words(f"means:{reason}"),
                **aria(pressed=filters.reason == reason),
                **data(reason=reason),
            )
        )
    without = [reason for reason in REASONS if not totals[reason]]
    if without and there:
        names = ", ".join(reason_name(reason, words) for reason in without)
        cards.append(html.Div(words("None: {reasons}", reasons=names), className="reasons-none muted"))
    return cards


def place_rows(found: Overview, filters: Filters, words: Translator) -> list[Component]:
    """The devices and topics that most of it comes from."""
    if not found.places:
        return []
    highest = found.places[0][1]
    return [
        html.Button(
            [
                html.Span(visible(place), className="place-name"),
                html.Span(number(messages, 0, words), className="place-count figure"),
                html.I(style={"width": f"{100 * messages / highest:.1f}%"}),
            ],
            type="button",
            className="place" + (" on" if filters.text == place else ""),
            title=visible(place),
            **aria(pressed=filters.text == place),
            **data(place=place),
        )
        for place, messages in found.places
    ]


def reason_name(reason: str, words: Translator) -> str:
    """A reason as people read it."""
    return words(f"reason:{reason}")
