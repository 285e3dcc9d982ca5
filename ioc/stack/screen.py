"""What the supervisor shows: a calm table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from rich.console import Console, Group, RenderableType
from rich.live import Live as Refreshed
from rich.table import Table
from rich.text import Text

from ioc.errors import LiveError
from ioc.live import Live
from ioc.model import Heartbeat
from ioc.stack.process import Child
from ioc.stack.supervisor import Supervised, Supervisor, ending

#: How often heartbeats are read and the page is asked for.
LOOK_S = 2.0


class Screen:
    """Shows what happens and how the services are; goes silent when its terminal is closed."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._table: Refreshed | None = None
        self._started = time.monotonic()
        self._looked = 0.0
        self._live: Live | None = None
        self._beats: dict[int, Heartbeat] = {}
        self._answers = False
        self._closed = False

    def say(self, line: str) -> None:
        """One line of what happened."""
        with self._terminal():
            self._console.print(
                f"[dim]{time.monotonic() - self._started:5.1f} s[/]  {line}", markup=True, soft_wrap=True
            )

    def show(self, city: Supervisor) -> None:
        """Refresh the table; the first answer of the page is said on any screen."""
        if time.monotonic() - self._looked > LOOK_S:
            self._looked = time.monotonic()
            self._look(city)
        if not self._console.is_terminal:
            return
        with self._terminal():
            if self._table is None:
                self._table = Refreshed(console=self._console, auto_refresh=False)
                self._table.start()
            self._table.update(self._render(city), refresh=True)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._table is not None:
            with self._terminal():
                self._table.stop()
        if self._live is not None:
            self._live.close()

    def _look(self, city: Supervisor) -> None:
        if self._live is None:
            self._live = Live(city.stack.urls.redis_url, timeout_s=0.5)
        try:
            beats = self._live.heartbeats()
        except LiveError:
            beats = []
        self._beats = {int(beat.instance.rpartition("-")[2]): beat for beat in beats}
        answers = page_answers(city.page)
        if answers and not self._answers:
            self.say(f"[bold]{city.page}[/] answers")
        self._answers = answers

    def _render(self, city: Supervisor) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for title in ("service", "pid", "state", "up"):
            table.add_column(title, justify="right" if title in ("pid", "up") else "left")
        for child in city.stack.children:
            table.add_row(
                child.name, str(child.pid), "[green]●[/] runs" if child.alive() else "[red]●[/] gone", _age(child)
            )
        for service in city.services:
            process = service.child
            pid, age = (str(process.pid), _age(process)) if process else ("", "")
            table.add_row(service.row.name, pid, self._state(service), age)
        page = Text.from_markup(
            f"\n[bold]{city.page}[/]" if self._answers else f"\n[dim]{city.page} does not answer yet[/]"
        )
        return Group("", table, page, Text("Ctrl-C stops everything and keeps the data", style="dim"))

    def _state(self, service: Supervised) -> str:
        if service.child is None:
            wait = max(0.0, service.due - time.monotonic())
            return f"[red]●[/] {ending(service.ended or 0)}, again in {wait:.0f} s"
        if not service.row.beats:
            return "[green]●[/] runs"
        beat = self._beats.get(service.child.pid)
        if beat is None:
            return (
                "[dim]○ starting[/]" if time.monotonic() - service.child.started < 30 else "[yellow]●[/] no heartbeat"
            )
        return "[green]●[/] runs" if beat.state == "ok" else f"[yellow]●[/] {beat.reason[:80]}"

    @contextmanager
    def _terminal(self) -> Iterator[None]:
        """Write to the terminal; once it is closed, nobody reads us and there is nothing to write."""
        if self._closed:
            self._console.quiet = True
        try:
            yield
        except OSError:
            self._closed = True
            self._console.quiet = True


def page_answers(url: str) -> bool:
    """Whether the pages are served there."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "localhost", parts.port, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    except http.client.HTTPException:
        return False
    finally:
        connection.close()


def _age(child: Child) -> str:
    minutes, seconds = divmod(int(time.monotonic() - child.started), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
