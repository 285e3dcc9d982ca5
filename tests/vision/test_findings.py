"""What rules counted and found in a real TimescaleDB: with the frames it was found on, each figure once, no half minutes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta

import pytest

from ioc.camera_rules import CameraRule
from ioc.db.camera_flow import MINUTE, add_flows, flows_of
from ioc.db.pool import Connection
from ioc.errors import StorageError
from tests.vision.film import ASPECT, START, Actor, every, scene, straight, watch_by
from tests.vision.test_rules import make, people
from vision.findings import Findings
from vision.rules.camera import CameraWatch, Outcome
from vision.scene import Scene
from vision.store import write_scenes

#: A vehicle goes down over the line at 5, 15, 25 … seconds.
TRAFFIC = [Actor(straight(0.5, 0.35, 0, 0.05, begin=10 * number, end=10 * number + 9.5)) for number in range(30)]
RULES = [make("line", 7), make("zone", 8, classes=("person",))]


def work(
    connection: Connection,
    watch: CameraWatch,
    actors: Sequence[Actor],
    times: Sequence[float],
    camera: str,
    batch: int = 50,
) -> None:
    """A worker looks at frames, and stores them in batches."""
    pairs = [(shown, watch.look(shown, ASPECT)) for shown in (scene(time, actors, camera) for time in times)]
    for first in range(0, len(pairs), batch):
        part = pairs[first : first + batch]
        write_scenes(connection, [shown for shown, _ in part], Findings([one for _, one in part if one is not None]))


def figures(connection: Connection, camera: str, measure: str) -> dict[float, float]:
    """Value by seconds since `START`."""
    rows = connection.execute(
        "SELECT time, value FROM reading WHERE device = %s AND measure = %s ORDER BY time", (camera, measure)
    ).fetchall()
    return {(time - START).total_seconds(): value for time, value in rows}


def crossings(connection: Connection, camera: str, minute: int) -> tuple[int, float]:
    """Vehicles counted by the line in a minute, and the seconds it watched."""
    flows = flows_of(connection, camera, START + minute * MINUTE, START + (minute + 1) * MINUTE)
    own = [flow for flow in flows if flow.rule == 7]
    return sum(flow.forward for flow in own), sum(flow.watched_s for flow in own if not flow.label)


def test_figures_of_whole_minutes(connection: Connection, topic: str) -> None:
    """Six vehicles a minute and two people: said at the end of each whole minute, and of no other."""
    work(connection, watch_by(*RULES, camera=topic), [*TRAFFIC, *people(2)], every(0.1, 200, 30.0), topic)
    assert figures(connection, topic, "intensity") == {120: 6, 180: 6}
    assert figures(connection, topic, "peopleCount") == {120: pytest.approx(2), 180: pytest.approx(2)}
    assert figures(connection, topic, "occupancy") == {}
    assert crossings(connection, topic, 1) == (6, pytest.approx(60))
    assert crossings(connection, topic, 0) == (3, pytest.approx(30, abs=0.2))
    ((latest,),) = connection.execute(
        "SELECT value FROM latest WHERE device = %s AND measure = 'intensity'", (topic,)
    ).fetchall()
    assert latest == 6


@pytest.mark.parametrize(("away", "whole"), [(1.5, True), (6.0, False)])
def test_a_worker_that_is_replaced_within_the_minute(
    connection: Connection, topic: str, away: float, whole: bool
) -> None:
    """Back at once: the minute is whole, counted by two. Away for seconds: it is left out, and its row says what was seen."""
    work(connection, watch_by(*RULES, camera=topic), TRAFFIC, every(0.1, 88, 0.0), topic)
    work(connection, watch_by(*RULES, camera=topic), TRAFFIC, every(0.1, 190, 88 + away), topic)
    seen = figures(connection, topic, "intensity")
    assert seen == ({60: 6, 120: 6, 180: 6} if whole else {60: 6, 180: 6})
    # A killed worker takes a second of counting with it at most.
    assert 60 - away - 1.3 <= crossings(connection, topic, 1)[1] <= 60 - away + 0.2


def test_handed_in_again_adds_nothing(connection: Connection, topic: str) -> None:
    """The commit's answer was lost, and all of it comes once more."""
    watch = watch_by(*RULES, camera=topic)
    pairs = [(shown, watch.look(shown, ASPECT)) for shown in (scene(t, TRAFFIC, topic) for t in every(0.1, 130))]
    for first in range(0, len(pairs), 37):
        scenes = [shown for shown, _ in pairs[first : first + 37]]
        findings = Findings([one for _, one in pairs[first : first + 37] if one is not None])
        assert write_scenes(connection, scenes, findings) == scenes
        assert write_scenes(connection, scenes, findings) == []
    assert crossings(connection, topic, 0) == (6, pytest.approx(60, abs=0.2))
    assert figures(connection, topic, "intensity") == {60: 6, 120: 6}


