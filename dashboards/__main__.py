"""`python -m dashboards`: serve the pages."""

from __future__ import annotations

import threading

import uvicorn

from dashboards.app import build
from ioc.service import Service, run


def serve() -> None:
    """Serve the pages until SIGTERM or SIGINT."""
    with Service("dashboards") as service:
        settings = service.settings
        server = build(settings)
        config = uvicorn.Config(
            server,
            host=settings.dashboards_host,
            port=settings.dashboards_port,
            log_level="warning",
            access_log=False,
            # An open page's feed would never end by itself.
            timeout_graceful_shutdown=2,
            timeout_keep_alive=30,
        )
        site = uvicorn.Server(config)
        service.figures = lambda: {"pages": float(server.state.room.feed.clients)}
        threading.Thread(target=_say_where, args=(site, service), name="say-where", daemon=True).start()
        site.run()


def _say_where(site: uvicorn.Server, service: Service) -> None:
    """Log the address once the socket is open; with port 0 nobody else knows it."""
    while not site.started and not service.stopping.wait(0.05):
        pass
    for listening in site.servers if site.started else ():
        for socket in listening.sockets:
            host, port, *_ = socket.getsockname()
            service.log.info("serving", url=f"http://{host}:{port}/")


def main() -> None:
    """Entry point of `ioc-dashboards`."""
    run(serve)


if __name__ == "__main__":
    main()
