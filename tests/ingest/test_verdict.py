"""What devices mean by their answers."""

from __future__ import annotations

from typing import Any

import pytest

from ingest.verdict import verdict


@pytest.mark.parametrize(
    "said",
    [
        "done", "OK", "", "notified", "normal", "errand done", None, True, 0, 0.4, [], {}, {"success": True}, {"result": "ok"},
        {"success": True, "error": None}, {"status": 200}, {"ok": True, "message": "on"},
    ],
)  # fmt: skip
def test_yes(said: Any) -> None:
    """Whatever is no plain no is a yes; the light it measures is the proof."""
    assert verdict(said) == (True, "")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (False, "false"),
        (" Error: relay stuck ", "Error: relay stuck"),
        ("failed", "failed"),
        ("NOK 12", "NOK 12"),
        ("Unknown command", "Unknown command"),
        ({"success": False}, "success: false"),
        ({"success": False, "error": "kẹt rơ-le"}, "kẹt rơ-le"),
        ({"success": True, "error": "kẹt rơ-le"}, "kẹt rơ-le"),
        ({"ok": True, "status": "timeout", "message": "no lamp there"}, "no lamp there"),
        ({"result": "refused"}, "result: refused"),
        ({"error": {"code": 5}}, "an object"),
        ({"error": 5}, "5"),
    ],
)
def test_no(said: Any, why: str) -> None:
    """A no is said in the device's own words."""
    assert verdict(said) == (False, why)
