"""What a story adds to the city for a while: a surge, a rain cell, a jam, a lost circuit or camera.

Effects are data with a beginning and an end, so that the city stays a pure function of seed, place, time and effects,
and a story that is cut short cannot leave anything behind.
"""

from __future__ import annotations

from math import cos, exp, hypot, pi, radians
from typing import Literal

import msgspec

EffectKind = Literal["surge", "rain", "pond", "jam", "smoke", "cabinet_lost", "camera_lost"]
METRES_PER_DEGREE = 111_195.0


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happens between ``start`` and ``end`` (epoch seconds).

    ``amount`` is in the unit of what it changes: metres (surge, pond), mm/h (rain), share of the road that is blocked (jam),
    µg/m³ of fine dust (smoke). ``target`` names the device that is lost. ``radius_m`` 0 means the whole city.
    ``rise_s`` and ``fall_s`` say how long it takes to come and to go.
    """

    kind: EffectKind
    start: float
    end: float
    amount: float = 0.0
    target: str = ""
    lat: float = 0.0
    lon: float = 0.0
    radius_m: float = 0.0
    rise_s: float = 60.0
    fall_s: float = 60.0

    def strength(self, t: float) -> float:
        """How far it has come, 0 to 1, at epoch second ``t``."""
        if not self.start <= t < self.end:
            return 0.0
        coming = min(1.0, (t - self.start) / self.rise_s) if self.rise_s > 0 else 1.0
        going = min(1.0, (self.end - t) / self.fall_s) if self.fall_s > 0 else 1.0
        return (1 - cos(pi * min(coming, going))) / 2

    def at(self, t: float, lat: float, lon: float) -> float:
        """Its amount at a place and time: full in the middle, fading to nothing well outside ``radius_m``."""
        strength = self.strength(t)
        if strength == 0.0 or self.radius_m == 0.0:
            return self.amount * strength
        return self.amount * strength * fade(distance(self.lat, self.lon, lat, lon), self.radius_m)


Effects = tuple[Effect, ...]


class Control(msgspec.Struct, frozen=True):
    """A message on the control topic: the effects that hold from now on; none ends the story."""

    effects: Effects = ()


class Status(msgspec.Struct, frozen=True):
    """What a running simulator says of itself, retained, so that a story knows which city it speaks to.

    ``wish`` is the number of lamps asked for, which the layout follows; ``showing`` are the cameras with footage.
    """

    seed: int
    wish: int
    devices: int
    showing: tuple[str, ...]


#: Topics of the simulator itself; they lie outside the devices' grammar.
CONTROL_TOPIC = "sim/control"
STATUS_TOPIC = "sim/status"


def total(effects: Effects, kind: EffectKind, t: float, lat: float, lon: float) -> float:
    """The sum of all effects of one kind at a place and time."""
    return sum(effect.at(t, lat, lon) for effect in effects if effect.kind == kind)


def lost(effects: Effects, t: float) -> frozenset[str]:
    """The devices that are lost at epoch second ``t``."""
    return frozenset(
        effect.target
        for effect in effects
        if effect.kind in ("cabinet_lost", "camera_lost") and effect.start <= t < effect.end
    )


def distance(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Metres between two points of the city."""
    return hypot((lon_b - lon_a) * cos(radians(lat_a)), lat_b - lat_a) * METRES_PER_DEGREE


def fade(metres: float, radius_m: float) -> float:
    """1 in the middle, about a third at ``radius_m``, nothing at three times that."""
    return exp(-((metres / radius_m) ** 2)) if metres < 3 * radius_m else 0.0
