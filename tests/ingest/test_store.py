"""Which states a batch stores: pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ingest.batch import Batch
from ingest.registry import Registry
from ingest.store import _settled
from ioc.model import Device, DeviceState

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)


def make_batch(*said: tuple[str, datetime | None]) -> Batch:
    """States of one device; those without a time came at NOW."""
    batch = Batch()
    for place, (state, time) in enumerate(said):
        if time is None:
            batch.unstamped.add(place)
        batch.states.append(DeviceState(time or NOW, "lamp", state, "", NOW))
        batch.states_of.append(place)
    return batch


def make_registry(state: str, time: datetime | None) -> Registry:
    device = Device(
        id="lamp", kind="", name="", lat=None, lon=None, ward="", parent="", dialect="native", firmware="", attrs={},
        status="active", state=state, state_time=time, state_reason="", last_seen=None, clock_skew_s=None,
    )  # fmt: skip
    return Registry([device])


def settled(batch: Batch, registry: Registry) -> list[tuple[str, float]]:
    return [(one.state, (one.time - NOW).total_seconds()) for one in _settled(batch, registry, {})]


def test_last_word_of_one_moment_is_newest() -> None:
    """States without a time that come together are stored in their order, each later than the one before."""
    batch = make_batch(("online", None), ("offline", None), ("offline", None), ("online", None))
    assert settled(batch, Registry()) == [("online", 0), ("offline", 1e-6), ("online", 2e-6)]


def test_last_will_after_a_clock_that_runs_ahead() -> None:
    """What a device said at a time that has not come yet does not outlive its last will."""
    ahead = timedelta(seconds=200)
    assert settled(make_batch(("online", NOW + ahead), ("offline", None)), Registry()) == [
        ("online", 200),
        ("offline", 200.000001),
    ]
    assert settled(make_batch(("offline", None)), make_registry("online", NOW + ahead)) == [("offline", 200.000001)]


def test_states_with_a_time_keep_it() -> None:
    """An older state stays older."""
    batch = make_batch(("maintenance", NOW - timedelta(seconds=5)))
    assert settled(batch, make_registry("online", NOW)) == [("maintenance", -5)]
