"""Camera truth on real footage: nothing is said of a camera that is well, and what is wrong with one is told apart."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from ioc.catalog import PICTURE_STATES
from tests.material import need
from tests.vision.street_footage import (
    Spoil,
    blurred,
    exposed,
    frames_a_second,
    jpeg,
    lamplit,
    pictures,
    rained_on,
    read,
    to_and_fro,
    warped,
    with_bus,
    with_clock,
)
from vision.boxes import Image
from vision.look import Look, look_at
from vision.truth import FROZEN_S, LATE_S, CameraTruth, Held
from vision.view import View, compare, pack, unpack

EVERY_S = 2.0
VIDEOS = ("vtest.avi", "car-detection.mp4")


class Street(NamedTuple):
    """A video: a few of its pictures, and the view a camera has learnt from it."""

    found: list[Image]
    view: View


def learnt(name: str) -> Street:
    file = need(name)
    found = pictures(file)
    truth = CameraTruth()
    for number, picture in enumerate(islice(to_and_fro(found), 60)):
        truth.look(look_at(jpeg(picture), number * EVERY_S))
    assert truth.view is not None
    return Street(found, truth.view)


@pytest.fixture(scope="module")
def street() -> Street:
    return learnt("vtest.avi")


@pytest.fixture(scope="module")
def cars() -> Street:
    return learnt("car-detection.mp4")


def judge(truth: CameraTruth, looks: Iterable[Look]) -> dict[str, float]:
    """What was said, and how long after the first look it was said first."""
    said: dict[str, float] = {}
    begin = None
    for look in looks:
        begin = look.time if begin is None else begin
        state = truth.look(look).state
        if state != "ok":
            said.setdefault(state, look.time - begin)
    return said


def looks(
    street: Street, spoil: Spoil, count: int, start: float = 1000.0, quality: Callable[[], int] = lambda: 80
) -> Iterator[Look]:
    for number, picture in enumerate(islice(to_and_fro(street.found), 7, 7 + count)):
        yield look_at(jpeg(spoil(picture), quality()), start + number * EVERY_S)


def as_it_is(picture: Image) -> Image:
    return picture


@pytest.mark.parametrize("name", VIDEOS)
def test_truth_says_nothing_of_the_whole_footage(name: str) -> None:
    """Every second picture of the video, to and fro until it has lasted four minutes: no false alarm, and it learns."""
    file = need(name)
    step_s = 2 / frames_a_second(file)
    coded = [jpeg(picture) for number, picture in enumerate(read(file)) if number % 2 == 0]
    truth = CameraTruth()
    shown = islice(to_and_fro(coded), round(240 / step_s))
    said = judge(truth, (look_at(one, number * step_s) for number, one in enumerate(shown)))
    assert said == {}
    assert truth.view is not None


@pytest.mark.parametrize(
    "spoil",
    [
        exposed(0.5), exposed(1.6), exposed(0.2, 4), exposed(1.0, 5), exposed(0.35, 3), rained_on(200), rained_on(600),
        blurred(0.45), warped(right=0.004, down=0.004), warped(turn=0.7),
    ],
    ids=["darker", "brighter", "night", "noise", "dusk", "rain", "downpour", "haze", "swaying", "leaning"],
)  # fmt: skip
def test_truth_bears_light_weather_and_a_swaying_pole(street: Street, spoil: Spoil) -> None:
    """Nothing of this is the camera's fault."""
    assert judge(CameraTruth(street.view), looks(street, spoil, 40)) == {}


@pytest.mark.parametrize("light", [exposed(0.5), exposed(0.3, 3), rained_on(200)], ids=["darker", "dusk", "rain"])
def test_truth_bears_light_over_bare_asphalt(cars: Street, light: Spoil) -> None:
    """A camera that looks down has little but asphalt in its picture."""
    assert judge(CameraTruth(cars.view), looks(cars, light, 40)) == {}


