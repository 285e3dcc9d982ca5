"""The ingest process: three threads in a row, bounded between them, and those that do what is rare.

    network  reads the socket, messages → the batch that is filling, acknowledges  (ingest.link, ingest.decode)
    commit   the batch → TimescaleDB, then PUBACK                                  (ingest.committer)
    publish  what was committed → Redis                                            (ingest.publisher)

    errands  wishes in the database → decode, network                              (ingest.errands)
    decode   what does not come straight from the network → the batch: from quarantine, from the spool
    spool    between network and decode, where it is set up: what cannot be committed goes to the disk (ingest.detour)

The batch grows while the one before it is committed, so that a slower database makes larger batches, and a stopped one stops the
reading: batch full → socket unread → the broker keeps the rest.
"""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, nullcontext
from functools import partial
from math import nan
from typing import Final

from ingest.batch import Batch
from ingest.clock import Clocks
from ingest.commands import Commander
from ingest.committer import PATIENCE_S, Committer
from ingest.decode import Decoder
from ingest.detour import Detour
from ingest.dialect import GROUP, filters
from ingest.dialects import all_dialects, standing_filters
from ingest.dialects.mapped import Mapped
from ingest.dialects.native import NAME
from ingest.entries import Entries
from ingest.errands import Errands
from ingest.flags import recall_flags
from ingest.identity import Identity, client_of, identity, numbers
from ingest.inbox import Door, Inbox, Straight
from ingest.intake import Intake
from ingest.leftovers import Leftovers
from ingest.link import Link
from ingest.mappings import Mappings
from ingest.message import Block
from ingest.metrics import BROKER_DROPPED, QUEUE
from ingest.publisher import Publisher
from ingest.registry import Sights
from ingest.replay import Replays
from ingest.rhythm import Rhythm
from ingest.session import Held
from ingest.spool import HeldError, Spool, spool_of, spool_root
from ingest.store import Outcome
from ioc.broker_drops import FIGURE, Drops
from ioc.errors import IocError
from ioc.live import Live
from ioc.mapping import TopicMapping
from ioc.model import Device
from ioc.mqtt import Contact
from ioc.service import Service, utc_now
from ioc.settings import Settings
from ioc.topics import build

_INBOX_BYTES: Final = 64 * 1024 * 1024
#: A batch of large payloads is full at this size.
_BATCH_BYTES: Final = 16 * 1024 * 1024
#: The garbage collector looks after so many new objects: by default it would look thirty times while a batch is decoded.
_GARBAGE: Final = 50_000
#: Who decodes one block for so long hangs: the process ends, so that another one goes on, instead of fighting for the session
#: with one that has taken its place (`ioc.db.hung`).
_HANGS_S: Final = 60.0
#: The committer looks this often whether sightings are due when nothing else comes.
_IDLE_S: Final = 1.0


