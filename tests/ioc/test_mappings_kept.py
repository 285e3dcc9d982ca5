"""Mappings as they are kept, on a real TimescaleDB: checked, numbered, audited."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import msgspec
import pytest

from ioc.db.audit import verify_audit
from ioc.db.mappings import (
    all_mappings,
    history,
    newest_version,
    once_listened,
    save,
    standing_filters,
    switch,
    tell_standing,
)
from ioc.db.pool import Connection
from ioc.errors import ActionError
from ioc.mapping import Item
from tests.fix_stack import Database
from tests.ioc.test_mapping import make_mapping

WHO = "Kỹ thuật viên"


@pytest.fixture
def connection(db: Database) -> Iterator[Connection]:
    """A connection in autocommit to a database without mappings."""
    with db.connect() as made:
        made.execute("DELETE FROM mapping; DELETE FROM mapping_filter; DELETE FROM dialect_filter")
        tell_standing(made, {"ioc/+/telemetry": "native"})
        yield made


def test_save_and_change(connection: Connection) -> None:
    """A mapping comes back as it was written, with who and when; a change is a new version, and both are in the audit log."""
    first = save(connection, make_mapping(name=" Nhà kính "), WHO)
    assert (first.name, first.version, first.who) == ("Nhà kính", 1, WHO)
    assert all_mappings(connection) == [first]
    items = (Item('["odd key"][0]', "pm25", scale=0.5, offset=-1, unit="mg/m³"), Item("x", "ignore"))
    changed = msgspec.structs.replace(first, items=items, filter="garden/#", device="{2}", kind="air_station")
    second = save(connection, changed, "Người khác")
    assert all_mappings(connection) == [second]
    assert (second.id, second.version) == (first.id, 2)
    assert newest_version(connection) == 2
    assert once_listened(connection) == {"garden/+/air", "garden/#"}
    newest, oldest = history(connection, first.id)
    assert (newest.what, newest.who, oldest.what, oldest.before) == (
        "mapping.change",
        "Người khác",
        "mapping.create",
        None,
    )
    assert newest.before is not None
    assert newest.after is not None
    assert (newest.before["filter"], newest.after["filter"]) == ("garden/+/air", "garden/#")
    assert newest.before == oldest.after
    assert verify_audit(connection) is None


def test_switch_is_audited_and_checked(connection: Connection) -> None:
    """Disabling and enabling count as changes; what would overlap meanwhile cannot be enabled."""
    one = save(connection, make_mapping(), WHO)
    off = switch(connection, one.id, WHO, enabled=False)
    assert (off.enabled, off.version) == (False, 2)
    with pytest.raises(ActionError, match="disabled already"):
        switch(connection, one.id, WHO, enabled=False)
    other = save(connection, make_mapping(name="khác"), WHO)
    with pytest.raises(ActionError, match="overlaps"):
        switch(connection, one.id, WHO, enabled=True)
    switch(connection, other.id, WHO, enabled=False)
    assert switch(connection, one.id, WHO, enabled=True).version == 5
    assert [entry.what for entry in history(connection, one.id)] == [
        "mapping.enable",
        "mapping.disable",
        "mapping.create",
    ]
    with pytest.raises(ActionError, match="there is no mapping"):
        switch(connection, 10**9, WHO, enabled=True)


def test_save_refuses(connection: Connection) -> None:
    """What does not pass the check, what somebody else has changed, what is not there, what nobody wants."""
    one = save(connection, make_mapping(), WHO)
    for bad, why in (
        (make_mapping(filter="ioc/#"), "overlaps"),
        (make_mapping(), "would arrive twice"),
        (msgspec.structs.replace(one, version=one.version - 1), "changed by Kỹ thuật viên meanwhile"),
        (make_mapping(id=10**9, filter="other"), "no such mapping"),
    ):
        with pytest.raises(ActionError, match=why):
            save(connection, bad, WHO)
    with pytest.raises(ActionError, match="name"):
        save(connection, make_mapping(filter="other/+/x"), " ")
    assert all_mappings(connection) == [one]
    assert newest_version(connection) == 1


def test_tell_standing_replaces(connection: Connection) -> None:
    """Pages know the filters of the ingest that runs, not of one before it."""
    tell_standing(connection, {"tele/+/SENSOR": "tasmota", "ioc/+/state": "native"})
    assert standing_filters(connection) == {"tele/+/SENSOR": "tasmota", "ioc/+/state": "native"}
    one = save(connection, make_mapping(filter="tele/lamp/SENSOR", device=""), WHO)
    assert one.id


def test_saves_at_once_never_overlap(db: Database, connection: Connection) -> None:
    """Of several people who save the same filter at once, one does; versions follow each other."""
    refused: list[str] = []

    def run(number: int) -> None:
        with db.connect() as mine:
            try:
                save(mine, make_mapping(name=f"{number}", filter=f"garden/{number % 2}/air"), WHO)
            except ActionError as error:
                refused.append(str(error))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.version for one in all_mappings(connection)) == [1, 2]
    assert len(refused) == 4
