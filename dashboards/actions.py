"""Acts of the people at the pages: `POST /actions/<what>`, same origin, JSON; done by the core, published like any change.

Who acted is the name kept in this browser's `operator` cookie. Nobody verifies it until there are logins, so it is written
down with that said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Annotated, Final
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from dashboards.camera_acts import KeepRule, RemoveRule, SetBudget
from dashboards.evidence_routes import DestroyOriginals
from dashboards.origin import BodyError, said, same_origin
from dashboards.quarantine_acts import Mapping, Replay, StopReplay, Switch
from dashboards.room import Room
from ioc.alarms import actions
from ioc.alarms.actions import SHELVE_AT_MOST
from ioc.camera_view import accept_view
from ioc.commands import MOST_AT_ONCE, light
from ioc.db.pool import Connection
from ioc.errors import ActionError, FormError, LiveError, StorageError
from ioc.model import Change
from ioc.register import Entry, register
from ioc.service import utc_now

_BODY_AT_MOST: Final = 65536
#: What could not be begun for so long is not done any more.
LATE_S: Final = 10.0
Act = Callable[[Connection, str], list[Change]]
_Ids = Annotated[list[int], msgspec.Meta(max_length=5000)]


class Acknowledge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Acknowledge alarms, and every alarm of incidents."""

    alarms: _Ids = []
    incidents: _Ids = []

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        with connection.transaction():
            changes = actions.acknowledge(connection, who, alarms=self.alarms) if self.alarms else []
            for incident in sorted(set(self.incidents)):
                changes += actions.acknowledge(connection, who, incident=incident)
        return changes


class Shelve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put alarms aside for some minutes, with a reason."""

    alarms: _Ids
    minutes: Annotated[float, msgspec.Meta(gt=0, le=SHELVE_AT_MOST.total_seconds() / 60)]
    reason: str

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return actions.shelve(connection, self.alarms, utc_now() + timedelta(minutes=self.minutes), self.reason, who)


class Unshelve(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Take alarms back."""

    alarms: _Ids

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return actions.unshelve(connection, self.alarms, who)


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Add a note to an incident."""

    incident: int
    text: str

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return actions.note(connection, self.incident, self.text, who)


class Assign(Note, frozen=True, forbid_unknown_fields=True):
    """Give an incident to somebody (`text`)."""

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return actions.assign(connection, self.incident, self.text, who)


class Dispatch(Note, frozen=True, forbid_unknown_fields=True):
    """Record that somebody (`text`) was sent."""

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return actions.dispatch(connection, self.incident, self.text, who)


class Close(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Close an incident; with a reason also one that is not cleared."""

    incident: int
    reason: str = ""

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return actions.close(connection, self.incident, who, reason=self.reason)


class Light(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tell lamps to shine: those named, or all below a device."""

    level: Annotated[float, msgspec.Meta(ge=0, le=1)]
    devices: Annotated[list[str], msgspec.Meta(max_length=MOST_AT_ONCE)] = []
    under: str = ""

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return light(connection, who, self.level, devices=self.devices, under=self.under)


class Register(Entry, frozen=True, forbid_unknown_fields=True):
    """Adopt a device, or edit it."""

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return register(connection, who, self)


class AcceptView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a camera shows now is its view."""

    camera: str

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        return accept_view(connection, who, self.camera)


ACTS: Final[
    dict[
        str,
        type[
            Acknowledge
            | Shelve
            | Unshelve
            | Note
            | Close
            | Light
            | Register
            | AcceptView
            | Mapping
            | Switch
            | Replay
            | StopReplay
            | KeepRule
            | RemoveRule
            | SetBudget
            | DestroyOriginals
        ],
    ]
] = {
    "acknowledge": Acknowledge,
    "shelve": Shelve,
    "unshelve": Unshelve,
    "note": Note,
    "assign": Assign,
    "dispatch": Dispatch,
    "close": Close,
    "light": Light,
    "register": Register,
    "accept_view": AcceptView,
    "mapping": Mapping,
    "mapping_switch": Switch,
    "replay": Replay,
    "replay_stop": StopReplay,
    "camera_rule": KeepRule,
    "camera_rule_remove": RemoveRule,
    "camera_budget": SetBudget,
    "destroy_originals": DestroyOriginals,
}


def routes(room: Room) -> APIRouter:
    """`POST /actions/<what>` → `{"changed": …}`, 0 when nothing was left to do; or `{"error": …}` with 4xx or 503.

    Fields of a form that cannot be so are named beside the error: `{"faults": {field: key of a message}}`.
    """
    router = APIRouter()

    @router.post("/actions/{what}")
    async def act(what: str, request: Request) -> JSONResponse:
        if what not in ACTS:
            return _refused(404, f"no such act: {what!r}; expected one of {', '.join(ACTS)}")
        if not same_origin(request):
            return _refused(403, "another site may not act here")
        who = unquote(request.cookies.get("operator", "")).strip()
        if not who:
            return _refused(401, "no name: the log needs to know who acts")
        try:
            wish = await said(request, ACTS[what], _BODY_AT_MOST)
            changes = await room.query(partial(_do, wish, who, time.monotonic()))
        except BodyError as error:
            return _refused(error.status, str(error))
        except FormError as error:
            return JSONResponse({"error": str(error), "faults": error.faults}, status_code=400)
        except ActionError as error:
            return _refused(400, str(error))
        except StorageError as error:
            return _refused(503, str(error))
        for change in changes:
            # The page that acted sees it at once, also when Redis is away; the stream brings it to everybody else.
            room.feed.city.fold(change)
        try:
            await asyncio.to_thread(room.live.publish, changes)
        except LiveError as error:
            room.feed.links.lost("redis", error)
        return JSONResponse({"changed": len(changes)})

    return router


def _do(wish: Act, who: str, asked: float, connection: Connection) -> list[Change]:
    """Do it, unless the database was away since for so long that whoever asked has given up: what is done late is a surprise.

    Raises:
        ActionError: it makes no sense.
        StorageError: nothing was done.
    """
    waited = time.monotonic() - asked
    if waited > LATE_S:
        raise StorageError(f"TimescaleDB answered after {waited:.0f} s: nothing was done, ask again")
    return wish(connection, who)


def _refused(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status_code=status)
