"""Camera pictures with what vision drew on them, straight from Redis; nothing is kept here."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dashboards.room import Room
from dashboards.veil import veil
from ioc.errors import LiveError
from ioc.topics import DEVICE_ID

#: The picture may be shown again without asking for no longer than this; the page asks with the scene's time anyway.
_FRESH: Final = "private, no-cache"


def routes(room: Room) -> APIRouter:
    """`GET /camera/<id>.jpg`: the newest annotated picture, else the newest frame, else 404.

    Where nothing has looked at the frame nobody knows where people are in it: it is veiled as a whole, unless its camera is one
    that is shown clearly.
    """
    router = APIRouter()

    @router.get("/camera/{path:path}")
    async def picture(path: str, request: Request) -> Response:
        name = path.removesuffix(".jpg")
        if name == path or not DEVICE_ID.fullmatch(name):
            return Response("no such camera", status_code=404, media_type="text/plain")
        try:
            found = await asyncio.to_thread(room.live.snapshot, name)
            frame = found[0] if found is not None else await asyncio.to_thread(room.live.frame, name)
        except LiveError:
            return Response("Redis is away", status_code=503, media_type="text/plain")
        if frame is None:
            return Response("no picture", status_code=404, media_type="text/plain")
        jpeg: bytes | None = frame.jpeg
        if found is None and name not in room.settings.privacy_clear_cameras:
            jpeg = await asyncio.to_thread(veil, frame.jpeg)
        if jpeg is None:
            return Response("no picture", status_code=404, media_type="text/plain")
        tag = f'"{round(frame.time.timestamp() * 1e6):x}-{"b" if found is not None else "p"}"'
        headers = {
            "ETag": tag,
            "Cache-Control": _FRESH,
            "X-Picture-Time": frame.time.isoformat(),
            "X-Annotated": "1" if found is not None else "0",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    return router
