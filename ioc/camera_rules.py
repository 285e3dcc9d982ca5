"""What people draw into a camera's picture: lines, zones and the ground, and the kinds of rule there are, one row each.

Pages draw and edit them, `ioc.db.camera_rules` keeps them, the vision workers follow them.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final, Literal

import msgspec

from ioc.catalog import VISION_CLASSES, Label
from ioc.errors import FormError

#: A point of the picture: fractions of its width and height from the upper left corner, 0-1.
Point = tuple[float, float]
#: `line`: two points. `zone`: a polygon. `quad`: the four corners, in order, of a rectangle that lies on the ground.
Shape = Literal["line", "zone", "quad"]

VEHICLES: Final = ("motorbike", "car", "bus", "truck", "bicycle")
NAME_AT_MOST: Final = 200
#: Corners of a zone.
POINTS_AT_MOST: Final = 20
#: A line, or a side of the ground, is at least so long, in fractions of the picture; a zone's area is at least its square.
SMALLEST: Final = 0.02
#: Corners of the ground that turn by less lie on one line: twice the area of their triangle.
_STRAIGHT: Final = 1e-4
#: At these rates people, and vehicles, can be followed from frame to frame; on rarer ones a vehicle is taken for the next behind
#: it. What asks where they came from runs from here on, and rests below this share of it: what comes at about the rate would
#: have it come and go.
PEOPLE_FPS: Final = 2.0
VEHICLES_FPS: Final = 5.0
RESTS: Final = 0.85
#: Rarer frames say nothing of what was between them: each would be the first.
SEEN_FPS: Final = 0.1


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """One number that a rule of a kind has; `least` and `most` are allowed themselves."""

    key: str
    label: Label
    unit: str
    default: float
    least: float
    most: float


class RuleKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of rule.

    Attributes:
        settings: the numbers it has.
        classes: the classes of `ioc.catalog.VISION_CLASSES` it looks at where a rule names none.
        choices: the classes a rule may name.
        follows: it asks where objects came from; on frames too rare to follow them what it would say would be wrong.
        measure: of the camera, that it finds; of several rules the numbers add up, the states are the worst. "" = it only counts.
    """

    key: str
    label: Label
    shape: Shape
    settings: tuple[Setting, ...] = ()
    classes: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    follows: bool = False
    measure: str = ""

    def followed_fps(self, classes: tuple[str, ...] = ()) -> float:
        """Frames a second on which these classes can be followed; () = those it looks at where a rule names none."""
        return PEOPLE_FPS if (classes or self.classes) == ("person",) else VEHICLES_FPS

    def least_fps(self, classes: tuple[str, ...] = ()) -> float:
        """Frames a second that it needs."""
        return self.followed_fps(classes) if self.follows else SEEN_FPS


def _seconds(default: float, least: float, vi: str, en: str) -> Setting:
    return Setting(key="seconds", label=Label(vi, en), unit="s", default=default, least=least, most=3600)


RULE_KINDS: Final[dict[str, RuleKind]] = {
    kind.key: kind
    for kind in (
        # Forward is from the left of the line to its right, as seen going from its first point to its second.
        RuleKind(
            key="line",
            label=Label("Vạch đếm", "Counting line"),
            shape="line",
            classes=tuple(VISION_CLASSES),
            choices=tuple(VISION_CLASSES),
            follows=True,
        ),
        # Where they cannot be followed it counts, and says nothing of how long anything stayed.
        RuleKind(
            key="zone",
            label=Label("Vùng đếm", "Counting zone"),
            shape="zone",
            classes=tuple(VISION_CLASSES),
            choices=tuple(VISION_CLASSES),
        ),
        RuleKind(
            key="stopped",
            label=Label("Xe dừng", "Stopped vehicle"),
            shape="zone",
            measure="stoppedVehicles",
            # Longer than a red light.
            settings=(_seconds(120, 5, "Dừng lâu hơn", "Stopped for longer than"),),
            classes=VEHICLES,
            choices=VEHICLES,
        ),
        # Wrong is backward over the line: from its right to its left.
        RuleKind(
            key="wrong_way",
            label=Label("Đi ngược chiều", "Wrong way"),
            shape="line",
            measure="wrongWayVehicles",
            settings=(_seconds(60, 10, "Báo trong", "Reported for"),),
            classes=VEHICLES,
            choices=VEHICLES,
            follows=True,
        ),
        RuleKind(
            key="congestion",
            label=Label("Ùn tắc", "Congestion"),
            shape="zone",
            measure="congested",
            settings=(
                Setting(
                    key="occupancy",
                    label=Label("Độ chiếm đường từ", "Occupancy from"),
                    unit="1",
                    default=0.5,
                    least=0.05,
                    most=0.95,
                ),
                # Said of metres where the ground is known; elsewhere vehicles that hardly leave their place are slow.
                Setting(
                    key="speed",
                    label=Label("Tốc độ dưới", "Speed below"),
                    unit="km/h",
                    default=10,
                    least=1,
                    most=60,
                ),
                _seconds(60, 5, "Kéo dài", "For longer than"),
            ),
            classes=VEHICLES,
            choices=VEHICLES,
        ),
        RuleKind(
            key="crowd",
            label=Label("Đám đông", "Crowd"),
            shape="zone",
            measure="crowded",
            settings=(
                Setting(
                    key="people",
                    label=Label("Số người từ", "People from"),
                    unit="people",
                    default=20,
                    least=1,
                    most=500,
                ),
                # Judged as well where the ground is known.
                Setting(
                    key="density",
                    label=Label("Mật độ từ", "Density from"),
                    unit="people/m²",
                    default=2,
                    least=0.05,
                    most=10,
                ),
                _seconds(30, 5, "Kéo dài", "For longer than"),
            ),
            classes=("person",),
            choices=("person",),
        ),
        RuleKind(
            key="loitering",
            label=Label("Nán lại", "Loitering"),
            shape="zone",
            measure="loiteringPeople",
            settings=(_seconds(180, 5, "Ở lại lâu hơn", "Stays for longer than"),),
            classes=("person",),
            choices=("person",),
            follows=True,
        ),
        # Whatever moves over it gets a speed.
        RuleKind(
            key="ground",
            label=Label("Mặt đường", "Ground"),
            shape="quad",
            settings=(
                Setting(
                    key="width",
                    label=Label("Điểm 1 đến điểm 2, và 4 đến 3", "Point 1 to point 2, and 4 to 3"),
                    unit="m",
                    default=3.5,
                    least=0.5,
                    most=500,
                ),
                Setting(
                    key="length",
                    label=Label("Điểm 2 đến điểm 3, và 1 đến 4", "Point 2 to point 3, and 1 to 4"),
                    unit="m",
                    default=10,
                    least=0.5,
                    most=500,
                ),
            ),
            follows=True,
        ),
    )
}


