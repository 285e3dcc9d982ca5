"""`make bench`: every benchmark in turn, each on a private stack of its own; tables on screen, figures in `.ioc/bench/`."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from tests.bench import ingest, page, vision

BENCHMARKS = {"ingest": ingest.main, "vision": vision.main, "page": page.main}


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them."""
    if unknown := set(names) - set(BENCHMARKS):
        raise SystemExit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    folder = Path(".ioc/bench")
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name in names or BENCHMARKS:
        console.rule(name)
        figures = BENCHMARKS[name]()
        machine = {
            "time": datetime.now(UTC).isoformat(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        }
        (folder / f"{name}.json").write_text(json.dumps({"figures": figures, "machine": machine}, indent=1))


def _processor() -> str:
    """The processor's own name, else its architecture."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main(sys.argv[1:])