def test_truth_bears_day_turning_into_dusk(street: Street) -> None:
    """The light goes within a quarter of an hour, the noise comes."""
    truth, coming = CameraTruth(street.view), to_and_fro(street.found)
    for number in range(120):
        gone = number / 120
        picture = exposed(1 - 0.85 * gone, 5 * gone, seed=number)(next(coming))
        assert truth.look(look_at(jpeg(picture), number * 8.0)).state == "ok"


@pytest.mark.parametrize("name", VIDEOS)
def test_truth_bears_street_lamps(name: str) -> None:
    """The light goes within forty minutes and narrow pools of it remain."""
    place = learnt(name)
    truth, coming = CameraTruth(place.view), to_and_fro(place.found)
    for number in range(120):
        spoil = lamplit(min(1.0, number / 100), seed=number)
        assert truth.look(look_at(jpeg(spoil(next(coming))), number * 24.0)).state == "ok"


def test_truth_blurred_under_street_lamps(street: Street) -> None:
    """Out of focus in the night, against the view of the day."""
    said = judge(CameraTruth(street.view), looks(street, lambda one: blurred(2)(lamplit(1.0)(one)), 30))
    assert set(said) == {"blurred"}


def test_truth_bears_another_compression_each_time(street: Street) -> None:
    """Rate control changes the quality from picture to picture."""
    dice = random.Random(3)
    assert judge(CameraTruth(street.view), looks(street, as_it_is, 60, quality=lambda: dice.randint(25, 95))) == {}


def test_truth_quiet_night_is_not_frozen(street: Street) -> None:
    """Nothing moves for two minutes; only the noise of the sensor says that the camera lives."""
    night = street.found[0]
    for noise in (1.0, 3.0):
        dim = exposed(0.25, noise)
        said = judge(CameraTruth(), (look_at(jpeg(dim(night), 60), number * EVERY_S) for number in range(60)))
        assert said == {}


def test_truth_bus_is_no_other_view(street: Street) -> None:
    """One drives through the picture again and again, one stands in it for two minutes."""
    passing = (look_at(jpeg(with_bus(p, number % 8 / 4 - 0.6)), number * EVERY_S) for number, p in enumerated(street))
    assert judge(CameraTruth(street.view), passing) == {}
    standing = (look_at(jpeg(with_bus(p, 0.1, 0.45)), number * EVERY_S) for number, p in enumerated(street))
    assert judge(CameraTruth(street.view), standing) == {}


def enumerated(street: Street) -> Iterator[tuple[int, Image]]:
    return enumerate(islice(to_and_fro(street.found), 60))


@pytest.mark.parametrize(
    "push",
    [
        warped(right=0.03), warped(down=0.03), warped(right=-0.03, down=0.03), warped(right=0.10), warped(down=-0.10),
        warped(right=0.1, down=0.1), warped(turn=5), warped(turn=-5), warped(turn=10), warped(zoom=1.2), warped(zoom=1.5),
    ],
    ids=["3%", "3% down", "3% both", "10%", "10% up", "10% both", "5 deg", "-5 deg", "10 deg", "zoom 1.2", "zoom 1.5"],
)  # fmt: skip
def test_truth_moved(street: Street, push: Spoil) -> None:
    """The view is shifted, turned or zoomed: said within half a minute, and nothing else is."""
    truth = CameraTruth(street.view)
    assert judge(truth, looks(street, as_it_is, 10)) == {}
    said = judge(truth, looks(street, push, 30, start=1020.0))
    assert set(said) == {"moved"}
    assert said["moved"] <= 30
    back = list(looks(street, as_it_is, 30, start=1080.0))
    assert [truth.look(look).state for look in back][-1] == "ok"


@pytest.mark.parametrize("sigma", [1.25, 2, 4, 8])
def test_truth_blurred(street: Street, cars: Street, sigma: float) -> None:
    """Out of focus against its own view: said within half a minute, and nothing else is; then sharp again."""
    for place in (street, cars):
        truth = CameraTruth(place.view)
        assert judge(truth, looks(place, as_it_is, 10)) == {}
        said = judge(truth, looks(place, blurred(sigma), 30, start=1020.0))
        assert set(said) == {"blurred"}
        assert said["blurred"] <= 30
        assert [truth.look(look).state for look in looks(place, as_it_is, 30, start=1080.0)][-1] == "ok"


