"""What follows from what the engine knows of the city."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.alarms.machine import apply, occurrence_of
from ioc.alarms.watch import WATCHES, outranking
from ioc.alarms.world import Decision, World
from ioc.catalog import KINDS, MEASURES, RULES
from ioc.model import Alarm, Device, DeviceState, Quality, Reading

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def make_device(name: str, kind: str, **fields: Any) -> Device:
    given = {
        "name": name, "lat": 10.8, "lon": 106.8, "ward": "26824", "parent": "", "dialect": "native", "firmware": "", "attrs": {},
        "status": "active", "state": "unknown", "state_time": None, "state_reason": "", "last_seen": None, "clock_skew_s": None,
    } | fields  # fmt: skip
    return Device(id=name, kind=kind, **given)


def make_reading(device: str, measure: str, value: float, second: float, late_s: float = 0) -> Reading:
    return Reading(at(second), device, measure, value, Quality.GOOD, at(second + late_s))


class Town:
    """A world whose decisions become true at once, as the ledger would make them."""

    def __init__(self, *devices: Device) -> None:
        self.world = World()
        self.world.listen(at(-1000))
        self.rows: list[Alarm] = []
        for device in devices:
            self.world.device(device)

    def says(self, device: str, measure: str, value: float, second: float, late_s: float = 0) -> None:
        """A reading arrives."""
        self.world.reading(make_reading(device, measure, value, second, late_s))

    def state(self, device: str, state: str, second: float) -> None:
        """A device says how it is."""
        self.world.state(DeviceState(at(second), device, state, "", at(second)))  # type: ignore[arg-type]

    def settle(self, second: float) -> list[tuple[str, str, str]]:
        """Carry out what is decided until nothing is; returns (event, rule, device) in order."""
        done = []
        for _ in range(10):
            decisions = self.world.decisions(at(second))
            if not decisions:
                return done
            for decision in decisions:
                done.append((decision.event, decision.rule, decision.device))
                self._carry_out(decision, at(second))
        raise AssertionError(f"decisions do not settle: {decisions}")

    def _carry_out(self, decision: Decision, now: datetime) -> None:
        key = (decision.rule, decision.device)
        alarm = self.world.alive.get(key)
        if alarm is None:
            if decision.event != "raise":
                return
            rule, measure = RULES[decision.rule]
            state = "suppressed" if decision.suppressed else "unacknowledged"
            alarm = Alarm(
                id=len(self.rows) + 1, rule=rule.key, device=decision.device, measure=measure, ward="", cause=rule.cause,
                priority=rule.priority, state=state, value=decision.value, limit=rule.limit, opened=now, changed=now, incident=1,
            )  # fmt: skip
            self.rows.append(alarm)
        else:
            alarm = self.move(alarm, decision.event, now)
        self.world.alarm(alarm)

    def move(self, alarm: Alarm, event: Any, now: datetime, until: datetime | None = None) -> Alarm:
        """The row after an event, as the ledger would write it."""
        after = apply(occurrence_of(alarm), event)
        return msgspec.structs.replace(
            alarm,
            state=after.state,
            changed=now,
            returned=None if after.active else alarm.returned or now,
            acknowledged=(alarm.acknowledged or now) if after.acknowledged else None,
            shelved_until=(until or alarm.shelved_until) if after.shelved else None,
        )

    def states(self) -> dict[tuple[str, str], str]:
        """States of the alarms that are alive, by rule and device."""
        return {key: alarm.state for key, alarm in self.world.alive.items()}


def make_street(lamps: int = 3) -> Town:
    below = (make_device(f"lamp-{n}", "streetlight", parent="cab") for n in range(lamps))
    town = Town(make_device("cab", "cabinet"), *below)
    for device in ("cab", *(f"lamp-{n}" for n in range(lamps))):
        town.state(device, "online", 0)
    return town


def test_raise_and_return() -> None:
    """A level above the alert opens an alarm once, and lets it return once."""
    town = Town(make_device("g", "flood_gauge"))
    for second, level in ((0, 1.45), (30, 1.45), (60, 1.45), (90, 1.46)):
        town.says("g", "waterLevel", level, second)
        expected = [("raise", "water_alert_1", "g")] if second == 60 else []
        assert town.settle(second) == expected
    town.says("g", "waterLevel", 1.2, 120)
    assert town.settle(120) == [("return", "water_alert_1", "g")]
    assert town.states() == {("water_alert_1", "g"): "returned_unacknowledged"}


def test_higher_level_suppresses_the_lower() -> None:
    """One alert a gauge is before the operator: the highest; the lower comes back when the water falls to it."""
    town = Town(make_device("g", "flood_gauge"))
    for second in range(0, 2000, 30):
        town.says("g", "waterLevel", min(1.30 + second * 0.0003, 1.65), second)
        town.settle(second)
    assert town.states() == {
        ("water_alert_1", "g"): "suppressed",
        ("water_alert_2", "g"): "suppressed",
        ("water_alert_3", "g"): "unacknowledged",
    }
    town.says("g", "waterLevel", 1.52, 2010)
    town.settle(2010)
    assert town.states()["water_alert_2", "g"] == "unacknowledged"
    assert town.states()["water_alert_1", "g"] == "suppressed"
    town.says("g", "waterLevel", 1.0, 2040)
    town.settle(2040)
    assert set(town.states().values()) == {"returned_unacknowledged"}
    assert ("water_alert_1", "g") not in town.states()


def test_outranking_by_limit() -> None:
    """Louder is higher for `above`, lower for `below`, and never another kind."""
    level = MEASURES["waterLevel"]
    by_key = {rule.key: outranking(level, rule) for rule in level.rules}
    assert by_key == {
        "water_alert_1": ("water_alert_2", "water_alert_3"),
        "water_alert_2": ("water_alert_3",),
        "water_alert_3": (),
        "water_rise": (),
    }
    voltage = MEASURES["voltageR"]
    assert {r.key: outranking(voltage, r) for r in voltage.rules} == {
        "supply_loss_r": (),
        "under_voltage_r": ("supply_loss_r",),
    }


def test_old_value_opens_nothing() -> None:
    """Back-fill, and what was last known before a start, are not about now."""
    town = Town(make_device("bin", "waste_bin"))
    town.says("bin", "binStatus", 5, 0, late_s=4000)
    assert town.settle(4000) == []
    town = Town(make_device("bin", "waste_bin"))
    town.world.listen(at(1500))
    town.says("bin", "binStatus", 5, 0)
    assert town.settle(1501) == []


def test_slow_clock_is_not_history() -> None:
    """A gauge whose clock is twenty minutes slow still warns, once it is plain that it speaks of now."""
    town = Town(make_device("g", "flood_gauge"))
    raised = []
    for step in range(10):
        town.says("g", "waterLevel", 1.55, 30 * step - 1200, late_s=1200 + step % 3)
        town.says("g", "batteryLevel", 0.9, 30 * step - 1200, late_s=1200 + step % 3)
        raised += town.settle(30 * step)
    assert ("raise", "water_alert_2", "g") in raised


def test_drained_queue_is_history_however_often_it_comes() -> None:
    """Back-fill at many times the pace of life opens nothing, between live readings neither."""
    town = Town(make_device("g", "flood_gauge"))
    for step in range(200):
        town.says("g", "waterLevel", 1.55, 30 * step - 9000, late_s=9000 - 29 * step)
        assert town.settle(step) == []
    town = Town(make_device("g", "flood_gauge"))
    for step in range(20):
        town.says("g", "waterLevel", 1.0, 30 * step)
        town.says("g", "waterLevel", 1.55, 30 * step - 3600, late_s=3600)
        assert town.settle(30 * step) == []


def test_never_online_is_not_lost() -> None:
    """A camera point without footage stays quiet however long it is offline."""
    town = Town(make_device("cam", "camera", state="offline", state_time=at(0)))
    town.state("cam", "offline", 5)
    assert town.settle(10_000) == []


def test_offline_after_its_delay() -> None:
    """Ten seconds of grace for a reconnect, then the camera is lost, until it is back."""
    town = Town(make_device("cam", "camera"))
    town.state("cam", "online", 0)
    town.state("cam", "offline", 5)
    assert town.settle(14) == []
    assert town.settle(15) == [("raise", "camera_offline", "cam")]
    town.state("cam", "online", 60)
    assert town.settle(60) == [("return", "camera_offline", "cam")]
    town.state("cam", "offline", 70)
    town.state("cam", "online", 79)
    assert town.settle(90) == []


def test_silent_after_five_periods_by_the_clock() -> None:
    """No message is needed to notice that none comes; one is, to end it."""
    town = Town(make_device("g", "flood_gauge"))
    town.says("g", "waterLevel", 0.5, 0)
    assert town.settle(149) == []
    assert town.settle(150) == [("raise", "flood_silent", "g")]
    assert town.settle(900) == []
    town.says("g", "rssi", -60, 901)
    assert town.settle(901) == [("return", "flood_silent", "g")]


def test_silence_of_a_device_with_a_period_of_its_own() -> None:
    """A device that reports every ten minutes is silent after five of those, whatever its kind's period is."""
    town = Town(make_device("g", "flood_gauge", attrs={"period_s": 600}))
    town.says("g", "waterLevel", 0.5, 0)
    assert town.settle(2900) == []
    assert town.settle(3000) == [("raise", "flood_silent", "g")]


