"""Street lamps: on at dusk, dimmed late, some broken; and the cabinets that feed them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Literal

import msgspec

from ingest.simulator import sun
from ingest.simulator.noise import DAY_S, between, day_start, drift, local_day, local_hour, unit

#: From this hour to this hour lamps burn at DIMMED.
DIM_FROM, DIM_UNTIL, DIMMED = 23.0, 5.0, 0.6
DEFECTIVE, DAY_BURNER = 0.004, 0.0015
#: Meters were set to zero on 1 July 2025.
METER_DAY = 20_270
_STEP_S = 300.0

PowerState = Literal["off", "on", "low"]
Fault = Literal["ok", "defectiveLamp", "dayBurner"]


class Lamp(msgspec.Struct, frozen=True):
    """What a lamp's controller reports; electrical values are None where a dark lamp has none."""

    state: PowerState
    status: Fault
    level: float
    power: float
    current: float
    voltage: float
    factor: float | None


class Cabinet(msgspec.Struct, frozen=True):
    """What a cabinet's meter reports: amperes and volts by phase R, S, T, and kWh since the meter was set."""

    amperes: tuple[float, float, float]
    volts: tuple[float, float, float]
    energy: float


def scheduled_level(t: float) -> float:
    """The level lamps are told to burn at, 0 to 1."""
    if not sun.is_dark(t):
        return 0.0
    hour = local_hour(t)
    return DIMMED if hour >= DIM_FROM or hour < DIM_UNTIL else 1.0


def fault(seed: int, lamp: str) -> Fault:
    """What is wrong with a lamp; it stays wrong, nobody repairs the simulated city."""
    luck = unit(seed, "fault", lamp)
    if luck < DEFECTIVE:
        return "defectiveLamp"
    return "dayBurner" if luck < DEFECTIVE + DAY_BURNER else "ok"


def rated_power(seed: int, circuit: str) -> float:
    """Watts of the lamps of one circuit; a street has one type."""
    return (90.0, 120.0, 150.0)[int(3 * unit(seed, "watt", circuit))]


def volts(seed: int, circuit: str, phase: int, t: float) -> float:
    """Phase voltage: sags in the evening when everybody cooks."""
    hour = local_hour(t)
    evening = 4.0 if 17 <= hour < 21 else 0.0
    return between(223, 231, seed, "feed", circuit) + 2.5 * drift(seed, f"{circuit}/{phase}", t, 700) - evening


def lamp(seed: int, name: str, circuit: str, number: int, t: float, told: float | None = None) -> Lamp:
    """What lamp ``number`` of ``circuit`` reports at epoch second ``t``, told a level or following the schedule."""
    broken = fault(seed, name)
    level = scheduled_level(t) if told is None else told
    voltage = volts(seed, circuit, number % 3, t)
    if broken == "dayBurner" and level == 0.0:
        level = 1.0
    elif broken == "dayBurner":
        broken = "ok"  # by night it does what it should
    if broken == "defectiveLamp" or level == 0.0:
        return Lamp("off", broken, 0.0, 0.4, 0.0, voltage, None)
    power = rated_power(seed, circuit) * level * (1 + 0.02 * drift(seed, name, t, 1200)) + 2.0
    factor = 0.97 if level > 0.9 else 0.93
    return Lamp("on" if level > 0.9 else "low", broken, level, power, power / voltage / factor, voltage, factor)


def cabinet(seed: int, circuit: str, lamps: int, t: float, told: Mapping[int, float] | None = None) -> Cabinet:
    """What the cabinet of ``circuit`` with that many lamps measures at epoch second ``t``; ``told`` lamps burn as told.

    The meter's kWh follow the schedule alone.
    """
    scheduled = scheduled_level(t)
    watts = rated_power(seed, circuit)
    feeds = tuple(volts(seed, circuit, phase, t) for phase in range(3))
    lit = [len(range(phase, lamps, 3)) * scheduled for phase in range(3)]
    for number, level in (told or {}).items():
        lit[number % 3] += level - scheduled
    amperes = tuple(
        (watts * max(0.0, lit[phase]) * 1.03 + 0.4 * len(range(phase, lamps, 3))) / feeds[phase] / 0.96
        for phase in range(3)
    )
    burnt = lamps * watts * burn_hours(t) / 1000
    return Cabinet((amperes[0], amperes[1], amperes[2]), (feeds[0], feeds[1], feeds[2]), burnt)


@lru_cache(maxsize=8)
def _night(day: int) -> tuple[float, ...]:
    """Full-level hours burnt since the beginning of local ``day``, at every fifth minute; one entry more than steps."""
    begin, hours = day_start(day), [0.0]
    for step in range(int(DAY_S / _STEP_S)):
        hours.append(hours[-1] + scheduled_level(begin + (step + 0.5) * _STEP_S) * _STEP_S / 3600)
    return tuple(hours)


@lru_cache(maxsize=4)
def _hours_before(day: int) -> float:
    return sum(_hours_of(past) for past in range(METER_DAY, day))


@cache
def _hours_of(day: int) -> float:
    return _night(day)[-1]


def burn_hours(t: float) -> float:
    """Hours at full level that every lamp has burnt since the meters were set; never falls."""
    day = local_day(t)
    night, into = _night(day), t - day_start(day)
    at = min(int(into / _STEP_S), len(night) - 2)
    return _hours_before(day) + night[at] + (night[at + 1] - night[at]) * (into / _STEP_S - at)
