"""Text search as Vietnamese is typed in a hurry: without diacritics, in any order of words."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable


def fold(text: str) -> str:
    """Lower case without diacritics; `assets/desk.js` folds alike.

    >>> fold("Đường Võ Nguyên Giáp")
    'duong vo nguyen giap'
    """
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return plain.replace("đ", "d").replace("Đ", "D").lower()


def matches(wanted: str, texts: Iterable[str]) -> bool:
    """Whether every word of `wanted` occurs somewhere in the texts.

    >>> matches("ngap linh xuan", ["Ngập nước", "Linh Xuân"])
    True
    """
    found = fold(" ".join(texts))
    return all(word in found for word in fold(wanted).split())
