"""Everything about one device, readable on a wall of desks and on a phone in the street."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

import segno
from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.city import Health
from dashboards.components.alarm_table import value_now
from dashboards.components.camera_tile import footage_line
from dashboards.components.device_table import kind_name
from dashboards.components.evidence_view import state_reason
from dashboards.components.incident_rows import ward_name
from dashboards.components.priority import prio
from dashboards.components.quarantine_overview import reason_name
from dashboards.components.strip import heard_strip, picture_strip, state_strip
from dashboards.detail_words import detail_in_words
from dashboards.device_records import STRIP, STRIP_BUCKET, DeviceFile, Relative
from dashboards.when import figure, moment, number, since, span
from ioc.catalog import KINDS, MEASURES, PICTURE_STATES
from ioc.i18n import Translator
from ioc.model import Quality, Rejected

_WORST: Final = (
    (Quality.CLOCK_OFF, "clock"),
    (Quality.MANUAL, "manual"),
    (Quality.NO_TIME, "receipt"),
    (Quality.GOOD, "good"),
)
_QUALITY: Final = {
    Quality.GOOD: "",
    Quality.CLOCK_OFF: "stored at our time: its clock was off",
    Quality.MANUAL: "keyed in by hand",
    Quality.NO_TIME: "stored at our time: it states none",
}


def panel_head(file: DeviceFile, health: Health, address: str, words: Translator) -> list[Component]:
    """Name, kind, place, and the code that opens this page on a phone."""
    device = file.device
    state = health.name.lower()
    facts = [
        html.Span(device.id, className="device-id"),
        html.Span(kind_name(device.kind, words)),
        html.Span(words("Not placed yet") if device.lat is None else ward_name(device.ward, words)),
        html.Span(words("firmware {version}", version=device.firmware) if device.firmware else ""),
        html.Span(words("dialect {name}", name=device.dialect) if device.dialect != "native" else ""),
    ]
    code = segno.make(address, error="m", micro=False)
    return [
        html.Div(
            [
                html.H2([html.I(className=f"health h-{state}"), device.name]),
                html.Div(facts, className="head-facts"),
            ],
            className="head-words",
        ),
        html.A(
            html.Img(src=code.svg_data_uri(dark="#14171b", light="#ffffff", border=2, scale=1), alt=address),
            href=address,
            className="qr",
            title=words("Open this page on a phone"),
        ),
    ]


def panel_facts(file: DeviceFile, health: Health, last_word: datetime | None, words: Translator) -> html.Dl:
    """Link, last telemetry and data quality apart from each other; clock, availability."""
    device = file.device
    link = "maintenance" if device.status == "maintenance" else device.state
    skew = device.clock_skew_s
    shares = file.availability
    unknown: list[str | Component] = []
    if health is Health.QUIET:
        unknown = [html.Small(words("It speaks of events alone; whether it lives is not known."), className="muted")]
    qualities = {reading.quality for reading in file.latest}
    quality = next((name for code, name in _WORST if code in qualities), "none")
    cells: list[tuple[str, list[str | Component]]] = [
        (
            "State",
            [html.I(className=f"health h-{health.name.lower()}"), words(f"health:{health.name.lower()}"), *unknown],
        ),
        ("Link", [words(f"link:{link}"), html.Small(state_reason(device.state_reason, words), className="muted")]),
        ("Last telemetry", [since(last_word) if last_word is not None else words("never heard of")]),
        ("Data quality", [words(f"quality:{quality}")]),
        ("Clock skew", [f"{number(round(skew, 1) + 0.0, 1, words)} s" if skew is not None else "–"]),
    ]
    for name, share in (("24 h", "day"), ("7 d", "week"), ("30 d", "month")):
        value = getattr(shares, share) if shares is not None else None
        cells.append((name, [f"{number(value * 100, 1, words)} %" if value is not None else "–"]))
    if file.camera is not None:
        trusted = file.camera.uptime
        for name, share in (("Picture good, 24 h", "day"), ("Picture good, 30 d", "month")):
            value = getattr(trusted, share) if trusted is not None else None
            cells.append((name, [f"{number(value * 100, 1, words)} %" if value is not None else "–"]))
    return html.Dl(
        [html.Div([html.Dt(words(name)), html.Dd(parts)], className="fact") for name, parts in cells], className="facts"
    )


def measure_table(file: DeviceFile, chosen: str, now: datetime, words: Translator) -> Component:
    """All measures with value, age and limits; a click chooses what the chart shows."""
    del now
    device = file.device
    latest = {reading.measure: reading for reading in file.latest}
    declared = KINDS[device.kind].measures if device.kind in KINDS else ()
    keys = [*declared, *sorted(set(latest) - set(declared))]
    if not keys:
        return html.P(words("It has sent no readings yet"), className="muted")
    rows = []
    for key in keys:
        row, reading = MEASURES.get(key), latest.get(key)
        label = row.label.in_language(words.language) if row is not None else key
        limits = [
            html.Span(
                [prio(rule.priority, "seen"), figure(key, rule.limit, words)],
                title=rule.label.in_language(words.language),
            )
            for rule in (row.rules if row is not None else ())
            if rule.kind in ("above", "below")
        ]
        said = words(_QUALITY.get(reading.quality, "")) if reading is not None else ""
        button = html.Button(label, type="button", className="as-link", disabled=reading is None, **data(measure=key))
        rows.append(
            html.Tr(
                [
                    html.Td(button),
                    html.Td(value_now(reading, device.attrs, words), className="num", title=said),
                    html.Td(limits, className="limits"),
                ],
                className="here" if key == chosen else "",
                key=key,
            )
        )
    return html.Table(html.Tbody(rows), className="table measures")


def strips(file: DeviceFile, now: datetime, words: Translator) -> html.Div:
    """What it said of itself and when it sent data, one above the other: they may disagree."""
    begin = now - STRIP
    return html.Div(
        [
            html.Span(words("Link")),
            state_strip(file.states, begin, now, words),
            html.Span(words("Data")),
            heard_strip(file.heard, begin, now, STRIP_BUCKET, words),
            *(
                (html.Span(words("Picture")), picture_strip(file.camera.conditions, begin, now, words))
                if file.camera is not None
                else ()
            ),
            html.Span(""),
            html.Div([html.Span(words("24 h ago")), html.Span(words("now"))], className="strip-scale"),
        ],
        className="strips",
    )


def rejected_lines(file: DeviceFile, now: datetime, words: Translator) -> Component:
    """The last messages from it that could not become records, each with its reason."""
    if not file.rejected:
        return html.P(words("No messages in quarantine"), className="muted")
    return html.Div(
        [
            html.Ul([html.Li(_rejected(one, now, words)) for one in file.rejected], className="rejected"),
            html.A(
                words("All of it, and what to do"), href=f"/quarantine?text={quote(file.device.id)}", className="more"
            ),
        ]
    )


def relatives(file: DeviceFile, words: Translator) -> list[Component]:
    """What it stands below, and what stands below it."""
    parts: list[Component] = []
    if file.parent is not None:
        parts.append(html.P([words("Stands below"), " ", _link(file.parent)], className="above"))
    if file.below:
        links: list[Component | str] = [_link(child) for child in file.children]
        if file.below > len(file.children):
            links.append(words("and {n} more", n=file.below - len(file.children)))
        parts.append(
            html.Div([html.P(words("Stand below it"), className="muted"), html.Div(links, className="children")])
        )
    return parts


def camera_picture(file: DeviceFile, shows: bool, now: datetime, words: Translator) -> Component | None:
    """What a camera shows now; `assets/devices.js` keeps it fresh and takes it away when there is none."""
    if file.device.kind != "camera":
        return None
    assert file.camera is not None
    lost = file.camera.uptime.lost if file.camera.uptime is not None else {}
    labels = dict(zip(PICTURE_STATES, MEASURES["pictureState"].state_labels, strict=True))
    figure = html.Figure(
        [
            html.Img(alt=file.device.name, **data(camera=file.device.id, frames="1" if shows else "")),
            html.Div(words("No picture"), className="no-picture"),
            html.Figcaption(
                [
                    html.Span(footage_line(file.device, words), className="muted"),
                    html.Span("", className="camera-age muted"),
                ]
            ),
        ],
        className="near-camera",
    )
    return html.Div(
        [
            figure,
            html.Div(
                [
                    html.Span(
                        [words("View known, last"), " ", moment(file.camera.view, now)]
                        if file.camera.view is not None
                        else words("Its view is being learnt"),
                        className="muted",
                    ),
                    html.A(words("Camera page"), href=f"/cameras/{quote(file.device.id)}"),
                    html.Button(
                        words("This is the new view"),
                        type="button",
                        className="button",
                        title=words("It was turned on purpose: learn anew what it shows"),
                        **data(view=file.device.id),
                    ),
                ],
                className="camera-view",
            ),
            html.P(
                [
                    words("Lost in 30 days"),
                    ": ",
                    "; ".join(
                        f"{labels[state].in_language(words.language)} {span(timedelta(seconds=seconds), words)}"
                        for state, seconds in lost.items()
                        if state in labels
                    ),
                ],
                className="muted camera-lost",
                hidden=not lost,
            ),
        ]
    )


def _rejected(one: Rejected, now: datetime, words: Translator) -> list[Component]:
    body = one.payload.decode("utf-8", "backslashreplace")
    return [
        html.Div(
            [
                html.Strong(reason_name(one.reason, words), title=words(f"means:{one.reason}")),
                html.Span(one.topic, className="muted"),
                moment(one.received, now, "entry-time"),
            ],
            className="entry-head",
        ),
        html.Div(detail_in_words(one.detail, words), title=one.detail),
        html.Code(_start(body, one), title=words("{n} bytes", n=one.size)),
    ]


def _start(body: str, one: Rejected) -> str:
    return body[:200] + ("…" if len(body) > 200 or one.size > len(one.payload) else "")


def _link(relative: Relative) -> html.A:
    return html.A(relative.name, href=f"/devices?id={relative.id}", title=relative.id, **data(device=relative.id))
