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


#: What a batch holds beside readings that needs neither storing nor looking up: messages and readings with where they came
#: from, what was seen of devices, and what is done once it is committed.
BESIDE = {
    "_generations", "_places", "_received", "_sources", "_starts", "messages", "redelivered", "acks", "handed_on", "readings",
    "readings_of", "fed", "outgoing", "frames", "seen", "born", "size",
}  # fmt: skip
#: Whose rows are kept elsewhere.
PLACES = {"clock_off_of", "states_of", "unstamped", "events_of", "answers_of", "announced_of", "rejected_of"}


def test_only_readings_are_stored_at_once() -> None:
    """Whatever else a batch holds is not forgotten over its readings: a new field is here, or it is looked at."""
    assert Batch().holds_readings_alone
    looked_at = set()
    for name in set(Batch.__slots__) - BESIDE - PLACES:
        batch = Batch()
        kept = getattr(batch, name)
        if isinstance(kept, list):
            kept.append(None)
        elif isinstance(kept, set):
            kept.add(0)
        else:
            kept[0] = None
        assert not batch.holds_readings_alone, name
        looked_at.add(name)
    assert len(looked_at) == 14


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
