"""`make bench`: every benchmark in turn, each on a private stack of its own; tables on screen, figures in `.ioc/bench/`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.bench import ingest, killed_broker, page, query, vision

BENCHMARKS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "ingest": lambda given: ingest.main(given.only, given.arguments),
    "vision": lambda _: vision.main(),
    "page": lambda _: page.main(),
    "killed-broker": lambda _: killed_broker.main(),
    "query": lambda given: query.main(given.readings),
}
#: What `make bench` runs; the others are asked for by name.
DEFAULT = ("ingest", "vision", "page")


def main() -> None:
    """Run the named benchmarks, or the usual ones."""
    given = _arguments()
    folder = Path(".ioc/bench")
    folder.mkdir(parents=True, exist_ok=True)
    console = Console()
    for name in given.names or DEFAULT:
        console.rule(name)
        figures = BENCHMARKS[name](given)
        machine = {
            "time": datetime.now(UTC).isoformat(),
            "processor": _processor(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
        }
        # What took for ever is no number: JSON has no word for infinity.
        plain = json.loads(json.dumps({"figures": figures, "machine": machine}), parse_constant=lambda _: None)
        (folder / f"{name}.json").write_text(json.dumps(plain, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="benchmark", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=[],
        help="ingest: contenders by (the beginning of) their keys",
    )
    parser.add_argument(
        "--arguments", type=shlex.split, default=[], help="ingest: added to the command line of `python -m ingest`"
    )
    parser.add_argument(
        "--readings", type=int, default=query.READINGS, help="query: size of the table (default: %(default)s)"
    )
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    return given


def _processor() -> str:
    """The processor's own name, else its architecture."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
