"""Set-up: everything `make demo`, `make test` and `make check` need, each part once.

    python3 -m ioc.stack.bootstrap demo|test|check|clean

Runs before the virtual environment exists, so it uses the standard library only.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from ctypes.util import find_library
from functools import partial
from pathlib import Path

from ioc.errors import IocError, StackError
from ioc.stack import debian, footage, timescaledb, venv
from ioc.stack.home import Home, build_cache
from ioc.stack.steps import Progress, Step, run_step

GOALS = ("demo", "test", "check", "clean")
#: Program that tests run → Debian package that has it.
TESTERS = {"chromium": "chromium", "mosquitto_pub": "mosquitto-clients"}
CACHES = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache", "thuduc_ioc.egg-info")
BUILD_TOOLS = {"cc": "build-essential", "make": "build-essential", "dpkg-source": "dpkg-dev", "cmake": "cmake"}


def replaced(goal: str, setting: str) -> bool:
    """Whether a part of the stack runs elsewhere; tests always use the private one."""
    return goal == "demo" and bool(os.environ.get(setting))


def servers(goal: str) -> dict[str, str]:
    """Servers beside PostgreSQL that a goal needs: program → the Debian package that has it."""
    wanted = {}
    rabbitmq = os.environ.get("IOC_BROKER") == "rabbitmq"
    if not replaced(goal, "IOC_MQTT_URL"):
        if goal == "test" or not rabbitmq:
            wanted["mosquitto"] = "mosquitto"
        if goal == "test" or rabbitmq:
            wanted["rabbitmq-server"] = "rabbitmq-server"
    if not replaced(goal, "IOC_REDIS_URL"):
        wanted["redis-server"] = "redis-server"
    return wanted


def missing(goal: str) -> list[str]:
    """Debian packages that this machine lacks for a goal, seen from the disk alone; "postgresql" stands for the right one."""
    lacks: list[str] = []
    if not venv.runs() and not venv.can_make():
        lacks.append(f"python3.{sys.version_info.minor}-venv")
    if goal == "check":
        return lacks
    lacks += [package for program, package in servers(goal).items() if not debian.has_program(program)]
    if not replaced(goal, "IOC_DATABASE_URL") and timescaledb.is_missing():
        lacks.append("postgresql")
        lacks += dict.fromkeys(package for program, package in BUILD_TOOLS.items() if not debian.has_program(program))
    if goal == "test":
        lacks += [package for program, package in TESTERS.items() if not debian.has_program(program)]
    return lacks


def install_missing(progress: Progress, goal: str) -> None:
    """Install what is missing, after asking for sudo's password if one is needed."""
    wanted = missing(goal)
    if not wanted:
        return
    debian.allow_root(wanted)
    debian.update(progress)
    if "postgresql" in wanted:
        servers = timescaledb.packages()
        keep = set() if timescaledb.will_build(servers) else set(BUILD_TOOLS.values())
        wanted = [*servers, *(name for name in wanted if name != "postgresql" and name not in keep)]
    if wanted:
        progress.say(f"installing {' '.join(wanted)}")
        debian.install(progress, wanted)


def steps(home: Home, goal: str) -> Iterator[Step]:
    """The steps of a goal, in order."""
    python = venv.interpreter()
    yield Step(
        f"debian-{goal}",
        "Debian packages",
        (),
        lambda: not missing(goal),
        lambda progress: install_missing(progress, goal),
    )
    yield Step("venv", "virtual environment", (python,), venv.runs, venv.make)
    for name in ("build", "runtime", "faces") if goal == "demo" else ("build", "runtime", "faces", "test"):
        yield Step(
            f"python-{name}",
            f"Python packages ({name})",
            (python, venv.lock(name).read_text("utf-8")),
            venv.runs,
            partial(venv.install, name=name),
        )
    for name in venv.PEERS if goal == "test" else ():
        yield Step(
            f"peer-{name}",
            f"devices that tests talk to ({name})",
            (python, venv.lock(f"peer-{name}").read_text("utf-8")),
            partial(venv.has_peer, name),
            partial(venv.install_peer, name=name),
        )
    settings = (venv.CLONE / "setup.cfg").read_text("utf-8")
    yield Step(
        "project", "the project's own commands", (python, settings, venv.CLONE), venv.has_project, venv.install_project
    )
    if goal != "check":
        locked = venv.lock("runtime").read_text("utf-8")
        yield Step("compile", "compiling what the services import", (python, locked), venv.runs, venv.compile_services)
    if goal != "check" and not replaced(goal, "IOC_DATABASE_URL"):
        inputs = (build_cache(), *timescaledb.fingerprint())
        yield Step(
            "timescaledb",
            "TimescaleDB",
            inputs,
            partial(timescaledb.linked, home),
            partial(timescaledb.provide, home=home),
        )


