"""`ioc config check` and `ioc config show`: what is set, where, and what is wrong with it, by key and line."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ioc.errors import SettingsError
from ioc.settings import PREFIX, Settings, config_path, read_toml, without_passwords


def check() -> str:
    """Check every source of settings; returns what was found good.

    Raises:
        SettingsError: one line a fault, each with its place.
    """
    path = config_path()
    values = read_toml(path)
    try:
        Settings.load()
    except SettingsError as error:
        raise SettingsError("\n".join(_located(line, path, values) for line in str(error).split("\n"))) from error
    if not values and not path.is_file():
        return f"good: no {path}, every setting has its default or comes from the environment"
    return f"good: {path} with {len(values)} settings"


def place(key: str, path: Path, values: dict[str, Any]) -> str:
    """Where a setting comes from: an environment variable, a secret's file, a line of the TOML file, or the default."""
    name = PREFIX + key.split(".", 1)[0].upper()
    if name in os.environ:
        return name
    if f"{name}_FILE" in os.environ:
        return f"{name}_FILE"
    if key.split(".", 1)[0] in values:
        return f"{path}, line {line_of(key, path.read_text('utf-8'))}"
    return "default"


def line_of(key: str, text: str) -> int:
    """The line (from 1) of a dotted key in a TOML text: of its last part that can be found, within the table it is in."""
    lines = text.split("\n")
    found, start = 1, 0
    for part in key.split("."):
        own = rf"""^\s*(\[+\s*)?["']?{re.escape(part)}["']?\s*(=|\.|\])|[{{,]\s*["']?{re.escape(part)}["']?\s*="""
        number = next((i for i in range(start, len(lines)) if re.search(own, lines[i])), None)
        if number is None:
            break
        found, start = number + 1, number
    return found


def show(console: Console) -> None:
    """Print every setting: value, source, meaning.

    Raises:
        SettingsError: as `Settings.load`.
    """
    settings, path = Settings.load(), config_path()
    values = read_toml(path)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("setting", "value", "from", "meaning"):
        table.add_column(title, overflow="fold")
    for key, field in Settings.model_fields.items():
        value, source = getattr(settings, key), place(key, path, values)
        if source == "default" and value != field.get_default(call_default_factory=True):
            source = f"{settings.home / 'stack.json'}"
        table.add_row(key, without_passwords(str(value)), source, field.description)
    console.print(table)


def _located(line: str, path: Path, values: dict[str, Any]) -> str:
    """A fault's line with its place in front."""
    key = line.split(":", 1)[0]
    if key.split(".", 1)[0] not in values and PREFIX + key.upper() not in os.environ:
        return line
    return f"{place(key, path, values)}: {line}"
