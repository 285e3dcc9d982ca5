"""`ioc-ingest`: MQTT in, TimescaleDB out, in one process or several."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import Annotated

import typer

from ingest.members import Members
from ingest.service import main as serve
from ioc.service import run
from ioc.settings import Settings

app = typer.Typer(add_completion=False)

Processes = Annotated[int | None, typer.Option(min=1, max=32, help="Processes that share the messages.")]


@app.command()
def ingest(
    processes: Processes = None,
    member: Annotated[int, typer.Option(hidden=True)] = 0,
    sign: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Take what devices say over MQTT into TimescaleDB until stopped; settings come from ioc.toml and IOC_* variables."""

    def start() -> None:
        settings = Settings.load() if processes is None else Settings.load(ingest_processes=processes)
        if not member and settings.ingest_processes > 1:
            Members(settings, settings.ingest_processes).run()
            return
        if sign is not None:
            threading.Thread(target=_give_sign, args=(sign,), daemon=True).start()
        serve(settings, member or 1)

    run(start)


def _give_sign(pipe: int) -> None:
    """Tell the parent that we live, until it is gone."""
    with suppress(BrokenPipeError):
        while True:
            os.write(pipe, b"\0")
            time.sleep(1)


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
