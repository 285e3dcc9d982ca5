"""What a page says instead of figures when TimescaleDB does not answer."""

from __future__ import annotations

from dash import html

from ioc.i18n import Translator


def storage_away(error: Exception, words: Translator) -> html.Div:
    """The words, and the error for a technician."""
    return html.Div(
        [
            html.Strong(words("The database does not answer")),
            html.P(words("Nothing is shown rather than something old. The page tries again by itself.")),
            html.Small(str(error)[:300], className="muted"),
        ],
        className="away",
        role="alert",
    )
