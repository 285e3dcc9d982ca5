"""Write the lock files: every package with its version and hashes, from the requirements in setup.cfg.

Run by `make lock` inside the virtual environment, which has pip-tools then.
"""

from __future__ import annotations

import configparser
import subprocess
import sys

from ioc.stack.venv import CLONE, LOCKS, PEERS, TORCH

#: Lock file → extras of setup.cfg whose requirements go into it ("" is install_requires), and options of pip-compile.
#: torch comes apart, as the CPU build; torchvision and the desktop build of OpenCV are not needed, and each breaks something.
FILES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "build": (("build",), ()),
    "runtime": (("",), ("--constraint", "build.txt")),
    "test": (("test", "check"), ("--constraint", "runtime.txt")),
    **{f"peer-{name}": ((f"peer-{name}",), ()) for name in PEERS},
    "ultralytics": (
        ("ultralytics",),
        (
            *("--constraint", "runtime.txt", "--constraint", "test.txt"),
            *("--unsafe-package", "torch", "--unsafe-package", "torchvision", "--unsafe-package", "opencv-python"),
        ),
    ),
}

#: pip-compile that believes the hashes its index states; by itself it downloads every file of every platform to hash it.
COMPILE = """
import sys
from importlib import import_module
from piptools.repositories.pypi import PyPIRepository

class Stated(PyPIRepository):
    def _get_file_hash(self, link):
        if link.hash_name == "sha256":
            return f"sha256:{link.hash}"
        return super()._get_file_hash(link)

command = import_module("piptools.scripts.compile")
command.PyPIRepository = Stated
command.cli(sys.argv[1:], prog_name="pip-compile")
"""


def requirements(extra: str) -> list[str]:
    """The requirements of an extra, of the project itself for "", of its build for "build"."""
    if extra == "build":
        return ["setuptools>=77", "wheel"]
    config = configparser.ConfigParser()
    config.read(CLONE / "setup.cfg", encoding="utf-8")
    text = config["options.extras_require"][extra] if extra else config["options"]["install_requires"]
    lines = [line for line in text.split("\n") if line]
    # The CPU build asks for no CUDA; without the exact version the newest torch of the index would bring it in.
    return [TORCH if line == "torch" else line for line in lines]


def main() -> None:
    """Write every lock file; versions already locked stay unless `--upgrade` is given."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "pip-tools"], check=True)
    LOCKS.mkdir(parents=True, exist_ok=True)
    for name, (extras, options) in FILES.items():
        wanted = "\n".join(line for extra in extras for line in requirements(extra))
        print(f"docker/locks/{name}.txt", flush=True)
        subprocess.run(
            [
                *(sys.executable, "-c", COMPILE, "--quiet", "--generate-hashes", "--strip-extras"),
                *(() if name == "ultralytics" else ("--allow-unsafe",)),
                *("--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-header"),
                *options,
                *sys.argv[1:],
                *("--output-file", f"{name}.txt", "-"),
            ],
            input=wanted.encode(),
            cwd=LOCKS,
            check=True,
        )


if __name__ == "__main__":
    main()
