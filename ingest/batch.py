"""A batch: what one transaction stores, and which messages are acknowledged after it."""

from __future__ import annotations

from datetime import datetime

from ingest.message import Message
from ioc.model import Announcement, DeviceState, Frame, Reading, Rejected


class Sighting:
    """What a batch saw of one device.

    Attributes:
        received: when its newest message came.
        ahead_s: the most its clock was ahead of ours; transport and buffering only ever make it smaller.
        fresh: the newest time at which it certainly lived: its own time or ours, whichever is earlier; None when all was late.
    """

    __slots__ = ("ahead_s", "fresh", "received")

    def __init__(self, received: datetime) -> None:
        self.received = received
        self.ahead_s: float | None = None
        self.fresh: datetime | None = None


class Batch:
    """Filled message by message, then stored whole.

    Rows keep the index of the message they came from (`*_of`), so that a row the database refuses can be kept in quarantine
    with its payload.
    """

    __slots__ = (
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
        self.messages: list[Message] = []
        self.acks: dict[int, list[int]] = {}
        self.readings: list[Reading] = []
        self.readings_of: list[int] = []
        #: Readings stored at their receive time, with the device's own time, which is their identity.
        self.clock_off: list[tuple[Reading, datetime]] = []
        self.clock_off_of: list[int] = []
        self.states: list[DeviceState] = []
        self.states_of: list[int] = []
        #: Places in `states` of those that carried no time of their own (last wills), and whether they were redelivered.
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

    def sighting(self, device: str, received: datetime) -> Sighting:
        """The sighting of a device, made or moved to this time."""
        found = self.seen.get(device)
        if found is None:
            found = self.seen[device] = Sighting(received)
        else:
            found.received = received
        return found
