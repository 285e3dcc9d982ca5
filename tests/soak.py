"""How long the tests of faults go on, and what their ledgers came to.

`make soak` (`python -m tests.faults`) sets SOAK to minutes; without it they are as short as they can be.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, NamedTuple

MINUTES: Final = float(os.environ.get("SOAK", "0"))
#: Every mixed ledger is so many times as long.
FACTOR: Final = max(1, round(MINUTES / 20))
#: A process that stands still does so for this long; Mosquitto looks every six seconds for clients that were silent for four.
STILL_S: Final = 60.0 if MINUTES else 14.0
#: Random faults go on for so long where nobody asked for a soak, and in one at least.
_SHORT_S: Final = 20.0

_began: Final = time.monotonic()


class Comparison(NamedTuple):
    """What one publisher's ledger came to.

    Attributes:
        acknowledged: messages of the ledger that the broker has acknowledged to the publisher, of so many `messages`.
        facts: what they leave, each once.
        stored / distinct: what of this publisher is stored, and how much of that is not the same.
        lost / doubled / strange: facts that are missing, stored more than once, of no message. What has no time and was sent
            again by its publisher may be doubled, so often as `sent_again` says.
        rollups: hourly figures and latest values are those that the stored readings give.
    """

    ledger: str
    acknowledged: int
    messages: int
    facts: int
    stored: int
    distinct: int
    lost: int
    doubled: int
    strange: int
    sent_again: int
    rollups: bool

    @property
    def equal(self) -> bool:
        """Whether everything that was acknowledged is stored, once, and nothing else."""
        kept = not self.lost and not self.strange and self.doubled <= self.sent_again
        return kept and self.acknowledged == self.messages and self.rollups


#: Who wants to hear of comparisons.
listeners: Final[list[Callable[[Comparison], None]]] = []


def tell(comparison: Comparison) -> None:
    """A ledger was compared."""
    for listener in listeners:
        listener(comparison)


def elapsed_s() -> float:
    """Seconds since the tests began."""
    return time.monotonic() - _began


def random_s() -> float:
    """How long random faults go on from now: for the rest of a soak, which they end."""
    return max(_SHORT_S, MINUTES * 60 - elapsed_s())
