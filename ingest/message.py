"""What the broker handed over, as it came: raw messages and the blocks they were read in."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

#: Topic as bytes, payload, packet id (0 for QoS 0), and whether the broker says that it is a redelivery. A plain tuple: one is
#: made for every message, and a class of any kind costs more than reading the message from the socket.
Raw = tuple[bytes, bytes, int, bool]


class Block(NamedTuple):
    """The messages of one read from the socket.

    Attributes:
        generation: the connection they came over; they may be acknowledged over that one alone. 0 = nobody waits for it.
        received: when they were read.
        size: bytes they hold in memory.
        source: whose packet ids these are: the client id of the session.
    """

    generation: int
    received: datetime
    messages: list[Raw]
    size: int
    source: str = ""


class Outgoing(NamedTuple):
    """A message to publish at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False
