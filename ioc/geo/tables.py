"""Read the package's own JSON tables into typed rows."""

from __future__ import annotations

from importlib.resources import files
from typing import TypeVar

import msgspec

from ioc.errors import IocError

T = TypeVar("T")


class TableError(IocError):
    """A table that ships with the package cannot be read; the installation is damaged."""


def load_table(name: str, table: type[T]) -> T:
    """Decode the table ``name`` that ships beside this module.

    Args:
        name: file name, for example ``wards.json``.
        table: the msgspec struct the whole file has to match.

    Raises:
        TableError: the file is missing or does not match ``table``.
    """
    try:
        raw = files("ioc.geo").joinpath(name).read_bytes()
        return msgspec.json.decode(raw, type=table)
    except (OSError, msgspec.MsgspecError) as error:
        raise TableError(
            f"ioc/geo/{name}: {error}; expected the table this release ships with; install the package again"
        ) from error
