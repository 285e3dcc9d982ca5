"""Reading JSON payloads: strictly for known shapes, and leniently where good values stand beside a bad one."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from ioc.errors import RejectedError
from ioc.values import shorten


def typed(decode: Any, payload: bytes) -> Any:
    """Decode JSON of a known shape with a msgspec decoder's `decode`.

    Raises:
        RejectedError: `encoding`, `json` or `shape`.
    """
    try:
        return decode(payload)
    except msgspec.ValidationError as error:
        utf8(payload)
        raise RejectedError("shape", str(error)) from error
    except UnicodeDecodeError as error:
        raise RejectedError("encoding", f"payload: {error}") from error
    except RecursionError as error:
        raise RejectedError("json", "nested too deep") from error
    except msgspec.MsgspecError as error:
        utf8(payload)
        raise RejectedError("json", str(error)) from error


def leniently(payload: bytes) -> Any:
    """Parse JSON, NaN and 1e999 included, so that the good values beside them are not lost.

    Raises:
        RejectedError: `encoding`, `json`; the strict decoder's complaint says more than the lenient one's.
    """
    text = utf8(payload)
    try:
        return json.loads(text)
    except RecursionError as error:
        raise RejectedError("json", "nested too deep") from error
    except ValueError as error:
        reason = "expected JSON" if not text.strip() else str(error)
        raise RejectedError("json", reason) from error


def an_object(payload: bytes) -> dict[str, Any]:
    """A payload that must be a JSON object.

    Raises:
        RejectedError: `encoding`, `json` or `shape`.
    """
    said = leniently(payload)
    if not isinstance(said, dict):
        raise RejectedError("shape", f"got {shorten(said)}, expected an object")
    return said


def utf8(payload: bytes) -> str:
    """A payload that must be text.

    Raises:
        RejectedError: `encoding`.
    """
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RejectedError("encoding", f"payload: {error}") from error
