"""The way over the disk: while the database is away, messages are spooled and acknowledged, and follow when it is back.

A stage between socket and decoder, in a thread of its own, that hands blocks on as they come. When the database has been waited
for longer than `AWAY_S`, what is in hand and not committed is repeated into the spool (it stays in hand too, and is committed
from there), and what comes is written there; both are acknowledged once they are durable, so that the broker holds nothing back.
When the database is back, the spool is read from its oldest message on, while new ones are still written behind; when it is
empty, blocks are handed on directly again. So everything is committed in the order in which it came.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ingest.committer import Committer
from ingest.inbox import Inbox
from ingest.message import Block
from ingest.metrics import NOT_SPOOLED, SPOOL_BYTES, SPOOLED
from ingest.spool import Spool, abandoned
from ingest.spool_segment import Segment
from ioc.service import Service

#: A commit that takes longer than this means that the database is away. A broker with its defaults holds a thousand messages.
AWAY_S: Final = 1.0
_POLL_S: Final = 0.01
_IDLE_S: Final = 1.0
#: While the spool is read, what comes in is written at least this often.
_TURN_S: Final = 0.05
#: Messages of about so many bytes are made durable together.
_MOST_BYTES: Final = 1024 * 1024
#: After the disk refused, it is tried again after this time.
_REFUSED_S: Final = 1.0
_LOOK_S: Final = 30.0

Acknowledge = Callable[[int, Sequence[int]], None]


class _Passed:
    """A block that was handed on and is not committed; `safe` = it is acknowledged already, or nobody waits for it."""

    __slots__ = ("block", "safe")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.safe = not block.generation


class Detour:
    """Runs in a thread of its own until what arrives ends; `committed` is called by the committing thread.

    Args:
        service: its heartbeat says when the spool is full or cannot be written.
        spool: this process's own.
        arriving: blocks from the broker.
        onward: blocks for the decoder; closed at the end.
        committer: says whether the database is waited for.
        acknowledge: acknowledges messages to the broker.
        ready: set when the decoder may get blocks.
        root: folder of all spools, to find those that nobody empties.
    """

    def __init__(
        self,
        service: Service,
        spool: Spool,
        arriving: Inbox,
        onward: Inbox,
        committer: Committer,
        *,
        acknowledge: Acknowledge,
        ready: threading.Event,
        root: Path,
    ) -> None:
        self._service = service
        self._spool = spool
        self._arriving = arriving
        self._onward = onward
        self._committer = committer
        self._acknowledge = acknowledge
        self._ready = ready
        self._root = root
        self._lock = threading.Lock()
        self._in_hand: list[Block] = []
        self._passed: deque[_Passed] = deque()
        self._handed_on = 0
        self._committed = 0
        #: Segments, and how many messages must be committed before each may be removed.
        self._removals: deque[tuple[int, Segment]] = deque()
        self._acknowledged: dict[int, set[int]] = {}
        self._reading: deque[Block] = deque()
        self._segment: Segment | None = None
        self._resting_until = self._look_at = 0.0

    @property
    def bytes(self) -> int:
        """What the spool takes on disk."""
        return self._spool.bytes

    def run(self) -> None:
        """Hand blocks on, over the disk when need be."""
        try:
            while self._step():
                SPOOL_BYTES.set(self._spool.bytes)
                self._look()
        finally:
            self._onward.close()

    def committed(self, messages: int, acks: Mapping[int, Sequence[int]]) -> None:
        """So many more messages, in the order in which they were handed on, are committed: acknowledge them, and clear up."""
        with self._lock:
            self._committed += messages
            while self._passed and messages >= (size := len(self._passed[0].block.messages)):
                messages -= size
                self._passed.popleft()
            removed = self._remove()
            for generation, mids in acks.items():
                before = self._acknowledged.get(generation)
                self._acknowledge(generation, _once(mids, before) if before else mids)
            if not self._passed:
                self._acknowledged.clear()
            emptied = removed and not self._spool.bytes
        if emptied:
            self._service.log.info("spool empty")
            self._committer.forget_spooled(self._spool.marked)

    def _step(self) -> bool:
        """Do what is next; False when nothing more will come."""
        if self._is_away():
            self._hold()
            self._store(_TURN_S)
        elif not self._ready.is_set():
            self._ready.wait(_POLL_S)
        elif self._has_spooled():
            self._store(0)
            self._replay()
        else:
            return self._pass()
        if self._service.stopping.is_set() and (self._in_hand or not self._spool.most_bytes):
            return False  # the disk will not have what is here: the broker has it still
        return not self._arriving.is_drained

    def _is_away(self) -> bool:
        since = self._committer.waiting_since
        return since is not None and time.monotonic() - since > AWAY_S

    def _has_spooled(self) -> bool:
        return bool(self._reading) or self._spool.has_unread

    def _pass(self) -> bool:
        """Hand on the next block; back to `_step` when the database goes away before there is room for it."""
        if not self._in_hand:
            block = self._arriving.take(_IDLE_S)
            if block is None:
                return not self._arriving.is_drained
            self._in_hand.append(block)
        if self._onward.has_room:
            self._put(self._in_hand.pop(0))
        else:
            time.sleep(_POLL_S)
        return True

    def _put(self, block: Block, ending: Segment | None = None) -> None:
        """Hand a block on; `ending` = the segment of which it is the last one."""
        with self._lock:
            self._handed_on += len(block.messages)
            self._passed.append(_Passed(block))
            if ending is not None:
                self._removals.append((self._handed_on, ending))
        self._onward.put(block)

    def _hold(self) -> None:
        """Repeat what is in hand into the spool, and acknowledge it: the broker may hand out no more before that."""
        with self._lock:
            unsafe = [passed for passed in self._passed if not passed.safe]
            blocks = [block for passed in unsafe if (block := _durable_part(passed.block)) is not None]
            if not blocks or not self._may_write(blocks):
                return
            try:
                segment = self._spool.repeat(blocks)
            except OSError as error:
                self._refused(error)
                return
            self._removals.append((self._handed_on, segment))
            for passed in unsafe:
                passed.safe = True
            for block in blocks:
                mids = [mid for _, _, mid, _ in block.messages]
                self._acknowledged.setdefault(block.generation, set()).update(mids)
                self._acknowledge(block.generation, mids)
        SPOOLED.inc(sum(len(block.messages) for block in blocks))
        self._service.log.warning("spooling", why="the database is away", in_hand=sum(len(b.messages) for b in blocks))

    def _store(self, wait_s: float) -> None:
        """Write what has arrived, and acknowledge it; without room it stays in hand, and nothing more is taken."""
        if not self._spool.most_bytes:
            time.sleep(min(wait_s, _POLL_S))
            return
        if not self._in_hand:
            block = self._arriving.take(wait_s)
            size = 0
            while block is not None:
                self._in_hand.append(block)
                size += block.size
                block = self._arriving.take(0) if size < _MOST_BYTES else None
        blocks = [part for block in self._in_hand if (part := _durable_part(block)) is not None]
        if blocks:
            if not self._may_write(blocks):
                time.sleep(_POLL_S)
                return
            try:
                with self._lock:
                    self._spool.append(blocks)
            except OSError as error:
                self._refused(error)
                return
            for block in blocks:
                self._acknowledge(block.generation, [mid for _, _, mid, _ in block.messages])
            SPOOLED.inc(sum(len(block.messages) for block in blocks))
            self._service.recover("spool")
            self._service.recover("spool disk")
        NOT_SPOOLED.inc(sum(len(b.messages) for b in self._in_hand) - sum(len(b.messages) for b in blocks))
        self._in_hand.clear()

    def _replay(self) -> None:
        """Hand on what was spooled, as far as there is room, and for no longer than what arrives may wait."""
        until = time.monotonic() + _TURN_S
        while self._onward.has_room:
            if not self._reading and not self._read():
                return
            block = self._reading.popleft()
            self._put(block, None if self._reading else self._segment)
            if not self._reading:
                self._segment = None
            if self._arriving.messages and time.monotonic() > until:
                return
        time.sleep(_POLL_S)

    def _read(self) -> bool:
        """Read the next segment with anything in it; False when there is none."""
        while not self._reading:
            if self._segment is None:
                with self._lock:
                    self._segment = self._spool.take()
            segment = self._segment
            if segment is None:
                return False
            try:
                content = self._spool.read(segment)
            except OSError as error:
                self._refused(error)
                time.sleep(_POLL_S)
                return False
            if content.torn:
                self._service.log.info(
                    "spool: the last write was not ended", segment=segment.path.name, bytes=content.torn
                )
            if content.damaged:
                self._service.log.error(
                    "spool: damaged", moved_to=f"{segment.path.stem}.damaged", bytes=content.damaged
                )
            self._reading.extend(content.blocks)
            if not self._reading:
                with self._lock:
                    self._removals.append((self._handed_on, segment))
                    self._remove()
                self._segment = None
        return True

    def _remove(self) -> bool:
        """Remove the segments that are committed, oldest first; whether there were any."""
        removed = False
        while self._removals and self._removals[0][0] <= self._committed:
            try:
                self._spool.remove(self._removals[0][1])
            except OSError as error:
                self._refused(error)
                break
            self._removals.popleft()
            removed = True
        if removed:
            self._service.recover("spool")
            self._service.recover("spool disk")
        return removed

    def _may_write(self, blocks: Sequence[Block]) -> bool:
        if time.monotonic() < self._resting_until or not self._spool.most_bytes:
            return False
        if self._spool.fits(blocks):
            return True
        mb = self._spool.most_bytes / 1e6
        self._service.degrade("spool", f"full at {mb:.0f} MB: the broker must hold what comes")
        return False

    def _refused(self, error: OSError) -> None:
        self._resting_until = time.monotonic() + _REFUSED_S
        self._service.degrade("spool disk", error)

    def _look(self) -> None:
        """Say when a spool is left whose process does not run: its messages wait for somebody to store them."""
        if time.monotonic() > self._look_at:
            self._look_at = time.monotonic() + _LOOK_S
            try:
                left = abandoned(self._root)
            except OSError as error:
                self._service.degrade("other spools", error)
                return
            if left:
                self._service.degrade(
                    "other spools",
                    f"messages wait in those of {', '.join(left)}: run ingest with that ingest_client_id until they are stored",
                )
            else:
                self._service.recover("other spools")


def _once(mids: Sequence[int], before: set[int]) -> list[int]:
    """Those not acknowledged before, which are taken out: the broker may use such a packet id anew."""
    rest = []
    for mid in mids:
        if mid in before:
            before.discard(mid)
        else:
            rest.append(mid)
    return rest


def _durable_part(block: Block) -> Block | None:
    """The block without its QoS 0 messages, which nobody was promised; None when nothing is left."""
    messages = [message for message in block.messages if message[2]]
    if len(messages) == len(block.messages):
        return block
    return block._replace(messages=messages) if messages else None
