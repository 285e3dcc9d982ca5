"""The shell of a process, as its supervisor sees it."""

from __future__ import annotations

import signal
import subprocess
import sys

SERVICE = """
from ioc.service import Service
from ioc.settings import Settings

with Service("small", Settings(redis_url="unix:///nowhere")) as service:
    print("up", flush=True)
    service.stopping.wait()
"""


def test_stop_signals_in_a_burst() -> None:
    """Signals that interrupt the handling of the ones before them, whatever lock it holds, still end the process."""
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as service:
            assert service.stdout is not None
            service.stdout.readline()
            for number in (signal.SIGTERM, signal.SIGINT) * 30:
                service.send_signal(number)
            _, said = service.communicate(timeout=60)
            assert service.returncode == 0, said.decode()
