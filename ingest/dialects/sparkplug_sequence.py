"""What the sequence numbers of a Sparkplug node tell: 0 to 255, one more with each message; pure.

The broker keeps the order in which a node published, so a number that is missing is missing for good (the specification's
reorder timeout may be zero then).
"""

from __future__ import annotations

from typing import Final, NamedTuple

_NUMBERS: Final = 256


class Gap(NamedTuple):
    """Messages are missing.

    Attributes:
        missing: how many; None when the numbers began anew without the birth that would say so.
    """

    expected: int
    got: int
    missing: int | None


class SequenceNumbers:
    """Follows the numbers of one node."""

    __slots__ = ("expected", "newest")

    def __init__(self) -> None:
        #: What comes next; None when that is not known: at the start, after a death.
        self.expected: int | None = None
        #: The latest time, epoch milliseconds, at which a message was published.
        self.newest: int | None = None

    def begin(self, seq: int | None, stamp: int | None) -> None:
        """A session begins with this number; None = with whatever comes next."""
        self.expected = None if seq is None else (seq + 1) % _NUMBERS
        self.newest = stamp

    def follow(self, seq: int | None, stamp: int | None, *, redelivered: bool) -> Gap | None:
        """Take the number of a message.

        A message that was delivered before, or that comes late (its time is no later than that of one that is here already),
        changes nothing. A redelivered one never shows a gap: what is missing before it may have come to the process before us.
        """
        if seq is None or (redelivered and self.expected is None):
            return None
        expected, newest = self.expected, self.newest
        ahead = 0 if expected is None else (seq - expected) % _NUMBERS
        is_behind = ahead >= _NUMBERS // 2
        if is_behind and (redelivered or (stamp is not None and newest is not None and stamp <= newest)):
            return None
        self.expected = (seq + 1) % _NUMBERS
        if stamp is not None and (newest is None or stamp > newest):
            self.newest = stamp
        if expected is None or not ahead or redelivered:
            return None
        return Gap(expected, seq, None if is_behind else ahead)
