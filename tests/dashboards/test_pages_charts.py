"""Charts, strips and timelines of the desk pages: gaps stay gaps, and a broken log says where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import plotly.graph_objects as go
import pytest

from dashboards.city import CityState
from dashboards.components.history_chart import Limit, Mark, history_chart, limits_of
from dashboards.components.strip import heard_strip, state_strip
from dashboards.components.timeline import chain_mark, openings, timeline
from dashboards.evidence import CAMERA_WITHIN_M, camera_near, metres
from ioc.alarms.log import Entry, follow, verify
from ioc.catalog import MEASURES
from ioc.db.readings import Point
from ioc.i18n import translator
from ioc.model import Device, DevicesChanged, DeviceState, FrameArrived

VI = translator("vi")
T0 = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def make_points(*minutes: int, value: float = 1.0) -> list[Point]:
    """One reading in each of these minutes."""
    return [Point(T0 + minute * MINUTE, value, value, value, 1) for minute in minutes]


def draw(measure: str, points: list[Point], **more: Any) -> dict[str, Any]:
    """A chart of one hour."""
    return history_chart(measure, points, T0, T0 + 60 * MINUTE, timedelta(seconds=15), VI, **more)


def test_chart_leaves_a_gap_where_nothing_came() -> None:
    """A line is not drawn over ten minutes of silence."""
    line = draw("waterLevel", make_points(0, 1, 11, 12))["data"][-1]
    assert line["y"] == [1.0, 1.0, None, 1.0, 1.0]
    assert line["connectgaps"] is False


def test_chart_of_a_quiet_device_has_no_gap_within_its_own_period() -> None:
    """What says something every ten minutes has not been silent for ten minutes."""
    line = draw("waterLevel", make_points(0, 10, 20, 55), attrs={"period_s": "600"})["data"][-1]
    assert line["y"] == [1.0, 1.0, 1.0, None, 1.0]


def test_chart_is_in_the_citys_time() -> None:
    """Two in the morning in Greenwich is nine in Thủ Đức."""
    assert draw("waterLevel", make_points(0))["data"][-1]["x"][0].startswith("2026-03-01 09:00")


def test_chart_draws_limits_and_marks() -> None:
    """The limit is a line across, the opening a line down."""
    layout = draw("waterLevel", make_points(0, 1), limits=[Limit(1.6, "ngưỡng", 1)], marks=[Mark(T0, "mở", "#fff")])[
        "layout"
    ]
    assert [(shape.get("y0"), shape.get("xref"), shape.get("yref")) for shape in layout["shapes"]] == [
        (1.6, "paper", None),
        (0, None, "paper"),
    ]


@pytest.mark.parametrize("measure", sorted(MEASURES))
def test_every_measure_makes_a_chart_that_plotly_takes(measure: str) -> None:
    """Whatever is declared can be drawn: plotly's own validators accept the figure."""
    low, high = MEASURES[measure].range
    drawn = draw(measure, make_points(0, 1, 2, value=min(high, max(low, 1.0))))
    assert len(go.Figure(drawn).data) >= 1


def test_fraction_is_drawn_in_percent() -> None:
    """0.75 of a road is 75 %."""
    drawn = draw("occupancy", make_points(0, value=0.75), limits=[Limit(0.6, "ngưỡng", 2)])
    assert drawn["data"][-1]["y"] == [75.0]
    assert drawn["layout"]["shapes"][0]["y0"] == pytest.approx(60.0)


def test_limits_far_from_the_values_are_left_out() -> None:
    """A limit far above would press the line flat."""
    row = MEASURES["voltageR"]
    assert limits_of(row, make_points(0, value=225.0), VI)[-1].value == 198
    assert all(limit.value != 100 for limit in limits_of(row, make_points(0, value=225.0), VI))


def make_log(*kinds: str, who: str = "system") -> list[Entry]:
    """A log with these entries a second apart."""
    log: list[Entry] = []
    for number, kind in enumerate(kinds):
        details = {"alarm": number, "rule": "jam", "device": "det-1", "value": 0.7}
        log.append(follow(log[-1] if log else None, 7, T0 + timedelta(seconds=number), kind, who, "", details))  # type: ignore[arg-type]
    return log


