"""Ids for devices of other dialects: readable, within our grammar, and never the same for two names; pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

#: What the id grammar leaves for one part of a name; dots separate parts.
_OTHER: Final = re.compile(r"[^A-Za-z0-9_-]+")
_MOST: Final = 64
_HASH: Final = 8


def device_id(prefix: str, *names: str) -> str:
    """The id of a device that another dialect calls by these names.

    What the grammar does not allow is written without diacritics or left out, and then, or when it is too long, a hash of the
    names makes the id their own.

    >>> device_id("tasmota", "lamp-7")
    'tasmota.lamp-7'
    >>> device_id("z2m", "đèn hẻm 12").rpartition("-")[0]
    'z2m.den-hem-12'
    """
    plain = [_OTHER.sub("-", _fold(name)).strip("-") for name in names]
    whole = ".".join((prefix, *plain))
    if len(whole) <= _MOST and all(before == after for before, after in zip(names, plain, strict=True)):
        return whole
    digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    return f"{whole[: _MOST - _HASH - 1].rstrip('.-')}-{digest}"


def _fold(name: str) -> str:
    """The name in plain letters: Vietnamese đ and diacritics become the letters they stand on."""
    plain = unicodedata.normalize("NFKD", name.replace("đ", "d").replace("Đ", "D"))
    return "".join(character for character in plain if not unicodedata.combining(character))
