"""What a person typed, made fit to be stored."""

from __future__ import annotations

from typing import Final

from ioc.errors import ActionError

TEXT_AT_MOST: Final = 4000


def typed_text(text: str, what: str = "a text", *, most: int = TEXT_AT_MOST) -> str:
    """A text without what TimescaleDB cannot store.

    Raises:
        ActionError: nothing is left, or it is too long.
    """
    clean = "".join(c for c in text if c.isprintable() or c in "\n\t").strip()
    if not clean:
        raise ActionError(f"expected {what}, got nothing")
    if len(clean) > most:
        raise ActionError(f"expected at most {most} characters, got {len(clean)}")
    return clean


def typed_name(who: str) -> str:
    """The name of whoever acts.

    Raises:
        ActionError: none was given.
    """
    return typed_text(who, "a name")
