"""Set-up: steps done once, Debian's sources read in both formats, locks that cover what is required."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from ioc.errors import StackError
from ioc.stack import bootstrap, footage
from ioc.stack.debian import configured
from ioc.stack.home import Home
from ioc.stack.lock import FILES, requirements
from ioc.stack.postgres_tree import has_timescaledb
from ioc.stack.steps import Progress, Step, run_step
from ioc.stack.venv import CLONE, WHEELS_APART, lock


@pytest.fixture
def home(runtime: Path) -> Home:
    """A runtime folder."""
    made = Home.at(runtime / f"home-{uuid.uuid4().hex[:8]}")
    made.make()
    return made


def make_step(home: Home, ran: list[str], *inputs: object) -> Step:
    """A step that leaves a file."""
    result = home.path / "result"

    def work(progress: Progress) -> None:
        ran.append(str(inputs))
        progress.run("sh", "-c", f"echo working; touch {result}")

    return Step("make-result", "the result", inputs, result.exists, work)


def test_step_is_done_once_for_the_same_inputs(home: Home) -> None:
    """The second run has nothing to do."""
    ran: list[str] = []
    assert run_step(home, make_step(home, ran, "1"))
    assert not run_step(home, make_step(home, ran, "1"))
    assert len(ran) == 1
    assert "working" in (home.log / "setup-make-result.log").read_text()


def test_step_is_done_again_for_other_inputs_or_a_missing_result(home: Home) -> None:
    """A changed lock file, or a folder removed by hand."""
    ran: list[str] = []
    run_step(home, make_step(home, ran, "1"))
    assert run_step(home, make_step(home, ran, "2"))
    (home.path / "result").unlink()
    assert run_step(home, make_step(home, ran, "2"))


def test_failed_step_says_what_the_program_said_and_is_tried_again(home: Home) -> None:
    """The error carries the end of the log and its path."""
    ran: list[str] = []

    def fail(progress: Progress) -> None:
        ran.append("x")
        progress.run("sh", "-c", "echo no space left >&2; exit 3")

    step = Step("fails", "a failure", (), lambda: True, fail)
    for _ in range(2):
        with pytest.raises(StackError, match=r"(?s)sh failed with 3; .*setup-fails\.log.*no space left"):
            run_step(home, step)
    assert len(ran) == 2


def test_interrupted_step_is_not_marked_done(home: Home) -> None:
    """Ctrl-C in the middle: the next run goes on with this step."""

    def interrupted(progress: Progress) -> None:
        raise KeyboardInterrupt

    step = Step("long", "a long one", (), lambda: True, interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_step(home, step)
    assert not (home.stamps / "long").exists()


def test_debian_sources_are_read_in_both_formats(tmp_path: Path) -> None:
    """The mirror of the machine is used, disabled and foreign sources are not."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/x.gpg] http://mirror.example/debian bookworm contrib main\n"
        "deb-src http://mirror.example/debian bookworm main\n"
        "deb https://packages.example/apt stable main\n"
    )
    (parts / "debian.sources").write_text(
        "Types: deb deb-src\nURIs: http://two.example/debian/\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb\nURIs: http://two.example/debian-security\nSuites: bookworm-security\nComponents: main\n"
    )
    assert configured(tmp_path) == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://two.example/debian", "bookworm"),
        ("http://two.example/debian", "bookworm-updates"),
        ("http://two.example/debian-security", "bookworm-security"),
    ]


def test_timescaledb_is_seen_beside_the_programs(tmp_path: Path) -> None:
    """As in Debian's tree, and in a private copy of it."""
    root = tmp_path / "usr" / "lib" / "postgresql" / "15"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "postgres").touch()
    assert not has_timescaledb(root)
    extension = tmp_path / "usr" / "share" / "postgresql" / "15" / "extension"
    extension.mkdir(parents=True)
    (extension / "timescaledb.control").touch()
    assert has_timescaledb(root)


def test_replaced_part_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL of a real server makes its package unnecessary for the demo; tests always use the private one."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("ioc.stack.debian.has_program", lambda _name: False)
    monkeypatch.delenv("IOC_MQTT_URL", raising=False)
    assert {"mosquitto", "redis-server"} <= set(bootstrap.missing("demo"))
    monkeypatch.setenv("IOC_MQTT_URL", "mqtt://broker.example")
    assert "mosquitto" not in bootstrap.missing("demo")
    assert {"mosquitto", "chromium"} <= set(bootstrap.missing("test"))


@pytest.mark.parametrize("name", FILES)
def test_lock_covers_what_is_required(name: str) -> None:
    """Each requirement of setup.cfg is pinned, and each pin has hashes."""
    pins = locked(name) | (locked("runtime") if name != "build" else set())
    for extra in FILES[name][0]:
        for line in requirements(extra):
            package = canonical(re.split(r"[\[<>=!~;]", line)[0])
            assert package in pins | set(WHEELS_APART), f"{package} is not locked: run `make lock`"
    blocks = re.split(r"\n(?=[a-z0-9])", lock(name).read_text("utf-8"))
    assert all("--hash=sha256:" in block for block in blocks if "==" in block.split("\n")[0])


def test_no_lock_brings_cuda() -> None:
    """A machine without a GPU downloads none of it."""
    everything = set().union(*(locked(name) for name in FILES))
    assert not {package for package in everything if re.match(r"(nvidia-(?!ml-py)|cuda-|triton|torch)", package)}


def test_footage_that_is_there_is_not_fetched_again(home: Home) -> None:
    """All files present: no network is asked."""
    home.media.mkdir()
    for name in footage.FILES:
        (home.media / name).touch()
    assert footage.present(home)


def test_set_up_uses_the_standard_library_only() -> None:
    """It runs before any dependency is installed: an isolated Python without site-packages can import it."""
    done = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(CLONE)!r}); import ioc.stack.bootstrap",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_make_help_lists_every_target() -> None:
    """Each target of the Makefile has its comment."""
    text = (CLONE / "Makefile").read_text("utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    said = subprocess.run(["make", "-s", "help"], cwd=CLONE, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make ([\w-]+) +\S", said, re.MULTILINE) == phony.split()


def locked(name: str) -> set[str]:
    """Packages pinned in a lock file."""
    return {
        canonical(package)
        for package in re.findall(r"^([A-Za-z0-9._-]+)==", lock(name).read_text("utf-8"), re.MULTILINE)
    }


def canonical(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def test_clean_of_a_folder_that_is_not_ours_removes_nothing(tmp_path: Path) -> None:
    """`make clean` with IOC_HOME on some other folder is refused."""
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(StackError, match="nothing was removed"):
        bootstrap.clean(Home.at(tmp_path))
    assert (tmp_path / "thesis.txt").exists()


def test_broker_that_is_asked_for_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of the two for the demo, and both for the tests."""
    for name in ("IOC_MQTT_URL", "IOC_REDIS_URL", "IOC_BROKER"):
        monkeypatch.delenv(name, raising=False)
    assert set(bootstrap.servers("demo")) == {"mosquitto", "redis-server"}
    monkeypatch.setenv("IOC_BROKER", "rabbitmq")
    assert set(bootstrap.servers("demo")) == {"rabbitmq-server", "redis-server"}
    monkeypatch.setenv("IOC_MQTT_URL", "mqtt://broker.example")
    assert set(bootstrap.servers("demo")) == {"redis-server"}
    assert set(bootstrap.servers("test")) == {"mosquitto", "rabbitmq-server", "redis-server"}
