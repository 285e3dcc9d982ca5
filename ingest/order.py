"""What tells a redelivered message from a new one where not even its packet id does: its place in the order; pure.

RabbitMQ numbers deliveries anew on every connection. It hands over a session's messages in one order, though, and when a
connection ends, those that it holds to be unacknowledged come first on the next one, in that order, marked as redelivered: the
last of what was committed, then what was not. So what was committed is kept as a row of digests, and the run of redelivered
messages that a connection begins with is laid upon the end of that row.

What was committed comes again only where an acknowledgement got lost: those under way when the connection broke, and those that a
killed broker had not written down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

#: A run that does not reach the end of the row yet is believed when so many of it lie there, or one that is its own proof.
_MANY: Final = 16


class Delivered(NamedTuple):
    """A message as it was handed over.

    Attributes:
        digest: of topic and payload.
        again: the broker says that it may have handed it over before.
        dated: it has its device's time, so that no other message is like it.
    """

    digest: bytes
    again: bool
    dated: bool


class Session(NamedTuple):
    """How far a session has been followed.

    Attributes:
        connection: the last one that messages were committed of.
        ends: how many messages of the session are in the row, from its beginning.
        place: which of them the broker is expected to say again next; None = none, what comes now is new.
    """

    connection: int
    ends: int
    place: int | None


class Followed(NamedTuple):
    """What a batch's messages of a session turned out to be.

    Attributes:
        session: as it is once the batch is committed.
        known: one for each message: it was committed before.
        fresh: digests to add to the row.
    """

    session: Session
    known: list[bool]
    fresh: list[bytes]


def follow(
    session: Session,
    remembered: Callable[[], tuple[int, list[bytes]]],
    connections: Iterable[tuple[int, Sequence[Delivered]]],
) -> Followed:
    """Tell which messages were committed before.

    Args:
        session: as it was committed last.
        remembered: the number of the first message that is still in the row, and the row from there on.
        connections: the messages by the connection they came over, in order.
    """
    (last, ends, place), known, fresh = session, list[bool](), list[bytes]()
    starts, row = ends, list[bytes]()
    for connection, messages in connections:
        again = next((at for at, one in enumerate(messages) if not one.again), len(messages))
        if again and (place is not None or connection != last):
            starts, row = remembered()
            row += fresh
            if connection != last:
                found = begin(row, messages[:again], whole=again < len(messages))
                place = None if found is None else starts + found
        else:
            place = None
        last = connection
        for one in messages:
            if place is not None and one.again and place - starts < len(row) and row[place - starts] == one.digest:
                place += 1
                known.append(True)
            else:
                place = None
                known.append(False)
                fresh.append(one.digest)
    return Followed(Session(last, ends + len(fresh), place), known, fresh)


def begin(row: Sequence[bytes], run: Sequence[Delivered], *, whole: bool) -> int | None:
    """Where in the row a run of redelivered messages begins; None = all of them are new.

    The run lies on the row as far as both reach. Where several places fit it is the earliest: of messages without a time that
    repeat each other, one is rather taken for the other.

    Args:
        row: digests of what was committed.
        run: not empty.
        whole: no more redelivered ones follow, so that it must reach the end of the row.
    """
    digests = [one.digest for one in run]
    at = max(len(row) - len(digests), 0) - 1 if whole else -1
    while True:
        try:
            at = row.index(digests[0], at + 1)
        except ValueError:
            return None
        length = min(len(digests), len(row) - at)
        if row[at : at + length] == digests[:length] and (
            whole or at + length == len(row) or length >= _MANY or any(one.dated for one in run[:length])
        ):
            return at
