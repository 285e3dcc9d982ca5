"""What the benchmark asks of whoever takes messages from the broker into TimescaleDB."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ioc.stack.process import Child
from tests.bench.arena import Arena


class UnavailableError(Exception):
    """A contender cannot be measured on this machine: it cannot be installed, or does not run. Says why."""


@dataclass(frozen=True)
class Store:
    """Where a contender's rows are.

    Attributes:
        url: the database.
        table: the hypertable.
        time: its time column.
        rows: how many rows a message of eight values becomes: 8, or 1 in a table with a column for each value.
        in_ms: whether the time column holds epoch milliseconds, not timestamps.
    """

    url: str
    table: str = "reading"
    time: str = "time"
    rows: int = 1
    in_ms: bool = False

    @property
    def epoch_ms(self) -> str:
        """SQL: the device's time in epoch milliseconds."""
        return self.time if self.in_ms else f"round(extract(epoch FROM {self.time}) * 1000)::bigint"

    @property
    def of_ms(self) -> str:
        """SQL: a parameter in epoch milliseconds as a value of the time column."""
        return "%s::bigint" if self.in_ms else "to_timestamp(%s::float8 / 1000)"


class Contender(ABC):
    """One bridge. It subscribes to `<root>/+/telemetry`, a root of its own, with a session that outlives it.

    Attributes:
        key: its name in the figures.
        title: its name in the table.
    """

    key: str
    title: str

    @abstractmethod
    def prepare(self, arena: Arena) -> None:
        """Install what it needs and make its database, once.

        Raises:
            UnavailableError: it cannot be had.
        """

    @abstractmethod
    def start(self) -> Child:
        """Start it, in a process group of its own; it need not be subscribed yet."""

    @abstractmethod
    def root(self, values: int) -> str:
        """First level of the topics on which it wants messages of so many values."""

    @abstractmethod
    def store(self, values: int) -> Store:
        """Where messages of so many values are stored."""
