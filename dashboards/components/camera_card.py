"""One camera: its head, how vision copes with it, its alarms, and what was in view over the day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from dash import html
from dash.development.base_component import Component

from dashboards.camera_records import COUNTED, STEP, CameraFile, Counted
from dashboards.components.camera_tile import footage_line
from dashboards.components.incident_rows import ward_name
from dashboards.when import clock, number, since
from ioc.i18n import Translator
from ioc.model import STAGES, CameraFigures

#: Stages that follow each other; `total` is their sum.
_STEPS: Final = tuple(stage for stage in STAGES if stage != "total")


def camera_head(file: CameraFile, words: Translator) -> list[Component]:
    """Its name and where it stands, and the way to its register entry."""
    device = file.device
    return [
        html.A("‹", href="/cameras", className="button back", title=words("All cameras")),
        html.Div(
            [
                html.H2(device.name),
                html.Div(
                    [
                        html.Span(device.id, className="device-id"),
                        html.Span(words("Not placed yet") if device.lat is None else ward_name(device.ward, words)),
                        html.Span(footage_line(device, words)),
                    ],
                    className="head-facts",
                ),
            ],
            className="head-words",
        ),
        html.A(words("Device file"), href=f"/devices?id={device.id}", className="button"),
    ]


def figures_card(figures: CameraFigures | None, words: Translator) -> list[Component]:
    """Rates, age, drops by reason, reconnects, and the time of every stage, as of the last ten seconds."""
    if figures is None:
        return [
            html.P(words("Nobody looks at this camera: no frames come, or no vision worker runs."), className="muted")
        ]
    drops = ", ".join(f"{words(f'drop:{reason}')} {number(count, 0, words)}" for reason, count in figures.drops.items())
    facts: list[tuple[str, list[Any]]] = [
        (
            "Looked at",
            [
                html.Strong(number(figures.frames_s, 1, words)),
                words("of {n} frames/s", n=number(figures.arrived_s, 1, words)),
                *(
                    [html.Span(words("at most {n}", n=number(figures.budget, 1, words)), className="muted")]
                    if figures.budget is not None
                    else []
                ),
            ],
        ),
        ("Newest looked at", [since(figures.seen) if figures.seen is not None else "–"]),
        ("Reconnects", ["–" if figures.reconnects is None else number(figures.reconnects, 0, words)]),
        ("Not looked at, last 10 s", [drops or words("none")]),
        ("Worker", [html.Span(figures.worker, className="device-id")]),
    ]
    return [
        html.Dl(
            [html.Div([html.Dt(words(name)), html.Dd(parts)], className="fact") for name, parts in facts],
            className="facts camera-facts",
        ),
        *_stages(figures, words),
    ]


def budget_data(file: CameraFile, now: datetime) -> dict[str, Any]:
    """The frame budget that the camera was given, as `assets/camera-budget.js` shows and edits it."""
    fps, edit = file.budget
    return {
        "fps": fps,
        "by": edit.who if edit is not None else "",
        "when": clock(edit.time, now) if edit is not None else "",
        "at": now.timestamp(),
    }


def counts_data(rows: Sequence[Counted], now: datetime) -> dict[str, Any]:
    """Objects in view by class, step by step, as `assets/camera-counts.js` draws them; {} when nobody looked.

    Plotly is two seconds of work for a browser, in which no picture would be drawn.
    """
    steps: dict[float, list[tuple[str, float, int]]] = {}
    for row in rows:
        steps.setdefault(row.time.timestamp(), []).append((row.label, round(row.mean, 2), row.most))
    if not steps:
        return {}
    until = now.timestamp()
    return {
        "since": until - COUNTED.total_seconds(),
        "until": until,
        "step": STEP.total_seconds(),
        "steps": sorted(steps.items()),
    }


def _stages(figures: CameraFigures, words: Translator) -> list[Component]:
    """The way of a frame as a bar of its medians, and each stage with median and 95th percentile."""
    known = [name for name in _STEPS if name in figures.stages]
    if not known:
        return []
    whole = sum(figures.stages[name].p50_ms for name in known) or 1.0
    bar = [
        html.Span(
            className=f"part stage-{_STEPS.index(name)}",
            style={"flexGrow": max(1, round(figures.stages[name].p50_ms / whole * 1000))},
            title=words(f"stage-of:{name}"),
        )
        for name in known
    ]
    rows = [
        html.Tr(
            [
                html.Td([html.I(className=f"stage-mark stage-{_STEPS.index(name)}"), words(f"stage-of:{name}")]),
                html.Td(number(figures.stages[name].p50_ms, 0, words), className="num"),
                html.Td(number(figures.stages[name].p95_ms, 0, words), className="num"),
            ]
        )
        for name in known
    ]
    if "total" in figures.stages:
        total = figures.stages["total"]
        rows.append(
            html.Tr(
                [
                    html.Td(words("stage-of:total")),
                    html.Td(number(total.p50_ms, 0, words), className="num"),
                    html.Td(number(total.p95_ms, 0, words), className="num"),
                ],
                className="sum",
            )
        )
    heads = [html.Th(words("A frame's way, ms")), html.Th("p50", className="num"), html.Th("p95", className="num")]
    return [
        html.Div(bar, className="strip stages"),
        html.Table([html.Thead(html.Tr(heads)), html.Tbody(rows)], className="table stage-table"),
    ]
