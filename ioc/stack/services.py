"""The services of the city that the supervisor runs: one row each."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from ioc.settings import Settings


@dataclass(frozen=True)
class ServiceRow:
    """A service.

    Attributes:
        name: on screen, of its log, and in its heartbeat.
        module: what `python -m` runs.
        arguments: of that module.
        simulated: belongs to the simulated city; `ioc up` leaves it out.
        beats: sends heartbeats; the simulator stands for devices, which do not.
        needs: the setting without which there is nothing for it to do; "" = none.
    """

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    simulated: bool = False
    beats: bool = True
    needs: str = ""

    def argv(self) -> list[str]:
        """The command, with the Python that runs us."""
        return [sys.executable, "-m", self.module, *self.arguments]


#: In the order they are started: the pages first, for they take longest and are waited for. Stopped in the reverse order,
#: so that what has been sent is still stored.
SERVICES = (
    ServiceRow("dashboards", "dashboards"),
    ServiceRow("ingest", "ingest"),
    ServiceRow("vision", "vision"),
    ServiceRow("truth", "vision.watcher"),
    ServiceRow("alarms", "ioc.alarms"),
    ServiceRow("upkeep", "ioc.db.upkeep"),
    ServiceRow("capture", "vision.capture", needs="capture_sources"),
    ServiceRow("demo-rules", "ioc.demo_rules", simulated=True),
    ServiceRow("simulator", "ingest.simulator", ("run",), simulated=True, beats=False),
)


def wanted(settings: Settings, *, simulate: bool) -> tuple[ServiceRow, ...]:
    """The services of `ioc demo` (with the simulator) or `ioc up` (without) that have something to do."""
    return tuple(
        row for row in SERVICES if (simulate or not row.simulated) and (not row.needs or getattr(settings, row.needs))
    )
