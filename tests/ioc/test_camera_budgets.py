"""Frame budgets of cameras, on a real TimescaleDB: within limits, audited, and changed by one person at a time."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ioc.db.audit import entries_of, verify_audit
from ioc.db.camera_budgets import MOST_FPS, SET, budgets, set_budget
from ioc.db.pool import Connection
from ioc.errors import ActionError, FormError
from ioc.settings import LEAST_FPS
from tests.fix_stack import Database

WHO = "Kỹ thuật viên"


@pytest.fixture
def camera(connection: Connection, topic: str) -> str:
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'camera', %s)", (topic, topic))
    return topic


def test_a_budget_is_given_changed_and_taken_back(connection: Connection, camera: str) -> None:
    """Each step is in the audit log with what was before and after; what changes nothing is not."""
    assert camera not in budgets(connection)
    set_budget(connection, camera, 5.0, None, WHO)
    assert budgets(connection)[camera] == 5.0
    set_budget(connection, camera, 5.0, 5.0, WHO)
    set_budget(connection, camera, 0.5, 5.0, "Người khác")
    set_budget(connection, camera, None, 0.5, WHO)
    set_budget(connection, camera, None, None, WHO)
    assert camera not in budgets(connection)
    log = entries_of(connection, camera, (SET,))
    assert [(entry.who, entry.before, entry.after) for entry in reversed(log)] == [
        (WHO, None, {"fps": 5.0}),
        ("Người khác", {"fps": 5.0}, {"fps": 0.5}),
        (WHO, {"fps": 0.5}, None),
    ]
    assert verify_audit(connection) is None


def test_what_cannot_be_is_refused_and_leaves_what_was(connection: Connection, camera: str) -> None:
    """Outside the limits, no name of a person, no such camera, one that was retired, one that somebody else has changed."""
    set_budget(connection, camera, LEAST_FPS, None, WHO)
    set_budget(connection, camera, MOST_FPS, LEAST_FPS, WHO)
    for fps in (0.0, -1.0, LEAST_FPS / 2, MOST_FPS + 1, math.nan, math.inf):
        with pytest.raises(FormError, match="limits"):
            set_budget(connection, camera, fps, MOST_FPS, WHO)
    for seen in (None, LEAST_FPS):
        with pytest.raises(FormError, match="budget_changed"):
            set_budget(connection, camera, 3.0, seen, WHO)
    with pytest.raises(ActionError, match="expected a name"):
        set_budget(connection, camera, 3.0, MOST_FPS, " ")
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'streetlight', '')", (f"{camera}-lamp",))
    for other in ("nowhere", f"{camera}-lamp", "#", ""):
        with pytest.raises(ActionError, match="there is none"):
            set_budget(connection, other, 3.0, None, WHO)
    connection.execute("UPDATE device SET status = 'retired' WHERE id = %s", (camera,))
    with pytest.raises(ActionError, match="there is none"):
        set_budget(connection, camera, 3.0, MOST_FPS, WHO)
    assert budgets(connection)[camera] == MOST_FPS
    assert len(entries_of(connection, camera, (SET,))) == 2


def test_one_of_several_who_set_it_at_once_is_kept(connection: Connection, db: Database, camera: str) -> None:
    """Whoever comes second is told that it is no longer what was seen."""
    together = threading.Barrier(4)

    def give(number: int) -> bool:
        with db.connect() as own:
            together.wait(30)
            try:
                set_budget(own, camera, 1.0 + number, None, WHO)
            except FormError:
                return False
            return True

    with ThreadPoolExecutor(4) as people:
        assert sorted(people.map(give, range(4))) == [False, False, False, True]
    assert len(entries_of(connection, camera, (SET,))) == 1