class Ingest:
    """Everything between one broker session and the database."""

    def __init__(self, service: Service, who: Identity, live: Live, spool: Spool | None = None) -> None:
        settings = service.settings
        processes = settings.ingest_processes
        self._leads = who.number == 1
        self._is_first = self._leads and settings.ingest_first
        self._service = service
        self._settings = settings
        self._inbox = Inbox(most_bytes=_INBOX_BYTES, most_messages=settings.ingest_inflight)
        #: What comes from the broker lies here where there is a spool; else it is decoded as it comes.
        self._arriving = Inbox(most_bytes=_INBOX_BYTES, most_messages=settings.ingest_inflight)
        door: Door = self._arriving if spool is not None else Straight(self._take_in, self._is_full)
        dialects = all_dialects()
        subscriptions = [one for dialect in dialects for one in dialect.subscriptions]
        wanted = filters(
            subscriptions,
            settings.ingest_group or (GROUP if processes > 1 else ""),
            first=self._is_first,
        )
        self._link = Link(
            service, who.client, door, wanted, others=partial(_others, settings, who.number), leads=self._leads
        )
        self._links = [self._link]
        self._leftovers = Leftovers(service, door, wanted, processes, self._links)
        self._committer = Committer(service, who.client, [one.filter for one in subscriptions if one.retained])
        self._publisher = Publisher(service, live)
        self._sights = Sights()
        self._intake = Intake(
            {}, Clocks(ahead_s=settings.clock_ahead_s, behind_s=settings.clock_behind_s, lane=who.number)
        )
        self._mapped = next(dialect for dialect in dialects if isinstance(dialect, Mapped))
        self._decoder = Decoder(
            self._intake,
            dialects,
            most_bytes=settings.max_payload_bytes,
            ahead=self._mapped.ahead,
            supplement=self._mapped.supplement,
        )
        # Encoders of their own: what dialects learn belongs to who decodes.
        commander = Commander(service, all_dialects(), self._link.publish, self._publisher.tell)
        self._entries = Entries(self.apply)
        self._replays = Replays(self._inbox)
        mappings = Mappings(standing_filters(dialects), self._map)
        self._errands = Errands(service, (commander, self._entries, mappings, self._replays))
        self._recalled = threading.Event()
        self._detour: Detour | None = None
        if spool is not None:
            self._detour = Detour(
                service,
                spool,
                self._arriving,
                self._inbox,
                self._committer,
                acknowledge=self._acknowledge,
                ready=self._recalled,
                root=spool_root(settings),
            )
        self._rhythm = Rhythm(settings.ingest_batch_ms / 1000, in_order=settings.broker == "rabbitmq")
        self._changed = threading.Condition()
        self._decoded = False
        #: Since when the block in hand is decoded, by the monotonic clock; None = there is none.
        self._decoding_since: float | None = None
        self._fault: BaseException | None = None
        self._rates = _Rates()
        self._stored = self._rejected = 0
        #: Topics of announcements asked for by name: RabbitMQ hands nothing retained to a filter with a wildcard, so that
        #: a device which announced itself before this session began is not known when it speaks.
        self._asked: set[str] = set()
        self._drops = Drops(Contact.of(settings))
        service.figures = self.figures

    def run(self) -> None:
        """Run until the service is told to stop, then drain what is in hand.

        Raises:
            IocError: a thread died of a fault of ours.
        """
        if self._detour is None and not self._open():
            return
        works = {
            "network": self._unclaimed(self._link.run),
            "decode": self._decode,
            "commit": self._commit,
            "publish": self._publisher.run,
            "errands": self._unclaimed(self._errands.run),
        }
        if self._detour is not None:
            works["spool"] = self._detour.run
        if self._leads:
            works["leftovers"] = self._unclaimed(self._leftovers.run)
        threads = {
            name: threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in works.items()
        }
        for thread in threads.values():
            thread.start()
        with self._drops if self._is_first else nullcontext():
            self._service.stopping.wait()
        for link in list(self._links):
            link.stop_reading()
        self._arriving.close()
        if self._detour is not None:
            threads["spool"].join(PATIENCE_S)
        self._inbox.close()
        threads["decode"].join(PATIENCE_S)
        threads["commit"].join(2 * PATIENCE_S)
        for link in list(self._links):
            link.stop()
        self._publisher.stop()
        threads["network"].join(PATIENCE_S)
        threads["publish"].join(PATIENCE_S)
        threads["errands"].join(PATIENCE_S)
        self._committer.close()
        if self._fault is not None:
            raise IocError(f"ingest failed: {self._fault!r}") from self._fault

    def wait_ready(self, timeout_s: float) -> bool:
        """Wait until messages arrive here; False when that takes longer."""
        return self._link.subscribed.wait(timeout_s)

    def apply(self, change: Callable[[Intake], None]) -> None:
        """Change what is decoded with, from any thread, between two blocks."""
        with self._changed:
            change(self._intake)

    def figures(self) -> dict[str, float]:
        """For the heartbeat."""
        self._committer.look()
        since = self._decoding_since
        if since is not None and time.monotonic() - since > _HANGS_S:
            self._service.end_hanging("a block is decoded")
        batch = self._intake.batch
        queue = self._arriving.messages + self._inbox.messages + len(batch)
        QUEUE.set(queue)
        dropped = self._drops.count
        BROKER_DROPPED.set(nan if dropped is None else dropped)
        messages, rows = self._rates.per_second(self._link.received, self._stored)
        return {
            "messages_s": messages,
            "rows_s": rows,
            "queue": queue,
            "inflight": self._link.inflight,
            "quarantined": self._rejected,
            "spool_mb": 0.0 if self._detour is None else round(self._detour.bytes / 1e6, 1),
            **({} if dropped is None else {FIGURE: dropped}),
        }

    def _guarded(self, work: Callable[[], None]) -> None:
        """A thread that dies stops the process: what is not acknowledged is delivered again to the next one."""
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - `_fail` tells it
            if self._fault is None:
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Stop the process for a fault of ours."""
        self._fault = error
        self._service.log.error("thread died", thread=threading.current_thread().name, exc_info=error)
        self._service.stopping.set()
        with self._changed:
            self._decoded = True
            self._changed.notify_all()

    def _unclaimed(self, work: Callable[[], None]) -> Callable[[], None]:
        """What is done only where no other process is known to work under our client id."""

        def begin() -> None:
            while not self._committer.unclaimed.wait(_IDLE_S):
                if self._service.stopping.is_set():
                    return
            work()

        return begin

    def _open(self) -> bool:
        """Wait for the database, and take up what it knows; False when told to stop before it came."""
        if not self._committer.open():
            return False
        self._recall()
        self._recalled.set()
        return True

    def _recall(self) -> None:
        """Take up what was known when the last process ended, before the first message comes."""
        self._intake.kinds.update(self._committer.registry.kinds())
        self._intake.pictures.seen(self._committer.pictures)
        self._ask(self._committer.registry.devices.values())
        self._entries.seen = self._committer.audited
        context = recall_flags(self._intake, self._committer.context)
        messages = [(topic.encode(), payload, 0, True) for topic, payload in context]
        self._decoder.decode(Block(0, utc_now(), messages, 0))
        self._intake.take()  # what they brought is stored already
        self._link.assume(self._committer.once_listened)
        self._map(self._committer.mappings)

    def _map(self, mappings: Iterable[TopicMapping]) -> None:
        """Work with these mappings from now on."""
        with self._changed:
            self._mapped.use(mappings)
            self._decoder.forget_routes()
            self._listen()

    def _listen(self) -> None:
        """Take the topics that dialects were told of, by what the first process alone reads, and those that are mapped."""
        self._link.listen(self._intake.wanted if self._is_first else {}, self._mapped.wanted, self._asked)

    def _ask(self, devices: Iterable[Device]) -> None:
        """Ask those that have not introduced themselves who they are, where the broker needs to be asked by name."""
        if self._settings.broker != "rabbitmq":
            return
        native = {device.id: bool(device.kind) for device in devices if device.dialect == NAME}
        known = {build(key, "announce") for key, is_known in native.items() if is_known}
        unknown = {build(key, "announce") for key, is_known in native.items() if not is_known}
        asked = (self._asked - known) | unknown
        if asked != self._asked:
            with self._changed:
                self._asked = asked
                self._listen()

    def _decode(self) -> None:
        while True:
            block = self._inbox.take(_IDLE_S)
            if block is None:
                if self._inbox.is_drained:
                    break
                continue
            with self._changed:
                while self._is_full() and self._fault is None:
                    self._changed.wait()
                self._take_in(block)
        with self._changed:
            self._decoded = True
            self._changed.notify_all()

    def _take_in(self, block: Block) -> None:
        """Decode a block into the batch; from the thread that has it.

        Raises:
            IocError: a fault of ours, after which nothing is taken in or committed any more.
        """
        with self._changed:
            if self._fault is not None:
                return
            before, waits = self._intake.wanted, len(self._intake.batch)
            self._decoding_since = time.monotonic()
            try:
                self._decoder.decode(block)
            except BaseException as error:
                # Said before anybody can take half a block for the whole, and acknowledge it.
                self._fail(error)
                raise IocError(f"a block was not decoded: {error!r}") from error
            self._decoding_since = None
            if self._intake.wanted is not before:
                self._listen()
            # The committer knows when a batch that has begun is due; it is not woken for every block.
            if not waits or self._is_full():
                self._changed.notify_all()

    def _commit(self) -> None:
        # Where there is a spool, messages go there until the database has come.
        if not self._recalled.is_set() and not self._open():
            return
        while True:
            with self._changed:
                ended = self._await_batch()
                batch = self._intake.take()
                self._changed.notify_all()
            began = time.monotonic()
            if self._fault is not None:
                # Of the last block some messages may not have been decoded; the broker hands all of it to the next process.
                return
            self._sights.note(batch.seen)
            sights = self._sights.due(at_once=not len(batch), everything=ended)
            if len(batch) or sights:
                outcome = self._committer.commit(batch, sights)
                if outcome is None:
                    return
                self._sights.done(sights)
                self._committed(batch, outcome)
            elif not ended:
                self._committer.stay()
            if ended:
                return
            self._rhythm.committed(batch.born, batch.rows, began, time.monotonic())

    def _committed(self, batch: Batch, outcome: Outcome) -> None:
        if self._detour is not None:
            self._detour.committed(batch.handed_on, batch.acks)
        else:
            for generation, mids in batch.acks.items():
                self._acknowledge(generation, mids)
        for _, name in batch.begun.values():
            for link in list(self._links):
                link.noted(name)
        for message in batch.outgoing:
            self._link.publish(message)
        self._ask(outcome.devices)
        self._replays.done(batch.fed)
        self._stored += outcome.stored
        self._rejected += sum(outcome.rejected.values())
        self._publisher.add(outcome, batch.frames)

    def _acknowledge(self, generation: int, mids: Sequence[int]) -> None:
        for link in list(self._links):
            link.acknowledge(generation, mids)

    def _await_batch(self) -> bool:
        """Wait until the batch is due, or for a while when there is none; True when it is the last."""
        until = time.monotonic() + _IDLE_S
        while not self._decoded and not self._is_full():
            batch, now = self._intake.batch, time.monotonic()
            due = until
            if batch.born is not None:
                due = self._rhythm.due(batch.born, batch.rows, now, redelivered=batch.redelivered)
            if due <= now:
                return False
            self._changed.wait(due - now)
        return self._decoded

    def _is_full(self) -> bool:
        batch = self._intake.batch
        return batch.rows >= self._settings.ingest_batch_rows or batch.size >= _BATCH_BYTES


class _Rates:
    """Counters as rates since the last look."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._before: tuple[int, ...] = ()

    def per_second(self, *counters: int) -> list[float]:
        """Each counter's rise a second since the call before."""
        now = time.monotonic()
        span, self._at = max(now - self._at, 1e-3), now
        before, self._before = self._before or counters, counters
        return [round((new - old) / span, 1) for new, old in zip(counters, before, strict=True)]


def main(settings: Settings, member: int = 1) -> None:
    """Run one ingest process until told to stop.

    Args:
        settings: as read at the edge.
        member: its number among several.
    """
    # Millions of messages make no cycles, and what was made by now stays.
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    with (
        identity(settings, member) as who,
        Service("ingest", _of_member(settings, who)) as service,
        closing(Live(service.settings.require("redis_url"))) as live,
    ):
        while not service.stopping.is_set():
            try:
                with spool_of(settings, who.client) as spool:
                    service.recover("client id")
                    Ingest(service, who, live, spool).run()
            except HeldError as error:
                service.degrade("client id", error)
            else:
                return


def _others(settings: Settings, number: int) -> set[str]:
    """The filters that sessions of this machine may hold beside that of a number: the first asks all, the others the first."""
    asked = [one for one in numbers(settings.home) if one > 1] if number == 1 else [1]
    return {name for one in asked for name in Held(settings.home, client_of(settings, one)).recall()}


def _of_member(settings: Settings, who: Identity) -> Settings:
    """Each process has a metrics port of its own, in the order of their numbers."""
    return settings.model_copy(
        update={"metrics_port": settings.metrics_port and settings.metrics_port + who.number - 1}
    )
