"""A ledger that is published in the background while a test breaks things."""

from __future__ import annotations

import threading

from tests.fix_ingest import eventually
from tests.fix_stack import Database
from tests.flood import Flood
from tests.ledger import Ledger


class Load:
    """Publishes a ledger from a thread of its own, and compares it in the end.

    Args:
        port: of the broker, on this machine.
        ledger: what is published.
        rate: messages a second; None = as fast as the broker takes them.
        first: so many are let out at once, the others by `go_on`; None = all.
    """

    def __init__(self, port: int, ledger: Ledger, *, rate: float | None = 2000, first: int | None = None) -> None:
        self.ledger = ledger
        self.flood = Flood("127.0.0.1", port)
        self._rate = rate
        self._let_out = len(ledger.messages) if first is None else first
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    @property
    def publishing(self) -> bool:
        """Whether something is still to be published."""
        return self._thread.is_alive()

    def go_on(self, number: int | None = None) -> None:
        """Let out so many more, or all: what comes of a stop is then seen, however long it took until it stood."""
        with self._changed:
            whole = len(self.ledger.messages)
            self._let_out = whole if number is None else min(whole, self._let_out + number)
            self._changed.notify_all()

    def wait_published(self, *, within_s: float = 120.0) -> None:
        """Wait until the broker has acknowledged everything; all of it is let out."""
        self.go_on()
        self._thread.join(within_s)
        assert not self.publishing, f"{len(self.flood.acknowledged)} of {len(self.ledger.messages)} acknowledged"

    def wait_moving(self, db: Database) -> None:
        """Wait until more of it is stored than now, or all that was let out."""
        with db.connect() as connection:
            enough = min(self.ledger.progress(connection) + 1, self._facts_out())
            eventually(lambda: self.ledger.progress(connection) >= enough)

    def wait_stored(self, db: Database) -> None:
        """Wait until all that was let out is stored."""
        with db.connect() as connection:
            eventually(lambda: self.ledger.progress(connection) >= self._facts_out())

    def finish(self, db: Database, *, within_s: float = 120.0) -> None:
        """Wait for the rest, and compare."""
        self.wait_published(within_s=within_s)
        with db.connect() as connection:
            self.ledger.settle(connection, within_s=within_s)
            self.ledger.check(connection, self.flood)

    def end(self) -> None:
        """Publish no more."""
        self._ending.set()
        self.go_on()
        self._thread.join(30)

    def _publish(self) -> None:
        out = 0
        while out < len(self.ledger.messages) and not self._ending.is_set():
            with self._changed:
                self._changed.wait_for(lambda out=out: self._let_out > out)
                out = self._let_out
            self.flood.publish(self.ledger.messages[:out], rate=self._rate, until=self._ending.is_set)

    def _facts_out(self) -> int:
        return sum(indices[0] < self._let_out for indices in self.ledger.facts.values())
