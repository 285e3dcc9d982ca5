"""`ioc config check` and `show`: a fault is named with its place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ioc.cli import app
from ioc.configuration import check, line_of
from ioc.errors import SettingsError
from ioc.settings import Settings, without_passwords


@pytest.fixture
def toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Path of the configuration file that is read."""
    path = tmp_path / "city.toml"
    monkeypatch.setenv("IOC_CONFIG", str(path))
    return path


def test_no_configuration_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger needs to set nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IOC_CONFIG", raising=False)
    assert check().startswith("good: no ioc.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('\nlanguage = "fr"\n', "line 2: language: got 'fr'; .*'vi' or 'en'"),
        (
            "# days\nretention_readings_days = 0\n",
            "line 2: retention_readings_days: got 0; .*greater than or equal to 1",
        ),
        ("\n\nlangauge = 'vi'\n", "line 3: langauge: got 'vi'; no such setting"),
        ('[capture_sources]\n"cam-1" = "a.mp4"\n"cam-2" = 3\n', "line 3: capture_sources.cam-2: got 3; .*string"),
        ("capture_sources = { cam-1 = 1 }\n", "line 1: capture_sources.cam-1: got 1; .*string"),
        ("language = vi\n", "line 1"),
    ],
)
def test_fault_in_the_file_is_named_with_key_line_and_expectation(toml: Path, text: str, said: str) -> None:
    """Key, line, what was got, what was expected."""
    toml.write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        check()
    assert str(toml) in str(caught.value)


