"""The rules and the frame budgets of cameras, kept up to date beside the work: a change counts within seconds."""

from __future__ import annotations

import threading
from typing import Final

import structlog

from ioc.camera_rules import CameraRule
from ioc.db.camera_budgets import budgets
from ioc.db.camera_rules import rules_of, standing_of
from ioc.db.pool import Connection, connect
from ioc.errors import FormError, StorageError
from ioc.service import backoff

#: How often TimescaleDB is asked.
EVERY_S: Final = 3.0


class Rulebook:
    """Rules by camera; a thread of our own reads them. While TimescaleDB is away those that are known hold.

    Attributes:
        budgets: frames a second of every camera that has a budget of its own.
    """

    def __init__(self, url: str) -> None:
        self.budgets: dict[str, float] = {}
        self._url = url
        self._wanted: set[str] = set()
        self._known: dict[str, tuple[CameraRule, ...]] = {}
        self._standing: dict[str, frozenset[str]] = {}
        #: Of a newer version of this program, or written past it.
        self._refused: set[tuple[int, int]] = set()
        self._new = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._keep_reading, name="rulebook", daemon=True)
        self._thread.start()

    def rules(self, camera: str) -> tuple[CameraRule, ...]:
        """The rules of a camera; () also while they are not known yet."""
        if camera not in self._wanted:
            self._wanted.add(camera)
            self._new.set()
        return self._known.get(camera, ())

    def standing(self, camera: str) -> frozenset[str]:
        """Measures of a camera of which was said last that a rule finds something."""
        return self._standing.get(camera, frozenset())

    def close(self) -> None:
        """Stop reading."""
        self._stopping = True
        self._new.set()
        self._thread.join()

    def _keep_reading(self) -> None:
        pauses = backoff()
        while not self._stopping:
            try:
                with connect(self._url, name="vision-rules") as connection:
                    connection.autocommit = True
                    while not self._stopping:
                        self._read(connection)
                        pauses = backoff()
                        self._new.wait(EVERY_S)
            except StorageError:
                # The worker says that TimescaleDB is away.
                self._new.clear()
                self._new.wait(next(pauses))

    def _read(self, connection: Connection) -> None:
        self._new.clear()
        known: dict[str, list[CameraRule]] = {camera: [] for camera in tuple(self._wanted)}
        refused = set()
        for rule in rules_of(connection, sorted(known)):
            try:
                rule.check()
            except FormError as error:
                refused.add((rule.id, rule.version))
                if (rule.id, rule.version) not in self._refused:
                    structlog.get_logger().warning(
                        "rule is not followed", rule=rule.id, camera=rule.camera, why=str(error)
                    )
            else:
                known[rule.camera].append(rule)
        self._refused = refused
        standing = standing_of(connection, sorted(known))
        # In this order, see `Watchers.look`.
        self._known = {camera: tuple(rules) for camera, rules in known.items()}
        self._standing = standing
        self.budgets = budgets(connection)
