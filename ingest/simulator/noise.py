"""Repeatable randomness: numbers that depend on a seed, a name and a time, and on nothing else."""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from math import cos, floor, pi

#: Local time of the city is UTC+7 the whole year.
UTC_OFFSET_S = 7 * 3600
DAY_S = 86_400.0


@lru_cache(maxsize=1 << 16)
def unit(seed: int, *name: str | int) -> float:
    """A number in [0, 1), evenly spread, that belongs to ``name``."""
    digest = blake2b(repr((seed, *name)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def between(low: float, high: float, seed: int, *name: str | int) -> float:
    """A number in [low, high) that belongs to ``name``."""
    return low + (high - low) * unit(seed, *name)


def drift(seed: int, name: str, t: float, period_s: float) -> float:
    """A smooth wander in [-1, 1] that changes its mind every ``period_s`` seconds."""
    step = floor(t / period_s)
    part = (1 - cos(pi * (t / period_s - step))) / 2
    return 2 * (unit(seed, name, step) * (1 - part) + unit(seed, name, step + 1) * part) - 1


def local_hour(t: float) -> float:
    """Hour of the local day, 0 to 24, at epoch second ``t``."""
    return (t + UTC_OFFSET_S) % DAY_S / 3600


def local_day(t: float) -> int:
    """Days since 1 January 1970 in local time."""
    return floor((t + UTC_OFFSET_S) / DAY_S)


def day_start(day: int) -> float:
    """Epoch second at which local ``day`` begins."""
    return day * DAY_S - UTC_OFFSET_S
