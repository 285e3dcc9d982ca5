"""“Why did this fire?”: the rule in words, the readings around it, the neighbours, the camera that stands near."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.components.alarm_table import rule_name, value_now
from dashboards.components.camera_tile import footage_line
from dashboards.components.evidence_pictures import evidence_pictures
from dashboards.components.history_chart import Limit, Mark, graph, history_chart
from dashboards.components.rule_words import rule_in_words
from dashboards.evidence import Evidence
from dashboards.theme import LIMITS
from dashboards.when import ZONE, clock, number
from ioc.catalog import MEASURES, RULES, Label, period_of
from ioc.i18n import Translator
from ioc.model import Device, Quality, Reading

_CLEARED: Final = "#7fa39a"
#: What a device says of itself, in words.
STATE_WORDS: Final = {
    "online": Label("trực tuyến", "online"),
    "offline": Label("ngoại tuyến", "offline"),
    "maintenance": Label("bảo trì", "maintenance"),
    "unknown": Label("chưa rõ", "unknown"),
}


def evidence_view(
    evidence: Evidence, now: datetime, words: Translator, rem: float = 16.0, *, opens: bool = False
) -> list[Component]:
    """Sentence, pictures, chart, states and neighbours of one alarm.

    Args:
        evidence: what was true around the alarm.
        now: what "today" is.
        words: the reader's language.
        rem: pixels of the page's unit.
        opens: this server has the master key for the originals of pictures.
    """
    alarm = evidence.alarm
    device = evidence.device
    period = 60.0 if device is None else period_of(device.kind, device.attrs)
    parts: list[Component] = [
        html.P(
            [
                html.Strong(rule_name(alarm.rule, words)),
                " — ",
                alarm.device if device is None else device.name,
            ],
            className="why-subject",
        ),
        html.P(rule_in_words(alarm.rule, period, words), className="why-rule"),
    ]
    if evidence.pictures or (device is not None and device.kind == "camera" and alarm.measure):
        parts.append(evidence_pictures(alarm.incident, evidence.pictures, evidence.accesses, now, words, opens=opens))
    if evidence.measure and evidence.points:
        title = MEASURES[evidence.measure].label.in_language(words.language)
        parts.append(html.H4(title, className="why-title"))
        parts.append(graph(chart(evidence, words, rem)))
    elif evidence.measure:
        parts.append(html.P(words("No readings are stored for this time."), className="muted"))
    if alarm.measure == "" and evidence.states:
        parts.append(_states(evidence, now, words))
    if evidence.neighbours:
        parts.append(_neighbours(evidence, words))
    return parts


def chart(evidence: Evidence, words: Translator, rem: float = 16.0) -> dict[str, Any]:
    """The readings with the limit and the moments of opening and return."""
    alarm = evidence.alarm
    marks = [Mark(alarm.opened, words("opened"), LIMITS[alarm.priority])]
    if alarm.returned is not None and alarm.returned <= evidence.until:
        marks.append(Mark(alarm.returned, words("returned"), _CLEARED))
    level = alarm.rule in RULES and RULES[alarm.rule][0].kind in ("above", "below")
    limits = [Limit(alarm.limit, words("limit"), alarm.priority)] if alarm.limit is not None and level else []
    return history_chart(
        evidence.measure,
        evidence.points,
        evidence.since,
        evidence.until,
        evidence.width,
        words,
        limits=limits,
        marks=marks,
        attrs=evidence.device.attrs if evidence.device is not None else {},
        rem=rem,
    )


def camera_view(device: Device, metres: float, words: Translator) -> html.Figure:
    """A camera's picture, kept fresh by `assets/incidents.js`."""
    caption = words("{name}, {metres} m away", name=device.name, metres=number(metres, 0, words))
    return html.Figure(
        [
            html.Img(src=f"/camera/{device.id}.jpg", alt=caption, **data(camera=device.id, frames="1")),
            html.Figcaption(
                [
                    html.A(caption, href=f"/devices?id={device.id}"),
                    html.Span(footage_line(device, words), className="muted"),
                    html.Span("", className="camera-age muted"),
                ]
            ),
        ],
        className="near-camera",
    )


def state_reason(reason: str, words: Translator) -> str:
    """Why a device is there or not: in the reader's words where they are known, else as the device put it."""
    said = words(f"said:{reason}")
    return reason if said == f"said:{reason}" else said


def _states(evidence: Evidence, now: datetime, words: Translator) -> html.Div:
    rows = [
        html.Li(
            [
                html.Span(clock(max(state.time, evidence.since), now), className="entry-time"),
                html.Span(STATE_WORDS[state.state].in_language(words.language)),
                html.Span(state_reason(state.reason, words), className="muted"),
            ]
        )
        for state in evidence.states[-8:]
    ]
    return html.Div(
        [html.H4(words("What the device said of itself"), className="why-title"), html.Ul(rows, className="said")]
    )


def _neighbours(evidence: Evidence, words: Translator) -> html.Div:
    rows = [
        html.Tr(
            [
                html.Td(html.A(one.name, href=f"/devices?id={one.id}")),
                html.Td(distance(one.metres, words), className="num muted"),
                html.Td(
                    value_now(
                        Reading(one.time, one.id, evidence.measure, one.value, Quality.GOOD, one.time.astimezone(ZONE)),
                        one.attrs,
                        words,
                    ),
                    className="num",
                ),
            ],
            key=one.id,
        )
        for one in evidence.neighbours
    ]
    return html.Div(
        [html.H4(words("Nearest devices now"), className="why-title"), html.Table(html.Tbody(rows), className="table")]
    )


def distance(metres: float, words: Translator) -> str:
    """A distance in metres, from a kilometre on in kilometres."""
    return f"{number(metres, 0, words)} m" if metres < 1000 else f"{number(metres / 1000, 1, words)} km"
