"""The application: Dash on FastAPI, the live feed, pictures and acts, one process under uvicorn.

Callbacks run on the event loop that also serves the feed: one that asks TimescaleDB or Redis must be `async` and await it
(`Room.query`, `asyncio.to_thread`).
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NoReturn, cast

import dash
import structlog
from fastapi import FastAPI
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboards import actions, evidence_routes, figures, pictures, quarantine_routes, shell
from dashboards.feed import Feed, running
from dashboards.room import Room
from dashboards.trends import Trends
from ioc.db.pool import Pool
from ioc.live import Live
from ioc.settings import Settings

#: Threads for what blocks: two that wait for Redis, the rest for pages.
_THREADS: Final = 16
#: Everything comes from this server. Dash writes its own scripts and styles into the page.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


class Site(dash.Dash):
    """Dash whose outer HTML is in the reader's language and theme."""

    def interpolate_index(self, *_: Any, **parts: Any) -> str:
        """The HTML around the application."""
        return shell.index_page(parts)


class SafeHeaders:
    """Adds the headers above to every answer; plain ASGI, since a feed must not be buffered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)


def build(settings: Settings) -> FastAPI:
    """Build the application; it connects when it starts.

    Raises:
        SettingsError: when TimescaleDB or Redis are not named.
    """
    pool = Pool(settings.require("database_url"), name="dashboards", size=6)
    live = Live(settings.require("redis_url"))
    room = Room(settings, pool, live, Feed(settings, pool, live), Trends())
    # FastAPI's own documentation pages load scripts from the internet.
    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=_lifespan)
    server.state.room = room
    _add_feed(server, room.feed)
    server.include_router(pictures.routes(room))
    server.include_router(actions.routes(room))
    server.include_router(evidence_routes.routes(room))
    server.include_router(quarantine_routes.routes(room))
    server.add_middleware(SafeHeaders)
    site = Site(
        "dashboards",
        server=cast("Any", server),  # typed for Flask alone
        use_pages=True,
        use_async=True,
        assets_ignore=r".*\.txt",
        title="Thủ Đức",
        update_title="",
        suppress_callback_exceptions=True,
        include_pages_meta=False,
        add_log_handler=False,
        on_error=_failed,
    )
    site.layout = shell.frame
    server.state.site = site
    return server


def _failed(fault: Exception) -> NoReturn:
    """Log what a callback failed with: Dash answers 500 and says it nowhere."""
    structlog.get_logger().error("a callback has failed", service="dashboards", exc_info=fault)
    raise fault


@contextlib.asynccontextmanager
async def _lifespan(server: FastAPI) -> AsyncIterator[None]:
    room: Room = server.state.room
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "dashboards"))
    await _prepare(server.state.site)
    async with running(room.feed), figures.running(room):
        yield
    room.pool.close()
    room.live.close()


async def _prepare(site: Site) -> None:
    """Let Dash register its assets and the pages' router now.

    It does so before its first answer to "/" or "/_dash-…" only; a first visitor of any other page would get one without styles.
    """
    for hook in site.backend._before_request_funcs:  # type: ignore[attr-defined]  # noqa: SLF001
        answer = hook()
        if inspect.isawaitable(answer):
            await answer


def _add_feed(server: FastAPI, feed: Feed) -> None:
    @server.get("/feed")
    async def stream() -> StreamingResponse:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(feed.events(), media_type="text/event-stream", headers=headers)

    @server.get("/healthz")
    async def health() -> JSONResponse:
        links = {link.key: link.state for link in feed.links.rows(time.time())}
        ready = links["timescaledb"] == "ok" and links["redis"] == "ok"
        body = {"ready": ready, "links": links, "devices": len(feed.city.devices), "pages": feed.clients}
        return JSONResponse(body, status_code=200 if ready else 503)
