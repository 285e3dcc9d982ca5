"""A priority as people see it: shape, number and colour together."""

from __future__ import annotations

from typing import Literal

from dash import html

from dashboards.attributes import data


def prio(priority: int, look: Literal["", "seen", "quiet"] = "") -> html.Span:
    """The mark of a priority, drawn by `assets/feed.js`; `seen` is its outline, `quiet` is grey."""
    return html.Span(className="prio-mark", **data(prio=f"{priority} {look}".strip()))
