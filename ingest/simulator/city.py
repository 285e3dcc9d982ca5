"""Where the simulated devices stand: lamps along the real main roads, gauges in low streets, bins in every ward.

The layout depends on the seed and the wished number of lamps alone. Every device says in its attributes that it is
simulated.
"""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from itertools import count

import msgspec

from ingest.simulator.effects import distance
from ingest.simulator.noise import between, unit
from ioc.geo import CameraPoint, Ward, camera_points, roads, ward_at, ward_by_code, ward_of, wards

LAMPS_A_CABINET = 40
#: Lamps of a real main road stand this far apart, metres.
REAL_SPACING_M = 33.0
BINS_A_WARD = 10

#: Low streets and canals: name, latitude, longitude, seconds the tide takes from the river's gauge.
LOW_POINTS = (
    ("Quốc Hương – Thảo Điền", 10.80450, 106.73350, 600),
    ("Nguyễn Văn Hưởng – Thảo Điền", 10.80880, 106.73200, 600),
    ("Trần Não – An Khánh", 10.79250, 106.73050, 500),
    ("Lương Định Của", 10.79153, 106.75110, 900),
    ("Quốc lộ 13 – Hiệp Bình", 10.84035, 106.71636, 1500),
    ("Phạm Văn Đồng – Đường 20", 10.82914, 106.72237, 1300),
    ("Kha Vạn Cân – Đường số 2", 10.84188, 106.74685, 1600),
    ("Tam Bình – Đường số 81", 10.85308, 106.73015, 1700),
    ("Cầu Gò Dưa", 10.87305, 106.73239, 1900),
    ("Võ Văn Ngân – Đặng Văn Bi", 10.85115, 106.75798, 1700),
    ("Ngã tư Linh Xuân", 10.87356, 106.76550, 2400),
    ("Lê Văn Việt – Man Thiện", 10.84523, 106.78671, 2400),
    ("Đỗ Xuân Hợp – Dương Đình Hội", 10.81671, 106.77428, 1500),
    ("Cầu Phú Hữu", 10.82089, 106.79230, 1800),
    ("Nguyễn Duy Trinh – Bưng Ông Thoàn", 10.79121, 106.79689, 1500),
    ("Nút giao Mỹ Thủy", 10.76993, 106.77471, 700),
    ("Nguyễn Xiển – Nguyễn Văn Tăng", 10.84281, 106.82869, 2700),
    ("Lã Xuân Oai – Lò Lu", 10.82438, 106.80801, 2100),
)
#: Gauges on the river: name, latitude, longitude, seconds the tide takes to come up.
RIVER_GAUGES = (
    ("Sông Sài Gòn – cầu Sài Gòn", 10.79903, 106.72739, 0),
    ("Sông Sài Gòn – cầu Bình Phước", 10.86590, 106.71500, 1500),
    ("Sông Đồng Nai – Cát Lái", 10.75997, 106.78658, -900),
)
#: Air stations beyond one per ward, where the traffic is worst: name, latitude, longitude.
HOT_SPOTS = (
    ("Cảng Cát Lái", 10.76016, 106.78676),
    ("Nút giao Thủ Đức", 10.84908, 106.77428),
    ("Ngã tư Bình Phước", 10.86595, 106.72352),
    ("Nút giao An Phú", 10.79153, 106.75110),
)


class Site(msgspec.Struct, frozen=True):
    """One device and where it stands. ``number`` is its place in a circuit or on a route, ``lag_s`` the tide's delay."""

    id: str
    kind: str
    name: str
    lat: float
    lon: float
    ward: str
    parent: str = ""
    number: int = 0
    lag_s: float = 0.0


class City(msgspec.Struct, frozen=True):
    """All simulated devices of one seed; cameras keep the order of the public table. ``wish`` lamps were asked for."""

    seed: int
    wish: int
    lamps: tuple[Site, ...]
    cabinets: tuple[Site, ...]
    sensors: tuple[Site, ...]
    bins: tuple[Site, ...]
    cameras: tuple[Site, ...]

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every device; a parent comes before its children."""
        return (*self.cabinets, *self.lamps, *self.sensors, *self.bins, *self.cameras)

    def site(self, device: str) -> Site | None:
        """The device of that id, or None."""
        return next((site for site in self.sites if site.id == device), None)


def initials(ward: Ward) -> str:
    """The letters a ward's equipment is painted with: Linh Xuân → LX."""
    return "".join(word[0] for word in ward.name.split())


@lru_cache(maxsize=2)
def build(seed: int, lamps: int) -> City:
    """Lay out the city for ``seed`` with about ``lamps`` street lamps, never closer than they stand in reality."""
    posts, cabinets = _lighting(lamps)
    return City(
        seed=seed,
        wish=lamps,
        lamps=posts,
        cabinets=cabinets,
        sensors=(*_air(seed), *_water(), *_rain(), *_detectors()),
        bins=_bins(seed),
        cameras=tuple(
            Site(p.id, "camera", camera_name(p), p.lat, p.lon, p.ward or _code(p.lat, p.lon)) for p in camera_points()
        ),
    )


def camera_name(point: CameraPoint) -> str:
    """The name of a camera point; the one without a name is called by its ward."""
    ward = ward_by_code(point.ward or "")
    return point.name or f"Camera {ward.name if ward else point.id}"


