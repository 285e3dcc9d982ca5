"""The pictures that prove alarms: blurred ones for everybody at the pages, an original for who says why it must be seen."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dashboards.origin import BodyError, said, same_origin
from dashboards.room import Room
from ioc.db.evidence_pictures import MOST_ID, blurred, destroy_originals, master_key, open_original
from ioc.db.pool import Connection
from ioc.errors import ActionError, OriginalError, StorageError
from ioc.model import Change

_BODY_AT_MOST: Final = 16_384
#: What an original that cannot be opened answers.
_STATUS: Final = {"absent": 404, "none": 404, "unattached": 403, "destroyed": 410, "no_key": 503, "sealed": 409}


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why an original must be seen."""

    reason: str


class DestroyOriginals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Destroy the originals of an incident's pictures, with a reason."""

    incident: Annotated[int, msgspec.Meta(ge=1, le=MOST_ID)]
    reason: str

    def __call__(self, connection: Connection, who: str) -> list[Change]:
        """Do it."""
        if not destroy_originals(connection, who, self.reason, self.incident):
            raise ActionError(f"incident {self.incident} has no original that could be destroyed")
        return []


def routes(room: Room) -> APIRouter:
    """`GET /evidence/<id>.jpg`: a blurred picture. `POST /evidence/<id>/original` with a reason: the picture as it came.

    An original answers 401 without a name, 403 to another site or where it proves no alarm, 404 where there is none, 410 once it
    is destroyed, 503 without a master key; then the body is `{"error": …, "why": …}`.
    """
    router = APIRouter()

    @router.get("/evidence/{name:path}")
    async def picture(name: str) -> Response:
        number = picture_id(name.removesuffix(".jpg")) if name.endswith(".jpg") else None
        if number is None:
            return Response("no such picture", status_code=404, media_type="text/plain")
        try:
            jpeg = await room.query(lambda connection: blurred(connection, number))
        except StorageError:
            return Response("TimescaleDB is away", status_code=503, media_type="text/plain")
        if jpeg is None:
            return Response("no such picture", status_code=404, media_type="text/plain")
        # A picture never changes; it may be gone one day, and then from here too.
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=600"})

    @router.post("/evidence/{name}/original")
    async def original(name: str, request: Request) -> Response:
        if not same_origin(request):
            return _refused(403, "another site may not ask here", "origin")
        who = unquote(request.cookies.get("operator", "")).strip()
        if not who:
            return _refused(401, "no name: the log needs to know who looks", "name")
        number = picture_id(name)
        if number is None:
            return _refused(404, "no such picture", "absent")
        try:
            ask = await said(request, Ask, _BODY_AT_MOST)
            key = master_key(room.settings)
            jpeg = await room.query(lambda connection: open_original(connection, who, ask.reason, number, key))
        except OriginalError as error:
            return _refused(_STATUS[error.why], str(error), error.why)
        except BodyError as error:
            return _refused(error.status, str(error), "reason")
        except ActionError as error:
            return _refused(400, str(error), "reason")
        except StorageError as error:
            return _refused(503, str(error), "storage")
        return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    return router


def picture_id(text: str) -> int | None:
    """The number of a picture from an address, None when it is none.

    >>> [picture_id(text) for text in ("12", "012", "-1", "1e3", "٣", "9" * 30)]
    [12, None, None, None, None, None]
    """
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_ID)) else 0
    return number if 0 < number <= MOST_ID and str(number) == text else None


def _refused(status: int, error: str, why: str) -> JSONResponse:
    return JSONResponse({"error": error, "why": why}, status_code=status, headers={"Cache-Control": "no-store"})