def test_all_faults_are_named_at_once(toml: Path) -> None:
    """Nobody corrects one line, only to hear of the next."""
    toml.write_text('language = "fr"\nlog_level = "loud"\n')
    with pytest.raises(SettingsError) as caught:
        check()
    assert re.findall(r"line (\d)", str(caught.value)) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("IOC_LANGUAGE", "de", "IOC_LANGUAGE: language: got 'de'"),
        ("IOC_CAPTURE_SOURCES", "cam", "IOC_CAPTURE_SOURCES: got 'cam'; expected JSON"),
        ("IOC_LANGUAGGE", "vi", "IOC_LANGUAGGE: no such setting"),
        ("IOC_LANGUAGE_FILE", "/nonexistent/secret", "IOC_LANGUAGE_FILE names /nonexistent/secret"),
    ],
)
def test_fault_in_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """A misspelt or malformed variable is not ignored in silence."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=re.escape(said)):
        check()


def test_missing_file_that_was_named_is_a_fault(toml: Path) -> None:
    """IOC_CONFIG promises a file."""
    with pytest.raises(SettingsError, match=re.escape(f"IOC_CONFIG names {toml}")):
        check()


def test_line_of_looks_within_the_table() -> None:
    """The same key in an earlier table is not meant."""
    text = "[other]\nname = 1\n[capture_sources]\nname = 2\n"
    assert line_of("capture_sources.name", text) == 4


def test_show_lists_every_setting_and_no_password(toml: Path) -> None:
    """The list is complete, so it is the documentation; secrets stay out of it."""
    toml.write_text('database_url = "postgresql://ioc:hidden@db/ioc"\n')
    result = CliRunner().invoke(app, ["config", "show"], env={"COLUMNS": "220"})
    assert result.exit_code == 0, result.output
    assert all(key in result.output for key in Settings.model_fields)
    assert "postgresql://ioc:***@db/ioc" in result.output
    assert "hidden" not in result.output


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://:secret@cache:6379/0", "redis://:***@cache:6379/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("a:b@c", "a:b@c"),
        ("http://[bad", "http://[bad"),
        ("{'gate': 'rtsp://admin:a@b@10.0.0.7/live'}", "{'gate': 'rtsp://admin:***@10.0.0.7/live'}"),
    ],
)
def test_password_is_hidden_only_where_there_is_one(text: str, shown: str) -> None:
    """Only the password goes."""
    assert without_passwords(text) == shown


def test_camera_password_is_in_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A camera's URL with a slip in the JSON around it is named without its password; from a file it is read as JSON."""
    monkeypatch.setenv("IOC_CAPTURE_SOURCES", '{"gate": "rtsp://admin:s3cret@10.0.0.7/live"')
    with pytest.raises(SettingsError, match="expected JSON") as caught:
        Settings.load()
    assert "s3cret" not in str(caught.value)
    monkeypatch.delenv("IOC_CAPTURE_SOURCES")
    secret = tmp_path / "sources"
    secret.write_text('{"gate": "rtsp://admin:s3cret@10.0.0.7/live"}\n')
    monkeypatch.setenv("IOC_CAPTURE_SOURCES_FILE", str(secret))
    assert Settings.load().capture_sources == {"gate": "rtsp://admin:s3cret@10.0.0.7/live"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'capture_sources = { "bad id/+#" = "a.mp4" }',
            r"line 1: capture_sources.bad id/\+#: got 'bad id/\+#'; .*id of a camera",
        ),
        ('capture_sources = { "-gate" = "a.mp4" }', "line 1: capture_sources.-gate: got '-gate'; .*id of a camera"),
        (
            '[capture_sources]\na = "a.mp4"\nb = "ftp://u:hidden@h/x"',
            r"line 3: capture_sources.b: got 'ftp://u:\*\*\*@h/x'; .*rtsp",
        ),
        ('capture_sources = { a = "" }', "line 1: capture_sources.a: got ''; .*a file"),
        ('capture_sources = { a = "rtsp:///live" }', "line 1: capture_sources.a: .*with a host"),
        ('capture_sources = { a = "http://[::1/live" }', "line 1: capture_sources.a: .*with a host"),
        ('capture_allow = ["10.0.0.0/8", "nonsense"]', "line 1: capture_allow.1: got 'nonsense'; .*10.0.0.0/8"),
        ('vision_group = ""', "line 1: vision_group: got ''; .*at least 1 character"),
        ("vision_max_fps = inf", "line 1: vision_max_fps: got inf; .*finite"),
        ("vision_max_fps = 1e-9", "line 1: vision_max_fps: got 1e-09; .*greater than or equal to 0.2"),
        ('vision_engine = "triton"', "vision_triton_url: got ''; .*http://gpu.example:8000"),
        ('vision_triton_url = "gpu:8000"', "line 1: vision_triton_url: got 'gpu:8000'; .*http://gpu.example:8000"),
        ('vision_triton_url = "http://[::1"', "line 1: vision_triton_url: .*http://gpu.example:8000"),
        ('vision_triton_url = "http://a b"', "line 1: vision_triton_url: .*http://gpu.example:8000"),
        ('vision_triton_url = "http://gpu:99999"', "line 1: vision_triton_url: .*http://gpu.example:8000"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_once(toml: Path, text: str, said: str) -> None:
    """A camera, a network or a server that there cannot be."""
    toml.write_text(f"{text}\n")
    with pytest.raises(SettingsError, match=said):
        check()


def test_sources_and_servers_of_every_kind_are_taken(toml: Path) -> None:
    """A path with a space, a URL with a login and in capitals, a network named by a host in it."""
    toml.write_text(
        'vision_engine = "triton"\nvision_triton_url = "https://[::1]:8000/v"\nvision_max_fps = 0.2\n'
        'capture_allow = ["10.0.0.1/8", "::1"]\n'
        '[capture_sources]\n"cam.1-a" = "my films/a.mp4"\nb = "RTSP://u:p%40@10.0.0.7:554/live?x=1"\n'
    )
    assert check().startswith("good")


@pytest.mark.parametrize("given", ["ingest_processes = 2", 'ingest_group = "a"', "ingest_spool_mb = 1"])
def test_what_rabbitmq_cannot_do_is_refused(toml: Path, given: str) -> None:
    """It grants a shared subscription and hands nothing over on it: nobody finds that out by losing messages."""
    toml.write_text(f"{given}\n")
    assert check().startswith("good")
    toml.write_text(f'broker = "rabbitmq"\n{given}\n')
    with pytest.raises(SettingsError, match=f"line 2: {given.split()[0]}: got .*; .*no shared subscriptions"):
        check()


def test_broker_of_the_running_stack_is_known_by_its_kind(tmp_path: Path) -> None:
    """Whoever takes the broker's URL from the stack also takes what it is, and what it cannot do is refused then, too."""
    record = {"urls": {"mqtt_url": "mqtt://127.0.0.1:1883"}, "broker": "rabbitmq"}
    (tmp_path / "stack.json").write_text(json.dumps(record))
    assert Settings.load(home=tmp_path).broker == "rabbitmq"
    assert Settings.load(home=tmp_path, mqtt_url="mqtt://broker.example").broker == "mosquitto"
    with pytest.raises(SettingsError, match="ingest_processes"):
        Settings.load(home=tmp_path, ingest_processes=2)
