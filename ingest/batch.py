"""A batch: what one transaction stores, and which messages are acknowledged after it."""

from __future__ import annotations

import time
from bisect import bisect_right
from datetime import datetime, timedelta
from math import inf
from typing import Final

from ingest.message import Block, Raw
from ioc.model import Announcement, DeviceState, Frame, Reading, Rejected

#: Data older than this says nothing about whether its device lives now.
FRESH_S: Final = 60.0


class Sighting:
    """What a batch saw of one device.

    Attributes:
        received: when its newest message came.
        stamp_ms: its newest own time, epoch milliseconds; -inf when it stated none.
        stamp_received: when the message with that time came; of all its messages the one that was least delayed.
    """

    __slots__ = ("received", "stamp_ms", "stamp_received")

    def __init__(self, received: datetime) -> None:
        self.received = received
        self.stamp_ms: float = -inf
        self.stamp_received = received

    @property
    def ahead_s(self) -> float | None:
        """How far its clock was ahead of ours; transport and buffering only ever make it smaller."""
        return None if self.stamp_ms == -inf else self.stamp_ms / 1000 - self.stamp_received.timestamp()

    @property
    def fresh(self) -> datetime | None:
        """The newest time at which it certainly lived: its own or ours, whichever is earlier; None when all was late."""
        ahead = self.ahead_s
        if ahead is None or ahead < -FRESH_S:
            return None
        return self.stamp_received + timedelta(seconds=min(ahead, 0.0))


class Batch:
    """Filled message by message, then stored whole.

    Rows keep the index of the message they came from (`*_of`), so that a row the database refuses can be kept in quarantine
    with its payload.
    """

    __slots__ = (
        "_received",
        "_starts",
        "acks",
        "announced",
        "announced_of",
        "born",
        "clock_off",
        "clock_off_of",
        "frames",
        "messages",
        "readings",
        "readings_of",
        "rejected",
        "seen",
        "size",
        "states",
        "states_of",
        "unstamped",
    )

    def __init__(self) -> None:
        self.messages: list[Raw] = []
        self._starts: list[int] = []
        self._received: list[datetime] = []
        self.acks: dict[int, list[int]] = {}
        self.readings: list[Reading] = []
        self.readings_of: list[int] = []
        #: Readings stored at their receive time, with the device's own time, which is their identity.
        self.clock_off: list[tuple[Reading, datetime]] = []
        self.clock_off_of: list[int] = []
        self.states: list[DeviceState] = []
        self.states_of: list[int] = []
        #: Places in `states` of those without a believable time of their own (last wills), and whether they were redelivered.
        self.unstamped: dict[int, bool] = {}
        #: The last announcement of each device; None = retired.
        self.announced: dict[str, Announcement | None] = {}
        self.announced_of: dict[str, int] = {}
        self.rejected: list[Rejected] = []
        self.frames: dict[str, Frame] = {}
        self.seen: dict[str, Sighting] = {}
        #: When its first message came, by the monotonic clock.
        self.born: float | None = None
        self.size = 0

    def __len__(self) -> int:
        return len(self.messages)

    @property
    def rows(self) -> int:
        """How full it is: rows to write, and at least one for every message."""
        return max(len(self.readings) + len(self.clock_off) + len(self.states), len(self.messages))

    def open(self, block: Block) -> None:
        """The messages that follow come from this block."""
        if self.born is None:
            self.born = time.monotonic()
        self.size += block.size
        self._starts.append(len(self.messages))
        self._received.append(block.received)
        mids = [mid for _, _, mid, _ in block.messages if mid]
        if mids:
            self.acks.setdefault(block.generation, []).extend(mids)

    def received(self, origin: int) -> datetime:
        """When the message of that index came."""
        return self._received[bisect_right(self._starts, origin) - 1]
