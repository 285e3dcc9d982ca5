"""The alarms of an incident with what opened them and what is measured now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.components.priority import prio
from dashboards.when import figure, moment, since, span
from ioc.alarms.machine import ANNUNCIATED, STATE_LABELS
from ioc.catalog import RULES, pace_of
from ioc.i18n import Translator
from ioc.model import Alarm, Reading

SHOWN: Final = 40

Look = Literal["", "seen", "quiet"]


def alarm_table(
    alarms: Sequence[Alarm],
    chosen: int,
    latest: Mapping[tuple[str, str], Reading],
    names: Mapping[str, str],
    attrs: Mapping[str, Mapping[str, Any]],
    openings: Mapping[int, float],
    now: datetime,
    words: Translator,
) -> html.Div:
    """One row per alarm, those that ask for somebody first.

    Args:
        alarms: all alarms of the incident.
        chosen: id of the one whose evidence is shown.
        latest: newest readings by device and measure.
        names: names of devices by id.
        attrs: their attributes.
        openings: the value that opened each alarm, by its id; the alarm itself keeps only the last one that moved it.
        now: what "today" is.
        words: the reader's language.
    """
    ordered = sorted(alarms, key=urgency)
    rows = [
        _row(alarm, alarm.id == chosen, latest, names, attrs, openings.get(alarm.id), now, words)
        for alarm in ordered[:SHOWN]
    ]
    heads = ("", "Rule", "Device", "At opening", "Limit", "Now", "Opened", "State")
    table = html.Table(
        [html.Thead(html.Tr([html.Th(words(head) if head else "") for head in heads])), html.Tbody(rows)],
        className="table alarms",
    )
    if len(ordered) <= SHOWN:
        return html.Div(table)
    return html.Div([table, html.Div(words("{n} more alarms", n=len(ordered) - SHOWN), className="more muted")])


def alarm_lines(
    alarms: Sequence[Alarm], now: datetime, words: Translator, shots: Mapping[int, int] | None = None
) -> Component:
    """Alarms of one device, a line each, leading to their incidents.

    Args:
        alarms: in their order.
        now: the time.
        words: the reader's language.
        shots: the picture that an alarm opened with, by its id; the incident shows it large.
    """
    if not alarms:
        return html.P(words("No alarms"), className="muted")

    def shot(alarm: Alarm) -> Component | None:
        picture = None if shots is None else shots.get(alarm.id)
        return None if picture is None else html.Img(src=f"/evidence/{picture}.jpg", alt="", className="alarm-shot")

    rows = [
        html.Tr(
            [
                html.Td(prio(alarm.priority, alarm_look(alarm))),
                html.Td(html.A([shot(alarm), rule_name(alarm.rule, words)], href=f"/incidents?id={alarm.incident}")),
                html.Td(figure(alarm.measure, alarm.value, words) if alarm.measure else "", className="num"),
                html.Td(moment(alarm.opened, now)),
                html.Td(
                    words("lasted {span}", span=span(alarm.returned - alarm.opened, words))
                    if alarm.returned is not None
                    else since(alarm.opened)
                ),
                html.Td(STATE_LABELS[alarm.state].in_language(words.language), className="muted"),
            ],
            key=str(alarm.id),
        )
        for alarm in alarms
    ]
    return html.Table(html.Tbody(rows), className="table alarm-lines")


def urgency(alarm: Alarm) -> tuple[int, int, datetime, int]:
    """Sorts what asks for somebody first, then what is alive, then by priority and time."""
    rank = {"normal": 3, "suppressed": 2}.get(alarm.state, 0 if alarm.state in ANNUNCIATED else 1)
    return (rank, alarm.priority, alarm.opened, alarm.id)


def alarm_look(alarm: Alarm) -> Look:
    """How its priority is drawn: filled while it asks for somebody, as an outline while it is alive, else grey."""
    if alarm.state in ANNUNCIATED:
        return ""
    return "quiet" if alarm.state in ("normal", "suppressed") else "seen"


def rule_name(key: str, words: Translator) -> str:
    """A rule as people read it."""
    return RULES[key][0].label.in_language(words.language) if key in RULES else key


def _row(
    alarm: Alarm,
    here: bool,
    latest: Mapping[tuple[str, str], Reading],
    names: Mapping[str, str],
    attrs: Mapping[str, Mapping[str, Any]],
    opening: float | None,
    now: datetime,
    words: Translator,
) -> html.Tr:
    state: list[str | html.Span] = [STATE_LABELS[alarm.state].in_language(words.language)]
    if alarm.acknowledged_by:
        state.append(html.Span(f" · {alarm.acknowledged_by}", className="muted"))
    if alarm.shelved_until is not None:
        state += [html.Span([" · ", moment(alarm.shelved_until, now), " ", alarm.shelve_reason], className="muted")]
    return html.Tr(
        [
            html.Td(prio(alarm.priority, alarm_look(alarm))),
            html.Td(
                html.Button(
                    rule_name(alarm.rule, words),
                    type="button",
                    className="as-link",
                    title=words("Why did this fire?"),
                    **data(alarm=str(alarm.id)),
                )
            ),
            html.Td(
                html.A(names.get(alarm.device, alarm.device), href=f"/devices?id={alarm.device}", title=alarm.device)
            ),
            html.Td(figure(alarm.measure, opening, words) if alarm.measure else "–", className="num"),
            html.Td(figure(alarm.measure, alarm.limit, words) if alarm.limit is not None else "–", className="num"),
            html.Td(
                value_now(latest.get((alarm.device, alarm.measure)), attrs.get(alarm.device, {}), words),
                className="num",
            ),
            html.Td(moment(alarm.opened, now)),
            html.Td(state),
        ],
        className="here" if here else "",
        key=str(alarm.id),
    )


def value_now(reading: Reading | None, attrs: Mapping[str, Any], words: Translator) -> html.Span | str:
    """The newest value of a device with its age, as `assets/feed.js` ages it: late is hatched, gone is removed."""
    if reading is None:
        return "–"
    text = figure(reading.measure, reading.value, words)
    return html.Span(
        [html.Span(text, className="figure"), html.Span("", className="age")],
        className="aged",
        **data(time=str(reading.time.timestamp()), period=str(pace_of(reading.measure, attrs)), figure=text),
    )
