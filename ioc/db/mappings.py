"""Mappings as they are kept: read by ingest and the pages, changed by technicians, each change checked, numbered and audited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from psycopg.types.json import Jsonb

from ioc.db.audit import AuditEntry, append, entries_of
from ioc.db.pool import Connection
from ioc.errors import ActionError
from ioc.mapping import Item, TopicMapping, check
from ioc.service import utc_now
from ioc.typed import typed_name

#: Where ingest is called when something was changed that it must know.
CALL_INGEST: Final = "NOTIFY ioc_ingest"
#: What the audit log calls what happens to a mapping.
ACTS: Final = ("mapping.create", "mapping.change", "mapping.enable", "mapping.disable")
_FIELDS: Final = TopicMapping.__struct_fields__
_READ: Final = f"SELECT {', '.join(_FIELDS)} FROM mapping ORDER BY lower(name), id"  # noqa: S608 - names of fields


def all_mappings(connection: Connection) -> list[TopicMapping]:
    """Every mapping, enabled or not, by name."""
    return [_mapping(*row) for row in connection.execute(_READ.encode())]


def newest_version(connection: Connection) -> int:
    """Number of the last change to any mapping; 0 when there was none."""
    row = connection.execute("SELECT coalesce(max(version), 0) FROM mapping").fetchone()
    assert row is not None
    return int(row[0])


def standing_filters(connection: Connection) -> dict[str, str]:
    """Topic filters of the built-in dialects with their dialect, as ingest last told them."""
    return dict(connection.execute("SELECT filter, dialect FROM dialect_filter ORDER BY filter").fetchall())


def tell_standing(connection: Connection, filters: Mapping[str, str]) -> None:
    """Ingest tells the topic filters of its dialects."""
    with connection.transaction():
        connection.execute("LOCK TABLE dialect_filter IN SHARE ROW EXCLUSIVE MODE")
        connection.execute("DELETE FROM dialect_filter WHERE NOT filter = ANY(%s)", (list(filters),))
        connection.execute(
            "INSERT INTO dialect_filter SELECT * FROM unnest(%s::text[], %s::text[])"
            " ON CONFLICT (filter) DO UPDATE SET dialect = excluded.dialect",
            (list(filters), list(filters.values())),
        )


def once_listened(connection: Connection) -> set[str]:
    """Every filter that a mapping has now or ever had."""
    return {name for (name,) in connection.execute("SELECT filter FROM mapping_filter")}


def save(connection: Connection, mapping: TopicMapping, who: str) -> TopicMapping:
    """Store a new mapping (id 0), or a change of one; its `version` is the one that was changed. Returns it as stored.

    Raises:
        ActionError: it does not pass the check, was changed by somebody else meanwhile, or is not there.
    """
    who = typed_name(who)
    with connection.transaction():
        known = _locked(connection)
        before = known.get(mapping.id)
        if mapping.id:
            _require_current(before, mapping.version)
        faults = check(mapping, known.values(), standing_filters(connection))
        if faults:
            raise ActionError("; ".join(map(str, faults)))
        after = msgspec.structs.replace(
            mapping, name=mapping.name.strip(), version=_next(known), who=who, changed=utc_now()
        )
        after = _write(connection, after)
        what = "mapping.create" if before is None else "mapping.change"
        append(connection, who, what, str(after.id), before=_plain(before), after=_plain(after))
        connection.execute(CALL_INGEST)
    return after


def switch(connection: Connection, key: int, who: str, *, enabled: bool) -> TopicMapping:
    """Enable or disable a mapping.

    Raises:
        ActionError: there is none, it is so already, or enabled it would not pass the check.
    """
    who = typed_name(who)
    with connection.transaction():
        known = _locked(connection)
        before = known.get(key)
        if before is None:
            raise ActionError(f"there is no mapping {key}")
        if before.enabled == enabled:
            raise ActionError(f"mapping {before.name!r} is {'enabled' if enabled else 'disabled'} already")
        after = msgspec.structs.replace(before, enabled=enabled, version=_next(known), who=who, changed=utc_now())
        faults = check(after, known.values(), standing_filters(connection)) if enabled else []
        if faults:
            raise ActionError("; ".join(map(str, faults)))
        after = _write(connection, after)
        what = "mapping.enable" if enabled else "mapping.disable"
        append(connection, who, what, str(key), before=_plain(before), after=_plain(after))
        connection.execute(CALL_INGEST)
    return after


def history(connection: Connection, key: int, most: int = 50) -> list[AuditEntry]:
    """What was done to a mapping, newest first."""
    return entries_of(connection, str(key), ACTS, most)


def _locked(connection: Connection) -> dict[int, TopicMapping]:
    """All mappings, which nobody else changes until the transaction ends."""
    connection.execute("LOCK TABLE mapping IN SHARE ROW EXCLUSIVE MODE")
    return {mapping.id: mapping for mapping in all_mappings(connection)}


def _require_current(before: TopicMapping | None, version: int) -> None:
    if before is None:
        raise ActionError("there is no such mapping")
    if before.version != version:
        raise ActionError(f"mapping {before.name!r} was changed by {before.who} meanwhile: load it again")


def _next(known: Mapping[int, TopicMapping]) -> int:
    return max((mapping.version for mapping in known.values()), default=0) + 1


def _write(connection: Connection, mapping: TopicMapping) -> TopicMapping:
    values = {
        **{name: getattr(mapping, name) for name in mapping.__struct_fields__},
        "items": Jsonb(msgspec.to_builtins(mapping.items)),
    }
    if mapping.id:
        connection.execute(
            "UPDATE mapping SET name = %(name)s, filter = %(filter)s, device = %(device)s, kind = %(kind)s,"
            " time_path = %(time_path)s, time_format = %(time_format)s, items = %(items)s, enabled = %(enabled)s,"
            " version = %(version)s, who = %(who)s, changed = %(changed)s WHERE id = %(id)s",
            values,
        )
    else:
        row = connection.execute(
            "INSERT INTO mapping (name, filter, device, kind, time_path, time_format, items, enabled, version, who, changed)"
            " VALUES (%(name)s, %(filter)s, %(device)s, %(kind)s, %(time_path)s, %(time_format)s, %(items)s, %(enabled)s,"
            " %(version)s, %(who)s, %(changed)s) RETURNING id",
            values,
        ).fetchone()
        assert row is not None
        mapping = msgspec.structs.replace(mapping, id=row[0])
    connection.execute("INSERT INTO mapping_filter VALUES (%s) ON CONFLICT DO NOTHING", (mapping.filter,))
    return mapping


def _plain(mapping: TopicMapping | None) -> dict[str, Any] | None:
    """As the audit log keeps it: what a person decides."""
    if mapping is None:
        return None
    body: dict[str, Any] = msgspec.to_builtins(mapping)
    kept = {name: value for name, value in body.items() if name not in ("id", "version", "who", "changed")}
    return {**kept, "items": list(body["items"])}


def _mapping(*row: Any) -> TopicMapping:
    values = dict(zip(_FIELDS, row, strict=True))
    return TopicMapping(**{**values, "items": msgspec.convert(values["items"], tuple[Item, ...])})
