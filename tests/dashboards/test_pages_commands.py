"""The control card and the register entry as the pages write them, and their acts over HTTP."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from dashboards import actions
from dashboards.city import CityState
from dashboards.components.command_chain import NAMED, light_history, light_reach, standing, steps, target, why
from dashboards.components.device_entry import entry_data, entry_known, event_lines
from dashboards.device_records import LightFile, device_file, light_file
from dashboards.feed import Feed
from dashboards.room import Room
from dashboards.trends import Trends
from ioc.commands import REASONS, light
from ioc.db.commands import commands_of
from ioc.db.devices import device as registered
from ioc.db.devices import discover
from ioc.db.pool import Connection, Pool
from ioc.i18n import translator
from ioc.live import Live
from ioc.model import Command, CommandsChanged, CommandState, Device, DevicesChanged, Discovery
from ioc.register import Entry, register
from ioc.settings import Settings
from tests.fix_browser import Wall
from tests.fix_stack import Database

VI, EN = translator("vi"), translator("en")
T0 = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
STATES = get_args(CommandState)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def command(state: CommandState, reason: str = "", **more: Any) -> Command:
    """A command that came as far as its state says."""
    made = Command(1, "lamp", 0.4, "An", T0, None, None, None, None, state, reason)
    if state in ("sent", "accepted", "confirmed", "refused"):
        more = {"sent": at(1)} | more
    if state in ("accepted", "confirmed", "refused"):
        more = {"answered": at(2)} | more
    if state == "confirmed":
        more = {"confirmed": at(3)} | more
    if state in ("confirmed", "refused", "expired", "failed"):
        more = {"ended": at(9)} | more
    return msgspec.structs.replace(made, **more)


def lamp(key: str = "lamp", kind: str = "streetlight") -> Device:
    return Device(
        key, kind, f"Đèn {key}", None, None, "", "", "native", "", {}, "active", "online", None, "", None, None
    )


# --- the chain ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_command", "how"),
    [
        (command("requested"), ["done", "open", "open", "open"]),
        (command("sent"), ["done", "done", "open", "open"]),
        (command("accepted"), ["done", "done", "done", "open"]),
        (command("confirmed"), ["done", "done", "done", "done"]),
        (command("confirmed", answered=None), ["done", "done", "skipped", "done"]),
        (command("refused", "kẹt"), ["done", "done", "broken", "skipped"]),
        (command("failed", "unheard"), ["done", "broken", "skipped", "skipped"]),
        (command("expired", "unsent"), ["done", "broken", "skipped", "skipped"]),
        (command("expired", "unanswered", sent=at(1)), ["done", "done", "broken", "skipped"]),
        (command("expired", "unconfirmed", sent=at(1), answered=at(2)), ["done", "done", "done", "broken"]),
        (command("expired", "superseded", sent=at(1)), ["done", "done", "over", "skipped"]),
    ],
    ids=lambda value: f"{value.state}-{value.reason}" if isinstance(value, Command) else "",
)
def test_chain_shows_how_far_it_came_and_where_it_broke(given_command: Command, how: list[str]) -> None:
    """One look tells what happened and what did not."""
    assert [each for _, each, _ in steps(given_command)] == how


@given(
    st.sampled_from(STATES),
    st.sampled_from(["", "trời mưa", *REASONS]),
    st.lists(st.none() | st.floats(0, 500), min_size=4, max_size=4),
)
def test_chain_of_any_command_has_four_steps_and_breaks_once(
    state: CommandState, reason: str, times: list[float | None]
) -> None:
    """Whatever is in the table can be drawn; what is going well or was confirmed is never shown as broken."""
    sent, answered, confirmed, ended = (None if time is None else at(time) for time in times)
    made = Command(1, "lamp", 0.4, "An", T0, sent, answered, confirmed, ended, state, reason)
    shown = steps(made)
    assert len(shown) == 4
    broken = sum(how in ("broken", "over") for _, how, _ in shown)
    assert broken <= (state in ("refused", "expired", "failed"))
    file = LightFile(lamp(), 1, 0, [made], {})
    assert "Dimmed to 40" in str(light_history(file, T0, EN))


def test_newer_command_is_nobodys_fault() -> None:
    """What was superseded is not counted among what went wrong."""
    assert standing(command("expired", "superseded")) == "superseded"
    names = {"a": "Đèn a", "b": "Đèn b"}
    rows = [command("expired", "superseded", device="a"), command("expired", "unanswered", device="b", id=2)]
    said = str(light_history(LightFile(lamp("cab", "cabinet"), 2, 0, rows, names), T0, VI))
    assert "Đèn b" in said
    assert "Đèn a" not in said


def test_request_names_a_few_of_many_that_went_wrong() -> None:
    """A cabinet that lost its feeder is one line of numbers and a dozen names, not a screen of them."""
    names = {f"lamp-{number}": f"Đèn {number}" for number in range(40)}
    rows = [command("expired", "unanswered", device=key, id=number) for number, key in enumerate(names, 1)]
    said = str(light_history(LightFile(lamp("cab", "cabinet"), 40, 0, rows, names), T0, VI))
    assert said.count("href='/devices") == NAMED
    assert VI("and {n} more", n=40 - NAMED) in said


def test_targets_and_reasons_are_words() -> None:
    """Off, on, or a level in the reader's notation; a device's own words stay its own."""
    assert [target(level, EN) for level in (0, 0.4, 1)] == ["Off", "Dimmed to 40 %", "On"]
    assert why("unanswered", VI) == REASONS["unanswered"].vi
    assert why("relay stuck", VI) == "relay stuck"


def test_reach_says_whom_the_buttons_reach(connection: Connection, topic: str) -> None:
    """Itself needs no words; a cabinet tells how many lamps, and how many are left out."""
    for key, kind, status, parent in (
        (topic, "cabinet", "active", ""),
        (f"{topic}-1", "streetlight", "active", topic),
        (f"{topic}-2", "streetlight", "maintenance", topic),
        (f"{topic}-3", "streetlight", "retired", topic),
        (f"{topic}-4", "camera", "active", topic),
    ):
        connection.execute(
            "INSERT INTO device (id, kind, name, status, parent) VALUES (%s, %s, %s, %s, %s)",
            (key, kind, key, status, parent),
        )
    above, one, other = (light_file(connection, key) for key in (topic, f"{topic}-1", f"{topic}-4"))
    assert above is not None
    assert one is not None
    assert other is not None
    assert (above.lamps, above.worked_on) == (1, 1)
    assert light_reach(above, EN) == "1 lamps below it · 1 under maintenance are left out"
    assert (one.lamps, light_reach(one, EN)) == (1, "")
    assert other.lamps == 0
    light(connection, "An", 1.0, under=topic)
    told = light_file(connection, topic)
    assert told is not None
    assert [row.device for row in told.commands] == [f"{topic}-1"]
    assert light_file(connection, "nobody") is None


def test_city_tells_pages_whose_commands_changed() -> None:
    """Once, by number; what changed they ask for themselves."""
    city = CityState()
    city.fold(DevicesChanged([lamp("a"), lamp("b")]))
    city.delta(0.0)
    city.fold(CommandsChanged([command("sent", device="b"), command("sent", device="nobody")]))
    assert city.delta(0.0)["commands"] == [1]
    assert "commands" not in city.delta(0.0)


# --- the register entry -------------------------------------------------------------------------------------------------------


def test_entry_tells_what_was_entered(connection: Connection, topic: str) -> None:
    """A new device shows what its dialect told, and afterwards who made what of it."""
    discover(connection, [Discovery(topic, "chirpstack", "eui-1", attrs={"dev_eui": "a84041"})])
    file = device_file(connection, topic, datetime.now(UTC))
    assert file is not None
    said = str(entry_known(file, datetime.now(UTC), VI))
    assert "chirpstack" in said
    assert "a84041" in said
    assert json.loads(entry_data(file.device))["status"] == "new"
    assert event_lines(file, T0, VI) is None
    register(connection, "Kỹ thuật", Entry(topic, "Đo ngập 1", "flood_gauge", 10.85, 106.77))
    file = device_file(connection, topic, datetime.now(UTC))
    assert file is not None
    said = str(entry_known(file, datetime.now(UTC), VI))
    for part in ("Kỹ thuật", "tên: eui-1 → Đo ngập 1", "loại: – → Trạm đo ngập", "phục vụ: chờ nhận → đang phục vụ"):
        assert part in said


# --- the acts -----------------------------------------------------------------------------------------------------------------


def act(wall: Wall, what: str, body: object, *, who: str = "An") -> httpx.Response:
    cookies = {"operator": who} if who else {}
    return httpx.post(
        f"{wall.url}/actions/{what}", json=body, headers={"Origin": wall.url}, cookies=cookies, timeout=60
    )


def test_light_over_http(wall: Wall, connection: Connection, topic: str) -> None:
    """A press becomes a command under the name of who pressed; without a name, or for no lamp, it is refused."""
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'streetlight', 'x')", (topic,))
    assert act(wall, "light", {"level": 0.4, "devices": [topic]}).json() == {"changed": 1}
    (one,) = commands_of(connection, topic)
    assert (one.level, one.who) == (0.4, "An")
    assert act(wall, "light", {"level": 1, "devices": [topic]}, who="").status_code == 401
    for body in (
        {"level": 1.5, "devices": [topic]},
        {"level": 1},
        {"level": 1, "devices": ["nobody"]},
        {"level": 1, "under": topic},
        {"level": 1, "devices": ["\x00"]},
        {"level": "1", "devices": [topic]},
        {"level": 1, "devices": [topic], "more": 1},
    ):
        assert act(wall, "light", body).status_code == 400, body
    assert commands_of(connection, topic) == [one]


def test_act_that_waited_too_long_for_the_database_is_not_done(
    settings: Settings, db: Database, live: Live, connection: Connection, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever pressed has given up by then: a lamp that is lit a minute later is a surprise."""
    connection.execute("INSERT INTO device (id, kind, name) VALUES (%s, 'streetlight', 'x')", (topic,))
    pool = Pool(db.url, name="test")
    server = FastAPI()
    server.include_router(actions.routes(Room(settings, pool, live, Feed(settings, pool, live), Trends())))

    async def press() -> int:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://pages", cookies={"operator": "An"}
        ) as client:
            wish = {"level": 1, "devices": [topic]}
            return (await client.post("/actions/light", json=wish, headers={"Origin": "http://pages"})).status_code

    monkeypatch.setattr(actions, "LATE_S", -1.0)
    assert (asyncio.run(press()), commands_of(connection, topic)) == (503, [])
    monkeypatch.undo()
    assert asyncio.run(press()) == 200
    pool.close()
    assert len(commands_of(connection, topic)) == 1


def test_register_over_http(wall: Wall, connection: Connection, topic: str) -> None:
    """Faults come back by field; what is good is written, and the same again is nothing."""
    discover(connection, [Discovery(topic, "zigbee2mqtt", "x")])
    entry = {"device": topic, "name": "Đèn", "kind": "streetlight", "lat": 10.85, "lon": 106.77}
    refused = act(wall, "register", entry | {"kind": "", "lat": 106.0})
    assert (refused.status_code, refused.json()["faults"]) == (400, {"kind": "kind", "lat": "far"})
    assert act(wall, "register", entry).json() == {"changed": 1}
    assert act(wall, "register", entry).json() == {"changed": 0}
    found = registered(connection, topic)
    assert found is not None
    assert (found.status, found.name) == ("active", "Đèn")
    assert act(wall, "register", entry | {"status": "new"}).status_code == 400
    assert act(wall, "register", {"device": "nobody"}).status_code == 400
