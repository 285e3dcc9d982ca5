"""Times and figures as people read them: Asia/Ho_Chi_Minh on screen, decimal commas in Vietnamese."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from babel.numbers import format_decimal
from dash import html

from dashboards.attributes import data
from ioc.catalog import MEASURES
from ioc.i18n import Translator

ZONE: Final = ZoneInfo("Asia/Ho_Chi_Minh")


def clock(time: datetime, now: datetime) -> str:
    """The time of day, with the date in front when it is not today's."""
    local = time.astimezone(ZONE)
    today = local.date() == now.astimezone(ZONE).date()
    return local.strftime("%H:%M:%S" if today else "%d/%m/%Y %H:%M:%S")


def moment(time: datetime, now: datetime, className: str = "") -> html.Time:  # noqa: N803 - Dash's own name
    """A time of day that a script can read as well."""
    return html.Time(clock(time, now), dateTime=time.isoformat(timespec="milliseconds"), className=className)


def span(length: timedelta, words: Translator) -> str:
    """A length of time in its two largest units."""
    seconds = max(0, int(length.total_seconds()))
    if seconds < 60:
        return words("{n} s", n=seconds)
    if seconds < 3600:
        rest = f" {words('{n} s', n=seconds % 60)}" if seconds < 600 and seconds % 60 else ""
        return words("{n} min", n=seconds // 60) + rest
    if seconds < 86400:
        rest = f" {words('{n} min', n=seconds % 3600 // 60)}" if seconds % 3600 >= 60 else ""
        return words("{n} h", n=seconds // 3600) + rest
    rest = f" {words('{n} h', n=seconds % 86400 // 3600)}" if seconds % 86400 >= 3600 else ""
    return words("{n} d", n=seconds // 86400) + rest


def since(time: datetime, className: str = "") -> html.Span:  # noqa: N803 - Dash's own name
    """How long ago that was; `assets/desk.js` counts it on, by the server's clock."""
    return html.Span("", className=f"since {className}".strip(), **data(since=round(time.timestamp(), 3)))


def number(value: float, decimals: int, words: Translator) -> str:
    """A number with that many digits after the point."""
    pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
    return str(format_decimal(value, pattern, locale=words.language))


def figure(measure: str, value: float | None, words: Translator) -> str:
    """A value with its unit, or the name of its state; the twin of `IOC.reading` in `assets/feed.js`."""
    row = MEASURES.get(measure)
    if value is None:
        return "–"
    if row is None:
        return number(value, 2, words)
    if row.states:
        known = value.is_integer() and 0 <= value < len(row.state_labels)
        return row.state_labels[int(value)].in_language(words.language) if known else number(value, 0, words)
    if row.unit == "1":
        return f"{number(value * 100, 0, words)} %"
    return f"{number(value, row.decimals, words)} {words(row.unit)}".strip()
