"""Set-up in steps: each is done once for the same inputs, shows its progress, and leaves its output in a log.

Standard library only, like everything set-up needs before the dependencies are there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ioc.errors import StackError
from ioc.stack.home import Home
from ioc.stack.process import tail

#: On a screen that is no terminal, a line this often says that a slow step still goes on.
SILENCE_S = 20.0


@dataclass(frozen=True)
class Step:
    """One step of the set-up.

    Attributes:
        name: its key, and the name of its log.
        title: what it does, for a person.
        inputs: what its result depends on.
        present: whether its result exists (a folder may have been removed by hand).
        work: does it; gets the progress to run programs with.
    """

    name: str
    title: str
    inputs: Iterable[object]
    present: Callable[[], bool]
    work: Callable[[Progress], None]


class Progress:
    """Shows one step, runs its slow programs with their output in its log."""

    def __init__(self, title: str, log: Path) -> None:
        self.log = log
        self._title = title
        self._started = self._told = time.monotonic()
        self._live = sys.stdout.isatty()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self._note = ""
        self._print(f"… {title}")

    def say(self, note: str) -> None:
        """Show what the step does now."""
        self._note = note
        self._print(f"… {self._title} ({self._seconds()}): {note}")

    def done(self) -> None:
        """Show that it is done, and how long it took."""
        self._print(f"✓ {self._title} ({self._seconds()})", last=True)

    def failed(self) -> None:
        """Show that it failed."""
        self._print(f"✗ {self._title} ({self._seconds()})", last=True)

    def run(
        self,
        *argv: str | Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        finish: bool = False,
    ) -> None:
        """Run a program to its end.

        Args:
            argv: program and arguments.
            folder: working folder.
            environment: added to ours.
            finish: let it end by itself at Ctrl-C: dpkg must not be torn in the middle.

        Raises:
            StackError: when it fails, with the end of what it said.
        """
        with self.log.open("ab") as output:
            output.write(f"$ {' '.join(map(str, argv))}\n".encode())
            output.flush()
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=os.environ | (environment or {}),
                process_group=0,
            )
        try:
            self._watch(process)
        except KeyboardInterrupt:
            if finish:
                self.say("finishing this first")
            else:
                os.killpg(process.pid, signal.SIGTERM)
            process.wait()
            raise
        if process.returncode:
            raise StackError(f"{argv[0]} failed with {process.returncode}; {self.log} ends with:\n{tail(self.log, 15)}")

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        while True:
            try:
                process.wait(0.3)
            except subprocess.TimeoutExpired:
                if self._live or time.monotonic() - self._told > SILENCE_S:
                    self._told = time.monotonic()
                    last = tail(self.log, 1).strip()
                    self._print(f"… {self._title} ({self._seconds()}): {self._note if last.startswith('$') else last}")
            else:
                return

    def _seconds(self) -> str:
        return f"{time.monotonic() - self._started:.0f} s"

    def _print(self, line: str, *, last: bool = False) -> None:
        if self._live:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{line[:width]}", end="\n" if last else "", flush=True)
        else:
            print(line[:160], flush=True)


def run_step(home: Home, step: Step) -> bool:
    """Do a step unless it is done for the same inputs and its result exists; returns whether there was work."""
    digest = hashlib.sha256("\0".join(map(str, step.inputs)).encode()).hexdigest()
    stamp = home.stamps / step.name
    if stamp.is_file() and stamp.read_text() == digest and step.present():
        return False
    stamp.unlink(missing_ok=True)
    progress = Progress(step.title, home.log / f"setup-{step.name}.log")
    try:
        step.work(progress)
    except BaseException:
        progress.failed()
        raise
    stamp.write_text(digest)
    progress.done()
    return True
