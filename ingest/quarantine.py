"""Quarantine: how much of what could not become records is kept (`ioc.db.quarantine`)."""

from __future__ import annotations

from typing import Final

#: Bytes of a payload that are kept.
MOST_KEPT: Final = 65_536
_MOST_TEXT: Final = 500


def printable(text: str, most: int = _MOST_TEXT) -> str:
    """Text that PostgreSQL takes: no NUL, no half surrogate pairs, not too long."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\\0")
    return text if len(text) <= most else text[: most - 1] + "…"
