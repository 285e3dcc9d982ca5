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
    """

    def __init__(self, port: int, ledger: Ledger, *, rate: float | None = 2000) -> None:
        self.ledger = ledger
        self.flood = Flood("127.0.0.1", port)
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=self.flood.publish, args=(ledger.messages,), kwargs={"rate": rate, "until": self._ending.is_set}
        )
        self._thread.start()

    @property
    def publishing(self) -> bool:
        """Whether something is still to be published."""
        return self._thread.is_alive()

    def wait_published(self, *, within_s: float = 120.0) -> None:
        """Wait until the broker has acknowledged everything."""
        self._thread.join(within_s)
        assert not self.publishing, f"{len(self.flood.acknowledged)} of {len(self.ledger.messages)} acknowledged"

    def wait_moving(self, db: Database) -> None:
        """Wait until more of it is stored than now, or all."""
        with db.connect() as connection:
            enough = min(self.ledger.progress(connection) + 1, len(self.ledger.facts))
            eventually(lambda: self.ledger.progress(connection) >= enough)

    def finish(self, db: Database, *, within_s: float = 120.0) -> None:
        """Wait for the rest, and compare."""
        self.wait_published(within_s=within_s)
        with db.connect() as connection:
            self.ledger.settle(connection, within_s=within_s)
            self.ledger.check(connection, self.flood)

    def end(self) -> None:
        """Publish no more."""
        self._ending.set()
        self._thread.join(30)
