"""How long the tests of faults go on: `make soak` sets SOAK to minutes; without it they are as short as they can be."""

from __future__ import annotations

import os
from typing import Final

MINUTES: Final = float(os.environ.get("SOAK", "0"))
#: Every mixed ledger is so many times as long.
FACTOR: Final = max(1, round(MINUTES / 20))
#: Random faults go on for so long: half the time, since the other tests take the other half.
RANDOM_S: Final = MINUTES * 30 or 20.0
#: A process that stands still does so for this long; Mosquitto looks every five seconds for clients that are silent.
STILL_S: Final = 60.0 if MINUTES else 9.0
