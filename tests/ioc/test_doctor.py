"""`ioc doctor`: each fault is found and its fix named; what is good is called good."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import paho.mqtt.client as paho
import psycopg
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console

from ioc import doctor
from ioc.broker_drops import FIGURE
from ioc.db.audit import append
from ioc.doctor import Finding, examine, report
from ioc.live import Live
from ioc.model import Heartbeat
from ioc.service import utc_now
from ioc.settings import Settings
from ioc.stack.embedded import Stack, free_port
from ioc.stack.home import Home
from tests.faults.small_broker import HELD, INFLIGHT, ForgetfulBroker
from tests.fix_ingest import eventually
from tests.fix_stack import BrokerServer, CacheServer, Database


def found(settings: Settings, subject: str) -> Finding:
    """The one finding about a subject."""
    (finding,) = [finding for finding in examine(settings) if finding.subject == subject]
    return finding


@pytest.fixture
def absent(settings: Settings, tmp_path: Path) -> Settings:
    """Settings whose servers are all away."""
    port = free_port()
    return settings.model_copy(
        update={
            "database_url": f"postgresql://ioc:x@127.0.0.1:{port}/ioc",
            "mqtt_url": f"mqtt://127.0.0.1:{port}",
            "redis_url": f"unix://{tmp_path}/none.sock",
        }
    )


def test_running_stack_is_without_fault(settings: Settings) -> None:
    """Servers that answer, the schema up to date, the model as declared."""
    findings = examine(settings)
    assert [finding for finding in findings if finding.fault] == []
    subjects = {finding.subject for finding in findings}
    assert {
        "Python",
        "settings",
        "PostgreSQL",
        "TimescaleDB",
        "schema",
        "broker",
        "Redis",
        "model",
        "footage",
    } <= subjects
    assert {"disk", "clock", "ports"} <= subjects
    assert "edition" in found(settings, "TimescaleDB").text


def test_stopped_stack_is_without_fault(settings: Settings) -> None:
    """Nothing runs and nothing is missing: the programs are there."""
    stopped = settings.model_copy(update={"database_url": "", "mqtt_url": "", "redis_url": ""})
    findings = {finding.subject: finding for finding in examine(stopped)}
    assert [findings[subject].level for subject in ("TimescaleDB", "broker", "Redis")] == ["good"] * 3
    assert "installed" in findings["broker"].text


@pytest.mark.parametrize("subject", ["PostgreSQL", "broker", "Redis"])
def test_server_that_is_away_is_a_fault_with_a_fix(absent: Settings, subject: str) -> None:
    """The fix names the command and the setting."""
    finding = found(absent, subject)
    assert finding.fault
    assert "ioc demo" in finding.fix
    assert "IOC_" in finding.fix


def test_program_that_is_missing_is_a_fault(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine where nothing was installed."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("ioc.stack.process.SYSTEM_PATH", "/nonexistent")
    finding = found(settings.model_copy(update={"mqtt_url": ""}), "broker")
    assert finding.fault
    assert "make setup" in finding.fix


@pytest.fixture
def empty_database(stack: Stack) -> Iterator[str]:
    """A database without the extension."""
    with psycopg.connect(stack.admin_url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE empty OWNER ioc TEMPLATE template0")
        yield stack.urls.database_url.rpartition("/")[0] + "/empty"
        admin.execute("DROP DATABASE empty WITH (FORCE)")


def test_database_without_schema_is_a_fault(settings: Settings, empty_database: str) -> None:
    """The fix is one command."""
    finding = found(settings.model_copy(update={"database_url": empty_database}), "TimescaleDB")
    assert (finding.level, finding.fix) == ("fault", "`ioc migrate`")


def test_pending_migration_is_a_fault(settings: Settings, db: Database) -> None:
    """A database of an older version is named with what it lacks."""
    with db.connect() as connection, connection.transaction(force_rollback=False):
        row = connection.execute("DELETE FROM schema_migration WHERE version = 1 RETURNING name, checksum").fetchone()
    finding = found(settings, "schema")
    with db.connect() as connection:
        assert row is not None
        connection.execute("INSERT INTO schema_migration (version, name, checksum) VALUES (1, %s, %s)", row)
    assert finding.fault
    assert "0001" in finding.text


def make_model(folder: Path) -> Settings:
    """A folder of weights with its manifest."""
    (folder / "a.bin").write_bytes(b"weights")
    files = {"a.bin": {"bytes": 7, "sha256": hashlib.sha256(b"weights").hexdigest()}}
    (folder / "manifest.json").write_text(json.dumps({"name": "a", "files": files}))
    return Settings(vision_weights=folder)


def test_model_as_declared_is_good(tmp_path: Path) -> None:
    """Every file has the SHA-256 of the manifest."""
    (finding,) = doctor.examine_model(make_model(tmp_path))
    assert finding.level == "good"


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "a.bin").write_bytes(b"other"), "expected"),
        (lambda folder: (folder / "a.bin").unlink(), "missing"),
        (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
        (lambda folder: (folder / "manifest.json").write_text("[]"), "not a manifest"),
        (lambda folder: (folder / "manifest.json").write_text("{"), "not a manifest"),
    ],
)
def test_model_that_differs_is_a_fault(tmp_path: Path, harm: object, said: str) -> None:
    """Changed, missing or undeclared weights are never called good."""
    settings = make_model(tmp_path)
    assert callable(harm)
    harm(tmp_path)
    (finding,) = doctor.examine_model(settings)
    assert finding.fault
    assert said in finding.text


def test_full_disk_is_a_fault(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged by a limit; the disk itself is not filled."""
    monkeypatch.setattr(doctor, "DISK_FAULT", 1 << 60)
    assert found(settings, "disk").fault


