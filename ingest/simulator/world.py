"""What each device measures: one pure function from city, time and effects to a device's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ingest.simulator import air, lighting, traffic, waste, water, weather
from ingest.simulator.city import Site
from ingest.simulator.effects import Effects

Value = float | int | str
Values = dict[str, Value]
#: Levels that lamps were told, 0 to 1, by their number in the circuit.
Told = Mapping[int, float]
_UNTOLD: Told = {}

#: Seconds between two reports of a device, by kind.
REPORT_S: dict[str, float] = {
    "streetlight": 60.0,
    "cabinet": 15.0,
    "air_station": 60.0,
    "flood_gauge": 15.0,
    "tide_gauge": 15.0,
    "rain_gauge": 20.0,
    "traffic_detector": 20.0,
    "waste_bin": 300.0,
}


def sample(seed: int, site: Site, t: float, effects: Effects = (), told: Told = _UNTOLD) -> Values:
    """What ``site`` measures at epoch second ``t``, rounded as its instrument would; {} for a camera.

    ``told`` are the levels that it, or the lamps of its circuit, were told, by their numbers. Keys, units and states are
    those of ``ioc.catalog``.
    """
    if site.kind in _LIT:
        return _LIT[site.kind](seed, site, t, told)
    measure = _BY_KIND.get(site.kind)
    return measure(seed, site, t, effects) if measure else {}


# A lost circuit is silent, which is the link's business: no effect is seen here.
def _lamp(seed: int, site: Site, t: float, told: Told) -> Values:
    lamp = lighting.lamp(seed, site.id, site.parent, site.number, t, told.get(site.number))
    values: Values = {
        "powerState": lamp.state,
        "lampStatus": lamp.status,
        "illuminanceLevel": round(lamp.level, 2),
        "powerConsumption": round(lamp.power, 1),
        "current": round(lamp.current, 3),
        "voltage": round(lamp.voltage, 1),
    }
    if lamp.factor is not None:
        values["powerFactor"] = lamp.factor
    return values


def _cabinet(seed: int, site: Site, t: float, told: Told) -> Values:
    meter = lighting.cabinet(seed, site.id, site.number, t, told)
    values: Values = {"workingMode": "automatic", "cabinetDoor": "closed", "energyConsumed": round(meter.energy, 2)}
    for phase, amperes, volts in zip("RST", meter.amperes, meter.volts, strict=True):
        values[f"intensity{phase}"] = round(amperes, 2)
        values[f"voltage{phase}"] = round(volts, 1)
    return values


def _air(seed: int, site: Site, t: float, effects: Effects) -> Values:
    seen = air.observe(seed, site.id, t, site.lat, site.lon, effects)
    return {key: round(value, 3 if key == "relativeHumidity" else 1) for key, value in seen.items()}


def _flood(seed: int, site: Site, t: float, effects: Effects) -> Values:
    level = water.flood_gauge(seed, site.id, t, site.lat, site.lon, site.lag_s, effects)
    return {
        "waterLevel": round(level, 3),
        "batteryLevel": round(water.battery(seed, site.id, t), 2),
        "rssi": water.signal(seed, site.id, t),
    }


def _tide(seed: int, site: Site, t: float, effects: Effects) -> Values:
    return {"waterLevel": round(water.tide_gauge(seed, site.id, t, site.lat, site.lon, site.lag_s, effects), 3)}


def _rain(seed: int, site: Site, t: float, effects: Effects) -> Values:
    return {
        "rainfall": round(weather.rainfall(seed, t, site.lat, site.lon, effects), 1),
        "batteryLevel": round(water.battery(seed, site.id, t), 2),
    }


def _traffic(seed: int, site: Site, t: float, effects: Effects) -> Values:
    flow = traffic.flow(seed, site.id, t, site.lat, site.lon, effects)
    return {
        "intensity": round(flow.intensity),
        "occupancy": round(flow.occupancy, 3),
        "averageVehicleSpeed": round(flow.speed, 1),
        "averageHeadwayTime": round(flow.headway, 2),
    }


def _bin(seed: int, site: Site, t: float, effects: Effects) -> Values:
    del effects
    return {
        "fillingLevel": round(waste.filling(seed, site.id, site.number, t), 3),
        "binStatus": waste.condition(seed, site.id, t),
        "batteryLevel": round(water.battery(seed, site.id, t), 2),
    }


_LIT: dict[str, Callable[[int, Site, float, Told], Values]] = {"streetlight": _lamp, "cabinet": _cabinet}
_BY_KIND: dict[str, Callable[[int, Site, float, Effects], Values]] = {
    "air_station": _air,
    "flood_gauge": _flood,
    "tide_gauge": _tide,
    "rain_gauge": _rain,
    "traffic_detector": _traffic,
    "waste_bin": _bin,
}
