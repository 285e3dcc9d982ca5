"""When the batch that is filling is to be committed; pure, times are seconds of the monotonic clock.

What comes alone is committed at once. While more comes, commits take half of the time, or more where a message would else wait
too long. While it pours, batches grow: each costs one commit, and each device one latest value a batch, whatever it holds.
"""

from __future__ import annotations

from collections import deque
from typing import Final

#: A commit is followed by a rest of so many times its length, in which the next batch gathers.
_REST: Final = 1.0
#: While more rows a second than this come, over the last batches, a batch may grow so many times older than it else may.
_POURING_S: Final = 4000
_POURING_FACTOR: Final = 32
#: … unless nothing more came for so many times that age.
_LULL: Final = 2
#: What is redelivered is looked at together where its order is all that tells it.
_GATHERED_S: Final = 0.2


class Rhythm:
    """Told of every commit, asked for the batch in hand."""

    def __init__(self, longest_s: float, *, in_order: bool) -> None:
        """Begin with nothing committed yet.

        Args:
            longest_s: how long a message waits for others, while it does not pour.
            in_order: the broker repeats the order of its deliveries alone: then every commit has more to write, and each
                batch waits that long.
        """
        self._longest_s = longest_s
        self._in_order = in_order
        self._rested = 0.0
        #: When the batches before began, and their rows: those of the last moments, and one at least.
        self._before: deque[tuple[float, int]] = deque()
        self._rows = 0

    def committed(self, born: float | None, rows: int, began: float, ended: float) -> None:
        """A batch was committed, or what else there was when it was empty (born None)."""
        self._rested = ended + _REST * (ended - began)
        if born is not None:
            self._before.append((born, rows))
        self._rows = 0

    def due(self, born: float, rows: int, now: float, *, redelivered: bool = False) -> float:
        """When the batch in hand is due, as things look now; ask again then.

        Args:
            born: when its first message came.
            rows: how many it has.
            now: the time.
            redelivered: some of it was handed over before.
        """
        if self._in_order:
            due = born + (max(self._longest_s, _GATHERED_S) if redelivered else self._longest_s)
        else:
            due = min(born + self._longest_s, max(born, self._rested))
        if due <= now < born + _POURING_FACTOR * self._longest_s and self._pours(born, rows, now):
            # A broker that hands out no more before we acknowledge is not waited for.
            if rows > self._rows:
                due = now + _LULL * self._longest_s
            self._rows = rows
        return due

    def _pours(self, born: float, rows: int, now: float) -> bool:
        moments = _LULL * self._longest_s
        while len(self._before) > 1 and self._before[0][0] < now - moments:
            self._before.popleft()
        began = self._before[0][0] if self._before else born
        total = rows + sum(earlier for _, earlier in self._before)
        return total > _POURING_S * max(moments, now - began)
