"""A batch: what one transaction stores, and which messages are acknowledged after it."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import Any, Final

import msgspec

from ingest.message import QUARANTINE, Block, Outgoing, Raw
from ioc.model import Announcement, Answer, DeviceState, Discovery, Event, Frame, Reading, Rejected

#: Packet ids are looked at in slices of so many.
ID_SLICE: Final = 4096
#: Data older than this says nothing about whether its device lives now.
FRESH_S: Final = 60.0


class Sighting(msgspec.Struct, gc=False):
    """What a batch saw of one device.

    Attributes:
        received: when its newest message came.
        stamp_received: when the message with its newest own time came; of all its messages the one that was least delayed.
        stamp_ms: that time, epoch milliseconds; -inf when it stated none.
        ahead_ms: how far its clock was ahead of ours then; -inf when it stated no time.
        speaks: it sent data that states no time and was not held back on the way, as far as we know.
    """

    received: datetime
    stamp_received: datetime
    stamp_ms: float = -inf
    ahead_ms: float = -inf
    speaks: bool = False

    @property
    def ahead_s(self) -> float | None:
        """How far its clock was ahead of ours; transport and buffering only ever make it smaller."""
        return None if self.ahead_ms == -inf else self.ahead_ms / 1000

    @property
    def fresh(self) -> datetime | None:
        """The newest time at which it certainly lived: its own or ours, whichever is earlier; None when all was late."""
        ahead = self.ahead_s
        if ahead is None:
            return self.received if self.speaks else None
        if ahead < -FRESH_S:
            return None
        return self.stamp_received + timedelta(seconds=min(ahead, 0.0))


class Batch:
    """Filled message by message, then stored whole.

    Rows keep the index of the message they came from (`*_of`), so that a row the database refuses can be kept in quarantine
    with its payload.
    """

    __slots__ = (
        "_generations",
        "_places",
        "_received",
        "_sources",
        "_starts",
        "acks",
        "again",
        "announced",
        "announced_of",
        "answers",
        "answers_of",
        "begun",
        "born",
        "clock_off",
        "clock_off_of",
        "context",
        "discovered",
        "events",
        "events_of",
        "fed",
        "frames",
        "handed_on",
        "marks",
        "messages",
        "outgoing",
        "passed",
        "readings",
        "readings_of",
        "redelivered",
        "rejected",
        "rejected_of",
        "replays",
        "seen",
        "size",
        "states",
        "states_of",
        "undated",
        "unstamped",
    )

    def __init__(self) -> None:
        self.messages: list[Raw] = []
        self._starts: list[int] = []
        self._received: list[datetime] = []
        self._sources: list[str] = []
        self._places: list[tuple[str, int]] = []
        self._generations: list[int] = []
        #: Some of it was handed over before, as the broker says.
        self.redelivered = False
        self.acks: dict[int, list[int]] = {}
        #: How many of the messages came from the broker, straight or over the spool.
        self.handed_on = 0
        self.readings: list[Reading] = []
        self.readings_of: list[int] = []
        #: Readings stored at their receive time, with the device's own time, which is their identity.
        self.clock_off: list[tuple[Reading, datetime]] = []
        self.clock_off_of: list[int] = []
        self.states: list[DeviceState] = []
        self.states_of: list[int] = []
        #: Places in `states` of those without a believable time of their own (last wills).
        self.unstamped: set[int] = set()
        self.events: list[Event] = []
        self.events_of: list[int] = []
        #: What devices said to commands.
        self.answers: list[Answer] = []
        self.answers_of: list[int] = []
        #: Messages with something to store that has no identity of its own; the delivery's tells them from a redelivery.
        self.undated: set[int] = set()
        #: Spooled messages without an identity of their own, to be noted as committed: whose, which, and what.
        self.marks: dict[tuple[str, int], bytes] = {}
        #: Sessions that the broker has begun, by client id: the first message of each, and its name.
        self.begun: dict[str, tuple[int, bytes]] = {}
        #: How far packet ids have come, by client id, where they have come into another slice.
        self.passed: dict[str, int] = {}
        #: The last announcement of each device; None = retired.
        self.announced: dict[str, Announcement | None] = {}
        self.announced_of: dict[str, int] = {}
        #: Devices of other dialects that were met, or told something new of themselves.
        self.discovered: dict[str, Discovery] = {}
        #: The newest message of topics that dialects need to understand later ones; None = it is gone.
        self.context: dict[str, bytes | None] = {}
        #: What dialects have to say in answer, once this is committed.
        self.outgoing: list[Outgoing] = []
        self.rejected: list[Rejected] = []
        self.rejected_of: list[int] = []
        #: Messages that come from quarantine, with when they were received and their id there.
        self.replays: dict[int, tuple[datetime, int]] = {}
        #: Ids of all that came from there, also of those that waited no more.
        self.fed: list[int] = []
        #: What is wrong with those that are refused again.
        self.again: dict[int, list[Rejected]] = {}
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
        return max(len(self.readings) + len(self.clock_off) + len(self.states) + len(self.events), len(self.messages))

    @property
    def holds_readings_alone(self) -> bool:
        """Nothing else is to be stored, nor looked up whether it is stored already."""
        return not (
            self.clock_off
            or self.states
            or self.events
            or self.answers
            or self.undated
            or self.marks
            or self.begun
            or self.passed
            or self.announced
            or self.discovered
            or self.context
            or self.rejected
            or self.replays
            or self.again
        )

    def open(self, block: Block) -> int:
        """Take up the messages of a block; returns the place of the first one."""
        first = len(self.messages)
        if self.born is None:
            self.born = time.monotonic()
        self.size += block.size
        if block.source == QUARANTINE:
            self.replays[first] = (block.received, block.messages[0][2])
            self.fed.append(block.messages[0][2])
        self._starts.append(first)
        self._received.append(block.received)
        self._sources.append(block.source)
        self._places.append((block.segment, block.first))
        self._generations.append(block.generation)
        if block.generation and block.messages[0][3]:
            self.redelivered = True
        if block.generation or block.segment:
            self.handed_on += len(block.messages)
        mids = [mid for _, _, mid, _ in block.messages if mid]
        if block.begins:
            self.begun[block.source] = first, block.begins
        if mids and block.generation:
            self.acks.setdefault(block.generation, []).extend(mids)
        # An id that comes again says nothing of how far they have come.
        if mids and mids[-1] % ID_SLICE <= len(mids) and (block.generation or block.segment):
            fresh = [mid for _, _, mid, again in block.messages if mid and not again]
            if fresh:
                self.passed[block.source] = fresh[-1]
        # When a redelivered one came first its device may have been of another kind, so that it went to quarantine.
        self.undated.update([place for place, message in enumerate(block.messages, first) if message[3]])
        self.messages += block.messages
        return first

    def received(self, origin: int) -> datetime:
        """When the message of that index came."""
        return self._received[bisect_right(self._starts, origin) - 1]

    def source(self, origin: int) -> str:
        """Whose packet id the message of that index has."""
        return self._sources[self._block(origin)]

    @property
    def sessions(self) -> set[str]:
        """Client ids of the sessions that handed messages over straight."""
        return {source for source, generation in zip(self._sources, self._generations, strict=True) if generation}

    def handed_over(self, client: str) -> Iterator[tuple[int, list[int]]]:
        """The messages of QoS 1 that a session handed over straight, in its order: a connection's generation, and indices."""
        ends = [*self._starts[1:], len(self.messages)]
        blocks = zip(self._generations, self._sources, self._starts, ends, strict=True)
        ours = [
            (generation, start, end) for generation, source, start, end in blocks if generation and source == client
        ]
        for generation, group in groupby(ours, key=itemgetter(0)):
            indices = [index for _, start, end in group for index in range(start, end) if self.messages[index][2]]
            if indices:
                yield generation, indices

    def spooled(self, origin: int) -> tuple[str, int] | None:
        """Segment and place of the message of that index, None when it came straight from the broker."""
        block = self._block(origin)
        segment, first = self._places[block]
        return (segment, first + origin - self._starts[block]) if segment else None

    def _block(self, origin: int) -> int:
        return bisect_right(self._starts, origin) - 1

    def reject(self, origin: int, rejected: Rejected) -> None:
        """A message, or a part of it, goes to quarantine; one that comes from there stays there."""
        if origin in self.replays:
            self.again.setdefault(origin, []).append(rejected)
        else:
            self.rejected.append(rejected)
            self.rejected_of.append(origin)

    def leave_out_rejected(self, places: set[int]) -> None:
        """These of `rejected` need not be kept."""
        _keep(self.rejected, self.rejected_of, [place for place in range(len(self.rejected)) if place not in places])

    def drop(self, origins: set[int]) -> None:
        """Forget what these messages brought: it was committed before. That they are to be acknowledged stays."""
        parts: tuple[tuple[list[Any], list[int]], ...] = (
            (self.readings, self.readings_of),
            (self.clock_off, self.clock_off_of),
            (self.events, self.events_of),
            (self.answers, self.answers_of),
            (self.rejected, self.rejected_of),
        )
        for rows, rows_of in parts:
            _keep(rows, rows_of, [place for place, origin in enumerate(rows_of) if origin not in origins])
        kept = [place for place, origin in enumerate(self.states_of) if origin not in origins]
        self.unstamped = {new for new, old in enumerate(kept) if old in self.unstamped}
        _keep(self.states, self.states_of, kept)
        self.undated -= origins
        for origin in origins:
            self.replays.pop(origin, None)
            self.again.pop(origin, None)


def _keep(rows: list[Any], rows_of: list[int], places: Sequence[int]) -> None:
    """Of rows, and of the messages that brought them, keep those at these places."""
    rows[:] = [rows[place] for place in places]
    rows_of[:] = [rows_of[place] for place in places]
