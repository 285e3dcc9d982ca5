"""What a page says instead of figures when TimescaleDB does not answer."""

from __future__ import annotations

from dash import html

from ioc.i18n import Translator


def storage_away(error: Exception, words: Translator, *, feed_goes_on: bool = False) -> html.Div:
    """The words, and the error for a technician; `feed_goes_on` where live figures stand beside them."""
    shown = (
        words("Shown is what the live feed still tells; what the database adds is left out.")
        if feed_goes_on
        else words("Nothing is shown rather than something old. The page tries again by itself.")
    )
    return html.Div(
        [
            html.Strong(words("The database does not answer")),
            html.P(shown),
            html.Small(str(error)[:300], className="muted"),
        ],
        className="away",
        role="alert",
    )
