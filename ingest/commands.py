"""Sends what people order, once and never late, and sees whether it was done.

One ingest process does it, whoever holds the lock; a command that its predecessor was sending is sent again while it is fresh,
for a target that is told twice is still the same target. What waits for the broker is not sent any more once a newer order for
its device is there, or once another process may send.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Protocol

from ingest.dialect import Dialect
from ingest.message import Outgoing
from ingest.outbox import LATE, WITHDRAWN, Done
from ioc.commands import CONFIRM_WITHIN, shown
from ioc.db import commands as stored
from ioc.db.commands import Failure
from ioc.db.devices import devices_named
from ioc.db.pool import Connection
from ioc.errors import CommandError
from ioc.model import Command, Device
from ioc.service import Service, utc_now

#: Any number of our own: held by the one process that sends.
_LOCK: Final = 0x7464_7365_6E64
#: How long a round waits for the broker's acknowledgements, so that they are on the screen at once.
_WAIT_S: Final = 0.5
#: A process that has not looked for so long sends nothing: the server gives the connection that holds the lock up after half a
#: minute without a sign of life, and then another process sends.
_LEASE_S: Final = 10.0


class Publish(Protocol):
    """Gives a message to the broker (`ingest.link.Link.publish`)."""

    def __call__(self, message: Outgoing, *, within_s: float, done: Done, wanted: Callable[[], bool]) -> None:
        """Publish at QoS 1."""
        ...


class _Sending:
    """A command that the link has.

    Attributes:
        leading: the connection that held the lock when it was handed over.
        left: how many of its messages the broker has not acknowledged.
        over: it has ended: nothing of it is to be sent any more.
    """

    def __init__(self, leading: Connection, left: int) -> None:
        self.leading = leading
        self.left = left
        self.over = False


class Commander:
    """An errand: `ingest.errands` calls it about once a second, and at once when a page calls."""

    def __init__(
        self,
        service: Service,
        dialects: Iterable[Dialect],
        publish: Publish,
        tell: Callable[[Sequence[Command]], None],
    ) -> None:
        self._log = service.log
        self._patience = timedelta(seconds=service.settings.command_answer_s)
        self._dialects = {dialect.name: dialect for dialect in dialects}
        self._publish = publish
        self._tell = tell
        self._leading: Connection | None = None
        #: When this process last knew that it leads, by the monotonic clock.
        self._led_at = 0.0
        #: Commands the link has.
        self._posted: dict[int, _Sending] = {}
        #: What became of them and is not written down yet.
        self._sent: dict[int, datetime] = {}
        self._failed: dict[int, Failure] = {}
        self._settled = threading.Condition()

    def __call__(self, connection: Connection) -> None:
        """Look once: send, and see what became of what was sent."""
        if not self._leads(connection):
            return
        now = utc_now()
        self._note(connection)
        asked_at = time.monotonic()
        self._tell(stored.expire(connection, now, self._patience, CONFIRM_WITHIN))
        self._led_at = asked_at
        self._confirm(connection, now)
        posted = self._send(connection)
        if posted:
            with self._settled:
                self._settled.wait_for(lambda: not any(order in self._posted for order in posted), _WAIT_S)
            self._note(connection)

    def _leads(self, connection: Connection) -> bool:
        """Whether this process sends: the lock is held as long as the connection lives."""
        if self._leading is not connection:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
            if row is None or not row[0]:
                return False
            self._leading = connection
        return True

    def _send(self, connection: Connection) -> list[int]:
        """Give the link what waits; returns the numbers of those commands."""
        waiting = [command for command in stored.to_send(connection) if not self._knows(command.id)]
        # After that look: each that waits has ended the one before it in the same transaction.
        self._withdraw(connection)
        if not waiting:
            return []
        devices = {one.id: one for one in devices_named(connection, {command.device for command in waiting})}
        parcels: dict[int, tuple[datetime, Sequence[Outgoing]]] = {}
        for command in waiting:
            until = command.requested + self._patience
            if until <= utc_now():
                continue  # the next round ends it
            try:
                parcels[command.id] = until, self._encode(devices[command.device], command)
            except CommandError as error:
                with self._settled:
                    self._failed[command.id] = Failure(command.id, "failed", str(error), utc_now())
        posted = sorted(stored.mark_handed(connection, parcels)) if parcels else []
        for order in posted:
            until, messages = parcels[order]
            sending = _Sending(connection, len(messages))
            with self._settled:
                self._posted[order] = sending
            left_s = (until - utc_now()).total_seconds()
            for message in messages:
                self._publish(
                    message,
                    within_s=left_s,
                    done=partial(self._done, order, sending),
                    wanted=partial(self._wants, sending),
                )
        self._note(connection)
        return posted

    def _encode(self, device: Device, command: Command) -> Sequence[Outgoing]:
        """The messages of a command.

        Raises:
            CommandError: the device cannot be told so.
        """
        dialect = self._dialects.get(device.dialect)
        if dialect is None:
            raise CommandError(f"dialect {device.dialect}: not spoken by this ingest")
        try:
            messages = dialect.light(device, command.level, command.id)
        except CommandError:
            raise
        except Exception as error:
            # A fault of ours in one command must not stop the others.
            self._log.exception("encoder fault", device=device.id, dialect=device.dialect)
            raise CommandError(f"dialect {device.dialect} failed: {error!r}") from error
        if not messages:
            raise CommandError(f"dialect {device.dialect} has no message for it")
        return messages

    def _withdraw(self, connection: Connection) -> None:
        """Let nothing be sent any more of commands that have ended."""
        with self._settled:
            posted = dict(self._posted)
        for order in stored.expired(connection, posted) if posted else ():
            posted[order].over = True

    def _wants(self, sending: _Sending) -> bool:
        """Whether it is still to be sent, and by us; the network thread asks."""
        return not (sending.over or sending.leading.closed or time.monotonic() - self._led_at > _LEASE_S)

    def _done(self, order: int, sending: _Sending, outcome: str | None, handed: datetime) -> None:
        """The network thread tells what became of one message."""
        with self._settled:
            if self._posted.get(order) is not sending:
                return  # another message of it failed, or it was handed over anew
            sending.left -= 1
            if outcome == WITHDRAWN:
                pass  # the database says why, or still has it to be sent
            elif outcome is not None:
                self._failed[order] = Failure(order, "expired" if outcome == LATE else "failed", outcome, utc_now())
            elif sending.left == 0:
                self._sent[order] = handed
            else:
                return
            sending.over = True
            del self._posted[order]
            self._settled.notify_all()

    def _knows(self, order: int) -> bool:
        with self._settled:
            sending = self._posted.get(order)
            is_posted = sending is not None and not sending.leading.closed
            return is_posted or order in self._sent or order in self._failed

    def _note(self, connection: Connection) -> None:
        """Write down what became of commands; what cannot be written now is written when the database is back."""
        with self._settled:
            sent, failed = dict(self._sent), dict(self._failed)
        if sent:
            self._tell(stored.mark_sent(connection, sent.items()))
        if failed:
            self._tell(stored.mark_unsent(connection, failed.values()))
        with self._settled:
            for order in sent:
                del self._sent[order]
            for order in failed:
                del self._failed[order]

    def _confirm(self, connection: Connection, now: datetime) -> None:
        confirmed = []
        for command, readings in stored.hoped_for(connection, now - CONFIRM_WITHIN):
            if command.sent is not None and (time := shown(command.level, command.sent, readings)) is not None:
                confirmed.append((command.id, time))
        if confirmed:
            self._tell(stored.mark_confirmed(connection, confirmed))
