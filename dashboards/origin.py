"""Whether a request comes from a page of this server."""

from __future__ import annotations

from urllib.parse import urlsplit

from fastapi import Request


def same_origin(request: Request) -> bool:
    """Whether the request comes from a page of this server; a form of another site can send neither header."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        return False
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host")