def test_silence_of_a_device_that_speaks_of_events_alone_is_no_loss() -> None:
    """It is lost by its own word only; a silence that was alarmed before ends."""
    native = make_device("c", "camera")
    town = Town(native)
    town.says("c", "peopleCount", 1, 0)
    assert town.settle(50) == [("raise", "camera_silent", "c")]
    town.world.device(msgspec.structs.replace(native, dialect="onvif"))
    town.says("c", "peopleCount", 1, 60)
    assert town.settle(60) == [("return", "camera_silent", "c")]
    assert town.settle(90_000) == []
    town.state("c", "offline", 90_001)
    assert town.settle(90_011) == [("raise", "camera_offline", "c")]


def test_new_device_alarms_once_it_is_adopted() -> None:
    """Nobody could go to a device without a place; adopted, it is judged by what holds then."""
    town = Town(make_device("g", "flood_gauge", status="new"))
    town.says("g", "waterLevel", 1.9, 0)
    town.says("g", "waterLevel", 1.9, 60)
    assert town.settle(100) == []
    town.world.device(make_device("g", "flood_gauge"))
    assert ("raise", "water_alert_3", "g") in town.settle(101)


def test_silence_is_not_judged_while_nobody_listens() -> None:
    """With ingest away every device is unheard; that is our fault and no alarm. Nor is it an end of one."""
    town = Town(make_device("g", "flood_gauge"), make_device("h", "flood_gauge"))
    town.says("g", "waterLevel", 0.5, 0)
    assert town.settle(150) == [("raise", "flood_silent", "g")]
    town.says("h", "waterLevel", 0.5, 160)
    town.settle(160)
    town.world.listen(None)
    assert town.settle(5000) == []
    town.world.listen(at(5000))
    assert town.settle(5149) == []
    assert town.settle(5150) == [("raise", "flood_silent", "h")]
    assert town.states()["flood_silent", "g"] == "unacknowledged"


