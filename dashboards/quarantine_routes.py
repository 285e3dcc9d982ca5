"""What the quarantine page asks for beside its callbacks: a payload as it came, and a mapping tried on messages."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from dashboards.mapping_preview import preview
from dashboards.origin import BodyError, said, same_origin
from dashboards.quarantine_search import as_key
from dashboards.room import Room
from ioc.db.quarantine import one
from ioc.errors import StorageError
from ioc.i18n import as_language, translator
from ioc.mapping import TopicMapping

#: Bytes of a request; a mapping of five hundred values is half of it.
_BODY_AT_MOST: Final = 131_072


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be tried: a mapping, or a suggestion for the message (`mapping` None)."""

    mapping: TopicMapping | None = None
    message: str = ""


def routes(room: Room) -> APIRouter:
    """`GET /quarantine/payload/<key>`: the bytes that were kept; `POST /quarantine/preview`: what a mapping would store."""
    router = APIRouter()

    @router.get("/quarantine/payload/{name}")
    async def payload(name: str) -> Response:
        key = as_key(name)
        if key is None:
            return Response("no such message", status_code=404, media_type="text/plain")
        try:
            held = await room.query(lambda connection: one(connection, *key))
        except StorageError:
            return Response("TimescaleDB is away", status_code=503, media_type="text/plain")
        if held is None:
            return Response("no such message", status_code=404, media_type="text/plain")
        # To be kept as a file, never shown by the browser: what it holds is anybody's.
        headers = {
            "Content-Disposition": f'attachment; filename="quarantine-{key[1]}.bin"',
            "Cache-Control": "no-store",
        }
        return Response(held.payload, media_type="application/octet-stream", headers=headers)

    @router.post("/quarantine/preview")
    async def tried(request: Request) -> Response:
        if not same_origin(request):
            return JSONResponse({"error": "another site may not ask here"}, status_code=403)
        try:
            ask = await said(request, Ask, _BODY_AT_MOST)
        except BodyError as error:
            return JSONResponse({"error": str(error)}, status_code=error.status)
        words = translator(as_language(request.cookies.get("lang"), room.settings.language))
        names = {device.id: device.name for device in room.feed.city.devices}
        try:
            found = await room.query(
                lambda connection: preview(connection, ask.mapping, as_key(ask.message), names, words)
            )
        except StorageError as error:
            return JSONResponse({"error": str(error)}, status_code=503)
        return Response(msgspec.json.encode(found), media_type="application/json")

    return router
