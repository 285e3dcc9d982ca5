"""The detector that is in use, and another put in its place while it works."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from vision.engine.detector import Detector


class InUse:
    """One detector for several threads; replaced between two calls, closed when its last call has ended."""

    def __init__(self, detector: Detector) -> None:
        self._changed = threading.Condition()
        self._current = detector
        self._users: Counter[int] = Counter()

    @property
    def current(self) -> Detector:
        """The one that the next call will use."""
        return self._current

    @contextmanager
    def using(self) -> Iterator[Detector]:
        """The detector for one batch; it is not closed before the end of the block."""
        with self._changed:
            detector = self._current
            self._users[id(detector)] += 1
        try:
            yield detector
        finally:
            with self._changed:
                self._users[id(detector)] -= 1
                self._changed.notify_all()

    def replace(self, detector: Detector) -> None:
        """Put another in its place; returns when the old one is at rest and closed."""
        with self._changed:
            old, self._current = self._current, detector
            self._changed.wait_for(lambda: not self._users[id(old)])
            del self._users[id(old)]
        old.close()
