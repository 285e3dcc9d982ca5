"""Camera pictures with what vision drew on them, straight from Redis; nothing is kept here."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from dashboards.room import Room
from dashboards.veil import veil
from ioc.errors import LiveError
from ioc.topics import DEVICE_ID

#: A frame that is newer by this than what vision last looked at is shown in its place: vision is far behind, or gone.
_BEHIND: Final = timedelta(seconds=30)
#: The picture may be shown again without asking for no longer than this; the page asks with the scene's time anyway.
_FRESH: Final = "private, no-cache"


def routes(room: Room) -> APIRouter:
    """`GET /camera/<id>.jpg`: the newest annotated picture, else the newest frame, else 404.

    Where nothing has looked at the frame nobody knows where people are in it: it is veiled as a whole, unless its camera is one
    that is shown clearly. So is an annotated picture on which people are clear to see, when its camera is no longer one.
    """
    router = APIRouter()

    @router.get("/camera/{path:path}")
    async def picture(path: str, request: Request) -> Response:
        name = path.removesuffix(".jpg")
        if name == path or not DEVICE_ID.fullmatch(name):
            return Response("no such camera", status_code=404, media_type="text/plain")
        try:
            found = await asyncio.to_thread(room.live.snapshot, name)
            if found is not None:
                newest = await asyncio.to_thread(room.live.frame_time, name)
                if newest is not None and newest - found[0].time > _BEHIND:
                    found = None
            frame = found[0] if found is not None else await asyncio.to_thread(room.live.frame, name)
        except LiveError:
            return Response("Redis is away", status_code=503, media_type="text/plain")
        if frame is None:
            return Response("no picture", status_code=404, media_type="text/plain")
        veiled = (found is None or found[2]) and name not in room.settings.privacy_clear_cameras
        tag = f'"{round(frame.time.timestamp() * 1e6):x}-{"b" if found is not None else "p"}{"v" if veiled else ""}"'
        headers = {
            "ETag": tag,
            "Cache-Control": _FRESH,
            "X-Picture-Time": frame.time.isoformat(),
            "X-Annotated": "1" if found is not None else "0",
        }
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        jpeg = await asyncio.to_thread(veil, frame.jpeg) if veiled else frame.jpeg
        if jpeg is None:
            return Response("no picture", status_code=404, media_type="text/plain")
        return Response(jpeg, media_type="image/jpeg", headers=headers)

    return router
