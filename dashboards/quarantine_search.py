"""Which messages of quarantine a page shows: filters as a reader may set them, and what TimescaleDB knows for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, NamedTuple

import msgspec

from dashboards.search import fold, matches
from ioc.db import quarantine as kept
from ioc.db.pool import Connection
from ioc.db.quarantine import HOUR, Bar, Held, Wanted
from ioc.model import REASONS

#: Spans of time: length, and of the bars that stand for it.
SPANS: Final[dict[str, tuple[timedelta, timedelta]]] = {
    "1 h": (timedelta(hours=1), timedelta(minutes=2)),
    "24 h": (timedelta(hours=24), HOUR),
    "7 d": (timedelta(days=7), timedelta(hours=6)),
    "30 d": (timedelta(days=30), timedelta(days=1)),
}
DEFAULT_SPAN: Final = "24 h"
STATUSES: Final = {"open": False, "replayed": True, "all": None}
#: Rows on a page.
ROWS: Final = 80
PLACES: Final = 8
#: Devices whose names have the words of a search.
_MOST_DEVICES: Final = 300
#: A midnight of the city: buckets are counted from there, as TimescaleDB counts them (`ioc.db.quarantine`).
_ORIGIN: Final = datetime(1999, 12, 31, 17, tzinfo=UTC)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Status = Literal["open", "replayed", "all"]


class Filters(msgspec.Struct, frozen=True):
    """What the reader asks for; "" lets everything through, "-" as dialect asks for what no dialect knows."""

    span: str = DEFAULT_SPAN
    reason: str = ""
    dialect: str = ""
    text: str = ""
    status: Status = "open"

    @classmethod
    def of(cls, given: object) -> Filters:
        """Filters from a browser: what is no choice of ours counts as none."""
        said: Mapping[str, object] = given if isinstance(given, dict) else {}
        span, reason, dialect, text, status = (
            value if isinstance(value := said.get(name), str) else ""
            for name in ("span", "reason", "dialect", "text", "status")
        )
        return cls(
            span=span if span in SPANS else DEFAULT_SPAN,
            reason=reason if reason in REASONS else "",
            dialect=dialect[:80],
            text=text[:200].replace("\0", ""),
            status=status if status in STATUSES else "open",  # type: ignore[arg-type]
        )

    @property
    def step(self) -> timedelta:
        """How long a bar is."""
        return SPANS[self.span][1]

    def wanted(self, now: datetime, devices: Iterable[tuple[str, str]]) -> Wanted:
        """The same for TimescaleDB; counts go by whole hours, so that longer spans begin at one.

        Args:
            now: the time.
            devices: ids and names, of which those whose names have the words count as found.
        """
        since = now - SPANS[self.span][0]
        if self.step >= HOUR:
            since = since.replace(minute=0, second=0, microsecond=0)
        words = tuple(fold(self.text).split())
        named = [key for key, name in devices if words and matches(self.text, (key, name))]
        # What comes while the page is looked at belongs to it.
        until = now + timedelta(minutes=1)
        return Wanted(
            since, until, self.reason, self.dialect, words, tuple(named[:_MOST_DEVICES]), STATUSES[self.status]
        )


class Overview(NamedTuple):
    """How much there is: by reason and time, the places with the most, the dialects."""

    bars: list[Bar]
    places: list[tuple[str, int]]
    dialects: list[str]

    def total(self, reason: str = "") -> int:
        """Messages, of one reason or of all."""
        return sum(bar.messages for bar in self.bars if reason in ("", bar.reason))


class Page(NamedTuple):
    """Rows, and whether there are more below."""

    rows: list[Held]
    more: bool


def found_places(connection: Connection, wanted: Wanted) -> list[str] | None:
    """The places of the words; None when no words are searched for."""
    if not wanted.words:
        return None
    return [place for place, _ in kept.places(connection, msgspec.structs.replace(wanted, reason=""))]


def overview(connection: Connection, wanted: Wanted, step: timedelta) -> Overview:
    """Count what is wanted.

    Raises:
        StorageError: TimescaleDB is away.
    """
    found = found_places(connection, wanted)
    return Overview(
        kept.bars(connection, wanted, step, found),
        kept.places(connection, wanted, PLACES),
        kept.dialects(connection, wanted),
    )


def rows(connection: Connection, wanted: Wanted, after: tuple[datetime, int] | None) -> Page:
    """One page of messages, newest first, below the one named.

    Raises:
        StorageError: TimescaleDB is away.
    """
    found = found_places(connection, wanted)
    some = kept.page(connection, wanted, found, after=after, most=ROWS + 1)
    return Page(some[:ROWS], len(some) > ROWS)


def key_of(held: Held) -> str:
    """How a message is named in addresses: its receive time in microseconds, and its id."""
    return f"{_micros(held.received)}-{held.id}"


def as_key(given: object) -> tuple[datetime, int] | None:
    """A message's name from a browser; None when it is none.

    >>> as_key("1782907200000000-7")
    (datetime.datetime(2026, 7, 1, 12, 0, tzinfo=datetime.timezone.utc), 7)
    """
    micros, _, number = str(given).partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in (micros, number)):
        return None
    try:
        return _EPOCH + timedelta(microseconds=int(micros)), int(number)
    except OverflowError:
        return None


def series(bars: Sequence[Bar], reason: str, since: datetime, until: datetime, step: timedelta) -> list[int]:
    """Messages of one reason in every span of time from beginning to end, also where there were none."""
    start = _ORIGIN + (since - _ORIGIN) // step * step
    counts = [0] * ((until - start) // step + 1)
    for bar in bars:
        place = (bar.time - start) // step
        if bar.reason == reason and 0 <= place < len(counts):
            counts[place] += bar.messages
    return counts


def _micros(time: datetime) -> int:
    return (time - _EPOCH) // timedelta(microseconds=1)
