"""Small services for the supervisor's tests: one that works, one with a child of its own, one that crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

HOME = Path(os.environ["IOC_HOME"])


def main() -> None:
    """Write down our process id and do as the argument says."""
    kind = sys.argv[1]
    if kind == "crasher":
        print("the reason it gave", file=sys.stderr)
        raise SystemExit(7)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    write("parent" if kind == "parent" else "steady", os.getpid())
    if kind == "parent":
        with subprocess.Popen(["sleep", "3600"]) as child:
            write("parent-child", child.pid)
            stop.wait()
            child.terminate()
    stop.wait()


def write(name: str, pid: int) -> None:
    """Put a process id where the test finds it, whole."""
    fresh = HOME / f".{name}.new"
    fresh.write_text(str(pid))
    fresh.replace(HOME / f"{name}-{os.environ['TEST_MARK']}.pid")


if __name__ == "__main__":
    main()
