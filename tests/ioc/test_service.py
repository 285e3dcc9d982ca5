"""The shell of a process, as its supervisor sees it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

SERVICE = """
from ioc.service import Service
from ioc.settings import Settings

with Service("small", Settings(redis_url="unix:///nowhere")) as service:
    print("up", flush=True)
    service.stopping.wait()
"""


def test_stop_signals_until_the_end() -> None:
    """Signals that interrupt the handling of the ones before them, whatever it is at, still end the process in order."""
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as service:
            assert service.stdout is not None
            service.stdout.readline()
            until = time.monotonic() + 60
            while service.poll() is None and time.monotonic() < until:
                service.send_signal(signal.SIGTERM)
                service.send_signal(signal.SIGINT)
            _, said = service.communicate(timeout=60)
            assert service.returncode == 0, said.decode()
