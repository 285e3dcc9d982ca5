"""`ioc doctor`: is everything here that the city needs, does it work, and what mends it if not."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ioc.broker_drops import FIGURE, TOPIC, Drops
from ioc.configuration import check as check_configuration
from ioc.db.audit import newest_entry, verify_audit
from ioc.db.migrate import pending
from ioc.db.pool import Connection, connect, edition
from ioc.errors import IocError, LiveError, StackError
from ioc.live import Live
from ioc.mqtt import Contact
from ioc.settings import Settings
from ioc.stack import footage
from ioc.stack.broker import answers
from ioc.stack.embedded import CLONE, owner, read_record
from ioc.stack.home import Home
from ioc.stack.postgres import find_programs
from ioc.stack.process import find
from ioc.stack.screen import page_answers
from ioc.stack.services import wanted

Level = Literal["good", "note", "fault"]

#: Free disk below which the stack is in danger, and below which it is worth a word, in bytes.
DISK_FAULT, DISK_NOTE = 1 << 30, 5 << 30
#: A database whose clock differs by more would put readings into the wrong minute.
CLOCK_FAULT_S = 2.0
#: A broker that keeps its count says it as soon as it is asked.
DROPS_S = 2.0
#: A broker that is busy, or has just started, may take so long to let somebody in.
BUSY_S = 10.0


class Finding(NamedTuple):
    """One thing looked at.

    Attributes:
        subject: what it is about.
        level: `note` is worth knowing and keeps the city running.
        text: what was found.
        fix: what to do; "" when it is good.
    """

    subject: str
    level: Level
    text: str
    fix: str = ""

    @property
    def fault(self) -> bool:
        """Whether something does not work."""
        return self.level == "fault"


def examine(settings: Settings) -> list[Finding]:
    """Look at everything, with the stack running or not."""
    home = Home.at(settings.home)
    parts: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _settings,
        lambda: _stack(home),
        lambda: _database(settings),
        lambda: _broker(settings),
        lambda: _redis(settings, home),
        lambda: examine_model(settings),
        lambda: _footage(home),
        lambda: _disk(home),
        _clock,
        lambda: _port(settings, home),
    ]
    findings: list[Finding] = []
    for part in parts:
        findings += part()
    return findings


def report(findings: list[Finding], console: Console) -> None:
    """Print the findings, and how many faults there are."""
    marks = {"good": Text("✓", "green"), "note": Text("!", "yellow"), "fault": Text("✗", "red")}
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        text = Text(finding.text)
        if finding.fix:
            text.append(f"\n→ {finding.fix}", "bold")
        table.add_row(marks[finding.level], finding.subject, text)
    console.print(table)
    faults = sum(finding.fault for finding in findings)
    console.print(f"{faults} fault{'s' * (faults != 1)}" if faults else "no fault")


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    inside = sys.prefix != sys.base_prefix
    yield Finding("Python", "good", f"{version}{', virtual environment ' + sys.prefix if inside else ''}")


def _settings() -> Iterator[Finding]:
    try:
        yield Finding("settings", "good", check_configuration())
    except IocError as error:
        yield Finding("settings", "fault", str(error), "correct the named lines; `ioc config show` lists all settings")


def _stack(home: Home) -> Iterator[Finding]:
    pid = owner(home)
    if pid is not None:
        yield Finding("stack", "good", f"runs, supervised by process {pid}")
    elif read_record(home).get("urls"):
        yield Finding("stack", "note", "its supervisor was killed", "`ioc stop` tidies up, `ioc demo` starts it again")
    else:
        yield Finding("stack", "good", "does not run; what it needs is examined below")


def _database(settings: Settings) -> Iterator[Finding]:
    if not settings.database_url:
        try:
            programs = find_programs(Home.at(settings.home), Home(CLONE / ".ioc"))
        except StackError as error:
            yield Finding("TimescaleDB", "fault", str(error), "`make setup` installs or builds it")
        else:
            yield Finding("TimescaleDB", "good", f"installed for PostgreSQL {programs.root.name} in {programs.root}")
        return
    try:
        with closing(connect(settings.database_url, name="ioc-doctor", timeout_s=3)) as connection:
            connection.autocommit = True
            yield from _database_inside(connection)
    except IocError as error:
        yield Finding("PostgreSQL", "fault", str(error), "start it with `ioc demo`, or correct IOC_DATABASE_URL")


def _database_inside(connection: Connection) -> Iterator[Finding]:
    yield Finding("PostgreSQL", "good", f"{connection.info.parameter_status('server_version')} answers")
    row = connection.execute(
        "SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),"
        " (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb')"
    ).fetchone()
    has, offers = row or (None, None)
    if has is None and offers is None:
        yield Finding(
            "TimescaleDB", "fault", "this server does not have it", "install timescaledb for it and preload it"
        )
        return
    if has is None:
        yield Finding("TimescaleDB", "fault", "not in this database yet", "`ioc migrate`")
        return
    kind = edition(connection)
    rest = (
        "policies and rollups kept by our own upkeep"
        if kind == "apache"
        else "with continuous aggregates and compression"
    )
    yield Finding("TimescaleDB", "good", f"{has}, {kind} edition: {rest}")
    if names := pending(connection):
        yield Finding("schema", "fault", f"{len(names)} migrations have not run: {', '.join(names)}", "`ioc migrate`")
    else:
        yield Finding("schema", "good", "up to date")
        yield _audit(connection)
    row = connection.execute("SELECT clock_timestamp()").fetchone()
    off = abs((datetime.now(UTC) - row[0]).total_seconds()) if row else 0.0
    if off > CLOCK_FAULT_S:
        yield Finding(
            "clock", "fault", f"differs from the database's by {off:.1f} s", "let both follow one time server (NTP)"
        )


def _audit(connection: Connection) -> Finding:
    fault = verify_audit(connection)
    if fault is None:
        return Finding("audit log", "good", f"{newest_entry(connection)} entries, none changed since it was written")
    text = f"entry {fault.seq} {fault.why}"
    return Finding("audit log", "fault", text, "somebody has been in the database: compare with a backup")


def _broker(settings: Settings) -> Iterator[Finding]:
    if not settings.mqtt_url:
        yield from (
            _installed("broker", "rabbitmq-server", "rabbitmq-server")
            if settings.broker == "rabbitmq"
            else _installed("broker", "mosquitto", "mosquitto")
        )
        return
    parts = urlsplit(settings.mqtt_url)
    host, port = parts.hostname or "localhost", parts.port or 1883
    if parts.username is None and answers(host, port, BUSY_S):
        yield Finding("broker", "good", f"answers at {host}:{port}")
        yield _drops(settings)
        return
    # With a name and password only the services can try; here it is enough that somebody listens.
    try:
        socket.create_connection((host, port), timeout=3).close()
    except OSError as error:
        yield Finding("broker", "fault", f"{host}:{port}: {error}", "start it with `ioc demo`, or correct IOC_MQTT_URL")
        return
    if parts.username is None:
        text = f"{host}:{port} listens but lets no anonymous client in"
        fix = "put name and password into IOC_MQTT_URL: mqtt://name:password@host:port; if it asks for none, it hangs"
        yield Finding("broker", "fault", text, fix)
    else:
        yield Finding("broker", "good", f"listens at {host}:{port}")
        yield _drops(settings)


def _drops(settings: Settings) -> Finding:
    subject = "broker's queue"
    with Drops(Contact.of(settings)) as drops:
        count = drops.wait(DROPS_S)
    if count is None:
        count = _dropped_as_heard(settings)
    if count is None:
        text = f"dropped messages: unknown, the broker does not tell us ({TOPIC})"
        return Finding(subject, "note", text, "look for them in the broker's own administration")
    if count == 0:
        return Finding(subject, "good", "no message dropped since the broker started")
    text = (
        f"{count} messages dropped since the broker started: more came than it keeps for a client that is away or slow"
    )
    fix = (
        "what was meant for ingest is lost: keep ingest running, give the broker more room (max_queued_messages,"
        " max_queued_bytes), or let RabbitMQ hold it (setting `broker`)"
    )
    return Finding(subject, "note", text, fix)


def _dropped_as_heard(settings: Settings) -> int | None:
    """What the broker has told ingest, which listens all the time."""
    if not settings.redis_url:
        return None
    with closing(Live(settings.redis_url, timeout_s=2.0)) as live, suppress(LiveError):
        told = [beat for beat in live.heartbeats() if FIGURE in beat.figures]
        if told:
            return int(max(told, key=lambda beat: beat.time).figures[FIGURE])
    return None


def _redis(settings: Settings, home: Home) -> Iterator[Finding]:
    if not settings.redis_url:
        yield from _installed("Redis", "redis-server", "redis-server")
        return
    with closing(Live(settings.redis_url, timeout_s=2.0)) as live:
        try:
            live.ping()
            beats = {beat.service: beat for beat in live.heartbeats()}
        except LiveError as error:
            yield Finding("Redis", "fault", str(error), "start it with `ioc demo`, or correct IOC_REDIS_URL")
            return
    yield Finding("Redis", "good", "answers")
    if owner(home) is None:
        return
    for row in wanted(settings, simulate=False):
        beat = beats.get(row.name)
        if beat is None:
            yield Finding(row.name, "fault", "no heartbeat", f"see {home.log / row.name}.log")
        elif beat.state != "ok":
            yield Finding(row.name, "note", beat.reason, f"see {home.log / row.name}.log")
        else:
            yield Finding(row.name, "good", "lives")


def _installed(subject: str, program: str, package: str) -> Iterator[Finding]:
    try:
        yield Finding(subject, "good", f"installed: {find(program, package)}")
    except StackError as error:
        yield Finding(subject, "fault", str(error), "`make setup`")


def examine_model(settings: Settings) -> Iterator[Finding]:
    """The detector's files against their manifest; the core does not import the vision package, it reads its files."""
    folder = settings.vision_weights or CLONE / "vision" / "weights"
    fix = "put the weights of this version back (`git checkout -- vision/weights`), or correct vision_weights"
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        files = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
    except FileNotFoundError:
        yield Finding("model", "fault", f"{folder} has no manifest.json: nothing is detected", fix)
        return
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        yield Finding("model", "fault", f"{folder / 'manifest.json'} is not a manifest: {error!r}", fix)
        return
    for name, expected in files.items():
        try:
            got = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        except FileNotFoundError:
            yield Finding("model", "fault", f"{folder / name} is missing", fix)
            return
        if got != expected:
            yield Finding("model", "fault", f"{folder / name} has SHA-256 {got}, expected {expected}", fix)
            return
    yield Finding("model", "good", f"{manifest.get('name', folder.name)}: {len(files)} files match their SHA-256")


