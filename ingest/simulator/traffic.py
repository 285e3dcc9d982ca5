"""Traffic at a point: demand by hour and weekday, capacity that rain and incidents take away, and what follows."""

from __future__ import annotations

from math import exp

import msgspec

from ingest.simulator.effects import Effects, total
from ingest.simulator.noise import between, drift, local_day, local_hour, unit
from ingest.simulator.weather import rainfall

#: Peaks of a working day: hour, height, width in hours. Motorbikes make the evening one long.
WORKDAY = ((7.3, 0.68, 0.95), (17.6, 0.76, 1.25), (12.0, 0.24, 2.6), (20.0, 0.20, 1.8))
WEEKEND = ((9.5, 0.36, 2.2), (17.5, 0.45, 2.4), (20.0, 0.28, 1.8))
NIGHT = 0.05
INCIDENT_BLOCK_S = 4 * 3600.0
INCIDENT_CHANCE = 0.006


class Flow(msgspec.Struct, frozen=True):
    """What a detector over one carriageway sees in a minute."""

    intensity: float
    occupancy: float
    speed: float
    headway: float


def demand(t: float) -> float:
    """Share of capacity that wants to pass, city-wide, 0 to about 1."""
    weekday = (local_day(t) + 3) % 7  # 1 January 1970 was a Thursday; Monday is 0
    hour = local_hour(t)
    wish = NIGHT
    for middle, height, width in WEEKEND if weekday >= 5 else WORKDAY:
        away = min(abs(hour - middle), 24 - abs(hour - middle))
        wish += height * exp(-((away / width) ** 2))
    return wish + 0.28 / (1 + exp(-(hour - 5.5) * 2.5)) / (1 + exp((hour - 22) * 1.6))


def capacity_lost(seed: int, point: str, t: float, lat: float, lon: float, effects: Effects = ()) -> float:
    """Share of the road's capacity that rain or an incident takes away, 0 to 0.9."""
    lost = 0.30 * (1 - exp(-rainfall(seed, t, lat, lon, effects) / 25))
    block = int(t // INCIDENT_BLOCK_S)
    if unit(seed, "incident", point, block) < INCIDENT_CHANCE:
        begin = block * INCIDENT_BLOCK_S + between(0, 0.7, seed, "when", point, block) * INCIDENT_BLOCK_S
        if begin <= t < begin + between(1200, 2400, seed, "long", point, block):
            lost += between(0.25, 0.5, seed, "bad", point, block)
    return min(0.9, lost)


def flow(seed: int, point: str, t: float, lat: float, lon: float, effects: Effects = ()) -> Flow:
    """What the detector ``point`` sees at epoch second ``t``."""
    lanes = 2 + int(3 * unit(seed, "lanes", point))
    capacity = lanes * between(26, 38, seed, "capacity", point)  # motorbikes ride abreast: high for a lane
    free = between(42, 62, seed, "free", point)
    wish = demand(t) * between(0.6, 1.12, seed, "busy", point) * (1 + 0.10 * drift(seed, point, t, 420))
    open_share = 1 - capacity_lost(seed, point, t, lat, lon, effects)
    # A blocked road queues whatever the demand: even at night those who come cannot leave.
    blocked = min(1.0, total(effects, "jam", t, lat, lon))
    load = max(wish / open_share, 2.1 * blocked)
    open_share *= 1 - 0.8 * blocked
    if load < 1:
        passing, occupancy, speed = wish, 0.04 + 0.34 * load**1.6, free * (1 - 0.45 * load**3)
    else:
        # Past capacity the queue stands over the detector: fewer pass, slower, and the loop stays covered.
        over = min(1.0, (load - 1) / 1.2)
        passing, occupancy, speed = (
            open_share * (0.94 - 0.12 * over),
            0.42 + 0.46 * over**0.6,
            free * 0.5 - 22 * over**0.5,
        )
    intensity = max(0.0, passing * capacity * (1 + 0.05 * drift(seed, point + "n", t, 60)))
    headway = min(600.0, 60 * lanes / intensity) if intensity > 0.1 else 600.0
    speed = max(3.0, speed * (1 + 0.04 * drift(seed, point + "v", t, 90)))
    return Flow(intensity, min(0.97, max(0.0, occupancy)), speed, headway)


def busyness(t: float, lat: float, lon: float, effects: Effects = ()) -> float:
    """Traffic around a place as its air feels it, 0 to about 1.3: a jam is worse than a flow."""
    return demand(t) + 0.5 * total(effects, "jam", t, lat, lon)
