"""What an address shows that no page has."""

from __future__ import annotations

import dash
from dash import dcc, html

from dashboards import shell

dash.register_page(__name__, title="Thủ Đức")


def layout(**query: str) -> html.Main:
    """The top bar, and the way back."""
    del query
    words = shell.reader().words
    return shell.page(
        "missing",
        shell.top_bar(words, ""),
        html.Div(
            [html.H2(words("There is no such page")), dcc.Link(words("To the wall"), href="/", className="button")],
            className="empty",
        ),
    )
