"""What lamps were told and what became of it: requested, sent, accepted, confirmed, each with its time, or why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Final

from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.device_records import LightFile
from dashboards.when import moment, number
from ioc.commands import REASONS
from ioc.i18n import Translator
from ioc.model import Command

#: Lamps that are named when their command came to nothing.
NAMED: Final = 12
#: Standings in the order a request is summed up, what went wrong last.
_SUMMED: Final = ("confirmed", "accepted", "sent", "requested", "superseded", "expired", "refused", "failed")
_WRONG: Final = frozenset({"expired", "refused", "failed"})


def light_reach(file: LightFile, words: Translator) -> str:
    """Whom the buttons reach, where it is not the device itself."""
    if not file.names:
        return ""
    said = words("{n} lamps below it", n=number(file.lamps, 0, words))
    if file.worked_on:
        said += " · " + words("{n} under maintenance are left out", n=number(file.worked_on, 0, words))
    return said


def light_history(file: LightFile, now: datetime, words: Translator) -> Component:
    """The last commands: of a lamp one by one, of the lamps below a device by request."""
    if not file.commands:
        return html.P(words("No command has been given yet"), className="muted")
    if not file.names:
        return html.Ol([_command(one, now, words) for one in file.commands], className="commands")
    requests = groupby(sorted(file.commands, key=lambda one: (one.requested, one.id)), key=lambda one: one.requested)
    items = [_request(list(rows), file.names, now, words) for _, rows in requests]
    return html.Ol(items[::-1], className="commands")


def target(level: float, words: Translator) -> str:
    """A level as people say it."""
    if level == 0:
        return words("Off")
    return words("On") if level == 1 else words("Dimmed to {n} %", n=number(level * 100, 0, words))


def why(reason: str, words: Translator) -> str:
    """A command's reason: ours in the reader's language, a device's or the broker's in its own words."""
    return REASONS[reason].in_language(words.language) if reason in REASONS else reason


def standing(command: Command) -> str:
    """Its state; `superseded` for one that was ended by a newer one, which is no fault of anybody."""
    return "superseded" if command.reason == "superseded" else command.state


def steps(command: Command) -> list[tuple[str, str, datetime | None]]:
    """The chain of a command: state, `done`, `open`, `skipped`, `over` or `broken`, and when.

    The first step that did not come about is where a command that has come to nothing broke, or was over because a newer one
    came; one without an answer that was confirmed all the same was skipped.
    """
    times = {"requested": command.requested, "sent": command.sent, "accepted": command.answered}
    times["confirmed"] = command.confirmed
    found = []
    broken = command.state in _WRONG and command.state != "refused"
    for state, time in times.items():
        if command.state == "refused" and state == "accepted":
            found.append(("refused", "broken", time))
        elif time is not None:
            found.append((state, "done", time))
        elif command.state == "confirmed":
            found.append((state, "skipped", None))
        elif broken:
            found.append((state, "over" if standing(command) == "superseded" else "broken", command.ended))
            broken = False
        else:
            found.append((state, "open" if command.ended is None else "skipped", None))
    return found


def _command(command: Command, now: datetime, words: Translator) -> html.Li:
    parts: list[Component] = [_head(command.level, command.who, command.requested, now, words, _pill(command, words))]
    parts.append(html.Ol([_step(*step, command, words) for step in steps(command)], className="chain"))
    if command.reason:
        quiet = standing(command) == "superseded"
        parts.append(html.P(why(command.reason, words), className="muted" if quiet else "command-why"))
    return html.Li(parts, className=f"command c-{standing(command)}", key=str(command.id))


def _step(state: str, how: str, time: datetime | None, command: Command, words: Translator) -> html.Li:
    if time is None or how == "over":
        said = "…" if how == "open" else "–"
    else:
        after = (time - command.requested).total_seconds()
        said = words("+{n} s", n=number(max(0.0, after), 1, words)) if state != "requested" else ""
    mark = {"done": "✓", "broken": "✕"}.get(how, "")
    return html.Li(
        [
            html.I(mark, className="step-mark"),
            html.Span(words(f"command:{state}"), className="step-name"),
            html.Span(said, className="step-time"),
        ],
        className=f"step {how}",
        title=time.isoformat(timespec="milliseconds") if time is not None else "",
    )


def _request(rows: Sequence[Command], names: Mapping[str, str], now: datetime, words: Translator) -> html.Li:
    first = rows[0]
    numbers = Counter(map(standing, rows))
    sums = [
        html.Span(
            [html.Strong(number(numbers[state], 0, words)), " ", words(f"command:{state}")], className=f"sum c-{state}"
        )
        for state in _SUMMED
        if numbers[state]
    ]
    lamps = html.Span(words("{n} lamps", n=number(len(rows), 0, words)), className="muted")
    parts: list[Component] = [_head(first.level, first.who, first.requested, now, words, lamps)]
    parts.append(html.Div(sums, className="sums"))
    wrong = [one for one in rows if standing(one) in _WRONG]
    if wrong:
        lines: list[Component] = [
            html.Li(
                [
                    html.A(
                        names.get(one.device, one.device), href=f"/devices?id={one.device}", **data(device=one.device)
                    ),
                    html.Span(" — " + (why(one.reason, words) or words(f"command:{one.state}"))),
                ]
            )
            for one in wrong[:NAMED]
        ]
        if len(wrong) > NAMED:
            lines.append(html.Li(words("and {n} more", n=len(wrong) - NAMED), className="muted"))
        parts.append(html.Ul(lines, className="wrong"))
    return html.Li(parts, className="command", key=str(first.id))


def _head(level: float, who: str, requested: datetime, now: datetime, words: Translator, more: Component) -> html.Div:
    said = [html.Strong(target(level, words)), html.Span(who, className="muted"), moment(requested, now), more]
    return html.Div(said, className="command-head")


def _pill(command: Command, words: Translator) -> html.Span:
    return html.Span(words(f"command:{standing(command)}"), className=f"pill c-{standing(command)}")
