"""`python -m ingest` as a process that a test may kill, stop and look at from outside."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ioc.errors import LiveError
from ioc.live import Live
from ioc.model import Heartbeat
from tests.fix_ingest import eventually

AS_IN_SERVICE: Final = (sys.executable, "-X", "faulthandler", "-m", "ingest")


class IngestProcess:
    """One ingest, as it is started in service, its log in a file."""

    def __init__(self, environment: Mapping[str, str], log: Path, argv: Sequence[str] = AS_IN_SERVICE) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(argv, env=environment, stderr=output)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.process.kill()
        self.process.wait()

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def stop(self, *, within_s: float = 60) -> int:
        """SIGTERM, and its exit code; when it does not end its log says where it hangs."""
        if self.alive:
            self.ask_to_stop()
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            raise

    def pause(self) -> None:
        """SIGSTOP."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def beat(self, live: Live) -> Heartbeat | None:
        """Its heartbeat, as the wall reads it."""
        try:
            return next((beat for beat in live.heartbeats() if beat.instance.endswith(f"-{self.pid}")), None)
        except LiveError:
            return None

    def wait_well(self, live: Live, *, within_s: float = 60) -> None:
        """Wait until its heartbeat says that it is well."""
        eventually(lambda: (beat := self.beat(live)) and beat.state == "ok", within_s=within_s)

    def wait_degraded(self, live: Live, *words: str, within_s: float = 60) -> str:
        """Wait until its heartbeat says that something is missing, in these words; returns what it says."""

        def reason() -> str:
            beat = self.beat(live)
            said = beat.reason if beat and beat.state == "degraded" else ""
            return said if all(word in said for word in words) else ""

        return str(eventually(reason, within_s=within_s))

    def wait_holding(self, live: Live, number: int, *, within_s: float = 60) -> None:
        """Wait until it says that it holds so many messages which it has not acknowledged."""
        eventually(lambda: (beat := self.beat(live)) and beat.figures["inflight"] >= number, within_s=within_s)

    def wait_idle(self, live: Live) -> None:
        """Wait until it holds nothing that it has not acknowledged."""
        eventually(lambda: (beat := self.beat(live)) and beat.figures["inflight"] == 0 and beat.figures["queue"] == 0)

    def said(self, event: str, **fields: str) -> list[dict[str, Any]]:
        """Its log entries of an event; of each named field the text is contained."""
        whole, _, _ = self.log.read_text("utf-8", "replace").rpartition("\n")  # the last line may be being written
        lines = [line for line in whole.splitlines() if line.startswith("{")]
        entries = [entry for entry in map(json.loads, lines) if entry.get("event") == event]
        return [entry for entry in entries if all(text in str(entry.get(key)) for key, text in fields.items())]

    @property
    def connections_lost(self) -> list[dict[str, Any]]:
        """Its log entries of connections that ended; that an answer took long is none of them."""
        entries = self.said("lost", what="mqtt") + self.said("lost", what="timescaledb")
        return [entry for entry in entries if "no answer" not in entry["why"]]

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return self._status("VmRSS")

    @property
    def most_memory(self) -> int:
        """Resident bytes at their most."""
        return self._status("VmHWM")

    def _status(self, key: str) -> int:
        found = re.search(rf"^{key}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text(), re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024
