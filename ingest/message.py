"""What the broker handed over, as it came: raw messages and the blocks they were read in."""

from __future__ import annotations

from datetime import datetime
from typing import Final, NamedTuple

#: Topic as bytes, payload, packet id (0 for QoS 0), and whether the broker says that it is a redelivery. A plain tuple: one is
#: made for every message, and a class of any kind costs more than reading the message from the socket.
Raw = tuple[bytes, bytes, int, bool]


#: What a message takes in memory beside its bytes.
OVERHEAD: Final = 250
#: Length of the name of a session.
NAME_BYTES: Final = 8
#: Source of blocks of one message that lay in quarantine and is decoded again; its packet id is its id there.
QUARANTINE: Final = "quarantine"


class Block(NamedTuple):
    """The messages of one read from the socket.

    Attributes:
        generation: the connection they came over; they may be acknowledged over that one alone. 0 = nobody waits for it.
        received: when they were read.
        size: bytes they hold in memory.
        source: whose packet ids these are: the client id of the session.
        segment: of the spool, when they were read back from there.
        first: the place of the first one in that segment; the others follow it.
        begins: with it begins a session of this name (`ingest.session`); b"" = it is one of those before.
    """

    generation: int
    received: datetime
    messages: list[Raw]
    size: int
    source: str = ""
    segment: str = ""
    first: int = 0
    begins: bytes = b""


class Outgoing(NamedTuple):
    """A message to publish at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False
