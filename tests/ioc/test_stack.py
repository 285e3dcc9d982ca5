"""The embedded stack with its real servers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import psycopg
import pytest
import redis

from ioc.db.migrate import pending
from ioc.errors import StackError
from ioc.live import Live
from ioc.stack.broker import answers
from ioc.stack.embedded import Stack, Urls, free_port, read_record, sole_owner
from ioc.stack.home import SOCKET_PATH_MAX, Home, open_to_all
from ioc.stack.process import born
from tests.fix_stack import BrokerServer, CacheServer, Database


def test_database_url_serves_timescaledb_to_a_plain_role(stack: Stack) -> None:
    """The services' role is no superuser and can still create the extension."""
    with psycopg.connect(stack.urls.database_url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        (superuser,) = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() or (
            None,
        )
        (checksums,) = connection.execute("SHOW data_checksums").fetchone() or (None,)
        (encoding,) = connection.execute("SHOW server_encoding").fetchone() or (None,)
    assert (superuser, checksums, encoding) == (False, "on", "UTF8")


def test_database_refuses_a_wrong_password(stack: Stack) -> None:
    """Another user of the machine cannot read the city over loopback."""
    wrong = stack.urls.database_url.replace("postgresql://ioc:", "postgresql://ioc:x")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(wrong)


def test_secrets_are_closed_to_others(stack: Stack) -> None:
    """Passwords and the record of URLs are readable by their owner alone."""
    files = [stack.home.record, *(stack.home.path / "secrets").iterdir()]
    assert len(files) == 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_record_names_ports_processes_and_urls(stack: Stack) -> None:
    """Other programs find the running stack by its record."""
    record = read_record(stack.home)
    assert record["urls"]["mqtt_url"] == stack.urls.mqtt_url
    assert {name for name, _, _ in record["processes"]} == {"postgres", "mosquitto", "redis"}
    assert all(born(pid) == start for _, pid, start in record["processes"])


def test_db_is_migrated(db: Database) -> None:
    """The fixture hands out the schema, nothing pending."""
    with db.connect() as connection:
        assert pending(connection) == []


def test_broker_answers_after_kill_and_start(broker: BrokerServer) -> None:
    """A test can take the broker away and bring it back on its port."""
    assert answers(broker.host, broker.port)
    broker.kill()
    assert not answers(broker.host, broker.port)
    broker.start()
    assert answers(broker.host, broker.port)


def test_cache_is_empty_after_kill_and_start(cache: CacheServer, live: Live) -> None:
    """Redis keeps nothing on the disk: what it holds can be rebuilt."""
    with redis.Redis.from_url(cache.url) as client:
        client.set("a", "b")
    cache.kill()
    cache.start()
    live.ping()
    with redis.Redis.from_url(cache.url) as client:
        assert client.dbsize() == 0


def test_restart_keeps_ports_and_data(runtime: Path) -> None:
    """A second start finds the first one's data at the same addresses."""
    home = Home.at(runtime / "again")
    with Stack(home, shared_buffers="32MB") as first:
        urls = first.urls
        with psycopg.connect(urls.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS seven")
        pids = [child.pid for child in first.children]
    assert [born(pid) for pid in pids] == [None, None, None]
    assert "urls" not in read_record(home)
    with Stack(home, shared_buffers="32MB") as second:
        assert second.urls == urls
        with psycopg.connect(second.urls.database_url) as connection:
            assert connection.execute("SELECT seven FROM kept").fetchone() == (7,)


def test_given_urls_are_neither_started_nor_changed(runtime: Path, stack: Stack) -> None:
    """A part that runs elsewhere is left alone."""
    given = Urls(database_url=stack.urls.database_url, mqtt_url="mqtt://broker.example:1883")
    with Stack(Home.at(runtime / "partly"), given) as partly:
        assert [child.name for child in partly.children] == ["redis"]
        assert (partly.urls.database_url, partly.urls.mqtt_url) == (given.database_url, given.mqtt_url)


def test_leftover_servers_are_ended_at_the_next_start(runtime: Path) -> None:
    """Servers whose supervisor vanished without a trace are found by pid and start time, and replaced."""
    home = Home.at(runtime / "leftover")
    lost = Stack(home, Urls(database_url="postgresql://elsewhere/ioc"))
    lost.start()
    with Stack(home, Urls(database_url="postgresql://elsewhere/ioc")) as again:
        for child in lost.children:
            child.process.wait(60)
        assert all(child.alive() for child in again.children)
        assert again.urls == lost.urls


def test_failed_start_leaves_nothing_running(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When one part cannot start, the parts before it are stopped again and the error names the fix."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("ioc.stack.process.SYSTEM_PATH", "/nonexistent")
    stack = Stack(Home.at(runtime / "fails"), Urls(database_url="postgresql://elsewhere/ioc"))
    with pytest.raises(StackError, match="mosquitto is not installed: run `make setup`"):
        stack.start()
    assert stack.children == []


def test_second_owner_is_refused_with_the_pid_of_the_first(runtime: Path) -> None:
    """Two demos in one clone do not collide."""
    home = Home.at(runtime / "owned")
    with sole_owner(home), pytest.raises(StackError, match=f"pid {os.getpid()}"), sole_owner(home):
        pass
    with sole_owner(home):
        pass


def test_free_port_avoids_one_in_use(broker: BrokerServer) -> None:
    """A remembered port that somebody took meanwhile is replaced."""
    assert free_port(broker.port) != broker.port


def test_socket_path_is_short_in_a_deep_folder(tmp_path: Path) -> None:
    """The kernel takes 107 bytes; a deep clone still gets a socket."""
    deep = Home.at(tmp_path / ("x" * 60) / ("y" * 60))
    assert len(os.fsencode(deep.socket("redis"))) <= SOCKET_PATH_MAX
    shallow = Home.at("/srv/ioc/.ioc")
    assert shallow.socket("redis").is_relative_to(shallow.state)


def test_open_to_all_sees_a_closed_folder_on_the_way(tmp_path: Path) -> None:
    """State goes elsewhere when the servers' own users could not reach the clone."""
    tmp_path.chmod(0o755)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    inner.parent.chmod(0o700)
    assert not open_to_all(inner)


def test_folder_of_somebody_else_is_not_touched(runtime: Path) -> None:
    """A `postgres` folder that we did not make stops the start, and stays as it is."""
    home = Home.at(runtime / "foreign")
    theirs = home.state / "postgres" / "base"
    theirs.mkdir(parents=True)
    with pytest.raises(StackError, match="no cluster of ours"):
        Stack(home).start()
    assert theirs.is_dir()
