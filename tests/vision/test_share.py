"""Who looks at which camera, on a real Redis: one owner each, fair shares, as few moves as can be."""

from __future__ import annotations

import time
import uuid
from collections import Counter

import pytest

from ioc.live import Live
from tests.fix_stack import CacheServer
from vision.share import Share

CAMERAS = [f"camera-{number:02}" for number in range(12)]
LONG = 600.0


@pytest.fixture
def group() -> str:
    return uuid.uuid4().hex[:8]


class Claims:
    """Workers of one group as they claim, each keeping what it was given."""

    def __init__(self, live: Live, group: str) -> None:
        self._live, self._group = live, group
        self.held: dict[str, set[str]] = {}

    def renew(self, *workers: str, heard: list[str] = CAMERAS) -> None:
        """Each of these renews its lease once, in this order."""
        for worker in workers:
            mine = sorted(self.held.get(worker, set()))
            self.held[worker] = self._live.claim_cameras(
                self._group, worker, lease_s=LONG, mine=mine, heard=[one for one in heard if one not in mine]
            )

    def settle(self, *workers: str) -> None:
        """Each gives what it has too much of when its turn comes, and takes what it was given at the next."""
        for _ in range(3):
            self.renew(*workers)

    def say_nothing(self, *workers: str) -> None:
        """So much time passes for these that their leases end, as none waits for it."""
        self._live._redis.zadd(f"ioc:vision:{self._group}:workers", dict.fromkeys(workers, 0), xx=True)

    def check(self, *workers: str) -> None:
        """Every camera has one owner of these, and nobody has two more than another."""
        owned = Counter(camera for worker in workers for camera in self.held[worker])
        assert owned == Counter(CAMERAS)
        sizes = [len(self.held[worker]) for worker in workers]
        assert max(sizes) - min(sizes) <= 1


@pytest.fixture
def claims(live: Live, group: str) -> Claims:
    return Claims(live, group)


def test_claim_shares_are_fair_and_stay(claims: Claims) -> None:
    """Three workers have four cameras each, and the same ones however often they ask."""
    claims.settle("a", "b", "c")
    claims.check("a", "b", "c")
    before = dict(claims.held)
    claims.settle("c", "b", "a")
    assert claims.held == before


def test_claim_one_joins_and_is_given_no_more_than_its_share(claims: Claims) -> None:
    """A fourth worker gets three; nothing moves between the others."""
    claims.settle("a", "b", "c")
    before = dict(claims.held)
    claims.settle("a", "b", "c", "d")
    claims.check("a", "b", "c", "d")
    assert all(claims.held[worker] < before[worker] for worker in "abc")


def test_claim_cameras_of_one_that_is_gone_go_to_the_others(claims: Claims) -> None:
    """Its lease ends, and only its cameras move."""
    claims.settle("a", "b", "c")
    before = dict(claims.held)
    claims.say_nothing("c")
    claims.settle("a", "b")
    claims.check("a", "b")
    assert all(claims.held[worker] > before[worker] for worker in "ab")


def test_claim_leaving_needs_no_end_of_a_lease(claims: Claims, live: Live, group: str) -> None:
    """One that stops in order says so; its cameras have another owner at the next word of anybody."""
    claims.settle("a", "b", "c")
    live.leave_cameras(group, "c")
    claims.settle("a", "b")
    claims.check("a", "b")


def test_claim_redis_that_stood_still_moves_nothing(claims: Claims) -> None:
    """Nobody could renew for longer than a lease: nobody lost a camera by it."""
    claims.settle("a", "b", "c")
    before = dict(claims.held)
    claims.say_nothing("a", "b", "c")
    claims.settle("b", "c", "a")
    assert claims.held == before


def test_claim_redis_that_forgot_is_told_again(claims: Claims, live: Live) -> None:
    """A Redis that came back empty learns from the workers who has what."""
    claims.settle("a", "b", "c")
    before = dict(claims.held)
    live._redis.flushall()
    for worker in "cab":
        claims.renew(worker, heard=[])
    assert claims.held == before


def test_claim_camera_that_went_silent_is_nobodys(claims: Claims, live: Live, group: str) -> None:
    """It counts for no share until it is heard again; another worker's camera cannot be forgotten."""
    claims.settle("a", "b")
    silent = sorted(claims.held["a"])
    left = live.claim_cameras(group, "a", lease_s=LONG, silent=[*silent, *sorted(claims.held["b"])])
    assert left == set()
    others = live.claim_cameras(group, "b", lease_s=LONG) | live.claim_cameras(group, "a", lease_s=LONG)
    assert others == set(CAMERAS) - set(silent)
    claims.held.clear()
    claims.settle("a", "b")
    claims.check("a", "b")


def test_share_that_could_not_be_renewed_has_ended(cache: CacheServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stood still looks at nothing before it has asked again."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    live = Live(cache.url)
    share = Share(live, uuid.uuid4().hex[:8], "a")
    assert share.mine(["x", "y"]) == frozenset()
    share.renew()
    assert share.mine(["x"]) == {"x", "y"}
    now[0] += 3.0
    assert share.mine(["x"]) == frozenset()
    share.renew()
    assert share.mine(["x"]) == {"x", "y"}
    live.close()


def test_share_silence_is_not_forgotten_when_a_camera_changes_hands(
    cache: CacheServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve cameras that ended and six that live: a minute after the end the living are shared out evenly, whoever held what."""
    ended, living = CAMERAS, [f"new-{number}" for number in range(6)]
    now, group = [1000.0], uuid.uuid4().hex[:8]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    live = Live(cache.url)
    shares = [Share(live, group, worker) for worker in "ab"]

    def go_on(seconds: float, heard: list[str]) -> None:
        until = now[0] + seconds
        while now[0] < until:
            now[0] += 0.6
            for share in shares:
                share.mine(heard)
                share.renew()

    go_on(5, ended)
    shares.append(Share(live, group, "c"))  # one more, which leaves: silent cameras change hands twice
    go_on(20, [])
    assert shares.pop().cameras
    live.leave_cameras(group, "c")
    go_on(20, living)
    assert sum(len(share.cameras) for share in shares) == len(ended) + len(living)
    go_on(22, living)
    assert sorted(len(share.cameras) for share in shares) == [3, 3]
    assert shares[0].cameras | shares[1].cameras == set(living)
    live.close()
