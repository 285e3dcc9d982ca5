"""Yes or no, of devices that have no word for it in common; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ioc.values import shorten

#: How a no begins, in the words that gateways and firmware use for it.
_NO: Final = re.compile(
    r"\s*(?:no|nok|not|false|err(?:or)?|fail(?:ed|ure)?|refused?|reject(?:ed)?|denied|invalid|unknown|unsupported|timeout)\b",
    re.IGNORECASE | re.ASCII,
)
#: Where an object says whether it is a yes, and where why not.
_RESULTS: Final = ("success", "ok", "result", "status")
_WORDS: Final = ("error", "message", "reason", "detail")


class Verdict(NamedTuple):
    """An answer as it is taken; `why` in the device's own words, "" for a yes."""

    ok: bool
    why: str = ""


def verdict(said: Any) -> Verdict:
    """What an answer means: a no where it says so, else a yes, for a device that answers has understood.

    >>> verdict({"success": True}), verdict("done"), verdict({"success": False, "error": "relay stuck"})
    (Verdict(ok=True, why=''), Verdict(ok=True, why=''), Verdict(ok=False, why='relay stuck'))
    """
    if said is False or (isinstance(said, str) and _NO.match(said)):
        return Verdict(ok=False, why=_told(said))
    if isinstance(said, Mapping):
        results = {name: verdict(said[name]) for name in _RESULTS if isinstance(said.get(name), bool | str)}
        noes = [f"{name}: {one.why}" for name, one in results.items() if not one.ok]
        if noes or said.get("error"):
            return Verdict(ok=False, why=next((_told(said[name]) for name in _WORDS if said.get(name)), *noes[:1]))
    return Verdict(ok=True)


def _told(said: Any) -> str:
    if isinstance(said, str):
        return said.strip()
    return "false" if said is False else shorten(said, 200)
