"""Water at gauges: the river's tide, what stands on low streets, and batteries that last."""

from __future__ import annotations

from ingest.simulator.effects import Effects, total
from ingest.simulator.noise import between, drift, unit
from ingest.simulator.tide import river_level
from ingest.simulator.weather import standing_water


def tide_gauge(seed: int, gauge: str, t: float, lat: float, lon: float, lag_s: float, effects: Effects = ()) -> float:
    """River level in metres above datum; ``lag_s`` is how long the tide takes to come up to the gauge."""
    ripple = 0.008 * drift(seed, gauge, t, 45)
    return river_level(t, lag_s) + total(effects, "surge", t, lat, lon) + ripple


def flood_gauge(seed: int, gauge: str, t: float, lat: float, lon: float, lag_s: float, effects: Effects = ()) -> float:
    """Level at a low street in metres above datum: the drain's dry bed, or the tide behind its valve, and the rain."""
    bed = between(0.15, 0.55, seed, "bed", gauge)
    leak = between(0.82, 0.97, seed, "valve", gauge)
    # A surge that overtops the bank is not held by the valve.
    level = max(bed, river_level(t, lag_s) * leak) + total(effects, "surge", t, lat, lon)
    slope = between(0.5, 1.3, seed, "slope", gauge)
    level += slope * standing_water(seed, t, lat, lon, effects) + total(effects, "pond", t, lat, lon)
    return level + 0.006 * drift(seed, gauge, t, 60)


def battery(seed: int, device: str, t: float) -> float:
    """Battery level, 0 to 1: each is changed on its own day of a two-year round."""
    age = (t / 86_400 / 730 + unit(seed, "battery", device)) % 1
    return 0.98 - 0.68 * age


def signal(seed: int, device: str, t: float) -> float:
    """Radio signal in dBm."""
    return round(between(-112, -78, seed, "rssi", device) + 3 * drift(seed, device + "r", t, 1800))