def test_two_workers_at_one_camera_are_not_believed(connection: Connection, topic: str) -> None:
    """Both see the same traffic, by turns: twice the vehicles. The minute has more seconds than a minute, so no figure."""
    watches = [watch_by(*RULES, camera=topic) for _ in range(2)]
    scenes = [scene(time, TRAFFIC, topic) for time in every(0.1, 130)]
    outcomes = [watches[number % 2].look(shown, ASPECT) for number, shown in enumerate(scenes)]
    for first in range(0, len(scenes), 50):
        part = [outcome for outcome in outcomes[first : first + 50] if outcome is not None]
        write_scenes(connection, scenes[first : first + 50], Findings(part))
    assert crossings(connection, topic, 1)[1] > 100
    assert figures(connection, topic, "intensity") == {}


def test_a_transaction_that_fails_leaves_nothing(connection: Connection, topic: str) -> None:
    """The finding goes with the frame it was found on."""
    watch = watch_by(make("crowd", people=2, seconds=5), camera=topic)
    outcomes: list[Outcome] = []
    scenes: list[Scene] = []
    for time in every(0.2, 8):
        scenes.append(scene(time, people(3), topic))
        outcome = watch.look(scenes[-1], ASPECT)
        assert outcome is not None
        outcomes.append(outcome)

    class Broken(Findings):
        def __call__(self, connection: Connection, fresh: Sequence[Scene], before: object) -> list[object]:  # type: ignore[override]
            super().__call__(connection, fresh, before)  # type: ignore[arg-type]
            raise StorageError("lost at the last moment")

    with pytest.raises(StorageError):
        write_scenes(connection, scenes, Broken(outcomes))
    assert figures(connection, topic, "crowded") == {}
    assert flows_of(connection, topic, START, START + MINUTE) == []
    write_scenes(connection, scenes, Findings(outcomes))
    ((found, value),) = figures(connection, topic, "crowded").items()
    assert (found, value) == (pytest.approx(5, abs=1), 1)


def test_a_rule_that_was_changed_leaves_its_minute_out(connection: Connection, topic: str) -> None:
    """The line was redrawn: the minute is of neither, and both versions keep what they counted."""
    watch = watch_by(*RULES, camera=topic)
    work(connection, watch, TRAFFIC, every(0.1, 90), topic)
    line = CameraRule(7, "cam-1", "line", "khác", ((0.0, 0.55), (1.0, 0.55)), (), {}, 2)
    watch.follow([line, RULES[1]])
    work(connection, watch, TRAFFIC, every(0.1, 190, 90.0), topic)
    assert figures(connection, topic, "intensity") == {60: 6, 180: 6}
    flows = flows_of(connection, topic, START + MINUTE, START + 2 * MINUTE)
    assert {flow.version for flow in flows if flow.rule == 7} == {1, 2}


def test_late_and_lost_frames_count_for_nothing(connection: Connection, topic: str) -> None:
    """Any frames missing, any batches: what is stored is what the frames that are stored say, and never more than there was."""
    dice = random.Random(11)
    watch = watch_by(*RULES, camera=topic)
    times = [time for time in every(0.1, 130) if dice.random() > 0.2]
    work(connection, watch, TRAFFIC, times, topic, batch=53)
    assert figures(connection, topic, "intensity") == {60: 6, 120: 6}
    assert crossings(connection, topic, 1)[1] == pytest.approx(60)


def test_speed_dwell_and_occupancy_are_figures_too(connection: Connection, topic: str) -> None:
    """A road of 20 m: vehicles cross it at 5 % of the picture a second, 10 s each; a zone is a third covered."""
    rules = [
        make("ground", 1, points=((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), width=20.0, length=40.0),
        make("zone", 2, points=((0.0, 0.45), (1.0, 0.45), (1.0, 0.7), (0.0, 0.7))),
        make("congestion", 3, points=((0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8))),
    ]
    work(connection, watch_by(*rules, camera=topic), TRAFFIC, every(0.1, 125), topic)
    # 5 % of 40 m a second is 2 m/s.
    assert list(figures(connection, topic, "averageVehicleSpeed").values()) == pytest.approx([7.2, 7.2], abs=0.3)
    assert list(figures(connection, topic, "averageDwellTime").values()) == pytest.approx([5.0, 5.0], abs=0.5)
    (first, second) = figures(connection, topic, "occupancy").values()
    assert first == pytest.approx(second, abs=0.002)
    # A box of a tenth of the height and 0.056 of the width, on 0.36 of the picture, nearly all the time.
    assert first == pytest.approx(0.1 * 0.05625 / 0.36, rel=0.25)


def test_flows_of_one_key_add_up(connection: Connection, topic: str) -> None:
    """In whatever transactions they come; the most is the most."""
    watch = watch_by(make("zone", 9), camera=topic)
    flows = [
        flow
        for time in every(0.1, 20)
        if (outcome := watch.look(scene(time, people(2), topic), ASPECT)) is not None
        for flow in outcome.flows
    ]
    for flow in flows:
        with connection.transaction():
            add_flows(connection, [flow])
    (whole,) = [
        flow for flow in flows_of(connection, topic, START, START + timedelta(hours=1)) if flow.rule == 9 and flow.label
    ]
    assert whole.most == 2
    assert whole.seconds == pytest.approx(sum(flow.seconds for flow in flows if flow.rule == 9 and flow.label))
