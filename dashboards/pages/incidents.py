"""Incidents: the list beside everything about one of them, and what an operator does about it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any, Final

import dash
import dash_leaflet as dl
from dash import Input, Output, State, dcc, html
from dash.development.base_component import Component

from dashboards import shell
from dashboards.attributes import data
from dashboards.components.alarm_table import alarm_table, urgency
from dashboards.components.city_map import ward_layers
from dashboards.components.evidence_view import camera_view, evidence_view
from dashboards.components.incident_rows import (
    acknowledged_after,
    cause_name,
    duration,
    incident_look,
    incident_rows,
    state_pill,
    ward_name,
)
from dashboards.components.priority import prio
from dashboards.components.storage_away import storage_away
from dashboards.components.timeline import chain_mark, openings, timeline
from dashboards.evidence import camera_near, gather
from dashboards.incident_search import STATES, Filters, search
from dashboards.room import room
from dashboards.screen import rem
from dashboards.when import moment
from ioc.catalog import CAUSES, KINDS
from ioc.db.alarms import IncidentFile, incident_file
from ioc.db.pool import Connection
from ioc.errors import ActionError, StorageError
from ioc.geo import wards
from ioc.i18n import Translator
from ioc.model import Reading

dash.register_page(__name__, path="/incidents", title="Sự cố · Thủ Đức")

#: What the state filter calls its choices.
_STATE_CHOICES: Final = {
    "alive": "Not closed",
    "open": "Waiting for an operator",
    "acknowledged": "Acknowledged by an operator",
    "cleared": "Condition gone",
    "closed": "Closed by an operator",
    "all": "All states",
}
#: Buttons of the action bar: act (see assets/incidents.js), message, key.
_ACTS: Final = (
    ("acknowledge", "Acknowledge", "A"),
    ("note", "Note", ""),
    ("assign", "Assign", ""),
    ("shelve", "Shelve", "S"),
    ("close", "Close incident", ""),
)


def layout(id: str = "", **query: str) -> html.Main:  # noqa: A002 - the deep link is /incidents?id=12
    """The frame of the page; callbacks fill it from TimescaleDB, the feed says when."""
    del query
    words = shell.reader().words
    return shell.page(
        "incidents",
        shell.top_bar(words, "/incidents"),
        dcc.Store(id="incident-chosen", data=_number(id)),
        dcc.Store(id="incident-alarm", data=0),
        dcc.Store(id="incidents-changed", data=0),
        html.Div(
            [
                html.Section(
                    [_filters(words), html.Div(id="incident-count"), html.Div(id="incident-list")],
                    className="list-pane panel",
                ),
                _detail(words),
            ],
            className="desk",
        ),
    )


@dash.callback(
    Output("incident-list", "children"),
    Output("incident-count", "children"),
    Input("incidents-changed", "data"),
    Input("incident-state", "value"),
    Input("incident-priority", "value"),
    Input("incident-cause", "value"),
    Input("incident-ward", "value"),
    Input("incident-text", "value"),
)
async def show_list(changed: int, state: str, priority: str, cause: str, ward: str, text: str) -> tuple[list[Any], str]:
    """The rows that pass the filters."""
    del changed
    words = shell.reader().words
    filters = Filters.of(state, priority, cause, ward, text)
    try:
        found = await room().query(lambda connection: search(connection, filters))
    except StorageError as error:
        return [storage_away(error, words)], ""
    return incident_rows(found, _now(), words), words("{n} incidents", n=found.total)


@dash.callback(
    Output("incident-file", "data-state"),
    Output("incident-head", "children"),
    Output("incident-alarms", "children"),
    Output("incident-log", "children"),
    Output("incident-chain", "children"),
    Output("incident-pins", "children"),
    Output("incident-map", "viewport"),
    Output("incident-facts", "data"),
    Input("incident-chosen", "data"),
    Input("incident-alarm", "data"),
    Input("incidents-changed", "data"),
    State("incident-facts", "data"),
)
async def show_file(chosen: int, alarm: int, changed: int, before: dict[str, Any]) -> tuple[Any, ...]:
    """Everything about the chosen incident but its evidence."""
    del changed
    words = shell.reader().words
    nothing = (dash.no_update,) * 5
    number = _number(chosen)
    if not number:
        return ("none", html.P(words("Choose an incident")), *nothing, {})
    try:
        file, names, attrs, latest = await room().query(lambda connection: _read(connection, number))
    except ActionError:
        return ("none", html.P(words("There is no incident #{id}", id=number)), *nothing, {})
    except StorageError as error:
        return ("away", storage_away(error, words), *nothing, {})
    now = _now()
    evidence = _evidence_alarm(file, alarm)
    facts = {"id": number, "alarm": evidence}
    pins, centre = _pins(file)
    same_place = (before or {}).get("id") == number
    viewport = {"center": centre, "zoom": 14, "transition": "setView"} if centre and not same_place else dash.no_update
    return (
        file.incident.state,
        _head(file, now, words),
        alarm_table(file.alarms, evidence, latest, names, attrs, openings(file.log), now, words),
        timeline(file.log, names, now, words),
        chain_mark(file.log, file.fault, words),
        pins,
        viewport,
        facts,
    )


@dash.callback(
    Output("incident-why", "children"),
    Output("incident-camera", "children"),
    Input("incident-facts", "data"),
)
async def show_evidence(facts: dict[str, Any]) -> tuple[list[Component], list[Component]]:
    """Why the alarm fired."""
    words = shell.reader().words
    number, wanted = _number((facts or {}).get("id")), _number((facts or {}).get("alarm"))
    if not number or not wanted:
        return [], []
    city = room().feed.city
    try:
        file = await room().query(lambda connection: incident_file(connection, number))
        alarm = next((row for row in file.alarms if row.id == wanted), None)
        if alarm is None:
            return [], []
        at = city.number.get(alarm.device)
        kind = KINDS.get(city.devices[at].kind) if at is not None else None
        headline = kind.headline if kind is not None and not alarm.measure else ""
        evidence = await room().query(lambda connection: gather(connection, alarm, headline, _now()))
    except (StorageError, ActionError) as error:
        return [storage_away(error, words)], []
    device = evidence.device
    near = None
    if device is not None and device.lat is not None and device.lon is not None:
        near = camera_near(city, device.lat, device.lon, time.time())
    opens = bool(room().settings.evidence_master_key.get_secret_value())
    return evidence_view(evidence, _now(), words, rem(), opens=opens), [
        camera_view(*near, words)
    ] if near is not None else []


# --- parts -----------------------------------------------------------------------------------------------------------------


def _filters(words: Translator) -> html.Div:
    def choice(name: str, options: dict[str, str], value: str) -> dcc.Dropdown:
        return dcc.Dropdown(
            options, value, id=f"incident-{name}", clearable=False, searchable=False, className="choice"
        )

    causes = {key: label.in_language(words.language) for key, label in CAUSES.items()}
    places = {ward.code: ward.name for ward in sorted(wards(), key=lambda ward: ward.name)}
    return html.Div(
        [
            dcc.Input(
                id="incident-text",
                type="search",
                debounce=0.25,
                placeholder=words("Search (diacritics may be left out)"),
                className="input search",
                maxLength=200,
            ),
            choice("state", {key: words(_STATE_CHOICES[key]) for key in STATES}, "alive"),
            choice("priority", {"0": words("All priorities"), "1": "▲ 1", "2": "◆ 2", "3": "■ 3"}, "0"),
            choice("cause", {"": words("All causes"), **causes}, ""),
            choice("ward", {"": words("All wards"), **places}, ""),
        ],
        className="filters",
    )


def _detail(words: Translator) -> html.Section:
    buttons = [
        html.Button(
            [words(name), html.Kbd(key) if key else None],
            type="button",
            className="button primary" if act == "acknowledge" else "button",
            **data(act=act),
        )
        for act, name, key in _ACTS
    ]
    return html.Section(
        [
            dcc.Store(id="incident-facts", data={}),
            html.Div(id="incident-head", className="file-head"),
            html.Div(buttons, className="acts"),
            html.Div(
                [
                    html.Div(
                        [
                            html.Section(
                                [html.H3(words("Why did this fire?")), html.Div(id="incident-why")],
                                className="panel card",
                            ),
                            html.Section(
                                [html.H3(words("Alarms")), html.Div(id="incident-alarms")], className="panel card"
                            ),
                        ],
                        className="file-main",
                    ),
                    html.Div(
                        [
                            html.Section(
                                [html.Div(id="incident-camera"), html.Div(_map(), className="near-map")],
                                className="panel card near",
                            ),
                            html.Section(
                                [
                                    html.Header(
                                        [html.H3(words("Log")), html.Div(id="incident-chain")], className="card-head"
                                    ),
                                    html.Div(id="incident-log"),
                                ],
                                className="panel card",
                            ),
                        ],
                        className="file-side",
                    ),
                ],
                className="file-body",
            ),
        ],
        id="incident-file",
        className="file-pane",
        **data(state="none"),
    )


def _map() -> dl.Map:
    return dl.Map(
        [
            *ward_layers(),
            # A pane of their own: the wards may arrive later and would cover them.
            dl.Pane(dl.LayerGroup(id="incident-pins"), name="pins", style={"zIndex": 450}),
        ],
        id="incident-map",
        center=[10.82, 106.78],
        zoom=13,
        zoomControl=False,
        attributionControl=False,
        scrollWheelZoom=False,
        keyboard=False,
        zoomAnimation=False,
        fadeAnimation=False,
        inertia=False,
        className="map",
    )


def _pins(file: IncidentFile) -> tuple[list[Component], list[float] | None]:
    """A pin for each device of the incident, the most urgent last and so on top; and where the first stands."""
    city = room().feed.city
    pins: dict[str, Component] = {}
    centre: list[float] | None = None
    for row in sorted(file.alarms, key=urgency, reverse=True):
        at = city.number.get(row.device)
        if at is None or city.devices[at].lat is None:
            continue
        device = city.devices[at]
        centre = [device.lat, device.lon]  # type: ignore[list-item]
        pins.pop(device.id, None)
        pins[device.id] = dl.CircleMarker(
            center=centre,
            radius=7,
            className=f"pin p{row.priority}",
            children=dl.Tooltip(device.name),
            id=f"pin-{device.id}",
        )
    return list(pins.values())[-300:], centre


def _head(file: IncidentFile, now: datetime, words: Translator) -> list[Component]:
    incident = file.incident
    acknowledged = next((entry.time for entry in file.log if entry.kind == "acknowledged"), None)
    assigned = next((entry.text for entry in reversed(file.log) if entry.kind == "assigned"), "")
    facts: list[Component | str] = [
        html.Span(f"#{incident.id}"),
        html.Span([words("opened"), " ", moment(incident.opened, now)]),
        duration(incident, words),
        html.Span(words("{n} alarms, {active} active", n=incident.alarms, active=incident.active)),
        html.Span(acknowledged_after(incident, acknowledged, words)),
        html.Span(words("assigned to {name}", name=assigned) if assigned else ""),
    ]
    return [
        prio(incident.priority, incident_look(incident)),
        html.Div(
            [
                html.H2(
                    [
                        cause_name(incident.cause, words),
                        html.Span(ward_name(incident.ward, words), className="head-ward"),
                    ]
                ),
                html.Div(facts, className="head-facts"),
            ],
            className="head-words",
        ),
        state_pill(incident, words),
    ]


def _evidence_alarm(file: IncidentFile, wanted: object) -> int:
    """The alarm whose evidence is shown: the one asked for if it is of this incident, else the most urgent."""
    ids = {row.id for row in file.alarms}
    number = _number(wanted)
    return number if number in ids else min(file.alarms, key=urgency).id if file.alarms else 0


def _read(
    connection: Connection, number: int
) -> tuple[IncidentFile, dict[str, str], dict[str, dict[str, Any]], dict[tuple[str, str], Reading]]:
    """An incident, with names, attributes and newest readings of its devices."""
    file = incident_file(connection, number)
    devices = sorted({row.device for row in file.alarms} | {str(entry.details.get("device", "")) for entry in file.log})
    known = connection.execute("SELECT id, name, attrs FROM device WHERE id = ANY(%s)", (devices,)).fetchall()
    rows = connection.execute(
        "SELECT time, device, measure, value, quality, received FROM latest WHERE device = ANY(%s)", (devices,)
    )
    latest = {(row[1], row[2]): Reading(*row) for row in rows}
    return file, {key: name for key, name, _ in known}, {key: attrs for key, _, attrs in known}, latest


def _number(given: object) -> int:
    """A positive whole number of at most 18 digits from a browser, 0 = none."""
    text = str(given)
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0


def _now() -> datetime:
    return datetime.now(UTC)