def test_timeline_folds_what_the_machine_repeats() -> None:
    """Thirty-one detections are one line that opens; what people do is never folded."""
    machine = timeline(make_log(*["detected"] * 31), {}, T0, VI).to_plotly_json()["props"]["children"]
    people = timeline(make_log(*["note"] * 31, who="An"), {}, T0, VI).to_plotly_json()["props"]["children"]
    assert (len(machine), len(people)) == (1, 31)
    assert "× 31" in str(machine[0])


def test_timeline_names_device_and_value() -> None:
    """An entry says what it is about in words."""
    said = str(timeline(make_log("detected"), {"det-1": "Đếm xe Cầu Sài Gòn"}, T0, VI))
    assert "Ùn tắc" in said
    assert "Đếm xe Cầu Sài Gòn" in said
    assert "70 %" in said


def test_state_strip_of_a_device_without_states_is_unknown_throughout() -> None:
    """A device that was only discovered has said nothing of itself."""
    strip = state_strip([], T0, T0 + 60 * MINUTE, VI).to_plotly_json()["props"]["children"]
    assert len(strip) == 1
    assert "s-unknown" in str(strip[0])


def test_chain_mark_says_which_entry_was_changed() -> None:
    """A log that somebody edited is not shown as good."""
    log = make_log("detected", "acknowledged", "closed")
    assert "✓" in str(chain_mark(log, verify(log), VI))
    log[1] = msgspec.structs.replace(log[1], who="somebody else")
    mark = str(chain_mark(log, verify(log), VI))
    assert "✕" in mark
    assert "Mục 2" in mark


def test_openings_are_the_values_that_opened() -> None:
    """Not those of a later return."""
    assert openings(make_log("detected", "returned")) == {0: 0.7}


def test_state_strip_begins_unknown() -> None:
    """Before the first word of a device nothing is known of it."""
    states = [DeviceState(T0 + 30 * MINUTE, "d", "offline", "lwt", T0)]
    parts = state_strip(states, T0, T0 + 60 * MINUTE, VI).children
    assert [part.className for part in parts] == ["part s-unknown", "part s-offline"]
    assert [part.style["flexGrow"] for part in parts] == [5000, 5000]


def test_state_strip_of_a_device_that_said_nothing() -> None:
    """It is unknown from end to end."""
    (part,) = state_strip([], T0, T0 + 60 * MINUTE, VI).children
    assert part.className == "part s-unknown"


def test_heard_strip_marks_quarter_hours_with_data() -> None:
    """A quarter of an hour without a record is empty, though the session was open."""
    parts = heard_strip({T0 + 15 * MINUTE: 3}, T0, T0 + 60 * MINUTE, 15 * MINUTE, VI).children
    assert [part.className.split()[-1] for part in parts] == ["s-nothing", "s-heard", "s-nothing", "s-nothing"]


def make_city(*cameras: tuple[str, float, float]) -> CityState:
    """A city with cameras that have just sent a frame."""
    city = CityState()
    for key, lat, lon in cameras:
        device = Device(key, "camera", key, lat, lon, "", "", "native", "", {}, "active", "online", T0, "", T0, None)
        city.fold(DevicesChanged([device]))
        city.fold(FrameArrived(key, T0))
    return city


def test_nearest_camera_with_a_picture_is_chosen() -> None:
    """Within its reach, the nearest; none when all are far or have shown nothing lately."""
    city = make_city(("far", 10.8030, 106.75), ("near", 10.8010, 106.75), ("away", 10.9, 106.75))
    found = camera_near(city, 10.8, 106.75, T0.timestamp() + 10)
    assert found is not None
    assert (found[0].id, round(found[1])) == ("near", 111)
    assert camera_near(city, 10.85, 106.75, T0.timestamp() + 10) is None
    assert camera_near(city, 10.8, 106.75, T0.timestamp() + 3600) is None


def test_metres_agree_with_the_sphere() -> None:
    """A hundredth of a degree of longitude at this latitude is 1,094 m."""
    assert metres(10.8, 106.75, 10.8, 106.76) == pytest.approx(1093.5, rel=1e-3)
    assert CAMERA_WITHIN_M == 500
