"""Quarantine: how much of what could not become records is kept (`ioc.db.quarantine`)."""

from __future__ import annotations

from typing import Final

#: Bytes of a payload that are kept.
MOST_KEPT: Final = 65_536
#: Bytes of a picture that are kept: a camera's picture shows people, and nobody has blurred it yet.
_OF_A_PICTURE: Final = 16
#: How JPEG and PNG begin.
_PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG")
_MOST_TEXT: Final = 500


def kept(payload: bytes) -> bytes:
    """As much of a payload as is kept: of a picture no more than tells that it is one.

    >>> kept(bytes((0xFF, 0xD8, 0xFF)) + bytes(40_000)) == bytes((0xFF, 0xD8, 0xFF)) + bytes(13)
    True
    """
    return payload[: _OF_A_PICTURE if payload.startswith(_PICTURES) else MOST_KEPT]


def printable(text: str, most: int = _MOST_TEXT) -> str:
    """Text that PostgreSQL takes: no NUL, no half surrogate pairs, not too long."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\\0")
    return text if len(text) <= most else text[: most - 1] + "…"
