"""Messages of our own on their way to the broker: in order, none of them late, each told of once."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from math import inf
from typing import Final, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.message import Outgoing
from ioc.service import utc_now

#: Messages that wait while the broker is away; then the oldest is given up.
_MOST: Final = 10_000
#: Messages that may await their acknowledgement; brokers take 20 or more.
_WINDOW: Final = 20
_NO_SUBSCRIBERS: Final = 16

#: Called once, from another thread, with what became of a message: None when the broker has it, else why not; and since when the
#: broker may have had it.
Done = Callable[[str | None, datetime], None]
#: Why not, where it is not the broker's own word: its time was over, nobody listens for it there, or it is not wanted any more.
LATE: Final = "unsent"
UNHEARD: Final = "unheard"
WITHDRAWN: Final = "withdrawn"


def forget(outcome: str | None, handed: datetime) -> None:
    """Nobody asks what became of it."""


def always() -> bool:
    """It is wanted, whatever comes."""
    return True


class _Parcel(NamedTuple):
    """A message on its way; `until` by the monotonic clock, `handed` when the broker was first given it."""

    message: Outgoing
    until: float
    done: Done
    wanted: Callable[[], bool]
    handed: datetime | None = None


class Outbox:
    """Filled from any thread; everything else is the network thread's."""

    def __init__(self) -> None:
        self._waiting: deque[_Parcel] = deque()
        #: What the broker has not acknowledged yet, by packet id.
        self._posted: dict[int, _Parcel] = {}

    def put(self, message: Outgoing, *, within_s: float, done: Done, wanted: Callable[[], bool]) -> None:
        """Add a message; while the broker is away it waits.

        Args:
            message: may come twice when the connection is lost before it is acknowledged.
            within_s: later than that it is not sent, and the broker does not keep it for a receiver that is away.
            done: told what became of it.
            wanted: asked, from another thread, before it is sent, also when it is sent again.
        """
        if len(self._waiting) >= _MOST:
            with suppress(IndexError):
                self._waiting.popleft().done("too many messages wait for the broker", utc_now())
        self._waiting.append(_Parcel(message, time.monotonic() + within_s, done, wanted))

    def post(self, client: paho.Client) -> None:
        """Publish at QoS 1 what waits, as far as the connection takes it now."""
        while self._waiting and len(self._posted) < _WINDOW and not client.want_write():
            parcel = self._waiting.popleft()
            if not parcel.wanted():
                parcel.done(WITHDRAWN, utc_now())
                continue
            left = parcel.until - time.monotonic()
            if left <= 0:
                parcel.done(LATE, utc_now())
                continue
            parcel = parcel._replace(handed=parcel.handed or utc_now())
            topic, payload, retain = parcel.message
            said = client.publish(topic, payload, qos=1, retain=retain, properties=_expiring(left))
            self._posted[said.mid] = parcel

    def settle(self, mid: int, reason: ReasonCode) -> None:
        """The broker has acknowledged a packet."""
        parcel = self._posted.pop(mid, None)
        if parcel is not None:
            unheard = reason.value == _NO_SUBSCRIBERS
            outcome = UNHEARD if unheard else str(reason) if reason.is_failure else None
            parcel.done(outcome, parcel.handed or utc_now())

    def take_back(self, client: paho.Client) -> None:
        """A new connection: what was not acknowledged waits again. The client would send it whatever its age."""
        client.drop_out_messages()
        self._waiting.extendleft(reversed(self._posted.values()))
        self._posted = {}


def _expiring(left_s: float) -> Properties | None:
    """How long the broker keeps a message for receivers that are away."""
    if left_s == inf:
        return None
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.MessageExpiryInterval = max(1, int(left_s))
    return properties