def same_again(street: Street) -> Iterator[bytes]:
    while True:
        yield jpeg(street.found[5])


def with_running_clock(street: Street) -> Iterator[bytes]:
    for number in range(10_000):
        yield jpeg(with_clock(street.found[5], number * EVERY_S))


def recoded_with_clock(street: Street) -> Iterator[bytes]:
    dice = random.Random(5)
    for number in range(10_000):
        yield jpeg(with_clock(street.found[5], number * EVERY_S), dice.choice((60, 75, 90)))


def recoded_anyhow(street: Street) -> Iterator[bytes]:
    dice = random.Random(6)
    for number in range(10_000):
        yield jpeg(with_clock(street.found[5], number * EVERY_S), dice.randint(70, 95))


@pytest.mark.parametrize(
    ("stuck", "most_s"),
    [(same_again, FROZEN_S), (with_running_clock, FROZEN_S), (recoded_with_clock, FROZEN_S + 4), (recoded_anyhow, 60)],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_truth_frozen(street: Street, stuck: Callable[[Street], Iterator[bytes]], most_s: float) -> None:
    """The same picture: as it was, with a clock that runs on, encoded anew; since when it stood is known. Then it lives."""
    truth = CameraTruth(street.view)
    assert judge(truth, looks(street, as_it_is, 10)) == {}
    begin = 1020.0
    still = [look_at(one, begin + number * EVERY_S) for number, one in enumerate(islice(stuck(street), 45))]
    said = judge(truth, still)
    assert set(said) == {"frozen"}
    assert said["frozen"] <= most_s + EVERY_S
    found = truth.look(look_at(next(stuck(street)), begin + 92))
    assert (found.state, found.since) == ("frozen", begin)
    states = [truth.look(look).state for look in looks(street, as_it_is, 6, start=begin + 94)]
    assert states[-1] == "ok"


def night_cap(noise: float) -> Spoil:
    dice = np.random.default_rng(7)
    return lambda picture: np.clip(dice.normal(14, noise, picture.shape), 0, 255).astype(np.uint8)


def hand(picture: Image) -> Image:
    shade = np.linspace(104, 112, picture.shape[1])[None, :, None]
    return np.clip(
        np.broadcast_to(shade, picture.shape) + np.random.default_rng(8).normal(0, 4, picture.shape), 0, 255
    ).astype(np.uint8)


@pytest.mark.parametrize(
    "cover",
    [
        lambda picture: np.zeros_like(picture),
        night_cap(3),
        night_cap(10),
        lambda picture: with_clock(night_cap(6)(picture), 77),
        hand,
    ],
    ids=["nothing", "cap", "noisy cap", "cap with a clock", "hand"],
)
def test_truth_black(street: Street, cover: Spoil) -> None:
    """No light, a lens cap with noise and a clock on it, a hand: said within ten seconds, whatever else might be said of it."""
    truth = CameraTruth(street.view)
    assert judge(truth, looks(street, as_it_is, 10)) == {}
    said = judge(truth, looks(street, cover, 40, start=1020.0))
    assert set(said) == {"black"}
    assert said["black"] <= 10
    assert [truth.look(look).state for look in looks(street, as_it_is, 30, start=1100.0)][-1] == "ok"


def test_truth_late_has_hysteresis(street: Street) -> None:
    """Behind for a moment is nothing; behind for long is late, since it began; in time again is well."""
    truth = CameraTruth(street.view)

    def come(behind_s: float, start: float, count: int) -> list[str]:
        found = islice(to_and_fro(street.found), count)
        return [
            truth.look(look_at(jpeg(p), start + number * EVERY_S, behind_s)).state for number, p in enumerate(found)
        ]

    assert set(come(0.5, 0, 5)) == {"ok"}
    assert set(come(LATE_S + 5, 10, 4)) == {"ok"}
    assert set(come(1, 18, 5)) == {"ok"}
    assert come(LATE_S + 5, 28, 12)[-1] == "late"
    assert come(1, 52, 3)[0] == "late"
    assert come(1, 58, 8)[-1] == "ok"


def test_truth_accepts_a_new_view(street: Street) -> None:
    """A technician turned the camera on purpose: it is well at once, and the new view is learnt and kept watch over."""
    truth, push = CameraTruth(street.view), warped(right=0.1)
    judge(truth, looks(street, push, 30))
    assert truth.look(next(looks(street, push, 1, start=1062.0))).state == "moved"
    truth.accept()
    assert judge(truth, looks(street, push, 60, start=1064.0)) == {}
    assert truth.view is not None
    assert compare(street.view, truth.view).moved > 10
    assert set(judge(truth, looks(street, as_it_is, 30, start=1190.0))) == {"moved"}


def test_truth_survives_bad_pictures(street: Street) -> None:
    """One pixel, sizes that change, a hundred megapixels; half a picture and four billion pixels are refused as such."""
    truth = CameraTruth(street.view)
    large = jpeg(cv2.resize(street.found[0], (1920, 1440)))  # type: ignore[arg-type]
    small = jpeg(cv2.resize(street.found[0], (96, 72)))  # type: ignore[arg-type]
    huge = cv2.imencode(".jpg", np.zeros((10_000, 10_000), np.uint8))[1].tobytes()
    pixel = jpeg(np.full((1, 1, 3), 200, np.uint8))
    line = jpeg(np.full((1, 3000, 3), 90, np.uint8))
    for number, one in enumerate((pixel, large, small, huge, line, pixel, large) * 4):
        assert truth.look(look_at(one, number * 3.0)).state in PICTURE_STATES
    for broken in (large[: len(large) // 2], b"", b"\xff\xd8\xff", b"GIF89a", large[:30] + b"\0" * 500):
        with pytest.raises(ValueError, match=r".*"):
            look_at(broken, 0.0)
    head = bytearray(pixel)
    at = head.index(b"\xff\xc0") + 5
    head[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(ValueError, match=r".*"):
        look_at(bytes(head), 0.0)


def test_truth_size_change_is_no_other_view(street: Street) -> None:
    """The second stream of a camera, at half the size, shows the same."""

    def half(picture: Image) -> Image:
        return np.asarray(cv2.resize(picture, (192, 144), interpolation=cv2.INTER_AREA), np.uint8)

    assert judge(CameraTruth(street.view), looks(street, half, 30)) == {}


def test_truth_first_minutes_without_a_view(street: Street) -> None:
    """While it learns it calls nothing moved or blurred; black and frozen need no view."""
    truth = CameraTruth()
    assert judge(truth, looks(street, blurred(8), 20)) == {}
    assert truth.view is None
    assert set(judge(truth, looks(street, night_cap(3), 20, start=1040.0))) == {"black"}


def test_truth_hole_begins_anew(street: Street) -> None:
    """After an hour without pictures the old ones say nothing of the new."""
    truth = CameraTruth(street.view)
    one = jpeg(street.found[3])
    assert judge(truth, (look_at(one, number * 2.0) for number in range(14))) == {}
    assert judge(truth, (look_at(one, 3600 + number * 2.0) for number in range(14))) == {}


def test_view_is_stored_and_read_as_it_was(street: Street) -> None:
    """Packed and unpacked it compares as the same; other bytes are refused."""
    again = unpack(pack(street.view))
    found = compare(street.view, again)
    assert (found.same, found.moved) == (1.0, 0.0)
    assert found.sharpness == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match="a view of 3 bytes"):
        unpack(b"old")


def test_held_turns_only_when_it_lasts() -> None:
    """A flicker shorter than the delay changes nothing, in either direction; the turn is dated to where it began."""
    held = Held(10, 5)
    for time, holds, raised in (
        (0, True, False), (8, True, False), (9, False, False), (10, True, False), (19, True, False), (20, True, True),
        (21, False, True), (25, True, True), (26, False, True), (30, False, True), (31, False, False),
    ):  # fmt: skip
        held.update(holds, float(time))
        assert held.raised == raised
        if raised:
            assert held.since == 10
