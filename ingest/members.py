"""Several ingest processes that share one subscription: a parent that starts them, watches them and starts them again.

A broker goes on handing a share of the messages to a member that is gone, and keeps it for that member alone. So no member
stays away: one that ends is started again at once under its number, hence with its client id and session; one that hangs is
killed first; what waits in the sessions of numbers that no longer run is fetched by the first member (`ingest.leftovers`).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import Final

import structlog

from ingest.committer import PATIENCE_S
from ioc.service import configure_logging
from ioc.settings import Settings
from ioc.stack.process import find

#: A member that gave no sign of life for so long hangs. Well under the time in which the broker gives it up (1.5 keepalives).
HANGS_S: Final = 15.0
#: It gives the first one once Python has loaded, which takes long on a machine that starts everything at once.
STARTS_S: Final = 60.0
#: Waiting before a member starts again: doubles while it keeps ending soon.
_FIRST_S: Final = 0.2
_MOST_S: Final = 10.0
_STEADY_S: Final = 30.0


class Member:
    """One process: its number and what became of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.due = 0.0
        self._alive = -1
        self._started = 0.0
        self._heard = 0.0
        self._wait = _FIRST_S

    def start(self, arguments: list[str]) -> None:
        """Start it; it writes a byte a second into a pipe as its sign of life."""
        self._alive, theirs = os.pipe()
        os.set_blocking(self._alive, False)
        os.set_inheritable(theirs, True)
        # The death signal ends it with us, however we end.
        wrap = [find("setpriv", "util-linux"), "--pdeathsig", "TERM", "--", sys.executable, "-m", "ingest", *arguments]
        self.pid = os.posix_spawn(
            wrap[0],
            [*wrap, "--member", str(self.number), "--sign", str(theirs)],
            os.environ,
        )
        os.close(theirs)
        self._started = time.monotonic()
        self._heard = self._started + STARTS_S - HANGS_S

    def ended(self) -> int | None:
        """Its exit code if it has ended; it is then due again after a while."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return None
        now = time.monotonic()
        self._wait = _FIRST_S if now - self._started > _STEADY_S else min(_MOST_S, self._wait * 2)
        self.pid, self.due = 0, now + self._wait
        os.close(self._alive)
        return os.waitstatus_to_exitcode(status)

    def hangs(self) -> bool:
        """Whether it has given no sign of life for too long."""
        with suppress(BlockingIOError):
            if os.read(self._alive, 4096):
                self._heard = time.monotonic()
        return time.monotonic() - self._heard > HANGS_S

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self.pid:
            os.kill(self.pid, number)


class Members:
    """The parent of several members."""

    def __init__(self, settings: Settings, processes: int) -> None:
        configure_logging(settings.log_level)
        self._log = structlog.get_logger().bind(service="ingest")
        self._processes = processes
        self._members = [Member(number) for number in range(1, processes + 1)]
        self._stopping = False
        self._woken, self._wake = os.pipe()

    def run(self) -> None:
        """Run until told to stop, then let every member finish what it holds."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        arguments = ["--processes", str(self._processes)]
        while not self._stopping:
            for member in self._members:
                self._tend(member, arguments)
            select.select([self._woken], [], [], 0.2)
        for member in self._members:
            member.signal(signal.SIGTERM)
        deadline = time.monotonic() + 3 * PATIENCE_S
        while any(member.pid for member in self._members):
            for member in self._members:
                if member.pid and member.ended() is None and time.monotonic() > deadline:
                    member.signal(signal.SIGKILL)
            time.sleep(0.05)

    def _tend(self, member: Member, arguments: list[str]) -> None:
        if member.pid:
            code = member.ended()
            if code is not None:
                self._log.error("member ended", member=member.number, code=code)
            elif member.hangs():
                self._log.error("member hangs, killed", member=member.number)
                member.signal(signal.SIGKILL)
        if not member.pid and time.monotonic() >= member.due:
            member.start(arguments)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._stopping = True
        os.write(self._wake, b"\0")
