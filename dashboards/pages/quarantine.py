"""Quarantine: what could not be stored, why, what to do about it; payloads mapped to measures, and messages replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import dash
import orjson
from dash import ClientsideFunction, Input, Output, dcc, html
from dash.development.base_component import Component

from dashboards import shell
from dashboards.attributes import data
from dashboards.components.mapping_list import history_rows, mappings_data, replay_rows
from dashboards.components.quarantine_message import message_head, payload_data
from dashboards.components.quarantine_overview import overview_data
from dashboards.components.quarantine_table import rows_data
from dashboards.components.storage_away import storage_away
from dashboards.mapping_suggestion import UNITS_OF
from dashboards.quarantine_search import DEFAULT_SPAN, SPANS, Filters, as_key, key_of, overview, rows
from dashboards.room import room
from dashboards.when import number
from ioc.db.mappings import all_mappings, history, standing_filters
from ioc.db.quarantine import one
from ioc.db.replay import newest
from ioc.errors import StorageError
from ioc.i18n import Translator
from ioc.mapping import TIME_FORMATS

dash.register_page(__name__, path="/quarantine", title="Cách ly · Thủ Đức")

#: What the status filter calls its choices.
_STATUSES: Final = {"open": "Not stored yet", "replayed": "Stored by a replay", "all": "All of it"}
#: Replays that are shown.
_REPLAYS: Final = 3


def layout(id: str = "", text: str = "", **query: str) -> html.Main:  # noqa: A002 - the deep link is /quarantine?id=…
    """The frame of the page; callbacks fill it from TimescaleDB, the feed says when."""
    del query
    words = shell.reader().words
    chosen = id if as_key(id) is not None else ""
    return shell.page(
        "quarantine",
        shell.top_bar(words, "/quarantine"),
        dcc.Store(id="quarantine-span", data=DEFAULT_SPAN),
        dcc.Store(id="quarantine-reason", data=""),
        dcc.Store(id="quarantine-wanted"),
        dcc.Store(id="quarantine-after", data={}),
        # What is drawn by assets/quarantine.js: tables and bars are too many components for Dash.
        dcc.Store(id="quarantine-figures"),
        dcc.Store(id="quarantine-page"),
        dcc.Store(id="quarantine-shown"),
        dcc.Store(id="quarantine-mappings"),
        dcc.Store(id="quarantine-changed", data=0),
        dcc.Store(id="quarantine-acted", data=0),
        dcc.Store(id="quarantine-replayed", data=0),
        dcc.Store(id="quarantine-chosen", data=chosen),
        dcc.Store(id="quarantine-view", data=""),
        dcc.Store(id="mapping-open", data=0),
        html.Div([_list(words, text[:200]), _side(words)], className="desk"),
        **data(mode="message" if chosen else "list", chosen=chosen),
    )


dash.clientside_callback(
    ClientsideFunction("quarantine", "wanted"),
    Output("quarantine-wanted", "data"),
    Input("quarantine-text", "value"),
    Input("quarantine-dialect", "value"),
    Input("quarantine-status", "value"),
    Input("quarantine-span", "data"),
    Input("quarantine-reason", "data"),
)
dash.clientside_callback(
    ClientsideFunction("quarantine", "draw"),
    Output("quarantine-rows", "title"),
    Input("quarantine-figures", "data"),
    Input("quarantine-page", "data"),
    Input("quarantine-shown", "data"),
    Input("quarantine-mappings", "data"),
)


@dash.callback(
    Output("quarantine-figures", "data"),
    Output("quarantine-count", "children"),
    Output("quarantine-dialect", "options"),
    Output("quarantine-away", "children"),
    Input("quarantine-wanted", "data"),
    Input("quarantine-changed", "data"),
)
async def show_overview(given: object, changed: int) -> tuple[Any, ...]:
    """How much there is."""
    del changed
    if not given:
        return (dash.no_update,) * 4
    words, filters, now = shell.reader().words, Filters.of(given), _now()
    devices = list(room().feed.city.devices)
    try:
        wanted, found = await room().query(
            lambda connection: (
                wanted := filters.wanted(now, ((device.id, device.name) for device in devices)),
                overview(connection, wanted, filters.step),
            )
        )
    except StorageError as error:
        return {}, "", dash.no_update, storage_away(error, words)
    names = {name: name for name in found.dialects if name}
    options = {"": words("All dialects"), **names, **({"-": words("No dialect")} if "" in found.dialects else {})}
    total = number(found.total(filters.reason), 0, words)
    return (
        overview_data(found, filters, wanted, words),
        words("{n} messages", n=total),
        options,
        None,
    )


@dash.callback(
    Output("quarantine-page", "data"),
    Input("quarantine-wanted", "data"),
    Input("quarantine-after", "data"),
    Input("quarantine-changed", "data"),
)
async def show_rows(given: object, after: object, changed: int) -> Any:
    """One page of messages."""
    del changed
    if not given:
        return dash.no_update
    words, filters, now = shell.reader().words, Filters.of(given), _now()
    # Where a page begins holds for the filters it was found with.
    place = after if isinstance(after, dict) and after.get("of") == given else {}
    key = as_key(place.get("key"))
    if key is not None and dash.ctx.triggered_id == "quarantine-changed":
        return dash.no_update  # what is new is on the first page
    city = room().feed.city
    devices = list(city.devices)
    try:
        found = await room().query(
            lambda connection: rows(connection, filters.wanted(now, ((d.id, d.name) for d in devices)), key)
        )
    except StorageError:
        return {"rows": None, "more": "", "first": True}  # the overview says why
    # Read now: a device may have been met while the question was asked.
    names = {
        held.client: city.devices[city.number[held.client]].name for held in found.rows if held.client in city.number
    }
    more = key_of(found.rows[-1]) if found.more else ""
    return {"rows": rows_data(found, names, now, words), "more": more, "first": key is None}


@dash.callback(
    Output("quarantine-file", "data-state"),
    Output("quarantine-head", "children"),
    Output("quarantine-file", "data-whole"),
    Input("quarantine-chosen", "data"),
    Input("quarantine-acted", "data"),
    Input("quarantine-changed", "data"),
)
async def show_message(chosen: object, acted: int, changed: int) -> tuple[Any, ...]:
    """Why the chosen message lies here, and what became of its replay."""
    del acted, changed
    words = shell.reader().words
    key = as_key(chosen)
    if key is None:
        return "none", html.P(words("Choose a message")), ""
    try:
        held = await room().query(lambda connection: one(connection, *key))
    except StorageError as error:
        return "away", storage_away(error, words), ""
    if held is None:
        return "none", html.P(words("This message is not here any more")), ""
    city = room().feed.city
    name = city.devices[city.number[held.client]].name if held.client in city.number else ""
    return "shown", message_head(held, name, _now(), words), "1" if held.is_whole else ""


@dash.callback(
    Output("quarantine-shown", "data"),
    Input("quarantine-chosen", "data"),
    Input("quarantine-view", "data"),
    Input("quarantine-acted", "data"),
)
async def show_payload(chosen: object, view: object, acted: int) -> Any:
    """What the chosen message holds."""
    del acted
    key = as_key(chosen)
    if key is None:
        return {}
    try:
        held = await room().query(lambda connection: one(connection, *key))
    except StorageError:
        return {}  # the head says it
    return payload_data(held, view) if held is not None else {}


@dash.callback(
    Output("quarantine-mappings", "data"), Output("mapping-away", "children"), Input("quarantine-acted", "data")
)
async def show_mappings(acted: int) -> tuple[Any, Any]:
    """The mappings."""
    del acted
    words = shell.reader().words
    try:
        found, standing = await room().query(
            lambda connection: (all_mappings(connection), standing_filters(connection))
        )
    except StorageError as error:
        return None, storage_away(error, words)
    return mappings_data(found, standing, _now(), words), None


@dash.callback(
    Output("quarantine-replays", "children"), Input("quarantine-acted", "data"), Input("quarantine-replayed", "data")
)
async def show_replays(acted: int, replayed: int) -> Any:
    """How the last replays went."""
    del acted, replayed
    try:
        found = await room().query(lambda connection: newest(connection, _REPLAYS))
    except StorageError:
        return dash.no_update
    return replay_rows(found, _now(), shell.reader().words)


@dash.callback(Output("mapping-history", "children"), Input("mapping-open", "data"), Input("quarantine-acted", "data"))
async def show_history(opened: object, acted: int) -> Any:
    """What was done to the mapping in the editor."""
    del acted
    if not isinstance(opened, int) or opened <= 0:
        return []
    words = shell.reader().words
    try:
        found = await room().query(lambda connection: history(connection, opened))
    except StorageError as error:
        return storage_away(error, words)
    return [html.H3(words("History")), *history_rows(found, _now(), words)] if found else []


# --- parts -----------------------------------------------------------------------------------------------------------------


def _list(words: Translator, text: str) -> html.Section:
    return html.Section(
        [
            _filters(words, text),
            html.Div(id="quarantine-away"),
            html.Div(
                [
                    html.Div(id="quarantine-reasons", className="reasons", role="group"),
                    html.Section(
                        [html.H3(words("Most come from")), html.Div(id="quarantine-places", className="places")],
                        className="panel card places-card",
                    ),
                ],
                className="overview",
            ),
            html.Section(
                [
                    html.Header(
                        [
                            html.Strong(id="quarantine-count"),
                            html.Button(
                                words("Replay all of these"),
                                type="button",
                                className="button",
                                **data(quarantine="all"),
                            ),
                            html.Span(className="grow"),
                            html.Div(
                                [
                                    html.Button(
                                        words("Newest"), type="button", className="tab", **data(quarantine="first")
                                    ),
                                    html.Button(
                                        words("Older"), type="button", className="tab", **data(quarantine="older")
                                    ),
                                ],
                                id="quarantine-pager",
                                className="pager",
                            ),
                        ],
                        className="rows-head",
                    ),
                    html.Div(id="quarantine-rows", className="rows"),
                ],
                className="panel rows-card",
            ),
        ],
        className="list-side",
    )


def _filters(words: Translator, text: str) -> html.Div:
    spans = [html.Button(words(name), type="button", className="tab", **data(span=name)) for name in SPANS]

    def choice(name: str, options: Mapping[str, str], value: str) -> dcc.Dropdown:
        return dcc.Dropdown(
            dict(options), value, id=f"quarantine-{name}", clearable=False, searchable=False, className="choice"
        )

    return html.Div(
        [
            html.Div(spans, className="tabs", role="group"),
            dcc.Input(
                id="quarantine-text",
                type="search",
                value=text,
                debounce=0.3,
                placeholder=words("Device or topic (diacritics may be left out)"),
                className="input search",
                maxLength=200,
            ),
            choice("dialect", {"": words("All dialects")}, ""),
            choice("status", {key: words(name) for key, name in _STATUSES.items()}, "open"),
        ],
        className="quarantine-filters",
    )


def _side(words: Translator) -> html.Section:
    modes = (("message", "Message"), ("list", "Mappings"))
    return html.Section(
        [
            html.Nav(
                [
                    html.Button(words(name), type="button", className="tab mode", **data(mode_of=mode))
                    for mode, name in modes
                ],
                className="modes",
            ),
            html.Div(id="quarantine-replays", className="replays"),
            html.Article(
                [
                    html.Header(id="quarantine-head", className="file-head"),
                    html.Div(
                        [
                            _button(words("Build a mapping"), "map", "primary"),
                            _button(words("Replay"), "replay"),
                        ],
                        className="acts",
                    ),
                    html.Section(html.Div(id="quarantine-payload"), className="panel payload-card"),
                ],
                id="quarantine-file",
                className="message-file",
                **data(state="none"),
            ),
            html.Section(
                [
                    html.Div(
                        [
                            html.P(
                                words("A mapping says which values of an unknown payload are which measures."),
                                className="muted",
                            ),
                            _button(words("Listen to a topic"), "listen"),
                        ],
                        className="mappings-head",
                    ),
                    html.Div(id="mapping-away"),
                    html.Div(id="mapping-list"),
                ],
                className="mappings-side",
            ),
            html.Section(
                [
                    html.Div(
                        id="mapping-editor",
                        **data(
                            units=orjson.dumps(UNITS_OF).decode(),
                            forms=orjson.dumps(_forms(TIME_FORMATS, words)).decode(),
                        ),
                    ),
                    html.Div(id="mapping-history", className="panel card mapping-history"),
                ],
                className="editor-side",
            ),
        ],
        className="file-side",
    )


def _forms(forms: Sequence[str], words: Translator) -> dict[str, str]:
    return {form: words(f"form:{form}") for form in forms}


def _button(text: str, act: str, kind: str = "") -> Component:
    return html.Button(text, type="button", className=f"button {kind}".strip(), **data(quarantine=act))


def _now() -> datetime:
    return datetime.now(UTC)
