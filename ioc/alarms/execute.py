"""The engine's decisions made true: alarm, incident and log in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from ioc.alarms.grouping import JOIN_WITHIN, Candidate, Newcomer, choose
from ioc.alarms.ledger import LOGGED, OpenFile, subject
from ioc.alarms.log import SYSTEM
from ioc.alarms.machine import Occurrence
from ioc.alarms.world import Decision
from ioc.catalog import RULES
from ioc.db.alarms import alarm as read_alarm
from ioc.db.pool import Connection, translated
from ioc.model import Alarm, AlarmsChanged, Device


class Order(NamedTuple):
    """A decision with what the engine knows about its subject."""

    decision: Decision
    device: Device | None
    alarm: Alarm | None


def execute(connection: Connection, orders: Sequence[Order], now: datetime) -> AlarmsChanged:
    """Carry decisions out in one transaction; returns the rows as they are after it.

    Every decision is taken again on the locked row, so an operator who came first is not overruled.

    Raises:
        StorageError: nothing of it was done.
    """
    with translated(), connection.transaction():
        desk = _Desk(connection, now)
        desk.take(orders)
        for order in orders:
            if order.alarm is None:
                desk.open(order)
            else:
                desk.move(order, order.alarm)
        # Incidents in which nothing moved stay as they are.
        incidents = [file.finish() for file in desk.files.values() if file.touched]
        return AlarmsChanged([row for file in desk.files.values() for row in file.changed.values()], incidents)


class _Desk:
    """The incidents that one transaction has in hand."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self.files: dict[int, OpenFile] = {}
        self._candidates: dict[str, dict[int, Candidate]] = {}

    def take(self, orders: Sequence[Order]) -> None:
        """Lock the incidents that the orders are about, in the order in which everybody locks them: no deadlock."""
        wanted = {order.alarm.incident for order in orders if order.alarm is not None}
        for order in orders:
            if order.alarm is None and order.decision.event == "raise" and order.device is not None:
                newcomer = _newcomer(order.decision, order.device)
                wanted.add(choose(newcomer, self._candidates_of(newcomer.cause).values(), self._now) or 0)
        for incident in sorted(wanted - {0}):
            self._file(incident)

    def open(self, order: Order) -> None:
        """Open an alarm in the incident it belongs to, or let it happen to the one that is alive after all."""
        decision, device = order.decision, order.device
        if decision.event != "raise" or device is None:
            return
        rule, measure = RULES[decision.rule]
        newcomer = _newcomer(decision, device)
        file = self._file_for(newcomer, rule.priority)
        start = Occurrence(suppressed=decision.suppressed)
        stored = file.open(
            Alarm(
                id=0,
                rule=rule.key,
                device=device.id,
                measure=measure,
                ward=device.ward,
                cause=rule.cause,
                priority=rule.priority,
                state=start.state,
                value=decision.value,
                limit=rule.limit if rule.kind in ("above", "below", "rise") else None,
                opened=self._now,
                changed=self._now,
                incident=file.id,
            ),
            _details(decision),
        )
        if stored is None:
            alive = self._alive(decision)
            if alive is not None:
                self.move(order, alive)
            return
        candidate = self._candidates[rule.cause][file.id]
        self._candidates[rule.cause][file.id] = msgspec.structs.replace(
            candidate,
            changed=file.now,
            devices=candidate.devices | {device.id},
            parents=candidate.parents | ({device.parent} if device.parent else frozenset()),
        )

    def move(self, order: Order, alarm: Alarm) -> None:
        """Let the decision happen to an alarm that is alive."""
        decision = order.decision
        file = self._file(alarm.incident)
        fresh = next(iter(file.alarms([alarm.id])), None)
        if fresh is None:
            # It ended meanwhile; the engine learns it from the row.
            file.changed[alarm.id] = read_alarm(self._connection, alarm.id)
            return
        value = decision.value if decision.event == "raise" else None
        row = file.move(fresh, decision.event, who=SYSTEM, value=value)
        if row is None:
            file.changed.setdefault(fresh.id, fresh)
            return
        file.write(LOGGED[decision.event], who=SYSTEM, text=decision.why, details=subject(row) | _details(decision))

    def _file(self, incident: int) -> OpenFile:
        if incident not in self.files:
            self.files[incident] = OpenFile(self._connection, incident, self._now)
        return self.files[incident]

    def _file_for(self, newcomer: Newcomer, priority: int) -> OpenFile:
        candidates = self._candidates_of(newcomer.cause)
        while (chosen := choose(newcomer, candidates.values(), self._now)) is not None:
            file = self._file(chosen)
            if file.state != "closed":
                return file
            # An operator closed it between our look and our lock.
            del candidates[chosen]
        file = OpenFile.new(self._connection, newcomer.cause, newcomer.ward, priority, self._now)
        self.files[file.id] = file
        candidates[file.id] = Candidate(file.id, newcomer.ward, self._now)
        return file

    def _candidates_of(self, cause: str) -> dict[int, Candidate]:
        if cause not in self._candidates:
            self._candidates[cause] = _candidates(self._connection, cause, self._now)
        return self._candidates[cause]

    def _alive(self, decision: Decision) -> Alarm | None:
        row = self._connection.execute(
            "SELECT id, incident FROM alarm WHERE rule = %s AND device = %s AND state <> 'normal'",
            (decision.rule, decision.device),
        ).fetchone()
        if row is None:
            return None
        return next(iter(self._file(row[1]).alarms([row[0]])), None)


def _newcomer(decision: Decision, device: Device) -> Newcomer:
    return Newcomer(RULES[decision.rule][0].cause, device.ward, device.id, device.parent)


def _candidates(connection: Connection, cause: str, now: datetime) -> dict[int, Candidate]:
    rows = connection.execute(
        "SELECT i.id, i.ward, i.changed, array_remove(array_agg(DISTINCT a.device), NULL),"
        " array_remove(array_agg(DISTINCT nullif(d.parent, '')), NULL)"
        " FROM incident i LEFT JOIN alarm a ON a.incident = i.id AND a.state <> 'normal' LEFT JOIN device d ON d.id = a.device"
        " WHERE i.cause = %s AND (i.state IN ('open', 'acknowledged') OR (i.state = 'cleared' AND i.changed > %s))"
        " GROUP BY i.id",
        (cause, now - JOIN_WITHIN),
    ).fetchall()
    return {row[0]: Candidate(row[0], row[1], row[2], frozenset(row[3]), frozenset(row[4])) for row in rows}


def _details(decision: Decision) -> dict[str, Any]:
    """What decided, as far as there is something to tell."""
    details: dict[str, Any] = {}
    if decision.value is not None:
        details["value"] = decision.value
    if decision.at is not None:
        details["at"] = decision.at.isoformat()
    if decision.suppressed:
        details["suppressed_by"] = decision.why
    return details
