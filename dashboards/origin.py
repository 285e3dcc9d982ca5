"""Requests that act or ask: whether they come from a page of this server, and what they say."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import urlsplit

import msgspec
from fastapi import Request

from ioc.errors import IocError

_T = TypeVar("_T")


class BodyError(IocError):
    """What a request says makes no sense.

    Attributes:
        status: to be answered.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def same_origin(request: Request) -> bool:
    """Whether the request comes from a page of this server; a form of another site can send neither header."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return False
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")


async def said(request: Request, form: type[_T], most: int) -> _T:
    """What a request says as JSON; of a body of more than `most` bytes no more than that is read.

    Raises:
        BodyError: it is larger, or says something else.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise BodyError(413, f"expected at most {most} bytes")
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(400, str(error)) from error
