"""The virtual environment: made from this Python, filled from the lock files, hashes checked."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from ioc.errors import StackError
from ioc.stack.steps import Progress

CLONE = Path(__file__).resolve().parents[2]
VENV = CLONE / ".venv"
PYTHON = VENV / "bin" / "python"
LOCKS = CLONE / "docker" / "locks"

#: The CPU build by its full version, so that no machine without a GPU is ever sent CUDA.
TORCH = "torch==2.13.0+cpu"
TORCHVISION = "torchvision==0.28.0"
#: Packages no lock file holds: each comes apart, or is not wanted.
WHEELS_APART = ("torch", "torchvision", "opencv-python")
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"

#: Programs that tests talk to as they would to devices; each brings its own MQTT client, so each has a folder of its own.
PEERS = ("sparkplug", "thingsboard")
#: A server that tests talk to; its lock file is kept by hand, like that of `faces`.
TRITON = "triton"

#: In a process of its own: the core imports no service.
WARM = """
from importlib import import_module
from importlib.util import find_spec
from ioc.stack.services import SERVICES
for row in SERVICES:
    is_package = find_spec(row.module).submodule_search_locations is not None
    import_module(row.module + ".__main__" if is_package else row.module)
"""


def lock(name: str) -> Path:
    """Path of a lock file."""
    return LOCKS / f"{name}.txt"


def runs() -> bool:
    """Whether the environment is there and its Python still exists."""
    return PYTHON.exists() and (VENV / "bin" / "pip").exists()


def interpreter() -> str:
    """What the environment is made from; it is made anew when this changes."""
    return f"{os.path.realpath(sys._base_executable)} {sys.version}"  # type: ignore[attr-defined]  # noqa: SLF001


def peer(name: str) -> Path:
    """Folder of a program that tests talk to."""
    return VENV / "peers" / name


def has_peer(name: str) -> bool:
    """Whether a program that tests talk to is installed."""
    return peer(name).is_dir()


def has_project() -> bool:
    """Whether the project's commands are installed."""
    return (VENV / "bin" / "ioc").exists()


def can_make() -> bool:
    """Whether this Python can make environments: Debian keeps that in a package of its own."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def made_here() -> bool:
    """Whether the environment stands on this very Python: two of them in one environment break each other's libraries."""
    try:
        lines = (VENV / "pyvenv.cfg").read_text("utf-8").splitlines()
    except OSError:
        return False
    values = dict(line.split(" = ", 1) for line in lines if " = " in line)
    base: str = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]  # noqa: SLF001
    return os.path.realpath(values.get("executable", "")) == base == os.path.realpath(PYTHON)


def make(progress: Progress) -> None:
    """Make the environment, replacing one whose Python is gone or another."""
    if VENV.exists() and not (runs() and made_here()):
        shutil.rmtree(VENV)
    progress.run(sys.executable, "-m", "venv", VENV)


def install(progress: Progress, name: str) -> None:
    """Install exactly what a lock file says."""
    progress.say("pip installs the locked versions")
    _pip(progress, "--no-deps", "--require-hashes", "-r", str(lock(name)))


def install_peer(progress: Progress, name: str) -> None:
    """Install a program that tests talk to, exactly as its lock file says, beside everything else."""
    shutil.rmtree(peer(name), ignore_errors=True)
    _pip(progress, "--no-deps", "--require-hashes", "--target", str(peer(name)), "-r", str(lock(f"peer-{name}")))


def install_project(progress: Progress) -> None:
    """Install the project itself, editable, so that its commands exist."""
    _pip(progress, "--no-deps", "--no-build-isolation", "-e", str(CLONE))


def compile_services(progress: Progress) -> None:
    """Import what the services import, so that their first start need not compile it; pip would compile far more."""
    progress.run(PYTHON, "-c", WARM, folder=CLONE, environment={"PYTHONDONTWRITEBYTECODE": ""})


def install_ultralytics(progress: Progress) -> None:
    """Install ultralytics and the CPU build of torch, from where pip is configured to look, else from PyTorch's own index.

    Raises:
        StackError: when neither has it for this Python and machine.
    """
    progress.say(TORCH)
    try:
        _pip(progress, TORCH)
    except StackError:
        progress.say(f"{TORCH} from {TORCH_INDEX}")
        _pip(progress, "--extra-index-url", TORCH_INDEX, TORCH, f"{TORCHVISION}+cpu")
    else:
        # ultralytics reads its version at import and calls none of it; where the CPU build is not offered, any will do.
        _pip(progress, "--no-deps", TORCHVISION)
    install(progress, "ultralytics")


def _pip(progress: Progress, *arguments: str) -> None:
    quiet = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--no-compile")
    progress.run(PYTHON, "-m", "pip", "install", *quiet, *arguments)