class CameraRule(msgspec.Struct, frozen=True):
    """One rule of one camera.

    Attributes:
        id: 0 as long as it is not kept.
        kind: a key of `RULE_KINDS`.
        points: as its kind's shape asks.
        classes: what it looks at; () = what its kind does.
        settings: what differs from its kind's defaults.
        version: counts its changes; a change names the version that it changes.
    """

    id: int
    camera: str
    kind: str
    name: str
    points: tuple[Point, ...]
    classes: tuple[str, ...] = ()
    settings: dict[str, float] = {}
    version: int = 0

    def check(self) -> None:
        """Raise unless it can be followed.

        Raises:
            FormError: by field, `kind`, `name`, `points`, `classes` or a setting's key: what is wrong with it.
        """
        kind = RULE_KINDS.get(self.kind)
        if kind is None:
            raise FormError({"kind": "rule_kind"})
        faults = {}
        name = self.name.strip()
        if not name or not name.isprintable():
            faults["name"] = "empty"
        elif len(name) > NAME_AT_MOST:
            faults["name"] = "long"
        if shape := _fault_of_shape(kind.shape, self.points):
            faults["points"] = shape
        if set(self.classes) - set(kind.choices) or len(set(self.classes)) < len(self.classes):
            faults["classes"] = "classes"
        known = {setting.key: setting for setting in kind.settings}
        for key, value in self.settings.items():
            if key not in known:
                faults[key] = "setting"
            elif not known[key].least <= value <= known[key].most:
                faults[key] = "limits"
        if faults:
            raise FormError(faults)

    def looks_at(self) -> tuple[str, ...]:
        """The classes it looks at."""
        return self.classes or RULE_KINDS[self.kind].classes

    def setting(self, key: str) -> float:
        """One of its numbers, or its kind's default."""
        if key in self.settings:
            return self.settings[key]
        return next(setting.default for setting in RULE_KINDS[self.kind].settings if setting.key == key)


def _fault_of_shape(shape: Shape, points: tuple[Point, ...]) -> str | None:
    if not all(len(point) == 2 and all(0 <= share <= 1 for share in point) for point in points):
        return "outside"
    wanted = {"line": (2, 2), "zone": (3, POINTS_AT_MOST), "quad": (4, 4)}[shape]
    if not wanted[0] <= len(points) <= wanted[1]:
        return f"points_{shape}"
    sides = list(pairwise(points if shape == "line" else (*points, points[0])))
    # A corner that comes twice is seen as a crossing from some corners only.
    if any(math.dist(*side) < (0.001 if shape == "zone" else SMALLEST) for side in sides):
        return "small"
    if shape == "line":
        return None
    if any(_cross(*one, *other) for at, one in enumerate(sides) for other in sides[at + 2 :] if other[1] != one[0]):
        return "crossed"
    if abs(area(points)) < SMALLEST**2:
        return "small"
    turns = [_turn(a, b, c) for (a, b), (_, c) in pairwise([*sides, sides[0]])]
    if shape == "quad" and not (min(turns) > _STRAIGHT or max(turns) < -_STRAIGHT):
        return "convex"
    return None


def area(points: tuple[Point, ...]) -> float:
    """The area of a polygon, of its sense of turning: positive when its corners follow each other clockwise on the screen."""
    return sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairwise((*points, points[0]))) / 2


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two stretches meet, touching included."""
    one, two, three, four = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if one == two == three == four == 0:
        return all(max(min(a[i], b[i]), min(c[i], d[i])) <= min(max(a[i], b[i]), max(c[i], d[i])) for i in (0, 1))
    return one * two <= 0 and three * four <= 0
