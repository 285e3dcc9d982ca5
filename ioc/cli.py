"""The command `ioc`: run the city, look after it, ask how it is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from typing import Annotated

import typer
from rich.console import Console

from ioc import doctor as examination
from ioc.configuration import check as check_configuration
from ioc.configuration import show as show_configuration
from ioc.db.migrate import migrate as apply_migrations
from ioc.db.migrate import pending
from ioc.db.pool import connect
from ioc.errors import IocError, StackError
from ioc.live import Live
from ioc.settings import Settings
from ioc.stack.embedded import end_leftovers, owner, read_record
from ioc.stack.home import Home
from ioc.stack.process import born
from ioc.stack.screen import Screen
from ioc.stack.services import wanted
from ioc.stack.supervisor import Supervisor

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The operations centre of a city.")
config = typer.Typer(no_args_is_help=True, help="Look at the settings.")
app.add_typer(config, name="config")


@app.command()
def demo() -> None:
    """Run the whole city with simulated devices; Ctrl-C stops everything and keeps the data.

    The stack (TimescaleDB, Mosquitto, Redis) is private to this folder, on free ports. IOC_DATABASE_URL, IOC_MQTT_URL and
    IOC_REDIS_URL each replace a part by a server that runs elsewhere.
    """
    _supervise(simulate=True)


@app.command()
def up() -> None:
    """Run the same as `ioc demo` without the simulator: for real devices."""
    _supervise(simulate=False)


@app.command()
def stop(wait: Annotated[float, typer.Option(min=1, help="Seconds to wait for an orderly end.")] = 60.0) -> None:
    """Stop a running `ioc demo` or `ioc up` of this folder, and servers one left behind."""
    home = Home.at(Settings.load().home)
    pid = owner(home)
    if pid is not None:
        started = born(pid)
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + wait
        while born(pid) == started and time.monotonic() < deadline:
            time.sleep(0.1)
        if born(pid) == started:
            raise StackError(
                f"process {pid} has not ended after {wait:g} s: `kill -9 {pid}` ends it and all it started"
            )
    end_leftovers(read_record(home))
    print("stopped" if pid is not None else "nothing runs here")


@app.command()
def doctor() -> None:
    """Examine everything the city needs, name each fault and its fix; exit code 1 when there is one."""
    findings = examination.examine(Settings.load())
    examination.report(findings, Console(highlight=False))
    if any(finding.fault for finding in findings):
        raise typer.Exit(1)


@app.command()
def migrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name what would be applied.")] = False,
) -> None:
    """Bring the schema of the database up to date."""
    with closing(connect(Settings.load().require("database_url"), name="ioc-migrate")) as connection:
        names = pending(connection) if dry_run else apply_migrations(connection)
    print("\n".join(names) if names else "the schema is up to date")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def sim(context: typer.Context) -> None:
    """Command the simulated devices of the running city: `ioc sim storm` tells a story, `ioc sim --help` lists all."""
    # A process of its own: the core imports no service.
    raise typer.Exit(subprocess.run([sys.executable, "-m", "ingest.simulator", *context.args], check=False).returncode)


@app.command()
def alive(
    service: Annotated[str, typer.Argument(help="Its name, as in its heartbeat: ingest, vision, alarms, …")],
) -> None:
    """Exit code 0 when that service of this host beats; for the health checks of containers."""
    with closing(Live(Settings.load().require("redis_url"))) as live:
        beats = [beat for beat in live.heartbeats() if beat.service == service]
    here = [beat for beat in beats if beat.instance.rpartition("-")[0] == socket.gethostname()]
    if not here:
        print(f"{service} has no heartbeat from {socket.gethostname()}", file=sys.stderr)
        raise typer.Exit(1)
    print(f"{service}: {here[0].reason or here[0].state}")


@config.command("check")
def config_check() -> None:
    """Check the TOML file and the IOC_ environment: names the key, the line, what was got and what was expected."""
    print(check_configuration())


@config.command("show")
def config_show() -> None:
    """Show every setting, its value now, where that comes from, and what it is for. Passwords are not shown."""
    show_configuration(Console(highlight=False))


def _supervise(*, simulate: bool) -> None:
    screen = Screen()
    try:
        settings = Settings.load()
        Supervisor(settings, wanted(settings, simulate=simulate), screen.say, screen.show).run()
    finally:
        screen.close()


def main() -> None:
    """Entry point; an error of ours is one clear message and exit code 1."""
    try:
        app()
    except IocError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
