"""Cameras: all of them as live pictures, those that need somebody first."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import dash
from dash import ClientsideFunction, Input, Output, dcc, html

from dashboards import shell
from dashboards.attributes import aria, data
from dashboards.camera_records import cameras, grid_facts
from dashboards.room import room
from ioc.errors import LiveError
from ioc.geo import wards
from ioc.i18n import Translator

dash.register_page(__name__, path="/cameras", title="Camera · Thủ Đức")

#: How large the tiles are: key, message.
SIZES: Final = (("small", "Small"), ("medium", "Medium"), ("large", "Large"))


def layout(text: str = "", ward: str = "", state: str = "", size: str = "", **query: str) -> html.Main:
    """The frame of the page; `assets/camera-grid.js` puts the tiles in from the feed. What is filtered stands in the address."""
    del query
    # A key that comes twice in the address comes as a list.
    text, ward, state, size = (one if isinstance(one, str) else "" for one in (text, ward, state, size))
    words = shell.reader().words
    known = {one.code for one in wards()}
    return shell.page(
        "cameras",
        shell.top_bar(words, "/cameras"),
        dcc.Store(id="cameras-asked", data=0),
        dcc.Store(id="cameras-facts", data={}),
        html.Div(
            [
                _filters(words, text[:200], ward if ward in known else ""),
                html.Div(id="cameras-away", role="status"),
                html.Div(
                    [
                        html.Div(id="cameras-grid", className="camera-sections"),
                        html.Div(id="cameras-lost", className="camera-sections"),
                    ],
                    className="camera-sides",
                ),
            ],
            className="desk cameras-desk",
        ),
        **data(state=state[:40], size=size if size in dict(SIZES) else "medium"),
    )


@dash.callback(Output("cameras-facts", "data"), Input("cameras-asked", "data"))
async def show_facts(asked: int) -> Any:
    """When frames came that vision has not looked at, and how fast it looks."""
    del asked
    city = room().feed.city
    keys = cameras(city)
    try:
        figures = await asyncio.to_thread(room().live.camera_figures, keys)
    except LiveError as error:
        # The page reads from the links of the feed that Redis is away, and says so.
        room().feed.links.lost("redis", error)
        figures = {}
    return grid_facts(city, keys, figures)


dash.clientside_callback(
    ClientsideFunction("cameras", "facts"), Output("cameras-grid", "title"), Input("cameras-facts", "data")
)
dash.clientside_callback(
    ClientsideFunction("cameras", "filter"),
    Output("camera-count", "title"),
    Input("camera-text", "value"),
    Input("camera-ward", "value"),
)


def _filters(words: Translator, text: str, ward: str) -> html.Div:
    places = {one.code: one.name for one in sorted(wards(), key=lambda one: one.name)}
    sizes = [
        html.Button(
            html.I(className=f"size-mark size-{key}"),
            type="button",
            className="tab",
            title=words(name),
            **data(size_of=key),
            **aria(label=words(name)),
        )
        for key, name in SIZES
    ]
    return html.Div(
        [
            html.Div(id="camera-states", className="chips", role="group"),
            html.Div(className="grow"),
            dcc.Input(
                id="camera-text",
                type="search",
                value=text,
                placeholder=words("Search (diacritics may be left out)"),
                className="input search",
                maxLength=200,
            ),
            dcc.Dropdown(
                {"": words("All wards"), **places},
                ward,
                id="camera-ward",
                clearable=False,
                searchable=False,
                className="choice",
            ),
            html.Button(words("Clear filters"), type="button", className="button", **data(cameras="clear")),
            html.Div(sizes, className="tabs", role="group", **aria(label=words("Size of the pictures"))),
            html.Span("", id="camera-count", className="muted"),
        ],
        className="camera-filters",
    )
