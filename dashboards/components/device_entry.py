"""A device in the register: what its dialect told of it, what people entered, and the card with the form."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final

import dash_leaflet as dl
from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.components.city_map import ward_layers
from dashboards.components.device_table import kind_name
from dashboards.device_records import DeviceFile
from dashboards.when import moment, number
from ioc.catalog import EVENTS
from ioc.db.audit import AuditEntry
from ioc.geo import BBOX
from ioc.i18n import Translator
from ioc.model import Device, Event

#: What a dialect tells of a device that is shown to whoever adopts it.
_TOLD: Final = 12
#: What of an entry is said, in this order; the ward follows from the place.
_FIELDS: Final = ("name", "kind", "lat", "lon", "parent", "status")
_WEST, _SOUTH, _EAST, _NORTH = BBOX


def entry_card(words: Translator) -> html.Section:
    """The card: what is known, and the form, which `assets/register.js` fills in."""
    return html.Section(
        [
            html.Header(
                [
                    html.H3(words("Register entry")),
                    html.Button(
                        words("Edit"), type="button", className="button", id="entry-open", **data(entry="open")
                    ),
                ],
                className="card-head",
            ),
            html.Div(id="device-entry-known"),
            html.Div(
                [
                    html.Div(id="entry-form"),
                    html.Div(
                        [
                            dl.Map(
                                ward_layers(),
                                id="entry-map",
                                center=[(_SOUTH + _NORTH) / 2, (_WEST + _EAST) / 2],
                                zoom=11,
                                attributionControl=False,
                                zoomAnimation=False,
                                fadeAnimation=False,
                                inertia=False,
                                className="map",
                            ),
                            html.P(words("A click on the map sets the place"), className="muted"),
                        ],
                        className="entry-place",
                    ),
                ],
                className="entry-body",
            ),
        ],
        id="device-entry",
        className="panel card card-entry",
        **data(status="", device="{}", open=""),
    )


def entry_data(device: Device) -> str:
    """What the form begins with, as JSON."""
    fields = ("id", "name", "kind", "lat", "lon", "parent", "status", "dialect")
    return json.dumps({field: getattr(device, field) for field in fields}, ensure_ascii=False)


def entry_known(file: DeviceFile, now: datetime, words: Translator) -> list[Component]:
    """Why it stands out while it is new, what its dialect told of it, and who entered what since."""
    device = file.device
    parts: list[Component] = []
    if device.status == "new":
        parts.append(
            html.P(
                [
                    html.Strong(words("New: discovered by way of dialect {name}", name=device.dialect)),
                    " · ",
                    moment(file.first_seen, now),
                    html.Br(),
                    words("Nobody has said yet what it is and where it stands. Its data is kept all the same."),
                ],
                className="entry-new",
            )
        )
    elif device.status == "retired":
        parts.append(html.P(words("It was taken out of service. Its records stay."), className="muted"))
    if device.status == "new" and device.attrs:
        told = sorted((name, value) for name, value in device.attrs.items() if value not in ("", None))[:_TOLD]
        parts.append(
            html.Dl(
                [html.Div([html.Dt(name), html.Dd(_told(value, words))]) for name, value in told],
                className="entry-told",
            )
        )
    if file.entries:
        parts.append(html.Ul([_entry(one, now, words) for one in file.entries], className="entries"))
    elif device.status != "new":
        parts.append(html.P(words("Nobody has edited it"), className="muted"))
    return parts


def event_lines(file: DeviceFile, now: datetime, words: Translator) -> Component | None:
    """What it told of lately beside measures and states, newest first; None when there was nothing."""
    if not file.events:
        return None
    rows = [
        html.Tr(
            [
                html.Td(moment(event.time, now), className="num"),
                html.Td(EVENTS[event.kind].in_language(words.language) if event.kind in EVENTS else event.kind),
                html.Td(_summary(event), className="muted event-data", title=_whole(event)),
            ]
        )
        for event in file.events
    ]
    return html.Table(html.Tbody(rows), className="table event-lines")


def _entry(entry: AuditEntry, now: datetime, words: Translator) -> html.Li:
    before, after = entry.before or {}, entry.after or {}
    changes = [
        f"{words(f'field:{field}')}: {_said(field, before.get(field), words)} → {_said(field, value, words)}"
        for field in _FIELDS
        if (value := after.get(field)) != before.get(field)
    ]
    return html.Li(
        [
            html.Div(
                [
                    html.Strong(words(f"entry:{entry.what.removeprefix('device.')}")),
                    html.Span(entry.who, className="muted"),
                    moment(entry.time, now, "entry-time"),
                ],
                className="entry-head",
            ),
            html.Div("; ".join(changes), className="muted"),
        ],
        key=str(entry.seq),
    )


def _said(field: str, value: Any, words: Translator) -> str:
    if value is None or value == "":
        return "–"
    if field == "kind":
        return kind_name(str(value), words)
    if field == "status":
        return words(f"status:{value}")
    return number(value, 5, words) if isinstance(value, float) else str(value)


def _summary(event: Event) -> str:
    said = [event.source] if event.source else []
    said += [f"{name}: {value}" for name, value in event.data.items() if isinstance(value, str | int | float)]
    text = " · ".join(said[:4])
    return text[:100] + ("…" if len(text) > 100 else "")


def _whole(event: Event) -> str:
    return json.dumps(event.data, ensure_ascii=False, default=str)[:1000]


def _told(value: object, words: Translator) -> str:
    return words("yes" if value else "no") if isinstance(value, bool) else str(value)[:120]
