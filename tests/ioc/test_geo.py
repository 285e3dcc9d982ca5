"""Wards, roads and camera points: the tables, and which ward a point lies in."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc import geo
from ioc.geo.polygon import Shape
from ioc.geo.roads import metres

SQUARE = ((0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0), (0.0, 0.0))
HOLE = ((1.0, 1.0), (1.0, 3.0), (3.0, 3.0), (3.0, 1.0), (1.0, 1.0))
ISLAND = ((10.0, 0.0), (12.0, 0.0), (12.0, 2.0), (10.0, 2.0), (10.0, 0.0))

coordinate = st.floats(-1, 13, allow_nan=False)


def test_wards_are_the_twelve_of_2025() -> None:
    """Codes and names are unique, and the area adds up to what is published."""
    assert len({ward.code for ward in geo.wards()}) == 12
    assert {ward.name for ward in geo.wards()} >= {"Thủ Đức", "An Khánh", "Long Phước"}
    assert geo.ward_by_code("26824") == next(ward for ward in geo.wards() if ward.name == "Thủ Đức")
    assert geo.ward_by_code("00000") is None


def test_bounding_box_holds_every_ward() -> None:
    """The published box of the city holds the box of each ward."""
    west, south, east, north = geo.BBOX
    for ward in geo.wards():
        w, s, e, n = geo.bounding_box(ward)
        assert west - 0.001 <= w < e <= east + 0.001
        assert south - 0.001 <= s < n <= north + 0.001


def test_camera_points_fall_into_their_stated_ward() -> None:
    """Each of the 118 points with a stated ward lies in it; the four without lie in none, but within 30 m of one."""
    points = geo.camera_points()
    assert len(points) == 122
    assert len({point.id for point in points}) == 122
    found = {point.id: geo.ward_of(point.lat, point.lon) for point in points}
    assert [point.id for point in points if getattr(found[point.id], "code", None) != point.ward] == []
    outside = [point for point in points if point.ward is None]
    assert {point.code for point in outside} == {"TTH 21.1", "TTH 21.2", "TTH 21.10", "TTH 222"}
    assert all(geo.nearest_ward(point.lat, point.lon, within_m=30) for point in outside)


def test_ward_at_far_outside_is_none() -> None:
    """A point in the middle of another city belongs to no ward, however near the nearest one is."""
    assert geo.ward_at(21.03, 105.85) is None
    assert geo.ward_of(21.03, 105.85) is None


def test_shared_borders_leave_no_sliver_worth_naming() -> None:
    """Of all corners and edge middles of all borders, fewer than 1 % lie in two wards: joins of the simplifying."""
    shapes = [Shape(ward.polygons) for ward in geo.wards()]
    inside = [
        sum(shape.contains(lon, lat) for shape in shapes)
        for ward in geo.wards()
        for a, b in pairwise(ward.polygons[0][0])
        for lon, lat in (a, ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2))
    ]
    assert max(inside) <= 2
    assert inside.count(2) < len(inside) / 100


@given(coordinate, coordinate)
def test_contains_agrees_with_arithmetic_for_hole_and_island(lon: float, lat: float) -> None:
    """A square with a hole and an island: inside is where plain comparisons say it is."""
    shape = Shape(((SQUARE, HOLE), (ISLAND,)))
    square = 0 <= lon < 4 and 0 <= lat < 4
    hole = 1 <= lon < 3 and 1 <= lat < 3
    island = 10 <= lon < 12 and 0 <= lat < 2
    assert shape.contains(lon, lat) == ((square and not hole) or island)


@given(coordinate, st.floats(0.01, 3.99), st.lists(st.floats(0.01, 3.99), min_size=1, max_size=5))
def test_two_neighbours_share_every_point_once(lat: float, split: float, bends: list[float]) -> None:
    """A square cut by any bent line: each point of the square lies in exactly one half, the cut itself included."""
    cut = [(split, 0.0), *((bend, 4 * (i + 1) / (len(bends) + 1)) for i, bend in enumerate(bends)), (split, 4.0)]
    left = Shape(((((0.0, 0.0), *cut, (0.0, 4.0)),),))
    right = Shape(((((4.0, 4.0), *reversed(cut), (4.0, 0.0)),),))
    for lon in (0.0, split, *bends, 3.999):
        assert left.contains(lon, lat) + right.contains(lon, lat) == (0 <= lat < 4)


@given(st.floats(0, 4), st.floats(0.001, 0.1))
def test_distance_is_metres_to_the_border(lon: float, off: float) -> None:
    """Below the southern edge of a square the distance is the difference of latitude."""
    assert Shape(((SQUARE,),)).distance(lon, -off) == pytest.approx(off * 111_195, rel=1e-6)


def test_old_wards_each_became_a_known_ward() -> None:
    """34 names; every target exists, four wards were split, every new ward got something."""
    old = geo.old_wards()
    assert len({ward.name for ward in old}) == 34
    assert {ward.name for ward in old if ward.split} == {"Linh Đông", "Linh Tây", "Long Thạnh Mỹ", "An Phú"}
    assert {code for ward in old for code in ward.into} == {ward.code for ward in geo.wards()}
    assert [ward.name for ward in geo.became("An Phú")] == ["Bình Trưng", "An Khánh"]
    assert geo.became("Bến Nghé") == ()


@pytest.mark.parametrize(
    ("day", "key"), [(date(2025, 6, 30), "before-2025"), (date(2025, 7, 1), "2025"), (date(2030, 1, 1), "2025")]
)
def test_edition_on_a_day(day: date, key: str) -> None:
    """The new edition starts on 1 July 2025."""
    assert geo.edition_on(day).key == key


def test_roads_walk_keeps_the_step() -> None:
    """Points along a road lie on it at the step asked for, across the bends."""
    assert 200_000 < sum(road.length for road in geo.roads()) < 215_000
    longest = max(geo.roads(), key=lambda road: road.length)
    points = longest.walk(33.0)
    assert len(points) == int(longest.length // 33) + 1
    assert max(metres(a, b) for a, b in pairwise(points)) <= 33.01


def test_geojson_holds_every_ward_and_road() -> None:
    """The builders carry all 12 wards by code and all centre lines in one feature."""
    assert {feature["id"] for feature in geo.wards_geojson()["features"]} == {ward.code for ward in geo.wards()}
    (feature,) = geo.roads_geojson()["features"]
    assert len(feature["geometry"]["coordinates"]) == len(geo.roads()) == 209