def test_taken_port_is_a_note(settings: Settings, broker: BrokerServer) -> None:
    """The city would take another port, so it is no fault."""
    finding = found(settings.model_copy(update={"dashboards_port": broker.port}), "ports")
    assert finding.level == "note"
    assert "dashboards_port" in finding.fix


def test_broker_that_wants_a_password_is_named(settings: Settings, cache: CacheServer, broker: BrokerServer) -> None:
    """With a name in the URL a listening broker is enough; the services try the password."""
    with_name = settings.model_copy(update={"mqtt_url": f"mqtt://name:word@127.0.0.1:{broker.port}"})
    assert "listens" in found(with_name, "broker").text


QUEUE = "broker's queue"


def test_messages_that_the_broker_dropped_are_counted(
    settings: Settings, runtime: Path, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is more than a broker keeps for a client that is away is gone, and the technician reads how much."""
    monkeypatch.setattr(doctor, "DROPS_S", 60.0)
    broker = ForgetfulBroker(Home.at(runtime / f"forgetful-{topic}"))
    there = settings.model_copy(update={"mqtt_url": broker.url})
    try:
        assert (found(there, QUEUE).level, found(there, QUEUE).text) == (
            "good",
            "no message dropped since the broker started",
        )
        away = paho.Client(CallbackAPIVersion.VERSION2, client_id=topic, clean_session=False)
        away.connect(broker.host, broker.port)
        away.on_connect = lambda client, *_: client.subscribe(topic, 1)
        away.on_subscribe = lambda client, *_: client.disconnect()
        away.loop_forever()
        device = paho.Client(CallbackAPIVersion.VERSION2)
        device.connect(broker.host, broker.port)
        device.loop_start()
        for _ in range(HELD + INFLIGHT + 70):
            last = device.publish(topic, b"{}", qos=1)
        last.wait_for_publish(60)
        device.disconnect()
        device.loop_stop()
        finding = eventually(lambda: (one := found(there, QUEUE)) and one.level == "note" and one)
    finally:
        broker.child.stop()
    assert re.match(r"\d+ messages dropped", finding.text)
    assert int(finding.text.split()[0]) >= 70
    assert "max_queued_messages" in finding.fix


def test_broker_that_does_not_tell_what_it_dropped(
    settings: Settings, runtime: Path, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown is not nought; ingest, which listens longer, may have heard."""
    monkeypatch.setattr("ioc.live.HEARTBEAT_TTL_S", 600)
    broker = ForgetfulBroker(Home.at(runtime / f"silent-{topic}"), sys_interval=0)
    there = settings.model_copy(update={"mqtt_url": broker.url})
    try:
        alone = found(there.model_copy(update={"redis_url": ""}), QUEUE)
        with closing(Live(settings.require("redis_url"))) as live:
            live.beat(Heartbeat("ingest", topic, utc_now(), "ok", figures={FIGURE: 7.0}))
        heard = found(there, QUEUE)
    finally:
        broker.child.stop()
    assert alone.level == "note"
    assert "unknown" in alone.text
    assert heard.text.startswith("7 messages dropped")


def test_report_counts_the_faults() -> None:
    """The last line says how many, and each fix stands under its fault."""
    console = Console(record=True, width=100)
    report([Finding("a", "good", "fine"), Finding("b", "fault", "broken", "mend it")], console)
    text = console.export_text()
    assert "mend it" in text
    assert text.rstrip().endswith("1 fault")


def test_audit_log_that_was_changed_is_a_fault(settings: Settings, db: Database) -> None:
    """Whoever got past the database's own guard is told of, with the entry."""
    assert found(settings, "audit log").level == "good"
    with db.connect() as connection:
        for number in range(3):
            with connection.transaction():
                append(connection, "An", "device.edit", f"lamp-{number}")
        assert "3 entries" in found(settings, "audit log").text
        connection.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        connection.execute("UPDATE audit SET who = 'x' WHERE seq = 2")
        assert (finding := found(settings, "audit log")).fault
        assert "entry 2" in finding.text
        connection.execute("DELETE FROM audit")
        connection.execute("ALTER TABLE audit ENABLE TRIGGER USER")


def test_broker_that_is_meant_is_looked_for(settings: Settings) -> None:
    """Where RabbitMQ is to be started, Mosquitto is not asked for."""
    finding = found(settings.model_copy(update={"mqtt_url": "", "broker": "rabbitmq"}), "broker")
    assert "rabbitmq-server" in finding.text
