"""What the devices of the benchmark send: the same messages to everyone, but for the first level of the topic."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from ioc.catalog import KINDS

MEASURES = KINDS["air_station"].measures
DEVICES = 1000

Key = tuple[str, int]


@dataclass(frozen=True)
class Series:
    """Telemetry of a thousand devices in turn, one millisecond apart by the devices' clocks.

    A message is known by device and time, so that what is stored can be held against what was sent.

    Attributes:
        name: begins every device's id; never used twice.
        number: how many messages.
        values: values in each.
        base: the first one's time, epoch milliseconds.
    """

    name: str
    number: int
    values: int
    base: int

    @classmethod
    def ending_now(cls, name: str, number: int, values: int = 1) -> Series:
        """The last message is of now, so that no clock looks wrong."""
        return cls(name, number, values, round(time.time() * 1000) - number)

    def key(self, index: int) -> Key:
        """Device and time of a message."""
        return f"{self.name}-{index % DEVICES}", self.base + index

    def messages(self, root: str) -> list[tuple[str, bytes]]:
        """Topics and payloads, of what a real message weighs (165 bytes with one value)."""
        return [(self.topic(root, index), json.dumps(self.payload(index)).encode()) for index in range(self.number)]

    def topic(self, root: str, index: int) -> str:
        """The topic of a message."""
        return f"{root}/{self.name}-{index % DEVICES}/telemetry"

    def payload(self, index: int) -> dict[str, Any]:
        """What a message says."""
        device, stamp = self.key(index)
        return {
            "device": device,
            "ts": stamp,
            "values": dict.fromkeys(MEASURES[: self.values], 0.5 + index % 7 / 14),
            "boot": "5f1c2a9e",
            "seq": index,
            "fw": "2.4.1-city-2026.07.01-7f3d9a1c0b-release",
        }


def with_bad(series: Series, root: str, every: int) -> list[tuple[str, bytes]]:
    """The messages of a series with a bad one before the middle of each `every`, of each kind in turn."""
    device = f"{series.name}-bad"
    bad = bad_payloads(series.payload(0) | {"device": device})
    mixed = []
    for index, message in enumerate(series.messages(root)):
        if index % every == every // 2:
            mixed.append((f"{root}/{device}/telemetry", bad[index // every % len(bad)]))
        mixed.append(message)
    return mixed


def bad_payloads(good: dict[str, Any]) -> list[bytes]:
    """Ten payloads that hold nothing to store, each bad in its own way."""
    measure = next(iter(good["values"]))

    def with_value(raw: str) -> bytes:
        return json.dumps(good | {"values": {measure: "@"}}).replace('"@"', raw).encode()

    whole = json.dumps(good).encode()
    return [
        b"not JSON",
        b"",
        whole[: len(whole) // 2],
        whole.replace(b"2.4.1", b"2.4\xff1").replace(b'"values"', b'"nothing"'),
        with_value('"twelve"'),
        with_value('"12\\u0000"'),
        with_value("null"),
        with_value("NaN"),
        with_value("1e999"),
        with_value('{"of": [1, 2]}'),
    ]