def test_silent_then_offline_is_one_loss() -> None:
    """When the last will comes after the silence, the silence is explained."""
    town = Town(make_device("g", "flood_gauge"))
    town.says("g", "waterLevel", 0.5, 0)
    town.settle(150)
    town.state("g", "offline", 160)
    assert town.settle(170) == [("raise", "flood_offline", "g"), ("suppress", "flood_silent", "g")]
    town.says("g", "waterLevel", 0.5, 200)
    town.settle(200)
    assert town.states() == {("flood_offline", "g"): "returned_unacknowledged"}


def test_dead_cabinet_suppresses_its_lamps() -> None:
    """Lamps below a dead cabinet are lost because of it; when it is back and they are not, they ask."""
    town = make_street()
    for device in ("lamp-0", "lamp-1", "cab", "lamp-2"):
        town.state(device, "offline", 10)
    assert town.settle(20) == [
        ("raise", "cabinet_offline", "cab"),
        *(("raise", "lamp_offline", f"lamp-{n}") for n in range(3)),
    ]
    assert [town.states()["lamp_offline", f"lamp-{n}"] for n in range(3)] == ["suppressed"] * 3
    town.state("lamp-0", "online", 30)
    town.state("cab", "online", 31)
    assert town.settle(31) == [
        ("return", "cabinet_offline", "cab"),
        ("return", "lamp_offline", "lamp-0"),
        ("release", "lamp_offline", "lamp-1"),
        ("release", "lamp_offline", "lamp-2"),
    ]


