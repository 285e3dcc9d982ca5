"""Mappings as a list, the history of one, and how replays go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from dash import html
from dash.development.base_component import Component

from dashboards.attributes import data
from dashboards.payload_view import visible
from dashboards.when import clock, moment, number
from ioc.catalog import MEASURES
from ioc.db.audit import AuditEntry
from ioc.db.replay import Replay
from ioc.i18n import Translator
from ioc.mapping import IGNORE, TopicMapping, supplements

_ACTS: Final = {
    "mapping.create": "created it",
    "mapping.change": "changed it",
    "mapping.enable": "enabled it",
    "mapping.disable": "disabled it",
}
#: What the fields of a mapping are called; a message each.
FIELDS: Final = {
    "name": "Name",
    "filter": "Topic filter",
    "device": "Device",
    "kind": "Kind",
    "time_path": "Where the time is",
    "time_format": "Form of the time",
    "enabled": "Enabled",
}


def mappings_data(
    mappings: Sequence[TopicMapping], standing: Mapping[str, str], now: datetime, words: Translator
) -> list[dict[str, Any]]:
    """A row each, with the mapping as it is edited; drawn by `assets/quarantine.js`."""
    return [
        {
            "mapping": msgspec.to_builtins(one),
            "name": visible(one.name),
            "filter": visible(one.filter),
            "what": _what(one, words),
            "supplements": supplements(one.filter, standing),
            "changed": " · ".join((visible(one.who), clock(one.changed, now) if one.changed is not None else "")),
        }
        for one in mappings
    ]


def history_rows(entries: Sequence[AuditEntry], now: datetime, words: Translator) -> list[Component]:
    """What was done to a mapping, newest first."""
    return [
        html.Ol(
            [
                html.Li(
                    [
                        html.Div(
                            [
                                html.Strong(visible(entry.who)),
                                html.Span(words(_ACTS.get(entry.what, entry.what))),
                                moment(entry.time, now, "entry-time"),
                            ],
                            className="entry-head",
                        ),
                        html.Ul([html.Li(visible(line)) for line in differences(entry.before, entry.after, words)]),
                    ],
                    className="entry by-person",
                )
                for entry in entries
            ],
            className="timeline",
        )
    ]


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, words: Translator) -> list[str]:
    """What a change changed, a line each; nothing for what was made new."""
    if before is None or after is None:
        return []
    lines = [
        f"{words(label)}: {_said(before.get(field), words)} → {_said(after.get(field), words)}"
        for field, label in FIELDS.items()
        if before.get(field) != after.get(field)
    ]
    old, new = ({item["path"]: item for item in side.get("items", ())} for side in (before, after))
    paths = [*old, *(path for path in new if path not in old)]
    return lines + [
        f"{path}: {_item(old.get(path), words)} → {_item(new.get(path), words)}"
        for path in paths
        if old.get(path) != new.get(path)
    ]


def replay_rows(replays: Sequence[Replay], now: datetime, words: Translator) -> list[Component]:
    """How the last replays went, and how the running one goes."""
    return [
        html.Div(
            [
                html.Div(
                    [
                        html.Span(words("Replay #{n}", n=one.id), className="replay-name"),
                        html.Span([visible(one.who), " · ", moment(one.asked, now)], className="muted"),
                        html.Button(words("Stop"), type="button", className="tab", **data(stop=one.id))
                        if one.ended is None
                        else None,
                    ],
                    className="replay-head",
                ),
                html.Div(
                    [
                        html.I(className=name, style={"flexGrow": count})
                        for name, count in (
                            ("done", one.replayed),
                            ("bad", one.refused + one.cut),
                            ("left", one.waiting),
                        )
                        if count
                    ],
                    className="progress",
                    role="img",
                ),
                html.Div(
                    " · ".join(
                        words(text, n=number(count, 0, words))
                        for text, count in (
                            ("{n} stored", one.replayed),
                            ("{n} refused again", one.refused),
                            ("{n} not kept whole", one.cut),
                            ("{n} left", one.waiting),
                            ("{n} stopped", one.stopped),
                        )
                        if count or text == "{n} stored"
                    ),
                    className="replay-figures",
                ),
            ],
            className="replay",
            **data(running="1" if one.ended is None else ""),
        )
        for one in replays
    ]


def _what(one: TopicMapping, words: Translator) -> str:
    """What it takes, in words."""
    measures = [item.measure for item in one.items if item.measure != IGNORE]
    if not measures:
        return words("leaves everything out") if one.items else words("listens only")
    return ", ".join(MEASURES[key].label.in_language(words.language) if key in MEASURES else key for key in measures)


def _said(value: Any, words: Translator) -> str:
    if isinstance(value, bool):
        return words("yes") if value else words("no")
    return str(value) if value not in ("", None) else "–"


def _item(item: Mapping[str, Any] | None, words: Translator) -> str:
    if item is None:
        return "–"
    if item["measure"] == IGNORE:
        return words("left out")
    row = MEASURES.get(item["measure"])
    label = row.label.in_language(words.language) if row is not None else str(item["measure"])
    scaled = f" × {item['scale']:g}" if item["scale"] != 1 else ""
    moved = f" {item['offset']:+g}" if item["offset"] else ""
    return f"{label}{scaled}{moved} {item['unit']}".strip()
