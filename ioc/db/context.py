"""What dialects must remember over restarts: the newest message of each topic that explains later ones."""

from __future__ import annotations

from collections.abc import Mapping

from ioc.db.pool import Connection


def store_context(connection: Connection, messages: Mapping[str, bytes | None]) -> None:
    """Keep the newest message of these topics, and forget those that are None; must run inside a transaction."""
    kept = sorted((topic, payload) for topic, payload in messages.items() if payload is not None)
    if kept:
        connection.execute(
            "INSERT INTO dialect_context (topic, payload, received) SELECT topic, payload, now()"
            " FROM unnest(%s::text[], %s::bytea[]) AS one (topic, payload)"
            " ON CONFLICT (topic) DO UPDATE SET payload = excluded.payload, received = excluded.received"
            " WHERE dialect_context.payload IS DISTINCT FROM excluded.payload",
            ([topic for topic, _ in kept], [payload for _, payload in kept]),
        )
    gone = [topic for topic, payload in messages.items() if payload is None]
    if gone:
        connection.execute("DELETE FROM dialect_context WHERE topic = ANY(%s)", (gone,))


def all_context(connection: Connection) -> list[tuple[str, bytes]]:
    """Every message kept, the oldest first."""
    rows = connection.execute("SELECT topic, payload FROM dialect_context ORDER BY received, topic")
    return [(topic, bytes(payload)) for topic, payload in rows]