def test_phase_loss_suppresses_lost_lamps_but_not_leaking_ones() -> None:
    """What a cabinet's failure explains is that lamps are lost, never that one is dangerous."""
    town = make_street(1)
    for second in (0, 30):
        town.says("cab", "voltageR", 0, second)
        town.settle(second)
    town.state("lamp-0", "offline", 31)
    town.says("lamp-0", "lampStatus", 6, 30)
    town.settle(45)
    assert town.states()["lamp_offline", "lamp-0"] == "suppressed"
    assert town.states()["lamp_leakage", "lamp-0"] == "unacknowledged"


def test_maintenance_takes_alarms_out_of_service() -> None:
    """A device being worked on raises nothing; what still holds afterwards asks."""
    town = make_street(1)
    town.says("cab", "cabinetDoor", 1, 0)
    town.says("cab", "cabinetDoor", 1, 30)
    town.settle(30)
    town.state("cab", "maintenance", 40)
    assert town.settle(40) == [("remove", "cabinet_door_open", "cab")]
    for second in (50, 80):
        town.says("cab", "voltageR", 0, second)
        assert town.settle(second) == []
    town.state("cab", "online", 90)
    assert town.settle(90) == [
        ("restore", "cabinet_door_open", "cab"),
        ("raise", "supply_loss_r", "cab"),
    ]


def test_retired_device_ends_its_alarms() -> None:
    """What was taken down is not lost."""
    device = make_device("cam", "camera")
    town = Town(device)
    town.state("cam", "online", 0)
    town.state("cam", "offline", 1)
    town.settle(20)
    town.world.device(msgspec.structs.replace(device, status="retired"))
    town.settle(21)
    assert town.states() == {}


def test_shelved_comes_back_by_itself() -> None:
    """When the time is up the alarm asks again, without any message."""
    town = Town(make_device("bin", "waste_bin"))
    town.says("bin", "binStatus", 5, 0)
    town.settle(0)
    (alarm,) = town.world.alive.values()
    town.world.alarm(town.move(alarm, "shelve", at(10), until=at(600)))
    assert town.settle(599) == []
    assert town.settle(600) == [("unshelve", "bin_burning", "bin")]
    assert town.states() == {("bin_burning", "bin"): "unacknowledged"}


def test_parents_in_a_circle_end() -> None:
    """A register that says a hangs on b hangs on a is wrong, and no endless loop."""
    town = Town(make_device("a", "cabinet", parent="b"), make_device("b", "cabinet", parent="a"))
    for device in ("a", "b"):
        town.state(device, "online", 0)
        town.state(device, "offline", 1)
    town.settle(20)
    assert len(town.states()) == 2


def test_alarm_of_a_rule_that_was_removed_ends() -> None:
    """An update of the catalogue leaves no alarm behind that nothing can end."""
    town = Town(make_device("g", "flood_gauge"))
    old = Alarm(
        id=9, rule="gone_rule", device="g", measure="waterLevel", ward="", cause="flood", priority=3, state="unacknowledged",
        value=1.0, limit=1.0, opened=at(0), changed=at(0), incident=1,
    )  # fmt: skip
    town.world.remember([old])
    town.settle(1)
    assert town.states() == {}


def test_restart_takes_alarms_over() -> None:
    """A new engine that is told what is alive neither doubles nor ends it, also within the hysteresis."""
    town = Town(make_device("g", "flood_gauge"))
    for second in (0, 30, 60):
        town.says("g", "waterLevel", 1.45, second)
    town.settle(60)
    again = Town(make_device("g", "flood_gauge"))
    again.world.remember(town.world.alive.values())
    again.says("g", "waterLevel", 1.38, 90)
    assert again.settle(90) == []
    again.says("g", "waterLevel", 1.36, 120)
    assert again.settle(120) == [("return", "water_alert_1", "g")]


def test_memory_of_looks_does_not_grow() -> None:
    """A device that reports for weeks leaves one note of when to look again, not one per reading."""
    town = Town(make_device("g", "flood_gauge"))
    for second in range(0, 300_000, 30):
        town.says("g", "waterLevel", 1.45 if second % 60 else 1.2, second)
        town.world.decisions(at(second))
    assert len(town.world._due) < 20


