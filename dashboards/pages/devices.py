"""Devices: how each of them is, in a table of thousands, and everything about one."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import dash
from dash import ClientsideFunction, Input, Output, dcc, html
from dash.development.base_component import Component

from dashboards import shell
from dashboards.attributes import data
from dashboards.city import Health
from dashboards.components import command_chain as chain
from dashboards.components import device_entry as entry
from dashboards.components import device_panel as panel
from dashboards.components.alarm_table import alarm_lines
from dashboards.components.device_table import device_filters, device_table
from dashboards.components.history_chart import graph, history_chart
from dashboards.components.storage_away import storage_away
from dashboards.device_records import DeviceFile, availability_of_all, device_file, light_file, table_facts
from dashboards.evidence import shows_picture
from dashboards.room import room
from dashboards.screen import rem
from ioc.catalog import FINDINGS, KINDS, MEASURES
from ioc.db.readings import history
from ioc.errors import StorageError
from ioc.i18n import Translator
from ioc.topics import DEVICE_ID

dash.register_page(__name__, path="/devices", title="Thiết bị · Thủ Đức")

#: Spans of the history chart: message, length, buckets.
SPANS: Final = {"1 h": (timedelta(hours=1), 240), "24 h": (timedelta(hours=24), 288), "7 d": (timedelta(days=7), 168)}


def layout(id: str = "", **query: str) -> html.Main:  # noqa: A002 - the deep link is /devices?id=…
    """The frame of the page; the table is filled from the feed, the panel by callbacks."""
    del query
    words = shell.reader().words
    return shell.page(
        "devices",
        shell.top_bar(words, "/devices"),
        dcc.Store(id="device-chosen", data=_device_id(id)),
        dcc.Store(id="device-measure", data=""),
        dcc.Store(id="device-span", data="1 h"),
        dcc.Store(id="device-changed", data=0),
        dcc.Store(id="device-commanded", data=0),
        dcc.Store(id="devices-changed", data=0),
        dcc.Store(id="devices-facts", data={}),
        dcc.Store(id="devices-shares", data={}),
        html.Div(
            [
                html.Section(
                    [
                        device_filters(words),
                        html.Div(id="devices-away"),
                        html.Div(device_table(words, rem()), className="grid-frame"),
                    ],
                    className="table-pane",
                ),
                _detail(words),
            ],
            className="desk",
        ),
        **data(chosen=_device_id(id)),
    )


@dash.callback(Output("devices-facts", "data"), Output("devices-away", "children"), Input("devices-changed", "data"))
async def show_facts(changed: int) -> tuple[Any, Any]:
    """What the table needs beyond the feed."""
    del changed
    try:
        return await room().query(lambda connection: table_facts(connection, _now())), None
    except StorageError as error:
        return {}, storage_away(error, shell.reader().words, feed_goes_on=True)


@dash.callback(Output("devices-shares", "data"), Input("devices-slowly", "n_intervals"))
async def show_shares(rounds: int) -> Any:
    """Availability of all devices; a look at a month of states, so only now and then."""
    del rounds
    try:
        return await room().query(lambda connection: availability_of_all(connection, _now()))
    except StorageError:
        # The table says so already, and a share that is five minutes old is still one.
        return dash.no_update


dash.clientside_callback(
    ClientsideFunction("devices", "filter"),
    Output("device-count", "title"),
    Input("device-text", "value"),
    Input("device-ward", "value"),
)
dash.clientside_callback(
    ClientsideFunction("devices", "facts"),
    Output("devices-grid", "className"),
    Input("devices-facts", "data"),
    Input("devices-shares", "data"),
)


@dash.callback(
    Output("device-file", "data-state"),
    Output("device-head", "children"),
    Output("device-facts", "children"),
    Output("device-camera", "children"),
    Output("device-measures", "children"),
    Output("device-strips", "children"),
    Output("device-alarms", "children"),
    Output("device-relatives", "children"),
    Output("device-rejected", "children"),
    Output("device-events", "children"),
    Output("device-entry", "data-status"),
    Output("device-entry", "data-device"),
    Output("device-entry-known", "children"),
    Output("entry-open", "children"),
    Input("device-chosen", "data"),
    Input("device-measure", "data"),
    Input("device-changed", "data"),
)
async def show_device(chosen: str, measure: str, changed: int) -> tuple[Any, ...]:
    """Everything about the chosen device but its history."""
    del changed
    words = shell.reader().words
    nothing = (dash.no_update,) * 12
    key = _device_id(chosen)
    if not key:
        return ("none", html.P(words("Choose a device")), *nothing)
    now = _now()
    try:
        file = await room().query(lambda connection: device_file(connection, key, now))
    except StorageError as error:
        return ("away", storage_away(error, words), *nothing)
    if file is None:
        return ("none", html.P(words("There is no device {id}", id=key)), *nothing)
    health = room().feed.city.health_of(key, time.time())
    if file.device.status == "retired":
        health = Health.RETIRED
    heard = [reading.received for reading in file.latest if reading.measure not in FINDINGS] + (
        [file.device.last_seen] if file.device.last_seen else []
    )
    picture = panel.camera_picture(file, shows_picture(room().feed.city, key, time.time()), now, words)
    return (
        "shown",
        panel.panel_head(file, health, _address(key), words),
        panel.panel_facts(file, health, max(heard, default=None), words),
        picture,
        panel.measure_table(file, _measure(measure, file), now, words),
        panel.strips(file, now, words),
        alarm_lines(file.alarms, now, words),
        panel.relatives(file, words),
        panel.rejected_lines(file, now, words),
        entry.event_lines(file, now, words),
        file.device.status,
        entry.entry_data(file.device),
        entry.entry_known(file, now, words),
        words("Adopt") if file.device.status == "new" else words("Edit"),
    )


@dash.callback(
    Output("device-light", "data-lamps"),
    Output("device-light", "data-under"),
    Output("device-light-reach", "children"),
    Output("device-commands", "children"),
    Input("device-chosen", "data"),
    Input("device-commanded", "data"),
)
async def show_light(chosen: str, commanded: int) -> tuple[Any, ...]:
    """What of the chosen device can be lit, and what became of the last commands."""
    del commanded
    words = shell.reader().words
    key = _device_id(chosen)
    if not key:
        return "0", "", "", None
    try:
        file = await room().query(lambda connection: light_file(connection, key))
    except StorageError as error:
        return dash.no_update, dash.no_update, "", storage_away(error, words)
    if file is None or not file.lamps + file.worked_on:
        return "0", "", "", None
    under = key if file.names else ""
    return str(file.lamps), under, chain.light_reach(file, words), chain.light_history(file, _now(), words)


@dash.callback(
    Output("device-history", "children"),
    Output("device-history-name", "children"),
    Input("device-chosen", "data"),
    Input("device-measure", "data"),
    Input("device-span", "data"),
    Input("device-changed", "data"),
)
async def show_history(chosen: str, measure: str, name: str, changed: int) -> tuple[Component | None, str]:
    """One measure of the chosen device over a span."""
    del changed
    words = shell.reader().words
    key = _device_id(chosen)
    if not key:
        return None, ""
    until = _now()
    length, points = SPANS.get(str(name), SPANS["1 h"])
    try:
        file = await room().query(lambda connection: device_file(connection, key, until))
        if file is None:
            return None, ""
        row = MEASURES.get(_measure(measure, file))
        if row is None:
            return html.P(words("It has sent no readings yet"), className="muted chart-empty"), ""
        found = await room().query(lambda connection: history(connection, key, row.key, until - length, until, points))
    except StorageError as error:
        return storage_away(error, words), ""
    label = row.label.in_language(words.language)
    if not found:
        return html.P(words("No readings in this span"), className="muted chart-empty"), label
    drawn = history_chart(
        row.key, found, until - length, until, length / points, words, attrs=file.device.attrs, rem=rem()
    )
    return graph(drawn), label


# --- parts -----------------------------------------------------------------------------------------------------------------


def _detail(words: Translator) -> html.Section:
    spans = [html.Button(words(name), type="button", className="tab", **data(span=name)) for name in SPANS]

    def card(title: str, key: str) -> html.Section:
        return html.Section([html.H3(words(title)), html.Div(id=key)], className=f"panel card card-{key}")

    return html.Section(
        [
            html.Button("×", type="button", className="shut", title=words("Close"), **data(devices="shut")),
            html.Header(id="device-head", className="file-head"),
            html.Div(
                [
                    html.Div(id="device-facts"),
                    html.Div(id="device-camera", className="panel camera-card"),
                    _light(words),
                    card("Measures", "device-measures"),
                    html.Section(
                        [
                            html.Header(
                                [
                                    html.H3([words("History"), html.Span(" · "), html.Span(id="device-history-name")]),
                                    html.Div(spans, className="tabs", role="group"),
                                ],
                                className="card-head",
                            ),
                            html.Div(id="device-history"),
                        ],
                        className="panel card",
                    ),
                    card("States, last 24 h", "device-strips"),
                    card("Its alarms", "device-alarms"),
                    card("Events, last 7 days", "device-events"),
                    html.Section(html.Div(id="device-relatives"), className="panel card card-relatives"),
                    card("Quarantined messages", "device-rejected"),
                    entry.entry_card(words),
                ],
                className="device-body",
            ),
            # Availability looks at a month of states: every five minutes is soon enough.
            dcc.Interval(id="devices-slowly", interval=300_000),
        ],
        id="device-file",
        className="device-pane panel",
        **data(state="none"),
    )


def _light(words: Translator) -> html.Section:
    """The buttons; whom they reach is told by `show_light`, the dimmer is put in by `assets/lights.js`."""
    return html.Section(
        [
            html.Header(
                [html.H3(words("Control")), html.Span(id="device-light-reach", className="muted")],
                className="card-head",
            ),
            html.Div(
                [
                    html.Button(words("Switch off"), type="button", className="button", **data(light="0")),
                    html.Button(words("Switch on"), type="button", className="button", **data(light="1")),
                    html.Div(id="device-dimmer", className="dimmer"),
                    html.Button(words("Dim"), type="button", className="button", **data(light="dim")),
                ],
                className="light-buttons",
            ),
            html.Div(id="device-commands"),
        ],
        id="device-light",
        className="panel card card-light",
        **data(lamps="0", under=""),
    )


def _measure(wanted: object, file: DeviceFile) -> str:
    """The measure asked for if the device has sent it, else its headline, else any it has sent."""
    sent = {reading.measure for reading in file.latest}
    kind = KINDS.get(file.device.kind)
    choices = [str(wanted), kind.headline if kind else "", *(kind.measures if kind else ()), *sorted(sent)]
    return next((choice for choice in choices if choice in sent), "")


def _address(key: str) -> str:
    """The deep link of a device, as this reader reached the server."""
    return f"{dash.get_app().backend.request_adapter().root.rstrip('/')}/devices?id={quote(key)}"


def _device_id(given: object) -> str:
    """A device id from a browser, "" when it is none."""
    return given if isinstance(given, str) and DEVICE_ID.fullmatch(given) else ""


def _now() -> datetime:
    return datetime.now(UTC)
