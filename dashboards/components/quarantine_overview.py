"""How much lies in quarantine: by reason with its course over time, and the places it comes from. Each is a filter.

Given as plain data and drawn by `assets/quarantine.js`: hundreds of bars are too many for components of Dash.
"""

from __future__ import annotations

from typing import Any

from dashboards.payload_view import visible
from dashboards.quarantine_search import Filters, Overview, series
from dashboards.when import number
from ioc.db.quarantine import Wanted
from ioc.i18n import Translator
from ioc.model import REASONS


def overview_data(found: Overview, filters: Filters, wanted: Wanted, words: Translator) -> dict[str, Any]:
    """A card for each reason, those with most messages first, and the places with the most."""
    totals = {reason: found.total(reason) for reason in REASONS}
    highest = max((bar.messages for bar in found.bars), default=1)
    there = sorted((reason for reason in REASONS if totals[reason]), key=lambda reason: -totals[reason])
    reasons = [
        {
            "key": reason,
            "name": reason_name(reason, words),
            "title": words(f"means:{reason}"),
            "count": number(totals[reason], 0, words),
            "on": filters.reason == reason,
            # A square root shows a few beside many; a bar that is there is seen.
            "bars": [
                max(8, round(100 * (count / highest) ** 0.5)) if count else 0
                for count in series(found.bars, reason, wanted.since, wanted.until, filters.step)
            ],
        }
        for reason in there
    ]
    most = found.places[0][1] if found.places else 1
    places = [
        {
            "place": place,
            "name": visible(place),
            "count": number(messages, 0, words),
            "share": round(100 * messages / most, 1),
            "on": filters.text == place,
        }
        for place, messages in found.places
    ]
    without = ", ".join(reason_name(reason, words) for reason in REASONS if not totals[reason])
    none = words("None: {reasons}", reasons=without) if without and there else ""
    return {"reasons": reasons, "places": places, "none": none}


def reason_name(reason: str, words: Translator) -> str:
    """A reason as people read it."""
    return words(f"reason:{reason}")
