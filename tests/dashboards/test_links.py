"""What the wall says of the broker's losses."""

from __future__ import annotations

from datetime import UTC, datetime

from dashboards.links import Links
from ioc.model import Heartbeat

NOW = 1_763_740_800.0


def beat(at: float, dropped: float | None, service: str = "ingest") -> Heartbeat:
    """A heartbeat of ingest that knows, or does not, what the broker has dropped."""
    figures = {} if dropped is None else {"broker_dropped": dropped}
    return Heartbeat(service, "one", datetime.fromtimestamp(at, UTC), "ok", figures=figures)


def broker_after(*beats: Heartbeat, now: float) -> tuple[str, dict[str, float]]:
    """State and figures of the broker's link after these heartbeats."""
    links = Links()
    for one in beats:
        links.heard([one])
    link = links.rows(now)[0]
    return link.state, link.figures


def test_dropped_messages_are_shown_for_an_hour() -> None:
    """From when the count rose; what it was before does not matter."""
    beats = beat(NOW, 0), beat(NOW + 5, 40), beat(NOW + 6, 40)
    assert broker_after(*beats, now=NOW + 6) == ("degraded", {"dropped": 40})
    assert broker_after(*beats, now=NOW + 3606) == ("ok", {})
    assert broker_after(*beats, beat(NOW + 3000, 41), now=NOW + 3606) == ("degraded", {"dropped": 41})


def test_losses_of_which_nobody_knows_when_are_shown() -> None:
    """The pages started after them."""
    assert broker_after(beat(NOW, 7), now=NOW) == ("degraded", {"dropped": 7})


def test_a_broker_that_started_again_counts_from_nought() -> None:
    """That hides no loss before it, and the next loss is one though the count is smaller."""
    beats = beat(NOW, 40), beat(NOW + 10, 0)
    assert broker_after(*beats, now=NOW + 10) == ("degraded", {"dropped": 40})
    assert broker_after(*beats, now=NOW + 3600) == ("ok", {})
    assert broker_after(*beats, beat(NOW + 4000, 2), now=NOW + 4000) == ("degraded", {"dropped": 2})


def test_a_broker_that_does_not_tell_is_not_accused() -> None:
    """Nor is one that cannot be asked just now forgotten to have dropped something."""
    assert broker_after(beat(NOW, None), now=NOW) == ("ok", {})
    assert broker_after(beat(NOW, 3), beat(NOW + 1, None), now=NOW + 1) == ("degraded", {"dropped": 3})
