"""Child processes that cannot outlive us: own session, a death signal from the kernel, the right user.

The kernel sends the death signal when the *thread* that started the child ends, so children are started from the
main thread only.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ioc.errors import StackError

#: Logs are cut when a process starts and its log has grown past this.
LOG_BYTES = 20_000_000
#: Folders of programs that a user's PATH may lack.
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin"


@dataclass
class Child:
    """A running child process.

    Attributes:
        name: what it is called on screen and in the log folder.
        stop_signal: asks it to end in an orderly way; SIGINT is PostgreSQL's fast shutdown.
        started: monotonic seconds of its start.
    """

    name: str
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    log: Path
    started: float = field(default_factory=time.monotonic)

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        return tail(self.log, lines)

    def ask_to_stop(self) -> None:
        """Send the stop signal."""
        if self.alive():
            self.process.send_signal(self.stop_signal)

    def stop(self, patience_s: float = 20.0) -> None:
        """Ask it to stop, wait, then kill its whole session."""
        self.ask_to_stop()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill it and everything in its process group, at once."""
        if self.alive():
            kill_group(self.pid)
        self.process.wait(10)


def start(
    name: str,
    argv: Sequence[str | Path],
    *,
    log: Path,
    user: str | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Child:
    """Start a child in its own session; it gets `stop_signal` from the kernel if we die, however we die.

    Args:
        name: what it is called.
        argv: program and arguments.
        log: file its output is appended to.
        user: account to run as; only root may name one.
        stop_signal: orderly stop, also the death signal.
        environment: complete environment; ours when None.
        folder: working folder; ours when None.

    Raises:
        StackError: when the program cannot be started.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(log.with_suffix(".old"))
    # setpriv sets the death signal after it has changed the user; the kernel clears it at a change of user.
    wrap = [find("setpriv", "util-linux"), "--pdeathsig", stop_signal.name.removeprefix("SIG")]
    if user is not None:
        wrap += ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups"]
    try:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*wrap, "--", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
                cwd=folder,
            )
    except OSError as error:
        raise StackError(f"{name} cannot be started: {error}") from error
    return Child(name, process, stop_signal, log)


def wait_ready(child: Child, ready: Callable[[], bool], seconds: float) -> Child:
    """Wait until `ready()`, while the child lives; returns it. One that is not waited for to the end is stopped.

    Raises:
        StackError: with the end of its log, when it dies or takes longer.
    """
    try:
        _wait(child, ready, seconds)
    except BaseException:
        child.stop()
        raise
    return child


def _wait(child: Child, ready: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if not child.alive():
            raise StackError(
                f"{child.name} ended with {child.process.returncode} at start; {child.log} says:\n{child.tail()}"
            )
        if time.monotonic() > deadline:
            raise StackError(f"{child.name} is not ready after {seconds:.0f} s; {child.log} says:\n{child.tail()}")
        time.sleep(0.02)


def find(program: str, package: str, *folders: Path) -> str:
    """Full path of a program, also from the sbin folders that users' PATH lacks.

    Raises:
        StackError: naming the Debian package to install.
    """
    places = [str(folder) for folder in folders] + [os.environ.get("PATH", os.defpath), SYSTEM_PATH]
    path = shutil.which(program, path=os.pathsep.join(places))
    if path is None:
        raise StackError(f"{program} is not installed: run `make setup`, or install the package {package}")
    return path


def born(pid: int) -> int | None:
    """Start time of a process in kernel ticks, which with its id names it for good; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else int(fields[19])


def kill_group(pid: int) -> None:
    """SIGKILL a process group; nothing happens when it is gone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def tail(log: Path, lines: int) -> str:
    """The last lines of a file, "" when it is absent."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 20_000))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
