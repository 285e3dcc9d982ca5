"""One camera: its picture large, what is drawn on it and what that says, how vision copes and may, its counts and alarms."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import dash
import orjson
from dash import ClientsideFunction, Input, Output, dcc, html

from dashboards import shell
from dashboards.attributes import aria, data
from dashboards.camera_records import camera_file, counted
from dashboards.components.alarm_table import alarm_lines
from dashboards.components.camera_card import budget_data, camera_head, counts_data, figures_card
from dashboards.components.camera_rules import kinds_data, rules_data
from dashboards.components.storage_away import storage_away
from dashboards.evidence import shows_picture
from dashboards.room import room
from dashboards.theme import CLASS_COLOURS
from dashboards.when import number
from ioc.camera_rules import PEOPLE_FPS, RESTS, VEHICLES_FPS
from ioc.db.camera_budgets import MOST_FPS
from ioc.errors import LiveError, StorageError
from ioc.i18n import Translator
from ioc.model import RulesWatched
from ioc.settings import LEAST_FPS
from ioc.topics import DEVICE_ID

dash.register_page(__name__, path_template="/cameras/<camera>", title="Camera · Thủ Đức")


def layout(camera: str = "", **query: str) -> html.Main:
    """The frame of the page; the picture and what is drawn on it come from scripts, the rest from callbacks."""
    del query
    words = shell.reader().words
    key = _camera_id(camera)
    return shell.page(
        "camera",
        shell.top_bar(words, "/cameras"),
        dcc.Store(id="camera-key", data=key),
        dcc.Store(id="camera-changed", data=0),
        dcc.Store(id="camera-measured", data=0),
        dcc.Store(id="camera-counted", data=0),
        dcc.Store(id="camera-drawn"),
        dcc.Store(id="camera-budget-kept"),
        dcc.Store(id="camera-day"),
        html.Div(
            [
                html.Header(id="camera-head", className="file-head camera-head"),
                html.Div(id="camera-away"),
                html.Div([_picture(words), _below(words)], className="camera-main"),
                html.Div(
                    [
                        html.Section(
                            [
                                html.Header(
                                    [
                                        html.H3(words("Rules on the picture")),
                                        html.Button(
                                            words("Draw a rule"), type="button", className="button", **data(rule="new")
                                        ),
                                    ],
                                    className="card-head",
                                ),
                                html.Div(id="rule-list"),
                                html.Div(id="rule-editor"),
                            ],
                            id="camera-rules",
                            className="panel card",
                            **data(kinds=orjson.dumps(kinds_data(words)).decode()),
                        ),
                        _budget(words),
                        _card(words("How vision copes"), "camera-figures"),
                    ],
                    className="camera-side",
                ),
            ],
            id="camera-file",
            className="desk camera-desk",
            **data(state="asking"),
        ),
        **data(camera=key, colours=orjson.dumps(CLASS_COLOURS).decode()),
    )


@dash.callback(
    Output("camera-file", "data-state"),
    Output("camera-file", "data-frames"),
    Output("camera-head", "children"),
    Output("camera-away", "children"),
    Output("camera-alarms", "children"),
    Output("camera-drawn", "data"),
    Output("camera-budget-kept", "data"),
    Input("camera-key", "data"),
    Input("camera-changed", "data"),
)
async def show_camera(given: object, changed: int) -> tuple[Any, ...]:
    """What TimescaleDB knows of the camera: its entry, its alarms, what is drawn on its picture."""
    del changed
    words, key, now = shell.reader().words, _camera_id(given), _now()
    nothing = (dash.no_update,) * 3
    if not key:
        return ("none", "", html.P(words("There is no camera of this name")), None, *nothing)
    try:
        file = await room().query(lambda connection: camera_file(connection, key, now))
    except StorageError as error:
        # The picture goes on without; nothing can be drawn, and what was drawn is not known to be still so.
        return ("away", dash.no_update, dash.no_update, storage_away(error, words, feed_goes_on=True), *nothing)
    if file is None:
        return ("none", "", html.P(words("There is no camera {id}", id=key)), None, *nothing)
    return (
        "shown",
        "1" if shows_picture(room().feed.city, key, time.time()) else "",
        camera_head(file, words),
        None,
        alarm_lines(file.alarms, now, words, file.shots),
        {"rules": rules_data(file, await _watched(key), words), "at": now.timestamp()},
        budget_data(file, now),
    )


@dash.callback(Output("camera-figures", "children"), Input("camera-key", "data"), Input("camera-measured", "data"))
async def show_figures(given: object, measured: int) -> Any:
    """How vision copes with the camera."""
    del measured
    words, key = shell.reader().words, _camera_id(given)
    if not key:
        return None
    try:
        found = await asyncio.to_thread(room().live.camera_figures, [key])
    except LiveError as error:
        room().feed.links.lost("redis", error)
        return html.P(words("Redis does not answer: how vision copes is not known."), className="bad")
    return figures_card(found.get(key), words)


@dash.callback(Output("camera-day", "data"), Input("camera-key", "data"), Input("camera-counted", "data"))
async def show_counts(given: object, asked: int) -> Any:
    """What was in view over the last day."""
    del asked
    key, now = _camera_id(given), _now()
    if not key:
        return dash.no_update
    try:
        return counts_data(await room().query(lambda connection: counted(connection, key, now)), now)
    except StorageError:
        return None  # the head of the page says why


dash.clientside_callback(
    ClientsideFunction("cameraCounts", "draw"), Output("camera-counts", "title"), Input("camera-day", "data")
)
dash.clientside_callback(
    ClientsideFunction("cameraRules", "take"), Output("rule-list", "title"), Input("camera-drawn", "data")
)
dash.clientside_callback(
    ClientsideFunction("cameraBudget", "take"), Output("budget-form", "title"), Input("camera-budget-kept", "data")
)


async def _watched(key: str) -> RulesWatched | None:
    try:
        return await asyncio.to_thread(room().live.rules_watched, key)
    except LiveError as error:
        room().feed.links.lost("redis", error)
        return None


def _picture(words: Translator) -> html.Section:
    """The picture, what is drawn on it, and what is in view."""
    return html.Section(
        [
            html.Div(
                html.Div(
                    [
                        html.Div(className="stage-view cam-view"),
                        html.Div(className="stage-none"),
                        html.Div(className="stage-drawn"),
                        html.Div(className="stage-marks"),
                    ],
                    className="camera-stage",
                ),
                className="stage-room",
            ),
            html.Div(
                [
                    html.Div(id="camera-now", className="camera-now"),
                    html.H3(words("In view")),
                    html.Ul(id="camera-inside", className="inside"),
                    html.P(id="stage-hint", className="muted stage-hint", **aria(live="polite")),
                ],
                className="stage-side",
            ),
        ],
        className="panel stage-panel",
    )


def _budget(words: Translator) -> html.Section:
    """How often vision may look at the camera."""
    hint = words(
        "From {least} to {most}. Where more comes than can be looked at, cameras share in proportion to this. Lines,"
        " wrong way and speeds rest below {rests} and run from {vehicles} on; lines of people alone and loitering below"
        " {people_rest} and from {people}.",
        least=number(LEAST_FPS, 1, words),
        most=number(MOST_FPS, 0, words),
        rests=number(RESTS * VEHICLES_FPS, 2, words),
        vehicles=number(VEHICLES_FPS, 0, words),
        people_rest=number(RESTS * PEOPLE_FPS, 1, words),
        people=number(PEOPLE_FPS, 0, words),
    )
    return html.Section(
        [html.H3(words("Frame budget")), html.Div(id="budget-form"), html.P(hint, className="muted small")],
        id="camera-budget",
        className="panel card",
    )


def _below(words: Translator) -> html.Div:
    return html.Div(
        [
            _card(words("In view over the last 24 h, mean by class"), "camera-counts"),
            _card(words("Its alarms"), "camera-alarms"),
        ],
        className="camera-below",
    )


def _card(title: str, key: str) -> html.Section:
    return html.Section([html.H3(title), html.Div(id=key)], className=f"panel card card-{key}")


def _camera_id(given: object) -> str:
    """A device id from an address, "" when it is none."""
    return given if isinstance(given, str) and DEVICE_ID.fullmatch(given) else ""


def _now() -> datetime:
    return datetime.now(UTC)
