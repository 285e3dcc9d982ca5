"""Which incidents a list shows: filters as a reader may set them, and what TimescaleDB knows for them."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from dashboards.search import matches
from ioc.alarms.grouping import IncidentState
from ioc.catalog import CAUSES, RULES
from ioc.db.alarms import incidents
from ioc.db.pool import Connection
from ioc.geo import ward_by_code, wards
from ioc.model import Incident

#: Choices of the state filter, each with the states it lets through.
STATES: Final[dict[str, tuple[IncidentState, ...]]] = {
    "alive": ("open", "acknowledged", "cleared"),
    "open": ("open",),
    "acknowledged": ("acknowledged",),
    "cleared": ("cleared",),
    "closed": ("closed",),
    "all": (),
}
#: Rows on a page, and rows that a text search looks through.
SHOWN: Final = 200
SEARCHED: Final = 2000


class Filters(msgspec.Struct, frozen=True):
    """What the reader asks for; "" and 0 let everything through."""

    state: str = "alive"
    priority: int = 0
    cause: str = ""
    ward: str = ""
    text: str = ""

    @classmethod
    def of(cls, state: object, priority: object, cause: object, ward: object, text: object) -> Filters:
        """Filters from a browser: what is no choice of ours counts as none."""
        known_wards = {known.code for known in wards()}
        return cls(
            state=state if isinstance(state, str) and state in STATES else "alive",
            priority=int(priority) if str(priority) in ("1", "2", "3") else 0,  # type: ignore[call-overload]
            cause=cause if isinstance(cause, str) and cause in CAUSES else "",
            ward=ward if isinstance(ward, str) and ward in known_wards else "",
            text=text[:200] if isinstance(text, str) else "",
        )


class Row(NamedTuple):
    """An incident with when it was first acknowledged, and the names of what is in it."""

    incident: Incident
    acknowledged: datetime | None
    names: list[str]


class Found(NamedTuple):
    """The rows to show, and how many there are in all."""

    rows: list[Row]
    total: int


def search(connection: Connection, filters: Filters) -> Found:
    """Incidents that pass the filters, open and urgent first.

    Raises:
        StorageError: TimescaleDB is away.
    """
    page = incidents(
        connection,
        states=STATES[filters.state],
        priorities=[filters.priority] if filters.priority else (),
        causes=[filters.cause] if filters.cause else (),
        wards=[filters.ward] if filters.ward else (),
        order="urgent",
        limit=SEARCHED if filters.text.strip() else SHOWN,
    )
    ids = [incident.id for incident in page.incidents]
    acknowledged: dict[int, datetime] = dict(connection.execute(_ACKNOWLEDGED, (ids,)).fetchall())
    names: dict[int, list[str]] = dict(connection.execute(_NAMES, (ids,)).fetchall())
    rows = [Row(incident, acknowledged.get(incident.id), names.get(incident.id, [])) for incident in page.incidents]
    if not filters.text.strip():
        return Found(rows, page.total)
    rows = [row for row in rows if matches(filters.text, _texts(row))]
    return Found(rows[:SHOWN], len(rows))


_ACKNOWLEDGED: Final = (
    "SELECT incident, min(time) FROM incident_log WHERE incident = ANY(%s) AND kind = 'acknowledged' GROUP BY incident"
)
_NAMES: Final = (
    "SELECT a.incident, array_agg(DISTINCT coalesce(d.name, '') || '|' || a.device || '|' || a.rule)"
    " FROM alarm a LEFT JOIN device d ON d.id = a.device WHERE a.incident = ANY(%s) GROUP BY a.incident"
)


def _texts(row: Row) -> list[str]:
    cause, ward = CAUSES.get(row.incident.cause), ward_by_code(row.incident.ward)
    texts = [f"#{row.incident.id}", *(cause or ()), ward.name if ward else ""]
    for entry in row.names:
        name, device, rule = entry.rsplit("|", 2)
        texts += [name, device, *(RULES[rule][0].label if rule in RULES else (rule,))]
    return texts
