"""How pages call ingest: what they ask for lies in a table, and the call only says that it is worth a look now."""

from __future__ import annotations

from typing import Final

from ioc.db.pool import Connection

CHANNEL: Final = "ioc_ingest"


def call_ingest(connection: Connection) -> None:
    """Have ingest look for work; inside a transaction the call goes out with its commit."""
    connection.execute(f"NOTIFY {CHANNEL}".encode())
