"""Which account a server runs as, and folders that belong to it."""

from __future__ import annotations

import os
import pwd
import secrets
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ioc.errors import StackError
from ioc.stack.process import find


def account(name: str, package: str) -> str | None:
    """The account a server runs as: its Debian user when root starts it, else None, which means ourselves.

    Raises:
        StackError: when we are root and the Debian user does not exist.
    """
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(name)
    except KeyError as error:
        raise StackError(
            f"the user {name} does not exist: run `make setup`, or install the package {package}"
        ) from error
    return name


def own_folder(path: Path, user: str | None) -> Path:
    """Create a folder that only `user` (or we) can read, and give it to them.

    Raises:
        StackError: when the path is a link or belongs to somebody else.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    expected = os.geteuid() if user is None else pwd.getpwnam(user).pw_uid
    status = path.lstat()
    if path.is_symlink() or status.st_uid not in (expected, os.geteuid()):
        raise StackError(f"{path} belongs to uid {status.st_uid}, expected {expected}: remove it or give it back")
    give(path, user)
    path.chmod(0o700)
    return path


def give(path: Path, user: str | None) -> None:
    """Hand a file or folder to `user`."""
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def write_private(path: Path, text: str, user: str | None = None) -> None:
    """Write a file only `user` (or we) can read, replacing it in one step."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    give(fresh, user)
    fresh.replace(path)


def secret(path: Path) -> str:
    """The secret kept in a file; a new random one is written when there is none."""
    try:
        return path.read_text("utf-8").strip()
    except FileNotFoundError:
        value = secrets.token_urlsafe(24)
        write_private(path, value + "\n")
        return value


def run_as(user: str | None, argv: Sequence[str | Path], log: Path) -> None:
    """Run a program to its end as `user`, its output in `log`.

    Raises:
        StackError: when it fails, with what it said.
    """
    wrap: list[str] = []
    if user is not None:
        wrap = [
            find("setpriv", "util-linux"),
            "--reuid",
            user,
            "--regid",
            str(pwd.getpwnam(user).pw_gid),
            "--init-groups",
            "--",
        ]
    with log.open("ab") as output:
        begin = output.tell()
        done = subprocess.run(
            [*wrap, *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd="/", check=False
        )
    if done.returncode:
        said = log.read_bytes()[begin:].decode("utf-8", "replace")
        raise StackError(f"{Path(argv[0]).name} failed with {done.returncode}; {log} says:\n{said}")
