"""The mailbox of one: newest wins, fair turns, a budget per camera, exact accounts."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.db.camera_budgets import MOST_FPS
from vision.mailbox import Mailbox, Notice


def notice(camera: str, number: int, at: float) -> Notice:
    return Notice(camera, f"{number}-0", at)


def test_offer_second_frame_replaces_the_first() -> None:
    """The newest frame wins and the older one is a drop that names itself."""
    box = Mailbox(max_fps=None, stale_s=1)
    assert box.offer(notice("a", 1, 0.0), 0.0) is None
    drop = box.offer(notice("a", 2, 0.1), 0.1)
    assert drop is not None
    assert (drop.notice.entry, drop.reason) == ("1-0", "overwritten")
    assert [n.entry for n in box.pick(4, 0.2)[0]] == ["2-0"]


def test_offer_within_the_budget_pause_is_skipped() -> None:
    """A frame replaced while its camera had no turn left was skipped on purpose: that is no sign of overload."""
    box = Mailbox(max_fps=2, stale_s=1)
    box.offer(notice("a", 1, 10.0), 10.0)
    box.pick(1, 10.0)
    box.done("a")
    box.offer(notice("a", 2, 10.1), 10.1)
    drop = box.offer(notice("a", 3, 10.2), 10.2)
    assert drop is not None
    assert drop.reason == "skipped"
    assert box.ready(10.24) == 0
    assert box.next_due() == pytest.approx(10.25)
    assert box.ready(10.25) == 1


def test_pick_stale_frame_is_dropped_and_the_next_camera_served() -> None:
    """A frame that waited too long is not looked at, and takes no place in the batch."""
    box = Mailbox(max_fps=None, stale_s=1)
    box.offer(notice("old", 1, 5.0), 5.0)
    box.offer(notice("new", 2, 6.2), 6.2)
    picked, stale = box.pick(1, 6.5)
    assert [n.camera for n in picked] == ["new"]
    assert [(d.notice.camera, d.reason) for d in stale] == [("old", "stale")]


def test_pick_busy_camera_waits_for_done() -> None:
    """Frames of one camera are looked at one after the other, so that they are stored in order."""
    box = Mailbox(max_fps=None, stale_s=1)
    box.offer(notice("a", 1, 0.0), 0.0)
    box.pick(1, 0.0)
    box.offer(notice("a", 2, 0.1), 0.1)
    assert box.pick(1, 0.1) == ([], [])
    box.done("a")
    assert len(box.pick(1, 0.1)[0]) == 1


def test_pick_one_loud_camera_does_not_starve_the_others() -> None:
    """A camera at a hundred frames a second gets its turn and no more than its turn."""
    box = Mailbox(max_fps=None, stale_s=10)
    turns: Counter[str] = Counter()
    number = 0
    for step in range(300):
        now = step / 100
        names = ["loud", *(f"quiet-{i}" for i in range(3) if step % 10 == 0)]
        for name in names:
            number += 1
            box.offer(notice(name, number, now), now)
        if step % 5 == 0:  # a worker that manages twenty frames a second for sixty offered quiet ones and the loud one
            for got in box.pick(1, now)[0]:
                turns[got.camera] += 1
                box.done(got.camera)
    assert max(turns.values()) - min(turns[f"quiet-{i}"] for i in range(3)) <= 2


def test_pick_at_the_budget_misses_no_frame_for_jitter() -> None:
    """Frames at exactly the budget, each a little early or late, are all looked at but one at most."""
    box = Mailbox(max_fps=2, stale_s=1)
    looked = 0
    for step in range(40):
        box.offer(notice("a", step, step / 2), step / 2 + (0.04 if step % 2 else -0.04))
        for _ in range(2):
            now = step / 2 + 0.05
            looked += len(box.pick(1, now)[0])
            box.done("a")
    assert looked >= 39


def look_for(box: Mailbox, seconds: float, per_second: int, arrivals: dict[str, float]) -> Counter[str]:
    """Looks by camera of a worker that manages so many a second, two at a time; `arrivals`: frames a second that come."""
    looks: Counter[str] = Counter()
    sent = dict.fromkeys(arrivals, 0)
    before: list[Notice] = []
    for step in range(int(seconds * per_second)):
        now = 50.0 + step / per_second
        for camera, rate in arrivals.items():
            while sent[camera] / rate <= now - 50.0:
                box.offer(notice(camera, sent[camera], now), now)
                sent[camera] += 1
        # What was picked is in hand while the next is picked, as in the lanes of a worker.
        picked, _ = box.pick(1, now)
        for one in before:
            box.done(one.camera)
        before = picked
        looks.update(one.camera for one in picked)
    return looks


def test_pick_under_overload_goes_by_budgets() -> None:
    """Three times as much budget, three times as many turns, whatever comes beyond that; nobody starves."""
    box = Mailbox(max_fps=2, stale_s=10)
    box.budgets = {"high": 6.0, "low": 0.5}
    looks = look_for(box, 120, 8, {"a": 25, "b": 25, "c": 25, "high": 25, "low": 25, "d": 25})
    fair = {"high": 6.0, "a": 2.0, "b": 2.0, "c": 2.0, "d": 2.0, "low": 0.5}
    for camera, budget in fair.items():
        wanted = 120 * 8 * budget / sum(fair.values())
        assert looks[camera] == pytest.approx(wanted, rel=0.05, abs=1), camera


def test_pick_without_overload_gives_each_its_budget() -> None:
    """A budget is a limit: of a worker that manages more, each camera gets what it was given, or all that comes."""
    box = Mailbox(max_fps=2, stale_s=10)
    box.budgets = {"high": 12.0, "low": 0.5, "slow": 12.0}
    looks = look_for(box, 60, 100, {"common": 25, "high": 25, "low": 25, "slow": 5})
    for camera, rate in {"common": 2.0, "high": 12.0, "low": 0.5, "slow": 5.0}.items():
        assert looks[camera] == pytest.approx(60 * rate, rel=0.02, abs=1), camera


def test_pick_who_sends_less_than_its_share_is_looked_at_whole() -> None:
    """Beside cameras that send more than can be looked at; what it leaves is shared by the others."""
    box = Mailbox(max_fps=10, stale_s=10)
    looks = look_for(box, 60, 10, {"slow": 1, "a": 25, "b": 25})
    assert looks["slow"] >= 59
    assert looks["a"] == pytest.approx(looks["b"], abs=2)


def test_pick_under_overload_prefers_fresh_frames_and_stays_fair() -> None:
    """Of 24 cameras that send three times what can be looked at: as many looks each, at frames just come."""
    box = Mailbox(max_fps=None, stale_s=1)
    period, turns = 24 / 60, 2400
    due = [period * camera / 24 for camera in range(24)]
    looks, ages = [0] * 24, []
    for turn in range(turns):
        now = turn / 20
        for camera in range(24):
            while due[camera] <= now:
                box.offer(notice(str(camera), turn, due[camera]), now)
                due[camera] += period
        (one,), stale = box.pick(1, now)
        assert not stale
        box.done(one.camera)
        looks[int(one.camera)] += 1
        ages.append(now - one.arrived)
    assert max(looks) - min(looks) <= 2
    assert sorted(ages)[turns // 2] < period / 8
    assert max(ages) <= period


def test_pick_camera_without_a_limit_counts_as_the_largest_budget() -> None:
    """On a GPU all is looked at that comes; a budget there limits, and under overload takes from nobody."""
    box = Mailbox(max_fps=None, stale_s=10)
    box.budgets = {"limited": MOST_FPS / 4}
    assert (box.budget("limited"), box.budget("free")) == (MOST_FPS / 4, None)
    looks = look_for(box, 60, 10, {"free": 25, "limited": 25, "free too": 25})
    assert looks["free"] == pytest.approx(looks["free too"], abs=2)
    assert looks["free"] == pytest.approx(4 * looks["limited"], rel=0.05)


def test_pick_camera_that_was_silent_is_owed_nothing() -> None:
    """Back after a minute, it takes its turns again, not those of the minute as well."""
    box = Mailbox(max_fps=10, stale_s=10)
    number = 0
    turns: list[str] = []
    for step in range(1200):
        now = step / 10
        for name in ("steady", *(["back"] if step >= 600 else [])):
            number += 1
            box.offer(notice(name, number, now), now)
        for got in box.pick(1, now)[0]:
            turns.append(got.camera)
            box.done(got.camera)
    assert abs(Counter(turns[-600:])["back"] - 300) <= 2
    assert Counter(turns[600:620])["back"] <= 11


def test_budget_that_changes_counts_at_once() -> None:
    """From one look in ten seconds to ten in one, without waiting for the look that was due; and back."""
    box = Mailbox(max_fps=2, stale_s=1)
    box.budgets = {"a": 0.1}
    box.offer(notice("a", 1, 0.0), 0.0)
    assert len(box.pick(1, 0.0)[0]) == 1
    box.done("a")
    box.offer(notice("a", 2, 1.0), 1.0)
    assert box.ready(1.0) == 0
    box.budgets = {"a": 10.0}
    assert box.ready(1.0) == 1
    assert len(box.pick(1, 1.0)[0]) == 1
    box.done("a")
    box.budgets = {"a": 0.1}
    box.offer(notice("a", 3, 2.0), 2.0)
    assert box.next_due() == pytest.approx(11, abs=0.1)


actions = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.sampled_from("abcd")),
        st.tuples(st.just("pick"), st.integers(1, 3)),
        st.tuples(st.just("done"), st.sampled_from("abcd")),
    ),
    max_size=120,
)


@given(
    actions=actions,
    step=st.floats(0.01, 0.7),
    fps=st.sampled_from([None, 2.0, 10.0]),
    budgets=st.dictionaries(st.sampled_from("abcd"), st.floats(0.1, 60)),
)
def test_mailbox_any_history_accounts_for_every_notice_once(
    actions: list[tuple[str, str | int]], step: float, fps: float | None, budgets: dict[str, float]
) -> None:
    """Offered = picked + dropped + waiting, each once; a pick never holds a camera twice, nor one that is busy."""
    box = Mailbox(max_fps=fps, stale_s=1.0)
    box.budgets = budgets
    offered: list[str] = []
    ended: list[str] = []
    waiting: dict[str, str] = {}
    busy: set[str] = set()
    now = 100.0
    for number, (what, value) in enumerate(actions):
        now += step
        if what == "offer":
            offered.append(f"{number}-0")
            drop = box.offer(notice(str(value), number, now), now)
            if drop is not None:
                assert waiting[str(value)] == drop.notice.entry
                ended.append(drop.notice.entry)
            waiting[str(value)] = f"{number}-0"
        elif what == "pick":
            picked, stale = box.pick(int(value), now)
            assert len(picked) <= int(value)
            assert not busy & {n.camera for n in picked}
            busy |= {n.camera for n in picked}
            for got in [*picked, *(drop.notice for drop in stale)]:
                assert waiting.pop(got.camera) == got.entry
                ended.append(got.entry)
        else:
            busy.discard(str(value))
            box.done(str(value))
    assert sorted(offered) == sorted([*ended, *waiting.values()])