def _code(lat: float, lon: float) -> str:
    ward = ward_at(lat, lon)
    return ward.code if ward else ""


def _lighting(lamps: int) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
    """Lamps every so many metres along the roads, cut into circuits of one ward, each with its cabinet."""
    inside = sum(ward_of(lat, lon) is not None for road in roads() for lon, lat in road.walk(100.0)) * 100.0
    step = max(REAL_SPACING_M, inside / max(1, lamps))
    by_ward: dict[str, list[tuple[float, float]]] = defaultdict(list)
    carry = 0.0
    for road in roads():
        for lon, lat in road.walk(step, carry):
            ward = ward_of(lat, lon)
            if ward is not None:
                by_ward[ward.code].append((lat, lon))
        # What is left of the last gap goes on into the next line, or short lines would all get a lamp.
        carry = (carry - road.length) % step
    posts: list[Site] = []
    cabinets: list[Site] = []
    for ward in wards():
        points = by_ward[ward.code]
        circuits = max(1, round(len(points) / LAMPS_A_CABINET)) if points else 0
        for circuit in range(circuits):
            run = points[len(points) * circuit // circuits : len(points) * (circuit + 1) // circuits]
            lat, lon = (round(axis, 6) for axis in run[len(run) // 2])
            cabinet = f"cab-{ward.code}-{circuit + 1:02d}"
            cabinets.append(
                Site(cabinet, "cabinet", f"Tủ ĐK {ward.name} {circuit + 1:02d}", lat, lon, ward.code, number=len(run))
            )
            posts.extend(
                Site(
                    f"lamp-{ward.code}-{circuit + 1:02d}-{number:02d}",
                    "streetlight",
                    f"Đèn {initials(ward)}-{circuit + 1:02d}-{number:02d}",
                    round(lat, 6),
                    round(lon, 6),
                    ward.code,
                    parent=cabinet,
                    number=number,
                )
                for number, (lat, lon) in enumerate(run, 1)
            )
    return tuple(posts), tuple(cabinets)


@lru_cache(maxsize=1)
def _roadside() -> dict[str, tuple[tuple[float, float], ...]]:
    """Points every 60 m along the main roads, by ward: ``(lat, lon)``."""
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for road in roads():
        for lon, lat in road.walk(60.0, 30.0):
            ward = ward_of(lat, lon)
            if ward is not None:
                found[ward.code].append((round(lat, 6), round(lon, 6)))
    return {code: tuple(points) for code, points in found.items()}


def _middle(code: str) -> tuple[float, float]:
    """The roadside point nearest to the middle of a ward's main roads."""
    points = _roadside()[code]
    lat, lon = (sum(point[axis] for point in points) / len(points) for axis in (0, 1))
    return min(points, key=lambda point: distance(lat, lon, *point))


def _air(seed: int) -> list[Site]:
    found = []
    for ward in wards():
        points = _roadside()[ward.code]
        lat, lon = points[int(unit(seed, "air", ward.code) * len(points))]
        name = f"Trạm không khí {ward.name}"
        found.append(Site(f"air-{ward.code}", "air_station", name, lat, lon, ward.code))
    for number, (name, lat, lon) in enumerate(HOT_SPOTS, 1):
        found.append(Site(f"air-{number:02d}", "air_station", f"Trạm không khí {name}", lat, lon, _code(lat, lon)))
    return found


def _water() -> list[Site]:
    found = [
        Site(f"flood-{n:02d}", "flood_gauge", f"Đo ngập {name}", lat, lon, _code(lat, lon), lag_s=lag)
        for n, (name, lat, lon, lag) in enumerate(LOW_POINTS, 1)
    ]
    found += [
        Site(f"tide-{n:02d}", "tide_gauge", f"Trạm triều {name}", lat, lon, _code(lat, lon), lag_s=lag)
        for n, (name, lat, lon, lag) in enumerate(RIVER_GAUGES, 1)
    ]
    return found


def _rain() -> list[Site]:
    return [
        Site(f"rain-{ward.code}", "rain_gauge", f"Đo mưa {ward.name}", *_middle(ward.code), ward.code)
        for ward in wards()
    ]


def _detectors() -> list[Site]:
    """A detector at every junction that has a camera; cameras of one junction share it."""
    found: list[Site] = []
    for point in camera_points():
        if point.code is None or any(distance(point.lat, point.lon, s.lat, s.lon) < 220 for s in found):
            continue
        device = f"traffic-{point.code.removeprefix('TTH ')}"
        ward = point.ward or _code(point.lat, point.lon)
        found.append(Site(device, "traffic_detector", f"Đếm xe {point.name}", point.lat, point.lon, ward))
    return found


def _bins(seed: int) -> tuple[Site, ...]:
    found = []
    for ward in wards():
        points = _roadside()[ward.code]
        number = count(1)
        for stop in range(BINS_A_WARD):
            place = (stop + between(0.1, 0.9, seed, "bin", ward.code, stop)) / BINS_A_WARD
            lat, lon = points[int(place * len(points))]
            n = next(number)
            name = f"Thùng rác {initials(ward)}-{n:02d}"
            found.append(Site(f"bin-{ward.code}-{n:02d}", "waste_bin", name, lat, lon, ward.code, number=n))
    return tuple(found)