def _footage(home: Home) -> Iterator[Finding]:
    missing = [name for name in footage.FILES if not (home.media / name).is_file()]
    if missing:
        text = f"{', '.join(missing)} not fetched: cameras that would show it stay offline"
        yield Finding("footage", "note", text, "`make setup` with a network fetches it")
    else:
        yield Finding("footage", "good", f"{len(footage.FILES)} files in {home.media}")


def _disk(home: Home) -> Iterator[Finding]:
    folder: Path = home.state
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free at {folder}"
    level: Level = "fault" if free < DISK_FAULT else "note" if free < DISK_NOTE else "good"
    yield Finding("disk", level, text, "" if level == "good" else "free some, or lower the retention_…_days settings")


def _clock() -> Iterator[Finding]:
    written = Path(__file__).stat().st_mtime
    if time.time() < written - 86_400:
        text = f"says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, before this program was written"
        yield Finding("clock", "fault", text, "set it: `timedatectl set-ntp true`")
    else:
        yield Finding("clock", "good", f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")


def _port(settings: Settings, home: Home) -> Iterator[Finding]:
    page = read_record(home).get("page")
    if page and owner(home) is not None:
        if page_answers(page):
            yield Finding("pages", "good", f"{page} answers")
        else:
            yield Finding("pages", "fault", f"{page} does not answer", f"see {home.log / 'dashboards.log'}")
        return
    host, port = settings.dashboards_host, settings.dashboards_port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            text = f"{host}:{port}: {error.strerror}; the city would take another port"
            yield Finding("ports", "note", text, "end the program that has it, or set dashboards_port")
        else:
            yield Finding("ports", "good", f"{host}:{port} is free for the pages")
