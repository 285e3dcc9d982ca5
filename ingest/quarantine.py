"""Quarantine: how much of what could not become records is kept (`ioc.db.quarantine`)."""

from __future__ import annotations

import re
from typing import Final

#: Bytes that are kept of a payload that is larger than any may be.
MOST_KEPT: Final = 65_536
#: Bytes of a picture that are kept: a camera's picture shows people, and nobody has blurred it yet.
_OF_A_PICTURE: Final = 16
#: How JPEG and PNG begin.
_PICTURES: Final = (b"\xff\xd8\xff", b"\x89PNG")
#: Where pictures come, of whatever form: cameras' own, and those of Frigate.
_OF_PICTURES: Final = re.compile(r"^ioc/[^/]+/frame(/|$)|/snapshot$")
_MOST_TEXT: Final = 500


def kept(payload: bytes, topic: str, *, too_large: bool = False) -> bytes:
    """As much of a payload as is kept: all of it, unless it is too large; and of a picture no more than tells that it is one.

    >>> kept(bytes((0xFF, 0xD8, 0xFF)) + bytes(40_000), "x") == bytes((0xFF, 0xD8, 0xFF)) + bytes(13)
    True
    >>> kept(b"RIFF" + bytes(40_000), "ioc/cam-1/frame/1763740800000") == b"RIFF" + bytes(12)
    True
    """
    if payload.startswith(_PICTURES) or _OF_PICTURES.search(topic):
        return payload[:_OF_A_PICTURE]
    return payload[:MOST_KEPT] if too_large else payload


def printable(text: str, most: int = _MOST_TEXT) -> str:
    """Text that PostgreSQL takes: no NUL, no half surrogate pairs, not too long."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\\0")
    return text if len(text) <= most else text[: most - 1] + "…"
