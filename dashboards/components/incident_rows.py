"""The list of incidents: one row each, urgent first."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from dash import html

from dashboards.attributes import data
from dashboards.components.priority import prio
from dashboards.incident_search import Found, Row
from dashboards.when import moment, since, span
from ioc.alarms.grouping import IncidentState
from ioc.catalog import CAUSES
from ioc.geo import ward_by_code
from ioc.i18n import Translator
from ioc.model import Incident

#: What a state is called; a message each.
STATE_NAMES: Final[dict[IncidentState, str]] = {
    "open": "Waiting for an operator",
    "acknowledged": "Acknowledged by an operator",
    "cleared": "Condition gone",
    "closed": "Closed by an operator",
}


def incident_rows(found: Found, now: datetime, words: Translator) -> list[html.Button | html.Div]:
    """The rows, or the words that say why there are none."""
    if not found.rows:
        return [
            html.Div(
                [html.Div("✓", className="empty-mark"), html.P(words("No incident matches what was asked for"))],
                className="empty",
            )
        ]
    rows: list[html.Button | html.Div] = [_row(row, now, words) for row in found.rows]
    if found.total > len(found.rows):
        more = words("{n} more: narrow the filters", n=found.total - len(found.rows))
        rows.append(html.Div(more, className="more muted", key="more"))
    return rows


def cause_name(cause: str, words: Translator) -> str:
    """A cause as people read it; a key that the catalogue no longer has, as it is."""
    return CAUSES[cause].in_language(words.language) if cause in CAUSES else cause


def ward_name(code: str, words: Translator) -> str:
    """A ward's name, also for what stands in none."""
    ward = ward_by_code(code)
    return ward.name if ward is not None else words("Outside the wards")


def incident_look(incident: Incident) -> Literal["", "seen", "quiet"]:
    """How its priority is drawn: filled while it waits, as an outline while somebody has it, grey when it is over."""
    return "" if incident.state == "open" else "seen" if incident.state == "acknowledged" else "quiet"


def state_pill(incident: Incident, words: Translator) -> html.Span:
    """An incident's state in words."""
    return html.Span(words(STATE_NAMES[incident.state]), className=f"pill i-{incident.state}")


def acknowledged_after(incident: Incident, acknowledged: datetime | None, words: Translator) -> str:
    """How long it took until somebody said so; "" while nobody has."""
    if acknowledged is None:
        return ""
    return words("acknowledged after {span}", span=span(acknowledged - incident.opened, words))


def duration(incident: Incident, words: Translator) -> html.Span:
    """How long it lasts, counted on while it does, or how long it lasted."""
    if incident.closed is None:
        return since(incident.opened)
    return html.Span(words("lasted {span}", span=span(incident.closed - incident.opened, words)))


def _row(row: Row, now: datetime, words: Translator) -> html.Button:
    incident = row.incident
    return html.Button(
        [
            prio(incident.priority, incident_look(incident)),
            html.Span(
                [
                    html.Span(cause_name(incident.cause, words), className="row-cause"),
                    html.Span(ward_name(incident.ward, words), className="row-ward"),
                ],
                className="row-what",
            ),
            html.Span(duration(incident, words), className="row-age"),
            html.Span(
                [
                    html.Span(f"#{incident.id}"),
                    html.Span(words("{n} alarms, {active} active", n=incident.alarms, active=incident.active)),
                    moment(incident.opened, now),
                    html.Span(acknowledged_after(incident, row.acknowledged, words)),
                ],
                className="row-more",
            ),
            state_pill(incident, words),
        ],
        key=str(incident.id),
        type="button",
        className=f"incident-row p{incident.priority} i-{incident.state}",
        **data(incident=str(incident.id)),
    )
