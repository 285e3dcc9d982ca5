"""The benchmark's own arithmetic: a fault in it must not flatter anyone."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clock import Clocks
from ingest.decode import Decoder
from ingest.dialects import all_dialects
from ingest.intake import Intake
from ingest.message import Block
from tests.bench.counting import Losses, compare, delays_ms, percentile, tally
from tests.bench.messages import DEVICES, MEASURES, Series, bad_payloads, with_bad
from tests.bench.processes import cpu_s, family, peak_rss_mb

SERIES = Series("one", 3000, 1, 1_763_740_800_000)
keys = st.builds(SERIES.key, st.integers(0, SERIES.number - 1))


@given(
    st.dictionaries(keys, st.integers(0, 4)), st.dictionaries(st.tuples(st.just("other"), st.integers()), st.just(1))
)
def test_compare_counts_each_message_of_the_ledger(copies: dict[tuple[str, int], int], strangers: dict) -> None:
    """No row is a lost message, each row beyond the first a doubled one; rows nobody sent are neither."""
    stored = Counter({key: number for key, number in copies.items() if number}) | Counter(strangers)
    assert compare(copies, stored) == Losses(
        lost=sum(number == 0 for number in copies.values()),
        doubled=sum(number - 1 for number in copies.values() if number > 1),
    )


def test_compare_wants_every_row_of_a_message() -> None:
    """A message of eight values with seven rows is lost."""
    key = SERIES.key(0)
    assert compare([key], {key: 7}, rows=8) == Losses(1, 0)
    assert compare([key], {key: 8}, rows=8) == Losses(0, 0)
    assert compare([key], {key: 9}, rows=8) == Losses(0, 1)


def test_compare_ignores_what_was_not_acknowledged() -> None:
    """What the broker never took is nobody's loss."""
    assert compare([], {SERIES.key(0): 1}) == Losses(0, 0)


def test_tally_gives_the_keys_of_a_series() -> None:
    """Rows as the server gives them are the same keys as the series has."""
    rows = [SERIES.key(index) for index in range(SERIES.number)]
    assert tally([*rows, rows[5]]) == Counter({key: 2 if key == rows[5] else 1 for key in rows})
    assert compare(map(SERIES.key, range(SERIES.number)), tally(rows)) == Losses(0, 0)
    assert compare(map(SERIES.key, range(SERIES.number)), tally(rows[:-10])) == Losses(10, 0)


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0.01, 1))
def test_percentile_has_enough_values_at_or_below_it(values: list[float], share: float) -> None:
    """It is the least of the values that at least that share of them does not exceed."""
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values)
    assert sum(value < found for value in values) < share * len(values) or found == min(values)


def test_percentile_of_a_hundred() -> None:
    """The known case, and none at all."""
    assert percentile(range(1, 101), 0.99) == 99
    assert percentile(range(1, 101), 0.5) == 50
    assert percentile([7.0], 0.99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_delays_hold_a_lost_message_against_the_contender() -> None:
    """A message that never came has waited for ever; the others in milliseconds."""
    first, second = SERIES.key(0), SERIES.key(1)
    assert delays_ms({first: 10.0, second: 10.5}, {first: 10.25}) == [250.0, math.inf]


def test_series_has_a_key_for_every_message() -> None:
    """No two messages of a series are the same by device and time, and payload and topic say that key."""
    assert len({SERIES.key(index) for index in range(SERIES.number)}) == SERIES.number
    topic, _ = SERIES.messages("root")[DEVICES + 1]
    said = SERIES.payload(DEVICES + 1)
    assert (said["device"], said["ts"]) == SERIES.key(DEVICES + 1)
    assert topic == f"root/{said['device']}/telemetry"
    assert len(Series("one", 1, len(MEASURES), 0).payload(0)["values"]) == 8


def test_bad_messages_stand_among_all_the_good_ones() -> None:
    """All the good messages are still there, in order, and ten bad ones between them."""
    good, mixed = SERIES.messages("ioc"), with_bad(SERIES, "ioc", SERIES.number // 10)
    sent = set(good)
    bad = [message for message in mixed if message not in sent]
    assert [message for message in mixed if message in sent] == good
    assert len(bad) == len(set(bad)) == 10


@pytest.mark.parametrize("payload", bad_payloads(SERIES.payload(0)), ids=range(10))
def test_bad_payload_holds_nothing_to_store(payload: bytes) -> None:
    """What the benchmark calls bad is bad: ingest finds no reading in it, and says why."""
    intake = Intake({}, Clocks(ahead_s=1e9, behind_s=1e9))
    topic = SERIES.topic("ioc", 0).encode()
    Decoder(intake, all_dialects(), most_bytes=10_000).decode(
        Block(1, datetime.now(UTC), [(topic, payload, 1, False)], len(payload))
    )
    batch = intake.take()
    assert not batch.readings
    assert not batch.clock_off
    assert len(batch.rejected) == 1


_FAMILY = """
import subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.3: pass\\n"
subprocess.run([sys.executable, "-c", burn])
child = subprocess.Popen([sys.executable, "-c", burn + "print('burnt', flush=True)\\ntime.sleep(600)"])
child.wait()
"""


def test_cost_is_that_of_the_whole_family() -> None:
    """CPU time and memory of children count, of those that have ended too."""
    with subprocess.Popen([sys.executable, "-c", _FAMILY], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"burnt\n"
        found = family(process.pid)
        assert len(found) == 2
        assert cpu_s(process.pid) >= 0.6
        alone = Path(f"/proc/{process.pid}/status").read_text()
        alone_kib = int(next(line for line in alone.splitlines() if line.startswith("VmHWM:")).split()[1])
        assert peak_rss_mb(process.pid) > alone_kib * 1024 / 1e6
        for pid in reversed(found):
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
