"""Air quality at a station: emissions of traffic, a lid that comes down at night, sun that makes ozone, rain that cleans."""

from __future__ import annotations

from math import cos, exp, pi

from ingest.simulator import weather
from ingest.simulator.effects import Effects, total
from ingest.simulator.noise import between, drift, local_hour
from ingest.simulator.traffic import busyness


def observe(seed: int, station: str, t: float, lat: float, lon: float, effects: Effects = ()) -> dict[str, float]:
    """All measures of the station: dust and gases in µg/m³ (CO in mg/m³), humidity 0 to 1, temperature in °C."""
    rain = max(weather.rainfall(seed, t - back, lat, lon, effects) for back in (0.0, 1200.0))
    washed = 0.45 + 0.55 * exp(-rain / 8)
    # The mixing layer is deep in the afternoon and shallow before sunrise; the dry season keeps it low for weeks.
    lid = 1.0 + 0.45 * cos(2 * pi * (local_hour(t) - 4.5) / 24) + 0.18 * drift(seed, "lid", t, 9 * 3600)
    season = 1.0 + 0.35 * cos(2 * pi * (t / 86_400 / 365.2425 - 0.03))
    cars = busyness(t, lat, lon, effects) * between(0.7, 1.3, seed, "road", station)
    place = between(0.7, 1.4, seed, "place", station)
    noise = 1 + 0.07 * drift(seed, station, t, 600)
    sunlight = weather.sunshine(seed, t, lat, lon, effects)
    fine = (13.0 + 15.0 * cars) * lid * season * place * washed * noise + total(effects, "smoke", t, lat, lon)
    no2 = (12.0 + 38.0 * cars) * lid * place * noise * (1 - 0.3 * sunlight)
    return {
        "pm25": fine,
        "pm10": fine * between(1.45, 1.75, seed, "coarse", station) + 6.0 * cars * washed,
        "no2": no2,
        "o3": max(4.0, 22.0 + 105.0 * sunlight - 0.22 * no2 + 6.0 * drift(seed, station + "o", t, 2400)),
        "so2": (6.0 + between(0, 14, seed, "stack", station)) * lid * washed * noise,
        "co": (0.35 + 0.75 * cars) * lid * noise,
        "relativeHumidity": weather.humidity(seed, t, lat, lon, effects),
        "temperature": weather.temperature(seed, t, lat, lon, effects),
    }
