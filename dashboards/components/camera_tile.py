"""Camera pictures as vision sees them: one large, three small, taking turns."""

from __future__ import annotations

from dash import html

from ioc.i18n import Translator
from ioc.model import Device

#: The first is the large one.
TILES = 4


def camera_tiles(words: Translator) -> html.Section:
    """The tiles; `assets/cameras.js` gives them cameras that have fresh pictures."""
    return html.Section(
        [
            html.Header(
                [html.H2(words("Cameras")), html.Span("", id="camera-summary", className="muted")],
                className="panel-head",
            ),
            html.Div([_tile() for _ in range(TILES)], className="cameras"),
            html.Div(id="cameras-empty", className="empty"),
        ],
        className="camera-panel panel",
    )


def _tile() -> html.Figure:
    return html.Figure(
        [
            html.Img(className="camera-picture", alt=""),
            html.Figcaption(
                [
                    html.Span("", className="camera-name"),
                    html.Span("", className="camera-counts"),
                    html.Span("", className="camera-age"),
                ]
            ),
            html.Span("", className="camera-recorded", hidden=True),
            html.Strong("", className="camera-untrue"),
        ],
        className="camera",
    )


def footage_line(device: Device, words: Translator) -> str:
    """Where the pictures come from of a camera that shows footage; "" for one that shows what it sees."""
    attrs = device.attrs
    source = (attrs.get("footage_en") if words.language == "en" else "") or attrs.get("footage")
    return words("Footage: {source}", source=source) if source else ""