DEVICES = (
    make_device("cab", "cabinet"),
    make_device("lamp", "streetlight", parent="cab"),
    make_device("gauge", "flood_gauge"),
    make_device("bin", "waste_bin"),
)
moments = st.one_of(
    st.tuples(st.just("reading"), st.sampled_from([("cab", "voltageR", v) for v in (0, 150, 190, 230)])),
    st.tuples(st.just("reading"), st.sampled_from([("gauge", "waterLevel", v) for v in (1.0, 1.38, 1.45, 1.55, 1.7)])),
    st.tuples(st.just("reading"), st.sampled_from([("lamp", "lampStatus", v) for v in (0, 3, 6)])),
    st.tuples(st.just("reading"), st.sampled_from([("bin", "binStatus", v) for v in (0, 5)])),
    st.tuples(
        st.just("state"),
        st.tuples(st.sampled_from(["cab", "lamp", "gauge"]), st.sampled_from(["online", "offline", "maintenance"])),
    ),
    st.tuples(st.just("operator"), st.sampled_from(["acknowledge", "shelve", "unshelve"])),
    st.tuples(st.just("nothing"), st.none()),
)


@settings(max_examples=150)
@given(st.lists(st.tuples(moments, st.integers(1, 200)), max_size=60))
def test_any_story_settles_with_one_alarm_alive_per_rule_and_device(story: list[tuple[tuple[str, Any], int]]) -> None:
    """Whatever happens: decisions settle, none is alive twice, and every alarm alive holds or asks or is put aside."""
    town, second = Town(*DEVICES), 0
    for (what, subject), pause in story:
        second += pause
        if what == "reading":
            town.says(*subject, second)
        elif what == "state":
            town.state(*subject, second)
        elif what == "operator" and town.world.alive:
            alarm = min(town.world.alive.values(), key=lambda a: a.changed)
            town.world.alarm(town.move(alarm, subject, at(second), until=at(second + 300)))
        town.settle(second)
        for (rule, device), alarm in town.world.alive.items():
            assert alarm.state != "normal"
            raised = town.world._raised(rule, device)
            assert raised == (alarm.returned is None)
            assert raised or alarm.state in ("returned_unacknowledged", "shelved")
    opened = [(row.rule, row.device, row.opened) for row in town.rows]
    assert len(opened) == len(set(opened))


def test_watches_cover_every_rule() -> None:
    """Every rule of the catalogue is watched on some kind of device."""
    assert {watch.rule.key for kind in KINDS for watch in WATCHES[kind]} == set(RULES)


def test_camera_that_lies_is_alarmed_by_what_is_the_matter() -> None:
    """Each state of the picture has its alarm, and the one before it returns."""
    town = Town(make_device("cam", "camera"))
    town.world.frame("cam", at(0), at(0))
    town.says("cam", "pictureState", 0, 1)
    assert town.settle(2) == []
    town.says("cam", "pictureState", MEASURES["pictureState"].states.index("frozen"), 5)
    assert town.settle(6) == [("raise", "picture_frozen", "cam")]
    town.says("cam", "pictureState", MEASURES["pictureState"].states.index("black"), 9)
    assert sorted(town.settle(10)) == [("raise", "picture_black", "cam"), ("return", "picture_frozen", "cam")]
    town.says("cam", "pictureState", 0, 12)
    assert town.settle(13) == [("return", "picture_black", "cam")]


def test_camera_that_is_lost_is_alarmed_once() -> None:
    """Our word that a picture is missing is no sign of life of the camera, and its silence explains it."""
    town = Town(make_device("cam", "camera"))
    town.world.frame("cam", at(0), at(0))
    assert town.settle(51) == [("raise", "camera_silent", "cam")]
    town.says("cam", "pictureState", MEASURES["pictureState"].states.index("missing"), 61)
    assert town.settle(62) == [("raise", "picture_missing", "cam")]
    assert town.world.alive["picture_missing", "cam"].state == "suppressed"
    town.says("cam", "pictureState", MEASURES["pictureState"].states.index("missing"), 121)
    assert town.settle(122) == []
