"""Availability, held against a plain computation of the same."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Literal, cast

import pytest

from ioc.db.availability import DAY, MONTH, WEEK, availability
from ioc.db.devices import register_unannounced, store_states
from ioc.model import DeviceState, State
from tests.fix_stack import Database

NOW = datetime.now(UTC).replace(microsecond=0)


def expected(states: list[DeviceState], span: timedelta) -> float | None:
    """Second by second, in words: online time over known time since the span began."""
    known = up = 0.0
    ends = [state.time for state in states[1:]] + [NOW]
    for state, end in zip(states, ends, strict=True):
        seconds = max(0.0, (end - max(state.time, NOW - span)).total_seconds())
        if state.state != "maintenance":
            known += seconds
            up += seconds * (state.state == "online")
    return up / known if known else None


@pytest.mark.parametrize("seed", range(6))
def test_availability_of_random_lives(db: Database, topic: str, seed: int) -> None:
    """Changes at random over sixty days: the query says what the plain computation says."""
    chance = random.Random(seed)
    ages = sorted({round(60 * 86_400 * chance.random() ** 3) for _ in range(chance.randrange(1, 40))}, reverse=True)
    kinds: list[Literal["online", "offline", "maintenance"]] = ["online", "offline", "maintenance"]
    states = [
        DeviceState(NOW - timedelta(seconds=age), topic, cast("State", chance.choice(kinds)), "", NOW) for age in ages
    ]
    with db.connect() as connection:
        register_unannounced(connection, [topic], "native")
        with connection.transaction():
            store_states(connection, states)
        (found,) = availability(connection, NOW, topic)
        assert found.device == topic
        for got, span in ((found.day, DAY), (found.week, WEEK), (found.month, MONTH)):
            assert got == (None if (wanted := expected(states, span)) is None else pytest.approx(wanted))
        assert found in availability(connection, NOW)


def test_availability_of_a_device_that_never_spoke(db: Database, topic: str) -> None:
    """Nothing known is nothing said."""
    with db.connect() as connection:
        register_unannounced(connection, [topic], "native")
        assert availability(connection, NOW, topic) == []
