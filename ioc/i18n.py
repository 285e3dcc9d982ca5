"""Words people read, in Vietnamese and English: the catalogues of `ioc/locale`, read as they are.

A message is written in the code as its English text and looked up here; names of measures, kinds, rules and causes come
from their catalogue rows instead. The `.po` files are parsed once at first use, so nothing compiled needs to be kept.
"""

from __future__ import annotations

import io
from functools import lru_cache
from importlib.resources import files
from typing import Final, Literal

import msgspec
from babel.messages.pofile import read_po

Language = Literal["vi", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("vi", "en")


class Translator(msgspec.Struct, frozen=True):
    """Looks words up in one language.

    >>> _ = translator("vi")
    >>> _("Acknowledge")
    'Xác nhận'
    """

    language: Language
    messages: dict[str, str]

    def __call__(self, message: str, **values: object) -> str:
        """The message in this language, with `{name}` fields filled in; the message itself when it is not known."""
        found = self.messages.get(message, message)
        return found.format(**values) if values else found


@lru_cache
def translator(language: Language) -> Translator:
    """The translator of a language."""
    source = (files("ioc") / "locale" / language / "LC_MESSAGES" / "ioc.po").read_bytes()
    catalogue = read_po(io.BytesIO(source), locale=language, abort_invalid=True)
    return Translator(language, {str(m.id): str(m.string) for m in catalogue if m.id and m.string})


def as_language(text: str | None, default: Language) -> Language:
    """The language that `text` names, else the default."""
    return next((language for language in LANGUAGES if language == text), default)