def optional_steps(home: Home, goal: str) -> Iterator[Step]:
    """Steps without which the goal is still reached, with less to see."""
    if goal == "check":
        return
    yield Step(
        "footage",
        "footage for the cameras",
        footage.FILES,
        partial(footage.present, home),
        partial(footage.fetch, home=home),
    )
    if goal == "test":
        inputs = (venv.interpreter(), venv.TORCH, venv.TORCHVISION, venv.lock("ultralytics").read_text("utf-8"))
        yield Step(
            "ultralytics",
            "the ultralytics engine, CPU build (without it its tests are skipped)",
            inputs,
            venv.runs,
            venv.install_ultralytics,
        )
        yield Step(
            f"peer-{venv.TRITON}",
            "a Triton server (without it its tests are skipped)",
            (venv.interpreter(), venv.lock(f"peer-{venv.TRITON}").read_text("utf-8")),
            partial(venv.has_peer, venv.TRITON),
            install_triton,
        )


def install_triton(progress: Progress) -> None:
    """Install the server, and the library of Debian's Python, which runs its models, where that is the version of ours."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if Path("/usr/bin", name).exists() and find_library(name) is None:
        debian.allow_root([f"lib{name}"])
        debian.update(progress)
        debian.install(progress, [f"lib{name}"])
    venv.install_peer(progress, venv.TRITON)


def set_up(home: Home, goal: str) -> None:
    """Do what is not done yet for a goal.

    Raises:
        StackError: naming what failed and what to do.
    """
    home.make()
    started = time.monotonic()
    worked = 0
    for step in steps(home, goal):
        worked += run_step(home, step)
    for step in optional_steps(home, goal):
        try:
            worked += run_step(home, step)
        except StackError as error:
            print(f"  goes on without: {str(error).splitlines()[0]}", flush=True)
    if worked:
        print(f"✓ set up in {time.monotonic() - started:.0f} s", flush=True)


def clean(home: Home) -> None:
    """Remove the stack's data, the virtual environment and the caches in this clone; the build cache of the machine stays."""
    if home.path.exists() and not home.stamps.is_dir():
        raise StackError(f"{home.path} is no runtime folder of ours: it has no {home.stamps.name}; nothing was removed")
    folders = [home.state, home.path, venv.VENV, *(venv.CLONE / name for name in CACHES)]
    for folder in dict.fromkeys(folders):
        if folder.exists():
            print(f"removing {folder}", flush=True)
            shutil.rmtree(folder)
    print(f"kept for other clones: {build_cache()}", flush=True)


def main() -> None:
    """Do the steps of the goal named on the command line."""
    if len(sys.argv) != 2 or sys.argv[1] not in GOALS:
        raise SystemExit(f"usage: python3 -m ioc.stack.bootstrap {'|'.join(GOALS)}")
    # A closed terminal or a kill ends the step that runs, like Ctrl-C, and leaves no compiler behind.
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        home = Home.at(os.environ.get("IOC_HOME") or venv.CLONE / ".ioc")
        if sys.argv[1] == "clean":
            clean(home)
        else:
            set_up(home, sys.argv[1])
    except IocError as error:
        raise SystemExit(f"set-up stopped: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit("\nset-up interrupted; the same command goes on where it stopped") from None


if __name__ == "__main__":
    main()
